"""What was usual before an incident and what it came to then, as the page draws it, on thirty sound
days and three that are odd."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from door_lab import Opened, opened
from serve_lab import headrace, project, response, write

FIRST = date(2025, 1, 1)
SOUND, EMPTIED, SCALED, TRIPLED = 30, 30, 31, 32
ROWS = 200


def day(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def delivered(root: Path, number: int, rows: int = ROWS) -> None:
    chance = random.Random(number)
    lines = []
    for at in range(rows):
        amount = f"{chance.lognormvariate(3, 0.5) * (100 if number == SCALED else 1):.2f}"
        lines.append(f"{day(number)},{'' if number == EMPTIED and at % 2 else amount}")
    write(root / f"landing/orders_{day(number)}.csv", "\n".join(["day,amount", *lines]) + "\n")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(tmp_path_factory.mktemp("figures") / "shop")
    for number in range(SOUND):
        delivered(root, number)
    headrace(root, "tick", "--now", f"{day(SOUND)}T06:00")
    for number in (EMPTIED, SCALED, TRIPLED):
        delivered(root, number, rows=3 * ROWS if number == TRIPLED else ROWS)
        headrace(root, "tick", "--now", f"{day(number + 1)}T06:00")
    with opened(root) as result:
        yield result


def figures(door: Opened, kind: str) -> Any:
    known = {row["cause"]["kind"]: row["id"] for row in response(door.root, "incidents")}
    return door.get(f"/api/v1/incidents/{known[kind]}/figures").json


@pytest.mark.long
def test_a_column_that_is_empty_is_drawn_against_days_on_which_it_never_was(door: Opened) -> None:
    """Would catch: an incident without the observed value, one that is mixed with the history, or
    expectations in another unit.
    """
    (result,) = figures(door, "null_spike")
    assert (result["column"], result["figure"], result["unit"], result["partition"]) == (
        "amount",
        "nulls",
        "share",
        day(EMPTIED),
    )
    assert (result["expected"], result["observed"]) == (pytest.approx(0, abs=0.01), 0.5)
    assert [(item["value"], item["odd"]) for item in result["points"]] == [(0.0, False)] * SOUND + [
        (0.5, True)
    ]
    assert [item["partition"] for item in result["points"]] == [
        day(number) for number in range(SOUND + 1)
    ]


@pytest.mark.long
def test_sizes_are_said_as_people_count(door: Opened) -> None:
    """Would catch: logarithms on a page; the emptied day, which nobody reads, taken for a usual
    one."""
    (result,) = figures(door, "distribution_shift")
    assert (result["figure"], result["unit"]) == ("location", "number")
    assert 18 < result["expected"] < 22
    assert 1800 < result["observed"] < 2200
    assert [item["odd"] for item in result["points"]] == [False] * SOUND + [True]
    assert {day(EMPTIED)}.isdisjoint(item["partition"] for item in result["points"])


def test_an_incident_that_there_isnt_is_refused(door: Opened) -> None:
    """Would catch: an empty answer that looks like an incident without figures."""
    assert door.get("/api/v1/incidents/INC-99/figures").status in (400, 404)


# The history of a node, as its page draws it.


def test_the_history_has_what_readers_see_and_what_happened_there(door: Opened) -> None:
    """Would catch: held partitions drawn as if readers saw them, without the incident; durations
    and delays in another unit."""
    result = door.get("/api/v1/assets/orders/history").json
    assert [item["partition"] for item in result["points"]] == [day(at) for at in range(SOUND)]
    assert {(item["rows"], item["version"]) for item in result["points"]} == {(ROWS, 1)}
    assert all(0 < item["seconds"] < 600 for item in result["points"])
    newest = result["points"][-1]
    assert newest["after_seconds"] == pytest.approx(6 * 3600, abs=1800)
    assert [(mark["partition"], mark["kind"]) for mark in result["marks"]] == [
        (day(EMPTIED), "incident"),
        (day(SCALED), "incident"),
        (day(TRIPLED), "incident"),
    ]
    assert (result["columns"], result["column"], result["figures"]) == (["day", "amount"], None, [])


def test_rows_are_drawn_between_what_was_usual(door: Opened) -> None:
    """Would catch: a band in logarithms or from the first day on, and one without the number of
    rows of the days that are held."""
    rows = door.get("/api/v1/assets/orders/history").json["rows"]
    assert [item["partition"] for item in rows] == [day(at) for at in range(SOUND + 3)]
    assert [item["low"] for item in rows[:14]] == [None] * 14
    assert all(0 < item["low"] < ROWS < item["high"] < 2 * ROWS for item in rows[14:])
    assert {(item["rows"], item["odd"]) for item in rows[:-1]} == {(ROWS, False)}
    assert (rows[-1]["rows"], rows[-1]["odd"]) == (3 * ROWS, True)
    assert [item["published"] for item in rows] == [True] * SOUND + [False] * 3


def test_a_columns_history_shows_what_was_usual_and_what_was_odd(door: Opened) -> None:
    """Would catch: a band in logarithms, one from the first day on, and an anomaly inside it."""
    result = door.get("/api/v1/assets/orders/history?column=AMOUNT&limit=40").json
    assert result["column"] == "amount"
    figures = {item["figure"]: item["points"] for item in result["figures"]}
    nulls = {item["partition"]: item for item in figures["nulls"]}
    assert [item["low"] for item in figures["nulls"][:14]] == [None] * 14
    emptied, quiet = nulls[day(EMPTIED)], nulls[day(SOUND - 1)]
    assert (emptied["value"], emptied["odd"], quiet["value"], quiet["odd"]) == (0.5, True, 0, False)
    assert 0 <= emptied["low"] <= emptied["high"] < 0.1
    sizes = {item["partition"]: item for item in figures["location"]}
    scaled = sizes[day(SCALED)]
    assert scaled["odd"]
    assert 10 < scaled["low"] < 20 < scaled["high"] < 40 < scaled["value"]


def test_a_history_of_an_unknown_column_names_the_known_ones(door: Opened) -> None:
    """Would catch: an empty chart for a column that is misspelt."""
    refused = door.get("/api/v1/assets/orders/history?column=amuont")
    assert refused.status == 400
    assert "amount" in refused.json["hint"]
