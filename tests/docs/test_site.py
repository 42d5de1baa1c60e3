"""The pages make a site: `make docs` builds it, and CI reads all pages as strictly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_lab import ROOT

from scripts.reference_pages import index


def sphinx(builder: str, source: Path, folder: Path) -> str:
    """What Sphinx warns of when it builds `source` into `folder`; empty if nothing is wrong."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--quiet",
        "-b",
        builder,
        "-c",
        ROOT / "docs",
        "-d",
        folder / "doctrees",
    ]
    done = subprocess.run(
        [*command, source, folder / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A site of a few pages, some of them wrong, and the warnings."""
    folder = tmp_path_factory.mktemp("small")
    texts = {
        "index": "# Home\n",
        "tutorial": "# Tutorial\n\n```console\n$ headrace status\n```\n",
        "limits": "# Limits\n\n[a](gone.md) [b](tutorial.md#gone) [c](tutorial.md#tutorial)\n",
        "how-to/new": "# New\n",
    }
    for name, text in texts.items():
        path = folder / "source/docs" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "site", sphinx("html", folder / "source", folder)


def test_every_link_anchor_and_page_is_found(tmp_path: Path) -> None:
    """Would catch: a link to a page or heading that is gone, and a page that nothing lists."""
    assert sphinx("dummy", ROOT, tmp_path) == ""


def test_a_broken_link_is_noticed(small: tuple[Path, str]) -> None:
    """Would catch: a configuration that lets broken links, anchors and unlisted pages pass."""
    _, warnings = small
    assert "limits.md:3: WARNING: 'myst' cross-reference target not found: 'gone.md'" in warnings
    assert "local id not found in doc 'docs/tutorial': 'gone'" in warnings
    assert "'tutorial'" not in warnings
    assert re.search(r"new\.md: WARNING: document isn't included in any toctree", warnings)


def test_a_page_fetches_nothing_from_other_hosts(small: tuple[Path, str]) -> None:
    """Would catch: a theme that loads fonts or scripts from elsewhere.

    A company's network may block them, and a stranger may log who reads.
    """
    site, _ = small
    page = (site / "docs/tutorial.html").read_text(encoding="utf-8")
    fetched = re.findall(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]*)|<link\b[^>]*\bhref=\"([^\"]*)", page
    )
    addresses = [script or link for script, link in fetched]
    assert len(addresses) > 5
    assert [address for address in addresses if "//" in address] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in (site / "_static").rglob("*.css"))
    assert re.findall(r"url\(\s*[\"']?(?:https?:)?//|@import", styles) == []


def test_a_site_can_be_searched(small: tuple[Path, str]) -> None:
    """Would catch: a site without its index of words."""
    site, _ = small
    assert "headrac" in (site / "searchindex.js").read_text(encoding="utf-8")
    assert "docs/index.html" in (site / "index.html").read_text(encoding="utf-8")


def test_a_how_to_page_without_a_group_is_refused(tmp_path: Path) -> None:
    """Would catch: a new page that stands in no list."""
    (tmp_path / "docs/how-to").mkdir(parents=True)
    (tmp_path / "docs/how-to/juggle.md").write_text("# Juggle\n", encoding="utf-8")
    with pytest.raises(ValueError, match="juggle"):
        index.page(tmp_path, {})
