"""Partitions of Dagster's assets as partitions of Headrace."""

from __future__ import annotations

import ast
import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from headrace_import.importers.airflow.naming import cleaned
from headrace_import.importers.python_definitions import Definitions, argument

GRAINS = {
    "DailyPartitionsDefinition": ("day", "%Y-%m-%d"),
    "HourlyPartitionsDefinition": ("hour", "%Y-%m-%d-%H:%M"),
    "WeeklyPartitionsDefinition": ("week", "%Y-%m-%d"),
    "MonthlyPartitionsDefinition": ("month", "%Y-%m-%d"),
}
KNOWN_ARGUMENTS = frozenset({"start_date", "timezone", "fmt", "day_offset"})
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:-(\d{2}):(\d{2}))?$")


@dataclass(frozen=True, slots=True)
class Partitions:
    """What `partition:` says, with its first interval, and how Dagster writes a key.

    `key_format` is a format of dates in which `{key}` stands for the key that isn't a date.
    """

    by: Any
    start: str
    timezone: str
    key_format: str
    grain: str = ""
    dimensions: tuple[str, ...] = ("partition",)
    """Dagster's names of the parts of its key, in their order."""


_NONE = Partitions("", "", "", "")


class NotCarried(Exception):
    """Partitions that only a person can carry; the message says why."""


def partitions_of(file: Definitions, node: ast.expr | None) -> Partitions | None:
    """Return the partitions that an expression defines; None for no expression.

    Raises NotCarried for those that have no counterpart or aren't in the file.
    """
    if node is None:
        return None
    if isinstance(node, ast.Name) and node.id in file.constants:
        return partitions_of(file, file.constants[node.id])
    if not isinstance(node, ast.Call):
        raise NotCarried("its partitions are defined elsewhere")
    kind = file.name_of(node.func).rpartition(".")[2]
    if kind == "MultiPartitionsDefinition":
        return _of_both(file, argument(node, "partitions_defs", 0))
    if kind == "StaticPartitionsDefinition":
        return _of_keys(file, argument(node, "partition_keys", 0), "key")
    if kind not in GRAINS:
        raise NotCarried(f"its partitions are a {kind or 'value of a run'}")
    return _of_time(file, node, kind)


def _of_time(file: Definitions, node: ast.Call, kind: str) -> Partitions:
    names = {item.arg for item in node.keywords}
    if not names <= KNOWN_ARGUMENTS or len(node.args) > 1:
        raise NotCarried("its partitions begin or end at other times than a calendar's")
    grain, key_format = GRAINS[kind]
    if grain == "week" and file.known(argument(node, "day_offset"), 0) != 1:
        raise NotCarried("its weeks don't begin on Monday")
    given = file.text(argument(node, "fmt"))
    start = _start(grain, file.text(argument(node, "start_date", 0)))
    zone = file.text(argument(node, "timezone"))
    return Partitions(grain, start, zone, given or key_format, grain)


def _of_keys(file: Definitions, node: ast.expr | None, name: str) -> Partitions:
    keys = file.known(node)
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise NotCarried("the keys of its partitions aren't in the file")
    return Partitions({"key": cleaned(name), "values": keys}, "", "", "{key}")


def _of_both(file: Definitions, node: ast.expr | None) -> Partitions:
    """Return the partitions of a time and of a key; Dagster orders its dimensions by name."""
    if not isinstance(node, ast.Dict) or len(node.keys) != 2:
        raise NotCarried("the dimensions of its partitions aren't in the file")
    parts = {file.text(key): value for key, value in zip(node.keys, node.values, strict=True)}
    known = {name: partitions_of(file, parts[name]) or _NONE for name in sorted(parts)}
    times = [part for part in known.values() if part.grain]
    keys = [name for name, part in known.items() if isinstance(part.by, dict)]
    if len(times) != 1 or len(keys) != 1:
        raise NotCarried("its partitions aren't those of a time and a key")
    by = [times[0].by, {**known[keys[0]].by, "key": cleaned(keys[0])}]
    key_format = "|".join(part.key_format for part in known.values())
    names = tuple(known)
    return Partitions(by, times[0].start, times[0].timezone, key_format, dimensions=names)


def _start(grain: str, text: str) -> str:
    """Return the first partition's key."""
    match = _DATE.match(text)
    if match is None:
        raise NotCarried("the start of its partitions isn't in the file")
    try:
        day = dt.date(*map(int, match.group(1, 2, 3)))
    except ValueError:
        raise NotCarried("the start of its partitions is no date") from None
    if grain == "month":
        if day.day != 1:
            raise NotCarried("its months don't begin with the first day")
        return f"{day:%Y-%m}"
    if grain == "week":
        monday = (day + dt.timedelta(days=-day.weekday() % 7)).isocalendar()
        return f"{monday.year}-W{monday.week:02}"
    return day.isoformat() if grain == "day" else ""
