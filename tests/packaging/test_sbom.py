"""B21 What a wheel brings along: `make sbom` lists it, and every locked package has hashes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from scripts.sbom import LOCK, ROOT, document, locked

PYPROJECT = (ROOT / "pyproject.toml").read_text()


def sbom(**options: Any) -> dict[str, Any]:
    return dict(json.loads(document(LOCK.read_text(), PYPROJECT, **options)))


def test_b21_the_sbom_lists_every_locked_package_with_its_hashes() -> None:
    """B21. Would catch: a package that is missing from the document, or isn't pinned by a hash."""
    pinned = set(re.findall(r"^([A-Za-z0-9._-]+==[^ ]+)", LOCK.read_text(), re.MULTILINE))
    made = sbom()
    assert {f"{item['name']}=={item['version']}" for item in made["components"]} == pinned
    assert all(item["hashes"] for item in made["components"])
    assert made["metadata"]["component"]["purl"].startswith("pkg:pypi/headrace@")
    needed = {item["ref"]: set(item.get("dependsOn", ())) for item in made["dependencies"]}
    direct = needed[made["metadata"]["component"]["bom-ref"]]
    assert any(name.startswith("pkg:pypi/duckdb@") for name in direct)
    reached, todo = set(), set(direct)
    while todo:
        reached |= todo
        todo = set().union(*(needed[name] for name in todo)) - reached
    assert reached == {item["bom-ref"] for item in made["components"]}


def test_b21_the_sbom_is_the_same_for_the_same_lock_file(tmp_path: Path) -> None:
    """B21. Would catch: a time, a random id or the address of a mirror in the document."""
    text = document(LOCK.read_text(), PYPROJECT)
    assert text == document(LOCK.read_text(), PYPROJECT)
    assert set(re.findall(r"https?://[^\"]+", text)) == {
        "http://cyclonedx.org/schema/bom-1.6.schema.json"
    }
    wheel = tmp_path / "headrace-0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    [found] = sbom(wheel=wheel)["metadata"]["component"]["hashes"]
    assert found["content"] == hashlib.sha256(b"wheel").hexdigest()


def test_b21_a_lock_file_with_several_reasons_is_read_whole() -> None:
    """B21. Would catch: a dependency graph that loses all but one reason of a package."""
    text = "a==1 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via\n    #   b\n    #   c\n"
    [package] = locked(text)
    assert (package.name, package.version, package.needed_by) == ("a", "1", ("b", "c"))
