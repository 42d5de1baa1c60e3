"""Responses with rows for pages: one page of a table's rows, and a profile of its columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.responses.base import ColumnRow, Response


class DataStateRow(Response, frozen=True, kw_only=True):
    """What a reader has to know of published data.

    `state` is `wrong`, `exception` (somebody accepted held or rejected data), `late`, `restated`
    or `stale`.
    """

    state: str
    node: str
    partitions: list[str]
    """At most 100, the newest ones; empty if it is about the node."""
    count: int
    """How many partitions it is about."""
    columns: list[str]
    """Affected columns; empty: all."""
    incident: str | None
    text: str
    command: str | None


class DataPageResponse(Response, frozen=True, kw_only=True):
    """One page of published rows of one snapshot, filtered and sorted."""

    asset: str
    snapshot: int | None
    published_at: datetime | None
    data_through: str | None
    state: str
    states: list[DataStateRow]
    columns: list[ColumnRow]
    """The columns of `rows`."""
    others: list[ColumnRow]
    """Columns that the reader may see, and that weren't asked for."""
    masked: list[str]
    """Columns whose values are masked, or that are left out."""
    rows: list[dict[str, Any]]
    rows_total: int | None
    """Null after the first page."""
    rows_matching: int | None
    """How many of them fit the filters and the search; null after the first page."""
    next: str | None
    """The cursor of the next page, on the same snapshot."""


class ValueCountRow(Response, frozen=True, kw_only=True):
    """How often a value occurs."""

    value: str
    rows: int


class ValueRangeRow(Response, frozen=True, kw_only=True):
    """How many values are between two bounds. The upper bound belongs to the range."""

    low: str
    high: str
    rows: int


class ColumnFiguresRow(Response, frozen=True, kw_only=True):
    """The values of one column. `distinct` is null for nested types.

    Numbers, dates and times have `ranges` of equal width, other columns with few distinct values
    their most frequent ones. `least` and `greatest` are null if there are no values.
    """

    column: str
    type: str
    nulls: int
    distinct: int | None
    least: str | None
    greatest: str | None
    ranges: list[ValueRangeRow]
    frequent: list[ValueCountRow]


class DataProfileResponse(Response, frozen=True, kw_only=True):
    """Figures of the columns of one snapshot's rows, as far as they fit the filters."""

    asset: str
    snapshot: int | None
    rows: int
    columns: list[ColumnFiguresRow]
    estimated: bool
    """Whether the numbers of distinct values are estimates, because there are many rows."""
