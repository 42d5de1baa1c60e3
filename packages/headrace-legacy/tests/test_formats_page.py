"""The page that lists the formats: each format, its library, its version and licence as they are."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/how-to/legacy/formats.md"
_ROW = re.compile(r"\| `(\w+)` \| \[[^]]+\]\(([\w./]+)\) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| .+ \|")


def test_the_page_lists_all_formats_and_their_libraries() -> None:
    """Would catch: a format without a row, a library that isn't required or whose module doesn't
    import it, and a version or licence that has changed."""
    project = tomllib.loads((ROOT / "packages/headrace-legacy/pyproject.toml").read_text())[
        "project"
    ]
    required = dict(each.split(">=") for each in project["dependencies"] if ">=" in each)
    rows = _ROW.findall(PAGE.read_text())
    ours = project["entry-points"]["headrace.formats"]
    assert [name for name, *_ in rows] == sorted(ours)
    installed = {each.name for each in entry_points(group="headrace.formats")}
    assert {name for name, *_ in rows} <= installed
    for name, page, readers, version, licence in rows:
        library = readers.removeprefix("Headrace, ")
        assert (PAGE.parent / page).is_file(), name
        if library == "Headrace":
            assert (version, licence) == ("–", project["license"]), name
            continue
        facts = metadata(library)
        assert version == required[library], name
        assert licence == (facts.get("License-Expression") or facts.get("License")), name
