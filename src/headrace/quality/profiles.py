"""What is known of each column of a staged file: from its statistics for nothing, from its values all that `describing` tells.

Of a file with few rows all values are looked at, and everything is exact. Of a larger one some thousand rows are (the same ones
each time), and distinct values are estimated; nulls, bounds, negative numbers and zeros are exact all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from headrace.lake import ColumnStatistics
from headrace.lake.bounds import BOUND_CHARACTERS_MAX, lower_bound, upper_bound
from headrace.lake.session import quote
from headrace.quality.describing import describe
from headrace.quality.kinds import FLOATS
from headrace.quality.results import ColumnProfile
from headrace.quality.scanning import SAMPLED
from headrace.quality.values import NUMBERS, TELLING, ProfiledColumn, aggregate, columns_of, kind_of

EXACT_ROWS_MAX = 50_000
"""Of so many rows all values are described."""
SAMPLE_ROWS = 20_000
"""Of more, between so many and twice as many of a partition's: a share is then right to a third of a hundredth, where the least that is
judged odd is one."""
BATCH_ROWS_MAX = 250_000
"""Of so many rows of several partitions all values are held at once."""
COUNTED_ROWS_MIN = 500
"""From so many rows on it is worth it to count values that are few, instead of taking all of them."""
COUNTED_BITS_MAX = 8
"""A column of which a file needs at most so much for a row has few values. That is only a guess, and says only which way is quicker."""

_VALUE_LESS = ("STRUCT", "MAP", "INTERVAL", "UNION")


class Measure(msgspec.Struct, frozen=True):
    """One aggregate of the scan that belongs to the profile."""

    column: str
    field: str
    sql: str


class Description(msgspec.Struct, frozen=True):
    """How the columns of one staged file are looked at. `described` are those whose values are; `every` says of how many rows one."""

    columns: Mapping[str, str]
    statistics: Mapping[str, ColumnStatistics]
    measures: tuple[Measure, ...] = ()
    described: tuple[ProfiledColumn, ...] = ()
    every: int = 1
    timezone: str = "UTC"
    classified: frozenset[str] = frozenset()
    """Names in small letters."""

    @property
    def asked(self) -> int:
        """How many aggregates there are."""
        return len(self.measures) + bool(self.described)

    @property
    def aggregates(self) -> list[str]:
        """What the scan is to give: the measures, then the values."""
        wanted = [measure.sql for measure in self.measures]
        if self.described:
            wanted.append(aggregate(self.described, SAMPLED if self.every > 1 else None))
        return wanted

    def profile(self, rows: int, values: Sequence[Any]) -> dict[str, ColumnProfile]:
        """Each column's profile, of what the aggregates came to."""
        extra: dict[str, dict[str, Any]] = {}
        for measure, value in zip(self.measures, values, strict=False):
            extra.setdefault(measure.column, {})[measure.field] = value
        profiles = self._described(values[len(self.measures)], rows) if self.described and len(values) > len(self.measures) else {}
        return {
            name: _one(rows, self.statistics.get(name), extra.get(name, {}), profiles.get(name), classified=name.lower() in self.classified)
            for name in self.columns
        }

    def _described(self, text: str, rows: int) -> dict[str, ColumnProfile]:
        profiles = {
            column.name: describe(values, column.kind, self.timezone, classified=column.name.lower() in self.classified)
            for column, values in zip(self.described, columns_of(text, self.described, rows), strict=True)
        }
        if self.every == 1:
            return profiles
        return {name: msgspec.structs.replace(profile, sampled=profile.rows) for name, profile in profiles.items()}


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
    """How a file is looked at whose partitions have so many rows each. The file's statistics say nothing of one of `several`."""
    known = {} if several else statistics
    most, total = max(rows, default=0), sum(rows)
    secret = frozenset(name.lower() for name in classified)
    if not most:
        return Description(columns, known, timezone=timezone, classified=secret)
    small = one_file and most <= EXACT_ROWS_MAX and total <= (BATCH_ROWS_MAX if several else EXACT_ROWS_MAX)
    every = 1 if small else max(1, most // SAMPLE_ROWS, total // BATCH_ROWS_MAX)
    described = [
        ProfiledColumn(name, kind, value_kind, counted=every == 1 and _are_few(statistics.get(name), total))
        for name, kind in columns.items()
        if (value_kind := kind_of(kind)) is not None
    ]
    told = {column.name for column in described if every == 1 and column.type in TELLING}
    measures = [fact for name, kind in columns.items() if name not in told for fact in _facts(name, kind, known.get(name))]
    if every > 1:
        measures += [estimate for column in described for estimate in _estimates(column.name, column.type, known.get(column.name))]
    return Description(columns, known, tuple(measures), tuple(described), every, timezone, secret)


def _are_few(file: ColumnStatistics | None, rows: int) -> bool:
    return file is not None and rows >= COUNTED_ROWS_MIN and 8 * file.size_bytes <= COUNTED_BITS_MAX * rows


def _facts(column: str, kind: str, known: ColumnStatistics | None) -> list[Measure]:
    """What the file's statistics don't say."""
    if known is not None:
        return []
    return [Measure(column, "nulls", f"count(*) FILTER (WHERE {quote(column)} IS NULL)"), *_bounds(column, kind)]


def _estimates(column: str, kind: str, known: ColumnStatistics | None) -> list[Measure]:
    """What isn't told of a sample."""
    name = quote(column)
    measures = [Measure(column, "distinct", f"approx_count_distinct({name})")]
    if kind.startswith(NUMBERS):
        measures += [Measure(column, field, f"count(*) FILTER (WHERE {name} {sign} 0)") for field, sign in _signs(known)]
    return measures


def _signs(known: ColumnStatistics | None) -> list[tuple[str, str]]:
    """The counts that the least value doesn't tell."""
    try:
        least = float(known.minimum) if known is not None and known.minimum is not None else -1.0
    except ValueError:
        least = -1.0
    return [("negative", "<"), ("zero", "=")] if least < 0 else [("zero", "=")] if least == 0 else []


def _bounds(column: str, kind: str) -> list[Measure]:
    """The least and the greatest value, written as a file's statistics write them; none of types that have none there."""
    if kind.endswith("]") or kind.startswith(_VALUE_LESS):
        return []
    name = quote(column)
    finite = f" FILTER (WHERE NOT isnan({name}))" if kind in FLOATS else ""
    return [Measure(column, field, _as_statistic(f"{of}({name}){finite}", kind)) for field, of in (("minimum", "min"), ("maximum", "max"))]


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


def _one(
    rows: int, known: ColumnStatistics | None, extra: Mapping[str, Any], described: ColumnProfile | None, *, classified: bool
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
    counted = {field: int(extra[field]) for field in ("distinct", "negative", "zero") if extra.get(field) is not None}
    if profile.categorical:
        counted.pop("distinct", None)  # the sample has all of so few, and an estimate is off by one in ten
    return msgspec.structs.replace(profile, rows=rows, nulls=nulls, minimum=minimum, maximum=maximum, **counted)


def _bound(text: str | None, shortened: Callable[[str], str | None]) -> str | None:
    return None if text is None else shortened(text)
