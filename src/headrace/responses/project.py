"""Responses about a project and its data: `init`, `validate`, `ls`, `versions`, `read`, `try`, …"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.responses.base import (
    CodeRow,
    ColumnRow,
    PublishedCodeRow,
    Response,
)
from headrace.responses.retention import RemovedPartitionRow
from headrace.responses.rows import DataStateRow
from headrace.responses.runs import LearntRow


class Counts(Response, frozen=True, kw_only=True):
    """How many of each kind a project declares."""

    sources: int
    assets: int
    consumers: int
    contracts: int


class ProblemRow(Response, frozen=True, kw_only=True):
    """One problem of a declaration. `severity` is `error` or `warning`, `line` counts from 1."""

    severity: str
    code: str
    message: str
    hint: str
    file: str
    line: int


class BindingCounts(Response, frozen=True, kw_only=True):
    """How many SQL statements DuckDB has bound, of bodies, checks and conditions; `left` are bound
    by the next `validate`.
    """

    statements: int
    bound: int
    left: int


class ValidateResponse(Response, frozen=True, kw_only=True):
    """`validate`: every problem at once; `ok` is false as soon as one of them is an error."""

    ok: bool
    counts: Counts
    problems: list[ProblemRow]
    binding: BindingCounts | None = None
    """Null for roles that are limited to nodes."""
    left_out: int = 0
    """Problems of files that the caller's roles don't reach; `ok` counts them."""


class NodeRow(Response, frozen=True, kw_only=True):
    """One line of `ls`. `kind` is `source`, `asset` or `consumer`, `body` is `sql`, `python`,
    `command` or null.
    """

    name: str
    kind: str
    body: str | None
    owner: str
    domain: str | None
    partition: str | None
    """`*`, a grain, `key:region`, or `day,key:region`; null for consumers."""
    tags: list[str]
    file: str
    retain: str | None = None
    """How long the rows of a partition are kept; null: they aren't removed by their age."""
    kept_from: str | None = None
    """The first interval that `retain` keeps now."""
    hold: str | None = None
    """The reason of a legal hold; null without one."""
    code: CodeRow | None = None
    """Of an asset: its code as the files are now."""


class InitResponse(Response, frozen=True, kw_only=True):
    """`init`: what was written, and what to type next."""

    directory: str
    files: list[str]
    sources: list[str]
    assets: list[str]
    consumers: list[str]
    notes: list[str]
    next: str
    learnt: list[LearntRow] = []
    """What each of the files was taken for."""
    declared: dict[str, str] = {}
    """Source → what `sources/NAME.yaml` declares of the format, such as `csv: {skip: 4}`."""
    samples: dict[str, list[dict[str, str | None]]] = {}
    """Source → its first three rows, with all values as text."""


class Page(Response, frozen=True, kw_only=True):
    """One page of `explain`."""

    code: str
    title: str
    text: str


# Responses of `versions`.


class VersionFileRow(Response, frozen=True, kw_only=True):
    """A file of a version, with the SHA-256 of the bytes that are stored."""

    path: str
    sha256: str


class VersionRow(Response, frozen=True, kw_only=True):
    """A version of the project: who applied it, when, by which plan (null: before plans had
    ids), and its files."""

    version: int
    plan_id: str | None
    by: str
    at: datetime
    files: list[VersionFileRow]


# Responses of `read`, `render` and `lineage`.


class ReadResponse(Response, frozen=True, kw_only=True):
    """`read`: published rows, and of which snapshot. An asset that was never published
    has no rows.
    """

    asset: str
    snapshot: int | None
    columns: list[ColumnRow]
    rows: list[dict[str, Any]]
    data_through: str | None
    published_at: datetime | None
    state: str
    masked: list[str] = []
    rows_total: int | None = None
    not_rebuilt: list[RemovedPartitionRow] = []
    """At most 50 of the partitions whose rows `retain_rebuildable` has removed, and of those that
    were rebuilt and have other rows."""
    reason: str | None = None
    """That no partition with a requested key is known."""
    states: list[DataStateRow] = []
    """What to know of these rows, worst first; empty if they are right."""


class RenderInput(Response, frozen=True, kw_only=True):
    """Which partitions of an input a body will see; null partitions mean all that is published."""

    node: str
    mode: str
    partitions: list[str] | None
    published: int
    """How many of them are there to be read."""


class RenderResponse(Response, frozen=True, kw_only=True):
    """`render`: what will run, with its bound values. `text` is SQL for SQL, the function's source
    for Python, and so on."""

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
    """One column that the asked one comes from, or goes into. `via` is the column on the way that
    is next to the asked one's side; `transformation` is that of the step between `column` and
    `via`."""

    column: str
    via: str
    transformation: str


class LineageResponse(Response, frozen=True, kw_only=True):
    """`lineage`: `column` is `asset.column`, or the asset where all its columns were asked for."""

    column: str
    upstream: list[LineageRow] | None
    downstream: list[LineageRow] | None
    affected_assets: list[str] | None = None
    affected_consumers: list[str] | None = None
    """Who a change of it affects, in the project's order; None without `downstream`."""
    code: list[PublishedCodeRow] = []
    """The versions of the asset's code that computed what readers see of it, oldest first."""
