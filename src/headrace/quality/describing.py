"""What a column's values look like: bounds, quantiles, top values, lengths, shapes, hours. Exact, and the same each time.

Nothing here depends on the order of the rows, so that a sample that several threads collected gives the same description, too.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache, lru_cache
from typing import Any

import msgspec

from headrace.model.errors import UsageError
from headrace.model.zones import EPOCH, zone
from headrace.quality.metrics import CATEGORIES_MAX, SPREAD_DISTINCT_MIN
from headrace.quality.results import ColumnProfile
from headrace.quality.values import Kind, Values

TOP_MAX = 5
"""Values that are told of a column that isn't categorical."""
TOP_SHARE = 0.02
"""A value that is less than this share of a column is none of its frequent ones."""
REPEATED_MIN = 4
"""A column whose values come fewer times than that on average has no categories: it is more of a key."""
PATTERNS_MAX = 3
PATTERN_VALUES = 60
"""So many values, from all over the alphabet, are looked at for their shapes."""
VALUE_CHARACTERS_MAX = 60
PATTERN_CHARACTERS_MAX = 24
_Q25, _Q75 = 4, 14
"""Where the quartiles are among the twentieths."""
_HOURS = range(24)
_QUARTER_US = 900_000_000


def describe(values: Values, kind: Kind, timezone: str, *, classified: bool = False) -> ColumnProfile:
    """The values' profile. Of a classified column only how many there are of what, nothing that could be one of them."""
    found = ColumnProfile(values.rows, values.rows - len(values.known))
    if not values.known:
        return found
    found = _of_kind(msgspec.structs.replace(found, distinct=len(values.distinct)), values, kind, timezone)
    return _without_values(found) if classified else found


def _of_kind(found: ColumnProfile, values: Values, kind: Kind, timezone: str) -> ColumnProfile:
    match kind:
        case Kind.NUMBER:
            return _numbers(found, values.known)
        case Kind.TEXT:
            return _texts(found, values)
        case Kind.BOOLEAN:
            return _booleans(found, values.known)
        case Kind.INSTANT | Kind.WALL_CLOCK:
            return msgspec.structs.replace(found, hours=_hours(Counter(values.known), timezone if kind is Kind.INSTANT else "UTC"))
        case Kind.OTHER:
            return found


def _without_values(found: ColumnProfile) -> ColumnProfile:
    kept = ColumnProfile(found.rows, found.nulls, found.distinct, empty=found.empty, negative=found.negative, zero=found.zero)
    if (found.distinct or 0) < SPREAD_DISTINCT_MIN:
        return kept
    return msgspec.structs.replace(kept, location=found.location, spread=found.spread)


# Numbers --------------------------------------------------------------------------------------------------------------


def _numbers(found: ColumnProfile, known: list[Any]) -> ColumnProfile:
    known.sort()
    below, above = bisect_left(known, 0), bisect_right(known, 0)
    logs = [math.log(size) for size in _grid(_sizes(known, below, above))]
    categorical = _is_categorical(found.distinct or 0, len(known))
    return ColumnProfile(
        rows=found.rows,
        nulls=found.nulls,
        distinct=found.distinct,
        mean=_mean(known),
        minimum=str(known[0]),
        maximum=str(known[-1]),
        quantiles=_told(_grid(known)),
        negative=below,
        zero=above - below,
        location=math.fsum(logs) / len(logs) if logs else None,
        spread=math.log(between) if logs and (between := logs[_Q75] - logs[_Q25]) > 0 else None,
        categorical=categorical,
        top=_frequent(known, categorical=categorical),
    )


def _mean(known: Sequence[float]) -> float:
    try:
        return math.fsum(known) / len(known)
    except OverflowError:
        return math.fsum(value / len(known) for value in known)


def _sizes(numbers: Sequence[Any], below: int, above: int) -> Sequence[float]:
    """|x| in order, without zeros: of numbers in order, of which so many are below zero, and so many not above it."""
    if not below:
        return numbers[above:]
    return sorted([-number for number in reversed(numbers[:below])] + list(numbers[above:]))


def _grid(ordered: Sequence[Any]) -> list[Any]:
    """Values at each twentieth."""
    last = len(ordered) - 1
    return [ordered[step * last // 20] for step in range(1, 20)] if last >= 0 else []


def _told(grid: Sequence[float]) -> tuple[float, float, float, float, float]:
    return float(grid[0]), float(grid[_Q25]), float(grid[9]), float(grid[_Q75]), float(grid[18])


# Frequent values ------------------------------------------------------------------------------------------------------


def _is_categorical(distinct: int, values: int) -> bool:
    return distinct <= CATEGORIES_MAX and values >= REPEATED_MIN * distinct


def _frequent(ordered: Sequence[Any], *, categorical: bool) -> tuple[tuple[str, int], ...]:
    """Values and how often they come, most frequent first: all of them, or those that have a share of some size."""
    often = 1 if categorical else max(2, math.ceil(len(ordered) * TOP_SHARE))
    pairs = sorted(_runs(ordered, often), key=lambda pair: (-pair[1], pair[0]))
    return tuple((_shown(value), count) for value, count in (pairs if categorical else pairs[:TOP_MAX]))


def _runs(ordered: Sequence[Any], least: int) -> Iterator[tuple[Any, int]]:
    """Values that come at least so often, and how often. Such a run covers one of each `least` places."""
    at = 0
    while at < len(ordered):
        value = ordered[at]
        beyond = bisect_right(ordered, value, at)
        count = beyond - bisect_left(ordered, value, 0, at + 1)
        if count >= least:
            yield value, count
        at = -(-beyond // least) * least


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"


# Texts ----------------------------------------------------------------------------------------------------------------


def _texts(found: ColumnProfile, values: Values) -> ColumnProfile:
    known: list[str] = values.known
    lengths, blanks = list(map(len, known)), ["", *filter(str.isspace, values.distinct)]
    known.sort()
    categorical = _is_categorical(found.distinct or 0, len(known))
    return ColumnProfile(
        rows=found.rows,
        nulls=found.nulls,
        distinct=found.distinct,
        minimum=known[0],
        maximum=known[-1],
        empty=sum(bisect_right(known, blank) - bisect_left(known, blank) for blank in blanks),
        lengths=(min(lengths), sum(lengths) / len(lengths), max(lengths)),
        patterns=_patterns(known),
        categorical=categorical,
        top=_frequent(known, categorical=categorical),
    )


def _patterns(ordered: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The shapes of values from all over the alphabet, and how many of those have them."""
    step = max(1, len(ordered) // PATTERN_VALUES)
    shapes = Counter(_shaped([value[:PATTERN_CHARACTERS_MAX] for value in ordered[::step]]))
    return tuple(sorted(shapes.items(), key=lambda pair: (-pair[1], pair[0]))[:PATTERNS_MAX])


def _shaped(values: Sequence[str]) -> list[str]:
    """All of them in one go where their ends can be found again: that is five times as fast."""
    joined = "\n".join(values)
    if joined.count("\n") == len(values) - 1:
        return joined.translate(_shapes()).split("\n")
    return [value.translate(_shapes()) for value in values]


@cache
def _shapes() -> dict[int, str]:
    """A digit is 9, a capital letter A, another a, up to where Latin, Greek and Cyrillic end."""
    letters = {code: "A" if chr(code).isupper() else "a" for code in range(0x530) if chr(code).isalpha()}
    return letters | {ord(digit): "9" for digit in "0123456789"}


def _booleans(found: ColumnProfile, known: list[bool]) -> ColumnProfile:
    true = sum(known)
    bounds = str(int(true == len(known))), str(int(true > 0))
    counts = [("true", true), ("false", len(known) - true)]
    top = tuple(sorted((pair for pair in counts if pair[1]), key=lambda pair: -pair[1]))
    categorical = _is_categorical(len(top), len(known))
    return msgspec.structs.replace(found, distinct=len(top), minimum=bounds[0], maximum=bounds[1], categorical=categorical, top=top)


# Instants -------------------------------------------------------------------------------------------------------------


def _hours(counts: Mapping[int, int], timezone: str) -> tuple[int, ...]:
    """How many lie in each hour of the day, local time; nothing where they all lie at one, as days do. Clocks differ by quarters of
    an hour, so each quarter is looked up once."""
    found: Counter[int] = Counter()
    quarters: Counter[int] = Counter()
    for instant, count in counts.items():
        quarters[instant // _QUARTER_US] += count
    for quarter, count in quarters.items():
        found[quarter // 4 % 24 if timezone == "UTC" else _hour(quarter, timezone)] += count
    return tuple(found[hour] for hour in _HOURS) if len(found) > 1 and -1 not in found else ()


@lru_cache(maxsize=1 << 14)
def _hour(quarter: int, timezone: str) -> int:
    """The hour of the day in which a quarter of an hour lies; -1 where nobody knows."""
    try:
        return (EPOCH + timedelta(microseconds=quarter * _QUARTER_US)).astimezone(zone(timezone)).hour
    except (UsageError, OverflowError):  # a machine without a time zone database; a year that no calendar has
        return -1
