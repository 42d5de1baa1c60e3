"""Responses of commands that only inspect: `test`, `sql`, `diff`, `doctor`, `schema`,
`notify`, …
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import field

from headrace.responses.base import CheckRow, ColumnRow, ErrorRow, Response
from headrace.responses.plans import ColumnChange, RowChange


class CellRow(Response, frozen=True, kw_only=True):
    """One cell that isn't as expected."""

    column: str
    expected: Any
    got: Any


class RowDifferenceRow(Response, frozen=True, kw_only=True):
    """One row of a test's result that differs from the one expected in some cells. `row` is the row
    as it was got."""

    row: dict[str, Any]
    cells: list[CellRow]


class TestRow(Response, frozen=True, kw_only=True):
    """`test`: one test of one asset. `state` is `passed`, `failed` (not as expected) or `error` (it
    couldn't be computed, or not be compared). Rows hold the columns that the test names."""

    __test__ = False  # no test of pytest's

    test: str
    asset: str
    partition: str | None
    state: str
    file: str
    line: int
    seconds: float | None = None
    rows: int | None = None
    rows_expected: int | None = None
    missing: list[dict[str, Any]] = field(default_factory=list)
    """Expected, and not there; at most 20, as of the lists below."""
    unexpected: list[dict[str, Any]] = field(default_factory=list)
    changed: list[RowDifferenceRow] = field(default_factory=list)
    differences: int = 0
    """How many rows are missing, unexpected or changed in all."""
    checks: list[CheckRow] = field(default_factory=list)
    error: ErrorRow | None = None
    reason: str | None = None
    """What else isn't as expected: columns, the order, outcomes of checks."""
    log: list[str] = field(default_factory=list)


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


class ExaminationRow(Response, frozen=True, kw_only=True):
    """`doctor`: one examination. `state` is `ok`, `warn`, `fail` or `skipped`."""

    area: str
    name: str
    state: str
    detail: str
    todo: str | None = None
    """What to do about it."""


class ConnectionRow(Response, frozen=True, kw_only=True):
    """`connections`: one connection. `kind` is null where it is known only once a secret is
    resolved; `used_by` names sources, consumers and `store`. Of `connections test` only: `state`
    (`ok`, `failed`, `skipped`), `seconds`, and of a failure `code`, `error`, `hint`."""

    name: str
    kind: str | None
    used_by: list[str]
    state: str | None = None
    seconds: float | None = None
    code: str | None = None
    error: str | None = None
    hint: str | None = None


class SchemaRow(Response, frozen=True, kw_only=True):
    """`schema`: one kind of file and its JSON Schema (draft 2020-12). Without a name:
    of all kinds."""

    name: str
    files: list[str]
    """Globs of the files that it describes."""
    description: str
    document: dict[str, Any]


# Response of `notify`.


class NotifyRow(Response, frozen=True, kw_only=True):
    """`notify`: one owner over one contact, as declared. `told` is who is written to for it (a
    vendor's manager), null where nobody is; `wrong` says why that contact can't be written to.
    `sent`, `last_at`, `undelivered` (given up, or tried in vain until now) and `error` are of the
    messages of the last 30 days. Of `notify test` only: `state` (`ok`, `failed`, `skipped`),
    `seconds`, `error`."""

    owner: str
    told: str | None
    contact: str | None
    wrong: str | None = None
    quiet: str | None = None
    escalate: str | None = None
    digest: str | None = None
    sent: int = 0
    last_at: datetime | None = None
    undelivered: int = 0
    state: str | None = None
    seconds: float | None = None
    error: str | None = None
