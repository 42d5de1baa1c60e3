"""The checks in pages: each once, in the order of the whole list."""

from __future__ import annotations

from pathlib import Path

from door_lab import opened
from serve_lab import headrace, project, write


def test_pages_of_checks_are_the_whole_list(tmp_path: Path) -> None:
    """Would catch: a page on ten thousand checks that takes seconds, or one that leaves the last of
    a page out.
    """
    root = project(tmp_path / "shop")
    for name in ("one", "two", "three"):
        checks = "[{not_null: [day]}, {unique: [day]}]"
        text = (
            "/* headrace\nowner: core\npartition: {by: day, column: day}\nchecks:"
            f" {checks}\n*/\nselect day, revenue from revenue\n"
        )
        write(root / f"assets/{name}.sql", text)
    headrace(root, "tick", "--now", "2025-03-04T08:00")
    with opened(root) as door:
        whole, result, next_, pages = door.get("/api/v1/checks").json, [], "", 0
        while next_ is not None:
            page = door.get(f"/api/v1/checks/list?limit=4&cursor={next_}").json
            assert page["total"] == len(whole) == 6
            result, next_, pages = result + page["checks"], page["next"], pages + 1
        assert result == whole and pages == 2
        last = door.get("/api/v1/checks/list?limit=1").json["next"]
        for name in ("one", "three", "two"):
            (root / f"assets/{name}.sql").unlink()
        headrace(root, "apply", "--yes")
        assert door.get(f"/api/v1/checks/list?cursor={last}").status == 400
