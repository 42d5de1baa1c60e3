"""Answers with a tag: what a browser has needn't be sent again, and never outlives what it says."""

from __future__ import annotations

import pytest
from door_lab import Opened
from serve_lab import headrace, write

from headrace.web import project_reader

NOW = "2025-03-04T08:00"


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No moment passes by which a tag would lapse."""
    monkeypatch.setattr(project_reader, "CACHE_SECONDS", 1 << 40)


def test_what_a_browser_has_isnt_sent_again_until_it_changes(door: Opened, still: None) -> None:
    """Would catch: a page that stays as it was after somebody acted, or one that is sent whole each
    time.
    """
    headrace(door.root, "tick", "--now", NOW)
    first = door.get("/api/v1/paused")
    tag = first.headers["etag"]
    again = door.get("/api/v1/paused", If_None_Match=f'"other", {tag}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert door.get("/api/v1/assets", If_None_Match=tag).status == 200
    headrace(door.root, "pause", "revenue", "--reason", "later")
    changed = door.get("/api/v1/paused", If_None_Match=tag)
    assert (
        changed.status == 200
        and changed.headers["etag"] != tag
        and [row["node"] for row in changed.json["paused"]] == ["revenue"]
    )


def test_questions_that_differ_are_answered_apart(door: Opened, still: None) -> None:
    """Would catch: one answer for two questions."""
    narrow, wide = (door.get(f"/api/v1/assets?search={word}") for word in ("revenue", ""))
    assert (
        narrow.headers["etag"] != wide.headers["etag"] and narrow.json["total"] < wide.json["total"]
    )
    assert door.get("/api/v1/assets?search=revenue").body == narrow.body


def test_what_is_made_of_files_has_no_tag(door: Opened, still: None) -> None:
    """Would catch: a list of declarations that doesn't know of a file that was just written."""
    before = door.get("/api/v1/ls")
    assert "etag" not in before.headers
    write(door.root / "assets/newer.sql", "/* headrace\nowner: core\n*/\nselect 1 as one\n")
    assert len(door.get("/api/v1/ls").json) == len(before.json) + 1


@pytest.mark.parametrize(
    "path", ["plan", "contract/orders", "contract/orders/diff", "lineage/revenue.day"]
)
def test_answers_from_files_are_never_kept(door: Opened, still: None, path: str) -> None:
    """Would catch: a page of a contract or a plan from before somebody edited its file."""
    answer = door.get(f"/api/v1/{path}")
    assert answer.status == 200
    assert "etag" not in answer.headers


def test_a_tag_lapses_by_the_clock(door: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a consumer that is late since midnight, and served for ever on a page that
    nothing else changed."""
    tags = set()
    for at in (10.0, 10.0 + project_reader.CACHE_SECONDS):
        monkeypatch.setattr(project_reader.time, "time", lambda at=at: at)
        tags.add(project_reader.etag_of("status", "x"))
    assert len(tags) == 2
