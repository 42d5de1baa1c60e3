"""Responses of commands that only inspect: `sql`, `diff`, `schema`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.responses.base import ColumnRow, Response
from headrace.responses.plans import ColumnChange, RowChange
from headrace.responses.rows import DataStateRow


class SqlResponse(Response, frozen=True, kw_only=True):
    """`sql`: the rows of a query over one snapshot of all that is published."""

    snapshot: int | None
    at: datetime | None
    """When the snapshot was made."""
    tables: list[str]
    """What the query reads."""
    columns: list[ColumnRow]
    rows: list[dict[str, Any]]
    truncated: bool = False
    """Whether there are more rows than `--limit` lets through."""
    seconds: float | None = None
    masked: list[str] = []
    """NODE.COLUMN of the tables that the query saw masked, or not at all."""
    states: list[DataStateRow] = []
    """What to know of the tables' rows, worst first; empty if they are right."""


class AttachResponse(Response, frozen=True, kw_only=True):
    """`sql --attach`: a DuckDB statement that attaches the lake; never with a password."""

    catalog: str
    """`sqlite` or `postgresql`."""
    statement: str
    note: str


class MomentRow(Response, frozen=True, kw_only=True):
    """One side of `diff`."""

    snapshot: int
    at: datetime | None


class PartitionChange(Response, frozen=True, kw_only=True):
    """A partition that was published, taken back or published again between two moments.
    `identical`: again, with the same rows.
    """

    partition: str
    change: str
    rows_before: int | None
    rows_after: int | None


class DiffResponse(Response, frozen=True, kw_only=True):
    """`diff`: what changed between two moments. Without keys a changed row counts as one removed
    and one added.
    """

    asset: str
    before: MomentRow
    after: MomentRow
    columns: list[ColumnChange]
    partitions: list[PartitionChange]
    keys: list[str] | None
    """What says which rows are the same: `--keys`, or the asset's merge keys or unique check."""
    rows_added: int
    rows_removed: int
    rows_changed: int | None
    cells: dict[str, int]
    """Column → in how many changed rows it differs."""
    sample: list[RowChange]
    masked: list[str] = []
    """Columns that are compared by their masked values, or left out, because the reader may not see
    them."""


class SchemaRow(Response, frozen=True, kw_only=True):
    """`schema`: one kind of file and its JSON Schema (draft 2020-12). Without a name:
    of all kinds."""

    name: str
    files: list[str]
    """Globs of the files that it describes."""
    description: str
    document: dict[str, Any]
