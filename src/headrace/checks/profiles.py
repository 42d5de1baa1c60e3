"""Profiles of columns: bounds, quantiles, frequent values, lengths, patterns, hours.

A staged file with few rows is profiled completely and exactly. A larger file is profiled from a
sample of 20,000 to 40,000 rows (always the same ones; fewer per partition of a large batch), with
an estimate of the distinct values. Its nulls, bounds, negative numbers and zeros are still exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import msgspec

from headrace.checks.check_kinds import FLOATS, SAMPLED
from headrace.checks.metrics import CATEGORIES_MAX, SPREAD_DISTINCT_MIN
from headrace.checks.results import ColumnProfile
from headrace.checks.values import (
    NUMBERS,
    TELLING,
    CountedValues,
    ProfiledColumn,
    ValueKind,
    Values,
    aggregate,
    columns_of,
    kind_of,
)
from headrace.lake import ColumnStatistics
from headrace.lake.catalog.columns import BOUND_CHARACTERS_MAX, lower_bound, upper_bound
from headrace.lake.sqltext import quote
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
_Q25, _Q75 = 4, 14
"""The indexes of the quartiles in the twentieths."""
_HOURS = range(24)
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
            return _numbers(profile, CountedValues.of(values.values))
        case ValueKind.TEXT:
            return _texts(profile, CountedValues.of(values.values))
        case ValueKind.BOOLEAN:
            return _booleans(profile, values)
        case ValueKind.INSTANT | ValueKind.WALL_CLOCK:
            return _instants(
                profile, _quarters(values.values), timezone if kind is ValueKind.INSTANT else "UTC"
            )
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
    logs = [math.log(size) for size in _sizes(known).twentieths()]
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


def _sizes(known: CountedValues) -> CountedValues:
    """Return |x| without zeros; both halves are sorted already, which makes sorting fast."""
    if known.values[0] > 0:
        return known
    ordered = list(known.all())
    return CountedValues.of(
        [-value for value in reversed(ordered[: known.below(0)])] + ordered[known.upto(0) :]
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
        empty=sum(
            known.upto(blank) - known.below(blank)
            for blank in {"", *filter(str.isspace, known.values)}
        ),
        lengths=(min(lengths), known.summed(lengths) / known.total, max(lengths)),
        patterns=_patterns(known),
        categorical=categorical,
        top=_frequent(known, profile.distinct or 0, categorical=categorical),
        listed=_listed(known, max(lengths)) if profile.distinct == known.total else (),
    )


def _listed(known: CountedValues, longest: int) -> tuple[str, ...]:
    return (
        tuple(known.values)
        if known.total <= CATEGORIES_MAX and longest <= LISTED_CHARACTERS_MAX
        else ()
    )


def _patterns(known: CountedValues) -> tuple[tuple[str, int], ...]:
    """Return the most frequent shapes of values from the whole sorted column, with their counts."""
    sampled = known.at(range(0, known.total, max(1, known.total // PATTERN_VALUES)))
    shapes = Counter(_shaped([value[:PATTERN_CHARACTERS_MAX] for value in sampled]))
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
    return msgspec.structs.replace(
        profile, hours=_hours(quarters, timezone), between=_between(quarters, timezone)
    )


def _quarters(instants: Iterable[int]) -> Mapping[int, int]:
    """Return counts per quarter of an hour, since UTC offsets are multiples of it."""
    result: Counter[int] = Counter()
    for instant, count in Counter(instants).items():
        result[instant // _QUARTER_US] += count
    return result


def _between(quarters: Mapping[int, int], timezone: str) -> tuple[int, int] | None:
    """Return the 10th and 90th percentile in minutes since 1970, local time.

    None if a calendar can't represent them.
    """
    known = CountedValues.of(quarters)
    low, high = (
        _local(quarter, timezone)
        for quarter in known.at((known.total // 10, known.total - 1 - known.total // 10))
    )
    return (
        (low, high)
        if low is not None and high is not None and max(abs(low), abs(high)) <= _MINUTES_MAX
        else None
    )


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


# The plan for profiling a file: its statistics cost nothing and come first; values come from the
# audit's scan.

EXACT_ROWS_MAX = 50_000
"""The maximum number of rows of a file or partition whose values are all profiled."""
SAMPLE_ROWS = 20_000
"""The sample size of a partition with more rows: this many to twice as many.

The error of a share is then a third of 0.01, the smallest difference that counts as anomalous.
"""
BATCH_ROWS_MAX = 250_000
"""The maximum number of rows of a batch whose values are all in memory at once."""
COUNTED_ROWS_MIN = 500
"""The number of rows from which on counting a column with few values pays off."""
COUNTED_BITS_MAX = 8
"""The maximum bits per row in the file of a column that is assumed to have few values.

A wrong assumption only makes the scan slower.
"""

_VALUE_LESS = ("STRUCT", "MAP", "INTERVAL", "UNION")


class Measure(msgspec.Struct, frozen=True):
    """One aggregate of the scan for the profile."""

    column: str
    field: str
    sql: str


class Description(msgspec.Struct, frozen=True):
    """The plan for profiling the columns of one staged file.

    `described` are the columns whose values are read; one row in `every` is sampled.
    """

    columns: Mapping[str, str]
    statistics: Mapping[str, ColumnStatistics]
    measures: tuple[Measure, ...] = ()
    described: tuple[ProfiledColumn, ...] = ()
    every: int = 1
    timezone: str = "UTC"
    classified: frozenset[str] = frozenset()
    """Names of classified columns in lower case."""

    @property
    def aggregate_count(self) -> int:
        """Return the number of aggregates."""
        return len(self.measures) + bool(self.described)

    @property
    def aggregates(self) -> list[str]:
        """Return the aggregates that the scan must compute: first the measures, then the values."""
        expressions = [measure.sql for measure in self.measures]
        if self.described:
            expressions.append(aggregate(self.described, SAMPLED if self.every > 1 else None))
        return expressions

    def profile(self, rows: int, values: Sequence[Any]) -> dict[str, ColumnProfile]:
        """Return each column's profile, from the results of the aggregates."""
        extra: dict[str, dict[str, Any]] = {}
        for measure, value in zip(self.measures, values, strict=False):
            extra.setdefault(measure.column, {})[measure.field] = value
        profiles = (
            self._described(values[len(self.measures)], rows)
            if self.described and len(values) > len(self.measures)
            else {}
        )
        return {
            name: _column_profile(
                rows,
                self.statistics.get(name),
                extra.get(name, {}),
                profiles.get(name),
                classified=name.lower() in self.classified,
            )
            for name in self.columns
        }

    def _described(self, text: str, rows: int) -> dict[str, ColumnProfile]:
        profiles = {
            column.name: describe(
                values,
                column.kind,
                self.timezone,
                classified=column.name.lower() in self.classified,
            )
            for column, values in zip(
                self.described, columns_of(text, self.described, rows), strict=True
            )
        }
        if self.every == 1:
            return profiles
        return {
            name: msgspec.structs.replace(profile, sampled=profile.rows)
            for name, profile in profiles.items()
        }


def planned(
    columns: Mapping[str, str],
    statistics: Mapping[str, ColumnStatistics],
    rows: Sequence[int],
    *,
    several: bool,
    one_file: bool,
    timezone: str,
    classified: Sequence[str],
) -> Description:
    """Return the plan for profiling a file; `rows` are the numbers of rows of its partitions.

    The file's statistics don't apply to one of `several` partitions.
    """
    known = {} if several else statistics
    most, total = max(rows, default=0), sum(rows)
    secret = frozenset(name.lower() for name in classified)
    if not most:
        return Description(columns, known, timezone=timezone, classified=secret)
    small = (
        one_file
        and most <= EXACT_ROWS_MAX
        and total <= (BATCH_ROWS_MAX if several else EXACT_ROWS_MAX)
    )
    every = 1 if small else max(1, most // SAMPLE_ROWS, total // BATCH_ROWS_MAX)
    described = [
        ProfiledColumn(
            name, kind, value_kind, counted=every == 1 and _are_few(statistics.get(name), total)
        )
        for name, kind in columns.items()
        if (value_kind := kind_of(kind)) is not None
    ]
    measures = tuple(_measures(columns, described, known, sampled=every > 1))
    return Description(columns, known, measures, tuple(described), every, timezone, secret)


def _measures(
    columns: Mapping[str, str],
    described: Sequence[ProfiledColumn],
    known: Mapping[str, ColumnStatistics],
    *,
    sampled: bool,
) -> Iterator[Measure]:
    """Return the aggregates for what neither statistics nor the values read show."""
    complete = {column.name for column in described if not sampled and column.type in TELLING}
    for name, kind in columns.items():
        if name not in complete:
            yield from _facts(name, kind, known.get(name))
    if sampled:
        for column in described:
            yield from _estimates(column.name, column.type, known.get(column.name))


def _are_few(file: ColumnStatistics | None, rows: int) -> bool:
    return (
        file is not None
        and rows >= COUNTED_ROWS_MIN
        and 8 * file.size_bytes <= COUNTED_BITS_MAX * rows
    )


def _facts(column: str, kind: str, known: ColumnStatistics | None) -> list[Measure]:
    """Return the aggregates for what the file's statistics lack."""
    if known is not None:
        return []
    return [
        Measure(column, "nulls", f"count(*) FILTER (WHERE {quote(column)} IS NULL)"),
        *_bounds(column, kind),
    ]


def _estimates(column: str, kind: str, known: ColumnStatistics | None) -> list[Measure]:
    """Return the aggregates for what a sample doesn't show."""
    name = quote(column)
    measures = [Measure(column, "distinct", f"approx_count_distinct({name})")]
    if kind.startswith(NUMBERS):
        measures += [
            Measure(column, field, f"count(*) FILTER (WHERE {name} {sign} 0)")
            for field, sign in _signs(known)
        ]
    return measures


def _signs(known: ColumnStatistics | None) -> list[tuple[str, str]]:
    """Return the counts of signs that the column's minimum doesn't already imply."""
    try:
        least = float(known.minimum) if known is not None and known.minimum is not None else -1.0
    except ValueError:
        least = -1.0
    return (
        [("negative", "<"), ("zero", "=")] if least < 0 else [("zero", "=")] if least == 0 else []
    )


def _bounds(column: str, kind: str) -> list[Measure]:
    """Return minimum and maximum in the notation of a file's statistics, if these have the type."""
    if kind.endswith("]") or kind.startswith(_VALUE_LESS):
        return []
    name = quote(column)
    finite = f" FILTER (WHERE NOT isnan({name}))" if kind in FLOATS else ""
    return [
        Measure(column, field, _as_statistic(f"{of}({name}){finite}", kind))
        for field, of in (("minimum", "min"), ("maximum", "max"))
    ]


def _as_statistic(value: str, kind: str) -> str:
    match kind:
        case "TIMESTAMP WITH TIME ZONE":
            return f"CAST({value} AT TIME ZONE 'UTC' AS VARCHAR) || '+00'"
        case "BOOLEAN":
            return f"CAST(CAST({value} AS INTEGER) AS VARCHAR)"
        case "BLOB":
            return f"hex({value})"
        case _:
            return f"left(CAST({value} AS VARCHAR), {BOUND_CHARACTERS_MAX + 1})"


def _column_profile(
    rows: int,
    known: ColumnStatistics | None,
    extra: Mapping[str, Any],
    described: ColumnProfile | None,
    *,
    classified: bool,
) -> ColumnProfile:
    profile = described or ColumnProfile(rows, 0)
    if known is not None:
        nulls, minimum, maximum = known.nulls, known.minimum, known.maximum
    else:
        nulls = int(extra.get("nulls", profile.nulls))
        minimum = _bound(extra.get("minimum", profile.minimum), lower_bound)
        maximum = _bound(extra.get("maximum", profile.maximum), upper_bound)
    if classified:
        minimum = maximum = None
    counted = {
        field: int(extra[field])
        for field in ("distinct", "negative", "zero")
        if extra.get(field) is not None
    }
    if profile.categorical:
        counted.pop(
            "distinct", None
        )  # a sample has all of so few values; an estimate is off by 10 %
    return msgspec.structs.replace(
        profile, rows=rows, nulls=nulls, minimum=minimum, maximum=maximum, **counted
    )


def _bound(text: str | None, shortened: Callable[[str], str | None]) -> str | None:
    return None if text is None else shortened(text)
