"""Logs in pages: a log of any length opens at any line, and a search keeps the lines'
own numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest
from door_lab import Opened, opened
from serve_lab import ask, deliver, headrace, project

from headrace.services.logs import LOOKED_MAX, CapturedLine, LinePosition, search

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


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Opened, str]]:
    """A door, and where the log of an attempt is that printed colours and errors."""
    root = project(tmp_path_factory.mktemp("printed") / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", NOW)
    texts = [f"line {number}" for number in range(1, 101)]
    texts[9] = r"\x1b[1;31mER\x1b[0mROR: <script>"
    texts[10] = "no errors so far"
    texts[49] = "Traceback (most recent call last):"
    texts[59] = "KeyError: 'x'"
    with opened(root) as result:
        attempt = next(row["attempt"] for row in result.get("/api/v1/runs").json if row["attempt"])
        epoch, n = attempt.split(".")
        path = root / f".headrace/logs/{epoch}/{n}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            b"".join(
                msgspec.json.encode(
                    {
                        "at_us": 1_741_000_000_000_000,
                        "stream": "log" if number == 79 else "stderr",
                        "level": "error" if number == 79 else "info",
                        "text": text,
                    }
                )
                + b"\n"
                for number, text in enumerate(texts)
            )
        )
        yield result, f"/api/v1/attempts/{attempt}"


def test_errors_are_found_by_level_by_words_and_by_traceback(
    printed: tuple[Opened, str],
) -> None:
    """Would catch: a button that goes to a line which says that there is no error."""
    door, path = printed
    lines = door.get(f"{path}/logs?errors=true").json["lines"]
    assert [line["number"] for line in lines] == [10, 50, 60, 80]
    after = door.get(f"{path}/logs?errors=true&limit=1&line=11").json["lines"]
    assert [line["number"] for line in after] == [50]


def test_a_search_has_lines_around_its_hits_and_none_twice(printed: tuple[Opened, str]) -> None:
    """Would catch: a hit without what led to it; lines twice, or left out, between two pages."""
    door, path = printed

    def numbers(query: str) -> list[int]:
        return [line["number"] for line in door.get(f"{path}/logs?{query}").json["lines"]]

    assert numbers("grep=ERROR&context=2") == [8, 9, 10, 11, 12]
    assert numbers("grep=line%201&context=0") == [1, *range(12, 20), 100]
    near = "grep=line%202&context=1"
    assert numbers(near) == [1, 2, 3, *range(19, 31)]
    seen: list[int] = []
    page = door.get(f"{path}/logs?{near}&limit=2").json
    while True:
        seen += [line["number"] for line in page["lines"]]
        if page["next"] is None:
            break
        page = door.get(f"{path}/logs?{near}&limit=2&cursor={page['next']}").json
    assert seen == numbers(near)


def test_a_log_is_saved_as_text_whole_and_for_those_who_see_it(
    printed: tuple[Opened, str], logs: tuple[Opened, str]
) -> None:
    """Would catch: a file that ends after the first part; one that a browser opens as a page."""
    door, path = printed
    answer = door.get(f"{path}/log.txt")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    lines = answer.body.decode().splitlines()
    assert len(lines) == 100 and lines[0] == "2025-03-03T12:06:40+01:00 info line 1"
    long_door, long_path = logs
    text = long_door.get(long_path.replace("/logs", "/log.txt")).body.decode()
    assert text.count("\n") == LINES and f"line {LINES}\n" in text
    assert door.get("/api/v1/attempts/9.9/log.txt").status == 404
    assert ask(door.port, f"{path}/log.txt").status == 401


def test_random_searches_are_those_of_a_plain_search(printed: tuple[Opened, str]) -> None:
    """Would catch: a line around a hit that is missing where pages meet. Prints its seed."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(300):
        total = draw.randrange(60)
        hits = {n for n in range(1, total + 1) if draw.random() < 0.2}
        context, limit = draw.randrange(4), draw.randrange(1, 6)
        expected = [n for n in range(1, total + 1) if any(abs(n - hit) <= context for hit in hits)]
        seen: list[int] = []
        position = LinePosition(0, 1)
        while True:
            rest = (
                (n, CapturedLine(1, "log", "", "x" if n in hits else ""), LinePosition(n, n + 1))
                for n in range(position.number, total + 1)
            )
            found, position = search(rest, position, lambda line: line.text == "x", limit, context)
            seen += [n for n, _ in found]
            if position.number > total:
                break
        assert seen == expected, (total, hits, context, limit)
