"""Logs in pages: a log of any length opens at any line, and a search keeps the lines'
own numbers."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from door_lab import Opened, opened
from serve_lab import deliver, headrace, project

from headrace.services.logs import LOOKED_MAX

NOW = "2025-03-02T08:00"
LINES = LOOKED_MAX + 10_000
NEEDLE = (LINES - 5, "needle (a+)+$ <b>")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Opened, str]]:
    """A door, and where the log of an attempt is that wrote many lines."""
    root = project(tmp_path_factory.mktemp("logs") / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    with opened(root) as result:
        attempt = next(row["attempt"] for row in result.get("/api/v1/runs").json if row["attempt"])
        epoch, n = attempt.split(".")
        path = root / f".headrace/logs/{epoch}/{n}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for number in range(1, LINES + 1):
                text = NEEDLE[1] if number == NEEDLE[0] else f"line {number}"
                file.write(
                    msgspec.json.encode({"at_us": 1, "stream": "stdout", "level": "", "text": text})
                    + b"\n"
                )
            file.write(b'{"at_us": 1, "half')
        yield result, f"/api/v1/attempts/{attempt}/logs"


def test_a_log_opens_at_any_of_its_lines(logs: tuple[Opened, str]) -> None:
    """Would catch: a link to a line far down that fetches all lines before it, or one that is a
    line beside."""
    door, path = logs
    for asked, first in (
        ("", 1),
        ("&line=12345", 12345),
        ("&line=-3", LINES - 2),
        (f"&line=-{LINES * 2}", 1),
    ):
        page = door.get(f"{path}?limit=3{asked}").json
        assert [item["number"] for item in page["lines"]] == [first, first + 1, first + 2], asked
        assert page["lines"][0]["text"] == f"line {first}" and page["total"] == LINES, asked
    after = door.get(f"{path}?line={LINES + 1}").json
    assert after["lines"] == [] and after["next"] is None


def test_pages_go_on_where_the_last_one_ended(logs: tuple[Opened, str]) -> None:
    """Would catch: a cursor that forgets which number its line has."""
    door, path = logs
    first = door.get(f"{path}?limit=2&line=500").json
    second = door.get(f"{path}?limit=2&cursor={first['next']}").json
    assert [item["number"] for item in first["lines"] + second["lines"]] == [500, 501, 502, 503]


def test_a_search_keeps_the_numbers_and_gives_others_their_turn(logs: tuple[Opened, str]) -> None:
    """Would catch: a hit that is called line 1 because it is the first hit; and a search that keeps
    the leader from its work for as long as a log of millions of lines takes."""
    door, path = logs
    query = "grep=(a%2B)%2B%24"
    page, pages = door.get(f"{path}?{query}").json, 1
    assert page["lines"] == [] and page["next"] is not None and page["looked"] == LOOKED_MAX
    while page["next"] is not None and not page["lines"]:
        page, pages = door.get(f"{path}?{query}&cursor={page['next']}").json, pages + 1
    assert [(item["number"], item["text"]) for item in page["lines"]] == [NEEDLE] and pages == 2
