"""The documents of what is computed and read, and where it comes from: `read`, `try`, `render`, `lineage`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.operations.responses.base import CheckRow, ColumnRow, ErrorRow, Response
from headrace.operations.responses.code import PublishedCodeRow


class ReadResponse(Response, frozen=True, kw_only=True):
    """`read`: published rows, and of which snapshot. An asset that was never published has no rows."""

    asset: str
    snapshot: int | None
    columns: list[ColumnRow]
    rows: list[dict[str, Any]]
    data_through: str | None
    published_at: datetime | None
    state: str
    masked: list[str] = []
    rows_total: int | None = None


class TryResponse(Response, frozen=True, kw_only=True):
    """`try`: computed and audited, nothing published. `state` is `passed`, `warned`, `unchecked`, `held`, `rejected` or `failed`."""

    asset: str
    partition: str
    state: str
    rows_total: int | None
    columns: list[ColumnRow]
    rows: list[dict[str, Any]]
    """At most `--limit` of them."""
    checks: list[CheckRow]
    seconds: float | None = None
    error: ErrorRow | None = None
    reason: str | None = None
    log: list[str] = []


class RenderInput(Response, frozen=True, kw_only=True):
    """Which partitions of an input a body will see; null partitions mean all that is published."""

    node: str
    mode: str
    partitions: list[str] | None
    published: int
    """How many of them are there to be read."""


class RenderResponse(Response, frozen=True, kw_only=True):
    """`render`: what will run, with its bound values. `text` is SQL for SQL, the function's source for Python, and so on."""

    asset: str
    partition: str
    body: str
    text: str
    parameters: dict[str, Any]
    inputs: list[RenderInput]
    columns: list[ColumnRow] | None
    file: str
    line: int


class LineageRow(Response, frozen=True, kw_only=True):
    """One column that the asked one comes from, or goes into. `via` is the column on the way that is next to the
    asked one's side; `transformation` is that of the step between `column` and `via`."""

    column: str
    via: str
    transformation: str


class LineageResponse(Response, frozen=True, kw_only=True):
    """`lineage`: `column` is `asset.column`, or the asset where all its columns were asked for."""

    column: str
    upstream: list[LineageRow] | None
    downstream: list[LineageRow] | None
    code: list[PublishedCodeRow] = []
    """The versions of the asset's code that computed what readers see of it, oldest first."""
