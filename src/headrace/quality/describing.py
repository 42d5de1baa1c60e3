"""What a column's values look like: bounds, quantiles, top values, lengths, shapes, hours. Exact, and the same each time.

Nothing here depends on the order of the rows, so that a sample that several threads collected gives the same description, too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache, lru_cache
from operator import itemgetter

import msgspec

from headrace.model.errors import UsageError
from headrace.model.zones import EPOCH, zone
from headrace.quality.counted import CountedValues
from headrace.quality.metrics import CATEGORIES_MAX, SPREAD_DISTINCT_MIN
from headrace.quality.results import ColumnProfile
from headrace.quality.values import ValueKind, Values

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
LISTED_CHARACTERS_MAX = 40
"""Longer texts are no names that make a list."""
PATTERN_CHARACTERS_MAX = 24
_Q25, _Q75 = 4, 14
"""Where the quartiles are among the twentieths."""
_HOURS = range(24)
_QUARTER_US = 900_000_000
_MINUTES_MAX = 900_000_000
"""Times before the year 259 and after 3680 stand for none that is known."""
_COUNT = itemgetter(1)


def describe(values: Values, kind: ValueKind, timezone: str, *, classified: bool = False) -> ColumnProfile:
    """The values' profile. Of a classified column only how many there are of what, nothing that could be one of them."""
    if not values.known:
        return ColumnProfile(values.rows, values.rows)
    profile = _of_kind(ColumnProfile(values.rows, values.rows - values.known, values.distinct), values, kind, timezone)
    return _without_values(profile) if classified else profile


def _of_kind(profile: ColumnProfile, values: Values, kind: ValueKind, timezone: str) -> ColumnProfile:
    match kind:
        case ValueKind.NUMBER:
            return _numbers(profile, CountedValues.of(values.values))
        case ValueKind.TEXT:
            return _texts(profile, CountedValues.of(values.values))
        case ValueKind.BOOLEAN:
            return _booleans(profile, values)
        case ValueKind.INSTANT | ValueKind.WALL_CLOCK:
            return _instants(profile, _quarters(values.values), timezone if kind is ValueKind.INSTANT else "UTC")
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
    return msgspec.structs.replace(profile, location=column_profile.location, spread=column_profile.spread)


# Numbers --------------------------------------------------------------------------------------------------------------


def _numbers(profile: ColumnProfile, known: CountedValues) -> ColumnProfile:
    below = known.below(0)
    logs = [math.log(size) for size in _sizes(known).twentieths()]
    categorical = _is_categorical(profile.distinct or 0, known.total)
    return ColumnProfile(
        rows=profile.rows,
        nulls=profile.nulls,
        distinct=profile.distinct,
        mean=known.mean(),
        minimum=str(known.values[0]),
        maximum=str(known.values[-1]),
        quantiles=_told(known.twentieths()),
        negative=below,
        zero=known.upto(0) - below,
        location=math.fsum(logs) / len(logs) if logs else None,
        spread=math.log(between) if logs and (between := logs[_Q75] - logs[_Q25]) > 0 else None,
        categorical=categorical,
        top=_frequent(known, profile.distinct or 0, categorical=categorical),
    )


def _sizes(known: CountedValues) -> CountedValues:
    """|x| without zeros: of two lists in order, which is soon sorted."""
    if known.values[0] > 0:
        return known
    ordered = list(known.all())
    return CountedValues.of([-value for value in reversed(ordered[: known.below(0)])] + ordered[known.upto(0) :])


def _told(grid: Sequence[float]) -> tuple[float, float, float, float, float]:
    return float(grid[0]), float(grid[_Q25]), float(grid[9]), float(grid[_Q75]), float(grid[18])


# Frequent values ------------------------------------------------------------------------------------------------------


def _is_categorical(distinct: int, values: int) -> bool:
    return distinct <= CATEGORIES_MAX and values >= REPEATED_MIN * distinct


def _frequent(known: CountedValues, distinct: int, *, categorical: bool) -> tuple[tuple[str, int], ...]:
    """Values and how often they come, most frequent first: all of them, or those that have a share of some size."""
    often = 1 if categorical else max(2, math.ceil(known.total * TOP_SHARE))
    if known.total - distinct + 1 < often:
        return ()  # one that came so often would leave too few places for the others
    pairs = sorted(known.frequent(often), key=_COUNT, reverse=True)  # those that come as often stay in the order of values
    return tuple((_shown(value), count) for value, count in (pairs if categorical else pairs[:TOP_MAX]))


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"


# Texts ----------------------------------------------------------------------------------------------------------------


def _texts(profile: ColumnProfile, known: CountedValues) -> ColumnProfile:
    lengths = list(map(len, known.values))
    categorical = _is_categorical(profile.distinct or 0, known.total)
    return ColumnProfile(
        rows=profile.rows,
        nulls=profile.nulls,
        distinct=profile.distinct,
        minimum=known.values[0],
        maximum=known.values[-1],
        empty=sum(known.upto(blank) - known.below(blank) for blank in {"", *filter(str.isspace, known.values)}),
        lengths=(min(lengths), known.summed(lengths) / known.total, max(lengths)),
        patterns=_patterns(known),
        categorical=categorical,
        top=_frequent(known, profile.distinct or 0, categorical=categorical),
        listed=_listed(known, max(lengths)) if profile.distinct == known.total else (),
    )


def _listed(known: CountedValues, longest: int) -> tuple[str, ...]:
    return tuple(known.values) if known.total <= CATEGORIES_MAX and longest <= LISTED_CHARACTERS_MAX else ()


def _patterns(known: CountedValues) -> tuple[tuple[str, int], ...]:
    """The shapes of values from all over the alphabet, and how many of those have them."""
    looked_at = known.at(range(0, known.total, max(1, known.total // PATTERN_VALUES)))
    shapes = Counter(_shaped([value[:PATTERN_CHARACTERS_MAX] for value in looked_at]))
    return tuple(sorted(sorted(shapes.items()), key=_COUNT, reverse=True)[:PATTERNS_MAX])


def _shaped(values: Sequence[str]) -> list[str]:
    """All of them in one go where their ends can be found again, as bytes where they are ASCII: that is much faster."""
    joined = "\n".join(values)
    if joined.count("\n") >= len(values):
        return [value.translate(_shapes()) for value in values]
    if joined.isascii():
        return joined.encode().translate(_ascii_shapes()).decode().split("\n")
    return joined.translate(_shapes()).split("\n")


@cache
def _shapes() -> dict[int, str]:
    """A digit is 9, a capital letter A, another a, up to where Latin, Greek and Cyrillic end."""
    letters = {code: "A" if chr(code).isupper() else "a" for code in range(0x530) if chr(code).isalpha()}
    return letters | {ord(digit): "9" for digit in "0123456789"}


@cache
def _ascii_shapes() -> bytes:
    return bytes(range(128)).decode().translate(_shapes()).encode().ljust(256)


def _booleans(profile: ColumnProfile, values: Values) -> ColumnProfile:
    counts = values.values if isinstance(values.values, dict) else {"true": (true := sum(values.values)), "false": values.known - true}
    top = [(name, count) for name in ("true", "false") if (count := counts.get(name))]
    return msgspec.structs.replace(
        profile,
        minimum=str(int(not counts.get("false"))),
        maximum=str(int(bool(counts.get("true")))),
        categorical=_is_categorical(len(top), values.known),
        top=tuple(sorted(top, key=_COUNT, reverse=True)),
    )


# Instants -------------------------------------------------------------------------------------------------------------


def _instants(profile: ColumnProfile, quarters: Mapping[int, int], timezone: str) -> ColumnProfile:
    return msgspec.structs.replace(profile, hours=_hours(quarters, timezone), between=_between(quarters, timezone))


def _quarters(instants: Iterable[int]) -> Mapping[int, int]:
    """How many lie in each quarter of an hour: clocks differ by those, so that each is looked up once."""
    result: Counter[int] = Counter()
    for instant, count in Counter(instants).items():
        result[instant // _QUARTER_US] += count
    return result


def _between(quarters: Mapping[int, int], timezone: str) -> tuple[int, int] | None:
    """The local times before and after which a tenth lies, in minutes since 1970; None where no calendar has them."""
    known = CountedValues.of(quarters)
    low, high = (_local(quarter, timezone) for quarter in known.at((known.total // 10, known.total - 1 - known.total // 10)))
    return (low, high) if low is not None and high is not None and max(abs(low), abs(high)) <= _MINUTES_MAX else None


def _hours(quarters: Mapping[int, int], timezone: str) -> tuple[int, ...]:
    """How many lie in each hour of the day, local time; nothing where they all lie at one, as days do."""
    result: Counter[int] = Counter()
    for quarter, count in quarters.items():
        local = _local(quarter, timezone)
        result[-1 if local is None else local // 60 % 24] += count
    return tuple(result[hour] for hour in _HOURS) if len(result) > 1 and -1 not in result else ()


@lru_cache(maxsize=1 << 14)
def _local(quarter: int, timezone: str) -> int | None:
    """When a quarter of an hour begins there, in minutes since 1970; None where nobody knows."""
    if timezone == "UTC":
        return quarter * 15
    try:
        instant = EPOCH + timedelta(minutes=quarter * 15)
        return quarter * 15 + int((instant.astimezone(zone(timezone)).utcoffset() or timedelta()).total_seconds() // 60)
    except (UsageError, OverflowError):  # a machine without a time zone database; a year that no calendar has
        return None
