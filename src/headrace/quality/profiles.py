"""What is known of each column of a staged file: from its statistics for nothing, and the mean where the scan is small.

Distinct values aren't counted: on a day of flights that costs as much as all checks together (1.3 of 3.5 ms), and
nothing reads it yet. Who needs it adds a measure here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.lake import ColumnStatistics
from headrace.lake.session import quote
from headrace.quality.results import ColumnProfile

SCANNED_ROWS_MAX = 100_000
"""Above it, means aren't computed: the profile then is the file's statistics, at no scan."""

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
    if not kind.startswith(_NUMBERS) or kind.endswith("]"):
        return []
    finite = f" FILTER (WHERE isfinite({quote(column)}))" if kind in ("FLOAT", "DOUBLE") else ""
    return [Measure(column, "mean", f"avg(CAST({quote(column)} AS DOUBLE)){finite}")]


def _one(rows: int, known: ColumnStatistics | None, extra: Mapping[str, Any]) -> ColumnProfile:
    mean: float | None = extra.get("mean")
    return ColumnProfile(
        rows=rows,
        nulls=int(extra.get("nulls") or 0) if known is None else known.nulls,
        minimum=None if known is None else known.minimum,
        maximum=None if known is None else known.maximum,
        mean=mean,
    )
