"""Profiles of columns: bounds, quantiles, frequent values, lengths, patterns, hours."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache, lru_cache
from operator import itemgetter

import msgspec

from headrace.checks.metrics import CATEGORIES_MAX, SPREAD_DISTINCT_MIN
from headrace.checks.results import ColumnProfile
from headrace.checks.values import CountedValues, ValueKind, Values
from headrace.model.errors import UsageError
from headrace.model.intervals import EPOCH, zone

# The profile of one column's values, exact and reproducible. It doesn't depend on the order of the
# rows, so a sample that several threads collected gives the same profile.

TOP_MAX = 5
"""The maximum number of frequent values of a column that isn't categorical."""
TOP_SHARE = 0.02
"""The minimum share of the rows for a frequent value."""
REPEATED_MIN = 4
"""The minimum mean count per value of a categorical column; below it, the column is like a key."""
PATTERNS_MAX = 3
PATTERN_VALUES = 60
"""The number of values, spread over the sorted column, whose shapes are counted.

In a larger column, at least this number and less than twice as many.
"""
VALUE_CHARACTERS_MAX = 60
LISTED_CHARACTERS_MAX = 40
"""Longer texts aren't names that form a list."""
PATTERN_CHARACTERS_MAX = 24
SPACE, NEXT_SPACE = " ", "\x85"
"""No character between these two is a space for `str.isspace`."""
_Q25, _Q75 = 4, 14
"""The indexes of the quartiles in the twentieths."""
_QUANTILE_TWENTIETHS = (1, 5, 10, 15, 19)
_HOURS = range(24)
_DAY_MINUTES = 24 * 60
_QUARTER_US = 900_000_000
_MINUTES_MAX = 900_000_000
"""Times before the year 259 and after 3680 are treated as unknown."""
_COUNT = itemgetter(1)


def describe(
    values: Values, kind: ValueKind, timezone: str, *, classified: bool = False
) -> ColumnProfile:
    """Return the profile of the values; that of a classified column reveals no single value.

    It has counts, and location and spread from `SPREAD_DISTINCT_MIN` distinct values on.
    """
    if not values.known:
        return ColumnProfile(values.rows, values.rows)
    profile = _of_kind(
        ColumnProfile(values.rows, values.rows - values.known, values.distinct),
        values,
        kind,
        timezone,
    )
    return _without_values(profile) if classified else profile


def _of_kind(
    profile: ColumnProfile, values: Values, kind: ValueKind, timezone: str
) -> ColumnProfile:
    match kind:
        case ValueKind.NUMBER:
            return _numbers(profile, values.ordered())
        case ValueKind.TEXT:
            return _texts(profile, values.ordered())
        case ValueKind.BOOLEAN:
            return _booleans(profile, values)
        case ValueKind.INSTANT | ValueKind.WALL_CLOCK:
            return _instants(
                profile, _quarters(values.values), timezone if kind is ValueKind.INSTANT else "UTC"
            )
        case ValueKind.DATE:
            return _dates(profile, values.ordered())
        case ValueKind.OTHER:
            return profile


def _without_values(column_profile: ColumnProfile) -> ColumnProfile:
    profile = ColumnProfile(
        column_profile.rows,
        column_profile.nulls,
        column_profile.distinct,
        empty=column_profile.empty,
        negative=column_profile.negative,
        zero=column_profile.zero,
    )
    if (column_profile.distinct or 0) < SPREAD_DISTINCT_MIN:
        return profile
    return msgspec.structs.replace(
        profile, location=column_profile.location, spread=column_profile.spread
    )


# Numbers
# --------------------------------------------------------------------------------------------------


def _numbers(profile: ColumnProfile, known: CountedValues) -> ColumnProfile:
    below = known.below(0)
    logs = [math.log(size) for size in known.sizes().twentieths()]
    categorical = _is_categorical(profile.distinct or 0, known.total)
    return ColumnProfile(
        rows=profile.rows,
        nulls=profile.nulls,
        distinct=profile.distinct,
        mean=known.mean(),
        minimum=str(known.values[0]),
        maximum=str(known.values[-1]),
        quantiles=_quantiles(known.twentieths()),
        negative=below,
        zero=known.upto(0) - below,
        location=math.fsum(logs) / len(logs) if logs else None,
        spread=math.log(between) if logs and (between := logs[_Q75] - logs[_Q25]) > 0 else None,
        categorical=categorical,
        top=_frequent(known, profile.distinct or 0, categorical=categorical),
    )


def _quantiles(grid: Sequence[float]) -> tuple[float, float, float, float, float]:
    return float(grid[0]), float(grid[_Q25]), float(grid[9]), float(grid[_Q75]), float(grid[18])


# Frequent values
# --------------------------------------------------------------------------------------------------


def _is_categorical(distinct: int, values: int) -> bool:
    return distinct <= CATEGORIES_MAX and values >= REPEATED_MIN * distinct


def _frequent(
    known: CountedValues, distinct: int, *, categorical: bool
) -> tuple[tuple[str, int], ...]:
    """Return values and counts, most frequent first: all, or those with at least `TOP_SHARE`."""
    often = 1 if categorical else max(2, math.ceil(known.total * TOP_SHARE))
    if known.total - distinct + 1 < often:
        return ()  # a value with that count would leave too few rows for the other values
    pairs = sorted(
        known.frequent(often), key=_COUNT, reverse=True
    )  # ties stay in the order of values
    return tuple(
        (_shortened(value), count) for value, count in (pairs if categorical else pairs[:TOP_MAX])
    )


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"


# Texts
# --------------------------------------------------------------------------------------------------


def _texts(profile: ColumnProfile, known: CountedValues) -> ColumnProfile:
    lengths = list(map(len, known.values))
    categorical = _is_categorical(profile.distinct or 0, known.total)
    return ColumnProfile(
        rows=profile.rows,
        nulls=profile.nulls,
        distinct=profile.distinct,
        minimum=known.values[0],
        maximum=known.values[-1],
        empty=_blank(known),
        lengths=(min(lengths), known.summed(lengths) / known.total, max(lengths)),
        patterns=_patterns(known),
        categorical=categorical,
        top=_frequent(known, profile.distinct or 0, categorical=categorical),
        listed=_listed(known, max(lengths)) if profile.distinct == known.total else (),
    )


def _blank(known: CountedValues) -> int:
    """Return the number of texts that are empty or consist of spaces."""
    least, greatest = known.values[0], known.values[-1]
    if least[:1] > SPACE and greatest[:1] < NEXT_SPACE:
        return 0  # no text begins with a space
    return sum(
        known.upto(blank) - known.below(blank) for blank in {"", *filter(str.isspace, known.values)}
    )


def _listed(known: CountedValues, longest: int) -> tuple[str, ...]:
    return (
        tuple(known.values)
        if known.total <= CATEGORIES_MAX and longest <= LISTED_CHARACTERS_MAX
        else ()
    )


def _patterns(known: CountedValues) -> tuple[tuple[str, int], ...]:
    """Return the most frequent shapes of values from the whole sorted column, with their counts."""
    sampled = known.every(max(1, known.total // PATTERN_VALUES))
    shapes = dict[str, int]()
    of_values = _shaped([value[:PATTERN_CHARACTERS_MAX] for value in sampled])
    for shape, count in zip(of_values, sampled.values(), strict=True):
        shapes[shape] = shapes.get(shape, 0) + count
    return tuple(sorted(sorted(shapes.items()), key=_COUNT, reverse=True)[:PATTERNS_MAX])


def _shaped(values: Sequence[str]) -> list[str]:
    """Return the shapes of all values.

    All are translated at once if no value has a line break, as bytes if all are ASCII, which is
    much faster.
    """
    joined = "\n".join(values)
    if joined.count("\n") >= len(values):
        return [value.translate(_shapes()) for value in values]
    if joined.isascii():
        return joined.encode().translate(_ascii_shapes()).decode().split("\n")
    return joined.translate(_shapes()).split("\n")


@cache
def _shapes() -> dict[int, str]:
    """Return a map: digit to 9, capital to A, other letter to a, for Latin, Greek and Cyrillic."""
    letters = {
        code: "A" if chr(code).isupper() else "a" for code in range(0x530) if chr(code).isalpha()
    }
    return letters | {ord(digit): "9" for digit in "0123456789"}


@cache
def _ascii_shapes() -> bytes:
    return bytes(range(128)).decode().translate(_shapes()).encode().ljust(256)


def _booleans(profile: ColumnProfile, values: Values) -> ColumnProfile:
    counts = (
        values.values
        if isinstance(values.values, dict)
        else {"true": (true := sum(values.values)), "false": values.known - true}
    )
    top = [(name, count) for name in ("true", "false") if (count := counts.get(name))]
    return msgspec.structs.replace(
        profile,
        minimum=str(int(not counts.get("false"))),
        maximum=str(int(bool(counts.get("true")))),
        categorical=_is_categorical(len(top), values.known),
        top=tuple(sorted(top, key=_COUNT, reverse=True)),
    )


# Instants
# --------------------------------------------------------------------------------------------------


def _instants(profile: ColumnProfile, quarters: Mapping[int, int], timezone: str) -> ColumnProfile:
    known = CountedValues.of(quarters)
    tenth = known.total // 10
    places = (tenth, known.total - 1 - tenth, *_quantile_indexes(known.total))
    low, high, *quantiles = (_local(quarter, timezone) for quarter in known.at(places))
    outer = _calendar_times((low, high))
    return msgspec.structs.replace(
        profile,
        hours=_hours(quarters, timezone),
        between=None if outer is None else (outer[0], outer[1]),
        time_quantiles=_calendar_times(quantiles),
    )


def _quarters(instants: Sequence[int] | Mapping[int, int]) -> Mapping[int, int]:
    """Return counts per quarter of an hour, since UTC offsets are multiples of it."""
    if not isinstance(instants, Mapping):
        return Counter([instant // _QUARTER_US for instant in instants])
    result: Counter[int] = Counter()
    for instant, count in instants.items():
        result[instant // _QUARTER_US] += count
    return result


def _dates(profile: ColumnProfile, known: CountedValues) -> ColumnProfile:
    days = known.at(_quantile_indexes(known.total))
    return msgspec.structs.replace(
        profile, time_quantiles=_calendar_times([day * _DAY_MINUTES for day in days])
    )


def _quantile_indexes(total: int) -> list[int]:
    """Return the indexes of the 5th, 25th, 50th, 75th and 95th percentile of sorted values."""
    return [step * (total - 1) // 20 for step in _QUANTILE_TWENTIETHS]


def _calendar_times(minutes: Sequence[int | None]) -> tuple[int, ...] | None:
    """Return the times; None if a calendar can't represent all of them."""
    known = [minute for minute in minutes if minute is not None and abs(minute) <= _MINUTES_MAX]
    return tuple(known) if len(known) == len(minutes) else None


def _hours(quarters: Mapping[int, int], timezone: str) -> tuple[int, ...]:
    """Return the counts per local hour of the day; nothing if all are in one hour, as for dates."""
    result: Counter[int] = Counter()
    for quarter, count in quarters.items():
        local = _local(quarter, timezone)
        result[-1 if local is None else local // 60 % 24] += count
    return tuple(result[hour] for hour in _HOURS) if len(result) > 1 and -1 not in result else ()


@lru_cache(maxsize=1 << 14)
def _local(quarter: int, timezone: str) -> int | None:
    """Return the local start of a quarter of an hour, in minutes since 1970; None if unknown."""
    if timezone == "UTC":
        return quarter * 15
    try:
        instant = EPOCH + timedelta(minutes=quarter * 15)
        return quarter * 15 + int(
            (instant.astimezone(zone(timezone)).utcoffset() or timedelta()).total_seconds() // 60
        )
    except (UsageError, OverflowError):  # no time zone database, or a year beyond the calendar
        return None
