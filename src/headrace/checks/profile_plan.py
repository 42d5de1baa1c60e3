"""The plan for profiling a staged file: what its scan computes, and the profile that follows.

A file with few rows is profiled completely and exactly. A larger one is profiled from a sample
(always the same rows), and its distinct values are estimated from all rows. Nulls, bounds, negative
numbers and zeros are always exact.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headrace.checks.check_kinds import FLOATS, SAMPLED
from headrace.checks.distinct_values import bitmap_bits, from_bitmap, from_sample, marked_sql
from headrace.checks.profiles import describe
from headrace.checks.results import ColumnProfile
from headrace.checks.values import (
    INTEGERS,
    NUMBERS,
    TELLING,
    ProfiledColumn,
    ValueKind,
    Values,
    aggregate,
    columns_of,
    kind_of,
    plain_sql,
)
from headrace.lake import ColumnStatistics
from headrace.lake.catalog.columns import (
    BOUND_CHARACTERS_MAX,
    is_text,
    lower_bound,
    upper_bound,
)
from headrace.lake.sqltext import quote

CUT_BYTES_MIN = 250
"""Bounds of texts with fewer bytes are complete in a file's statistics."""
EXACT_ROWS_MAX = 50_000
"""The maximum number of rows of a file or partition whose values are all profiled."""
SAMPLE_ROWS = 20_000
"""The sample size of a partition with more rows: this many to twice as many.

The error of a share is then a third of 0.01, the smallest difference that counts as anomalous.
"""
FIRST_SAMPLE_ROWS = 4_000
"""The sample size of an audit: this many rows to twice as many.

The error of a share is then at most 0.008. A partition whose metrics come so near to a limit that
this error could decide is profiled again from `SAMPLE_ROWS` rows.
"""
SAMPLED_DISTINCT_MAX = 1_000
"""The number of possible values up to which those in a sample show how many there are."""
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
    bits: int = 0
    """The size of the bitmaps from which distinct values are estimated, if rows are sampled."""
    unique: frozenset[str] = frozenset()
    """Columns that a check has shown to have each value once."""

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

    @property
    def complete(self) -> frozenset[str]:
        """Return the columns of which the profile counts all distinct values exactly."""
        if self.every > 1:
            return frozenset()
        return frozenset(column.name for column in self.described if column.type in TELLING)

    @property
    def plain_values(self) -> list[str] | None:
        """Return the SQL of each value to be read, for a query of rows; None if that isn't all.

        Of few rows, a query gives them in less time than the aggregate.
        """
        if self.measures or self.every > 1 or not self.described:
            return None
        return [plain_sql(quote(column.name), column.type) for column in self.described]

    def profiles(
        self, rows: Mapping[str, int], values: Mapping[str, Sequence[Any]]
    ) -> dict[str, dict[str, ColumnProfile]]:
        """Return the profile of each partition, from numbers of rows and results by its key."""
        return {key: self.profile(count, values.get(key, ())) for key, count in rows.items()}

    def profile(self, rows: int, values: Sequence[Any]) -> dict[str, ColumnProfile]:
        """Return each column's profile, from the results of the aggregates."""
        extra: dict[str, dict[str, Any]] = {}
        for measure, value in zip(self.measures, values, strict=False):
            extra.setdefault(measure.column, {})[measure.field] = value
        profiles = (
            self._described(values[len(self.measures)], rows, extra)
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
                unique=name in self.unique,
            )
            for name in self.columns
        }

    def _described(
        self, read: str | Sequence[list[Any]], rows: int, extra: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, ColumnProfile]:
        estimates = {
            name: estimate
            for name, known in extra.items()
            if (estimate := from_bitmap(known.get("marked") or 0, self.bits)) is not None
        }
        profiles = {}
        for column, values in zip(
            self.described, columns_of(read, self.described, rows, estimates), strict=True
        ):
            name = column.name
            profile = describe(
                values, column.kind, self.timezone, classified=name.lower() in self.classified
            )
            if self.every > 1:
                distinct = _distinct(profile, values, estimates.get(name), rows)
                profile = msgspec.structs.replace(profile, sampled=profile.rows, distinct=distinct)
            profiles[name] = profile
        return profiles


def _distinct(
    profile: ColumnProfile, values: Values, estimate: float | None, rows: int
) -> int | None:
    """Return the number of distinct values in all `rows`, from the bitmap or else the sample.

    A sample has all values of a categorical column. None if it lacks too many to tell.
    """
    if profile.categorical or profile.distinct is None:
        return profile.distinct
    if estimate is None:
        estimate = from_sample(values.values, rows)
    if estimate is None:
        return None
    return max(profile.distinct, min(round(estimate), rows))


def planned(  # noqa: PLR0913 - what the scan of a file depends on, all named where it is called
    columns: Mapping[str, str],
    statistics: Mapping[str, ColumnStatistics],
    rows: Sequence[int],
    *,
    several: bool,
    one_file: bool,
    timezone: str,
    classified: Sequence[str],
    first: bool = False,
    keys: Collection[str] = (),
) -> Description:
    """Return the plan for profiling a file; `rows` are the numbers of rows of its partitions.

    The file's statistics don't apply to one of `several` partitions. `first`: whether a small
    sample will do, since a larger one may follow. The distinct values of `keys` aren't estimated.
    """
    known = {} if several else _uncut(columns, statistics)
    most, total = max(rows, default=0), sum(rows)
    secret = frozenset(name.lower() for name in classified)
    if not most:
        return Description(columns, known, timezone=timezone, classified=secret)
    exact_max = BATCH_ROWS_MAX if several else EXACT_ROWS_MAX
    is_exact = one_file and most <= EXACT_ROWS_MAX and total <= exact_max
    every = 1 if is_exact else _every(most, total, first=first)
    described = [
        ProfiledColumn(
            name,
            kind,
            value_kind,
            counted=every == 1
            and _are_few(statistics.get(name), total)
            and not _may_be_keys(kind, statistics.get(name), most),
        )
        for name, kind in columns.items()
        if (value_kind := kind_of(kind)) is not None
    ]
    bits = bitmap_bits(most) if every > 1 else 0
    in_sample = {
        column.name for column in described if _are_all_in_sample(column, known.get(column.name))
    }
    few_texts = _few_texts(described, statistics, total) if first else set[str]()
    sampled = in_sample | few_texts | set(keys)
    measures = tuple(_measures(columns, described, known, bits, sampled))
    return Description(columns, known, measures, tuple(described), every, timezone, secret, bits)


def _uncut(
    columns: Mapping[str, str], statistics: Mapping[str, ColumnStatistics]
) -> dict[str, ColumnStatistics]:
    """Return the statistics without those of texts whose bounds DuckDB may have cut.

    It keeps 256 bytes of each. The values that are read, or the scan, have the bounds then, as for
    partitions of a batch.
    """
    return {
        name: known
        for name, known in statistics.items()
        if not is_text(columns.get(name, ""))
        or all(
            bound is None or len(bound.encode()) < CUT_BYTES_MIN
            for bound in (known.minimum, known.maximum)
        )
    }


def _every(most: int, total: int, *, first: bool) -> int:
    """Return how many rows there are for each sampled one."""
    sample = FIRST_SAMPLE_ROWS if first else SAMPLE_ROWS
    return max(1, most // sample, total // BATCH_ROWS_MAX)


def _few_texts(
    described: Sequence[ProfiledColumn], statistics: Mapping[str, ColumnStatistics], rows: int
) -> set[str]:
    """Return the columns of texts that take at most a byte per row."""
    return {
        column.name
        for column in described
        if column.kind is ValueKind.TEXT and _are_few(statistics.get(column.name), rows)
    }


def _measures(
    columns: Mapping[str, str],
    described: Sequence[ProfiledColumn],
    known: Mapping[str, ColumnStatistics],
    bits: int,
    sampled: Collection[str],
) -> Iterator[Measure]:
    """Return the aggregates for what neither statistics nor the values read show.

    Rows are sampled if there are `bits` for bitmaps; the sample shows the distinct values of the
    columns `sampled`.
    """
    complete = {column.name for column in described if not bits and column.type in TELLING}
    for name, kind in columns.items():
        if name not in complete:
            yield from _facts(name, kind, known.get(name))
    if not bits:
        return
    for column in described:
        if column.name not in sampled:
            yield Measure(column.name, "marked", marked_sql(column.name, bits))
        if column.type.startswith(NUMBERS):
            yield from _signs(column.name, known.get(column.name))


def _are_few(file: ColumnStatistics | None, rows: int) -> bool:
    return (
        file is not None
        and rows >= COUNTED_ROWS_MIN
        and 8 * file.size_bytes <= COUNTED_BITS_MAX * rows
    )


def _may_be_keys(kind: str, file: ColumnStatistics | None, rows: int) -> bool:
    """Whether the values may be consecutive numbers, whose differences take no bytes in a file."""
    if kind not in INTEGERS or file is None or file.minimum is None or file.maximum is None:
        return False
    return int(file.maximum) - int(file.minimum) + 1 >= rows


def _facts(column: str, kind: str, known: ColumnStatistics | None) -> list[Measure]:
    """Return the aggregates for what the file's statistics lack."""
    if known is not None:
        return []
    return [Measure(column, "nulls", nulls_sql(column)), *_bounds(column, kind)]


def _are_all_in_sample(column: ProfiledColumn, known: ColumnStatistics | None) -> bool:
    """Return whether the type or the bounds show that a sample has nearly all distinct values."""
    if column.kind is ValueKind.BOOLEAN:
        return True
    if known is None or known.minimum is None or known.maximum is None:
        return False
    if column.type in INTEGERS:
        return int(known.maximum) - int(known.minimum) < SAMPLED_DISTINCT_MAX
    return known.minimum == known.maximum and column.kind is not ValueKind.TEXT


def _signs(column: str, known: ColumnStatistics | None) -> Iterator[Measure]:
    """Return the counts of signs that the column's minimum doesn't already imply."""
    try:
        least = float(known.minimum) if known is not None and known.minimum is not None else -1.0
    except ValueError:
        least = -1.0
    if least < 0:
        yield Measure(column, "negative", f"count_if({quote(column)} < 0)")
    if least <= 0:
        yield Measure(column, "zero", f"count_if({quote(column)} = 0)")


def _bounds(column: str, kind: str) -> list[Measure]:
    """Return minimum and maximum, if a file's statistics have the type."""
    if kind.endswith("]") or kind.startswith(_VALUE_LESS):
        return []
    minimum, maximum = bounds_sql(column, kind)
    return [Measure(column, "minimum", minimum), Measure(column, "maximum", maximum)]


def nulls_sql(column: str) -> str:
    """Return the aggregate for the number of nulls."""
    return f"count(*) FILTER (WHERE {quote(column)} IS NULL)"


def bounds_sql(column: str, kind: str) -> tuple[str, str]:
    """Return the aggregates for minimum and maximum, in the notation of a file's statistics."""
    name = quote(column)
    finite = f" FILTER (WHERE NOT isnan({name}))" if kind in FLOATS else ""
    return (
        _as_statistic(f"min({name}){finite}", kind),
        _as_statistic(f"max({name}){finite}", kind),
    )


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
    unique: bool,
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
        field: int(extra[field]) for field in ("negative", "zero") if extra.get(field) is not None
    }
    if unique and profile.sampled is not None:
        counted["distinct"] = rows - nulls
    return msgspec.structs.replace(
        profile, rows=rows, nulls=nulls, minimum=minimum, maximum=maximum, **counted
    )


def _bound(text: str | None, shortened: Callable[[str], str | None]) -> str | None:
    return None if text is None else shortened(text)
