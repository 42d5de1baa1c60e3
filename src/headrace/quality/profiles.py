"""What is known of each column of a staged file: from its statistics for nothing, and a little more where the scan is small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.lake import ColumnStatistics
from headrace.lake.session import quote
from headrace.quality.results import ColumnProfile

SCANNED_ROWS_MAX = 100_000
"""Above it, distinct values and means aren't counted: the profile then is the file's statistics, at no scan."""

_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
)
_NESTED = ("STRUCT", "MAP", "UNION")


class Measure(msgspec.Struct, frozen=True):
    """One aggregate of the scan that belongs to the profile."""

    column: str
    field: str
    sql: str


def wanted(columns: Mapping[str, str], statistics: Mapping[str, ColumnStatistics], rows: int) -> tuple[Measure, ...]:
    """The aggregates for the profile of a file of that many rows: none for an empty one, and for a large one only the nulls
    of columns (nested ones) that have no statistics."""
    if rows == 0:
        return ()
    nulls = [Measure(column, "nulls", f"count(*) FILTER (WHERE {quote(column)} IS NULL)") for column in columns if column not in statistics]
    if rows > SCANNED_ROWS_MAX:
        return tuple(nulls)
    return (*nulls, *(measure for column, kind in columns.items() for measure in _of(column, kind)))


def profile(
    columns: Mapping[str, str], statistics: Mapping[str, ColumnStatistics], rows: int, measured: Sequence[tuple[Measure, Any]]
) -> dict[str, ColumnProfile]:
    """Each column's profile."""
    extra: dict[str, dict[str, Any]] = {}
    for measure, value in measured:
        extra.setdefault(measure.column, {})[measure.field] = value
    return {column: _one(rows, statistics.get(column), extra.get(column, {})) for column in columns}


def _of(column: str, kind: str) -> list[Measure]:
    if kind.startswith(_NESTED) or kind.endswith("]"):
        return []
    name = quote(column)
    measures = [Measure(column, "distinct", f"approx_count_distinct({name})")]
    if kind.startswith(_NUMBERS):
        finite = f" FILTER (WHERE isfinite({name}))" if kind in ("FLOAT", "DOUBLE") else ""
        measures.append(Measure(column, "mean", f"avg(CAST({name} AS DOUBLE)){finite}"))
    return measures


def _one(rows: int, known: ColumnStatistics | None, extra: Mapping[str, Any]) -> ColumnProfile:
    distinct: int | None = extra.get("distinct")
    mean: float | None = extra.get("mean")
    return ColumnProfile(
        rows=rows,
        nulls=int(extra.get("nulls") or 0) if known is None else known.nulls,
        distinct=None if distinct is None else min(distinct, rows),
        minimum=None if known is None else known.minimum,
        maximum=None if known is None else known.maximum,
        mean=mean,
    )
