"""What a column's description is, told plainly, to compare with: all values written out, and each
number by its definition.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from headrace.checks.results import ColumnProfile
from headrace.checks.values import ValueKind


def plainly(values: Sequence[Any], kind: ValueKind) -> ColumnProfile:
    """The profile of values with None for null; nothing is classified, and instants are of UTC."""
    known = [value for value in values if value is not None]
    told: dict[str, Any] = {"rows": len(values), "nulls": len(values) - len(known)}
    if known:
        told |= {"distinct": len(set(known))} | _OF[kind](known)
    return ColumnProfile(**told)


def _numbers(known: list[Any]) -> dict[str, Any]:
    ordered = sorted(known)
    logs = [math.log(size) for size in _twentieths(sorted(abs(value) for value in known if value))]
    apart = logs[14] - logs[4] if logs else 0.0
    grid = [float(value) for value in _twentieths(ordered)]
    return {
        "mean": _mean(known),
        "minimum": str(ordered[0]),
        "maximum": str(ordered[-1]),
        "quantiles": (grid[0], grid[4], grid[9], grid[14], grid[18]),
        "negative": sum(value < 0 for value in known),
        "zero": sum(value == 0 for value in known),
        "location": math.fsum(logs) / len(logs) if logs else None,
        "spread": math.log(apart) if apart > 0 else None,
    } | _frequent(known)


def _mean(known: list[Any]) -> float:
    try:
        return math.fsum(known) / len(known)
    except OverflowError:
        return math.fsum(value / len(known) for value in known)


def _twentieths(ordered: list[Any]) -> list[Any]:
    return [ordered[step * (len(ordered) - 1) // 20] for step in range(1, 20)] if ordered else []


def _frequent(known: list[Any]) -> dict[str, Any]:
    counts = Counter(known)
    categorical = len(counts) <= 50 and len(known) >= 4 * len(counts)
    least = 1 if categorical else max(2, math.ceil(len(known) * 0.02))
    often = sorted(
        ((value, count) for value, count in counts.items() if count >= least),
        key=lambda pair: (-pair[1], pair[0]),
    )
    told = often if categorical else often[:5]
    return {
        "categorical": categorical,
        "top": tuple((_shown(str(value)), count) for value, count in told),
    }


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def _texts(known: list[Any]) -> dict[str, Any]:
    ordered = sorted(known)
    shapes = Counter(_shape(value[:24]) for value in ordered[:: max(1, len(known) // 60)])
    return {
        "minimum": ordered[0],
        "maximum": ordered[-1],
        "empty": sum(not value or value.isspace() for value in known),
        "lengths": (min(map(len, known)), sum(map(len, known)) / len(known), max(map(len, known))),
        "patterns": tuple(sorted(shapes.items(), key=lambda pair: (-pair[1], pair[0]))[:3]),
        "listed": tuple(ordered)
        if len({*known}) == len(known) <= 50 and max(map(len, known)) <= 40
        else (),
    } | _frequent(known)


def _shape(text: str) -> str:
    return "".join(_letter(character) for character in text)


def _letter(character: str) -> str:
    if character in "0123456789":
        return "9"
    if ord(character) >= 0x530 or not character.isalpha():
        return character
    return "A" if character.isupper() else "a"


def _booleans(known: list[Any]) -> dict[str, Any]:
    counts = [("true", sum(known)), ("false", len(known) - sum(known))]
    top = tuple(sorted((pair for pair in counts if pair[1]), key=lambda pair: -pair[1]))
    return {
        "minimum": str(int(all(known))),
        "maximum": str(int(any(known))),
        "categorical": len(known) >= 4 * len(top),
        "top": top,
    }


def _instants(known: list[Any]) -> dict[str, Any]:
    counts = Counter(value // 3_600_000_000 % 24 for value in known)
    ordered = [value // 900_000_000 * 15 for value in sorted(known)]
    tenth = len(ordered) // 10
    return {
        "hours": tuple(counts[hour] for hour in range(24)) if len(counts) > 1 else (),
        "between": (ordered[tenth], ordered[-1 - tenth]),
        "time_quantiles": _five(ordered),
    }


def _dates(known: list[Any]) -> dict[str, Any]:
    return {"time_quantiles": _five([day * 1440 for day in sorted(known)])}


def _five(ordered: list[int]) -> tuple[int, ...] | None:
    grid = _twentieths(ordered)
    five = (grid[0], grid[4], grid[9], grid[14], grid[18])
    return five if max(map(abs, five)) <= 900_000_000 else None


_OF = {
    ValueKind.NUMBER: _numbers,
    ValueKind.TEXT: _texts,
    ValueKind.BOOLEAN: _booleans,
    ValueKind.INSTANT: _instants,
    ValueKind.WALL_CLOCK: _instants,
    ValueKind.DATE: _dates,
    ValueKind.OTHER: lambda _: {},
}
