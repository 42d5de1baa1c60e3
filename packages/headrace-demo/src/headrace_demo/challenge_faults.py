"""The ten faults of the challenge: what somebody does on a morning, without saying so.

Each changes a day's files before they are delivered, or the code of an asset. What was meant is
what `demo_data.deliver` delivers, and the code of `demo_project`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from headrace_demo.demo_data import RENAMED

VENDOR, NETWORK, OPERATIONS = "flight-feed-inc", "flight-data", "operations"
OWNERS = (VENDOR, NETWORK, OPERATIONS, "compliance")
"""All owners of the demo's project."""
Lines = list[list[str]]
"""A file: its header and its rows, as fields."""


class Fault(NamedTuple):
    """`file` and `damage` are of a delivery, `code`, `text` and `instead` of an asset."""

    title: str
    """What had happened, told afterwards."""
    owner: str
    """Whose fault it is."""
    file: str = ""
    damage: Callable[[Lines], Lines | None] | None = None
    """Return the file as it is delivered; None if it isn't."""
    code: str = ""
    text: str = ""
    instead: str = ""


def _renamed(lines: Lines) -> Lines:
    names = {old.decode(): new.decode() for old, new in RENAMED.items()}
    return [[names.get(name, name) for name in lines[0]], *lines[1:]]


def _twice(lines: Lines) -> Lines:
    return [*lines, *lines[1:]]


def _half(lines: Lines) -> Lines:
    return lines[: len(lines) // 2]


def _kilometres(lines: Lines) -> Lines:
    return _each(lines, "distance", lambda miles: str(round(int(miles) * 1.609)))


def _words(lines: Lines) -> Lines:
    return _each(lines, "dep_delay", lambda minutes: minutes and f"{minutes} min")


def _each(lines: Lines, column: str, changed: Callable[[str], str]) -> Lines:
    at = lines[0].index(column)
    return [lines[0], *([*row[:at], changed(row[at]), *row[at + 1 :]] for row in lines[1:])]


def _without_tails(lines: Lines) -> Lines:
    at = lines[0].index("tailnum")
    return [[*row[:at], *row[at + 1 :]] for row in lines]


def _day_before(lines: Lines) -> Lines:
    """The rows say that they are of the day before."""
    at = [lines[0].index(name) for name in ("year", "month", "day")]
    result = [lines[0]]
    for row in lines[1:]:
        year, month, day = (int(row[n]) for n in at)
        before = date(year, month, day) - timedelta(days=1)
        values = dict(zip(at, map(str, (before.year, before.month, before.day)), strict=True))
        result.append([values.get(n, field) for n, field in enumerate(row)])
    return result


def _never(lines: Lines) -> None:
    del lines


FAULTS = (
    Fault("the flights were in their file twice", VENDOR, "flights", _twice),
    Fault("the weather wasn't delivered", NETWORK, "weather", _never),
    Fault(
        "airport_ranking read a column that there isn't",
        OPERATIONS,
        code="operations/airport_ranking.py",
        text='airports["faa"]',
        instead='airports["iata"]',
    ),
    Fault("half of the flights were missing", VENDOR, "flights", _half),
    Fault("distances were in kilometres", VENDOR, "flights", _kilometres),
    Fault(
        "flight_id forgot where a flight begins and ends",
        NETWORK,
        code="operations/flights_clean.sql",
        text="carrier, flight, origin, dest, epoch(time_hour)",
        instead="carrier, epoch(time_hour)",
    ),
    Fault("delays had a unit behind them", VENDOR, "flights", _words),
    Fault("the column tailnum was gone", VENDOR, "flights", _without_tails),
    Fault("the file had the flights of the day before", VENDOR, "flights", _day_before),
    # The last one: after a rename is accepted, the vendor's usual header would be the next.
    Fault("two columns of the flights were renamed", VENDOR, "flights", _renamed),
)


def damage(fault: Fault, landing: Path, day: date) -> None:
    """Change the delivered file of `day` as the fault does."""
    assert fault.damage is not None
    path = landing / f"{fault.file}_{day}.csv"
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    if (changed := fault.damage(lines)) is None:
        path.unlink()
    else:
        path.write_text("".join(",".join(row) + "\n" for row in changed), encoding="utf-8")


def recode(fault: Fault, project: Path, *, undo: bool = False) -> None:
    """Change the code of an asset as the fault does, or back."""
    path = project / "assets" / fault.code
    old, new = (fault.instead, fault.text) if undo else (fault.text, fault.instead)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
