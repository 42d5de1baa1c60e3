"""The documents that verbs give: what `--json` prints, what the API will serve, what Python users get.

Field names are INTERFACE's. Every field is always there: what isn't built or isn't known is null, never left out.
Times are aware datetimes (ISO 8601 with offset in JSON); partition keys are text.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all documents: immutable, encodable as JSON, no field is ever left out."""


# validate, ls ---------------------------------------------------------------------------------------------------------


class Counts(Document, frozen=True, kw_only=True):
    """How many of each kind a project declares."""

    sources: int
    assets: int
    consumers: int
    contracts: int


class ProblemRow(Document, frozen=True, kw_only=True):
    """One problem of a declaration. `severity` is `error` or `warning`, `line` counts from 1."""

    severity: str
    code: str
    message: str
    hint: str
    file: str
    line: int


class ValidateDocument(Document, frozen=True, kw_only=True):
    """`validate`: every problem at once; `ok` is false as soon as one of them is an error."""

    ok: bool
    counts: Counts
    problems: list[ProblemRow]


class NodeRow(Document, frozen=True, kw_only=True):
    """One line of `ls`. `kind` is `source`, `asset` or `consumer`, `body` is `sql`, `python`, `command` or null."""

    name: str
    kind: str
    body: str | None
    owner: str
    domain: str | None
    partition: str | None
    """`*`, a grain, `key:region`, or `day,key:region`; null for consumers."""
    tags: list[str]
    file: str


# run, tick, apply, try ------------------------------------------------------------------------------------------------


class ErrorRow(Document, frozen=True, kw_only=True):
    """Why an attempt failed, in the user's terms. `code` has a page (`headrace explain CODE`) where it isn't null."""

    kind: str
    message: str
    file: str | None = None
    line: int | None = None
    hint: str | None = None
    code: str | None = None


class AttemptRow(Document, frozen=True, kw_only=True):
    """One attempt of a run. `asset` is the node: an asset, or the source that was taken in."""

    id: str
    asset: str
    partitions: list[str]
    state: str
    rows: int | None = None
    queued_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    published_at: datetime | None = None
    verdict: str | None = None
    reason: str | None = None
    error: ErrorRow | None = None


class PublishedRow(Document, frozen=True, kw_only=True):
    """One partition that a run made visible, with the lake snapshot that did it."""

    asset: str
    partition: str
    rows: int
    snapshot: int
    verdict: str | None = None
    identical: bool = False
    """Same content as the publication before, so nothing that depends on it was computed again."""


class RejectedRow(Document, frozen=True, kw_only=True):
    """One partition that didn't get through: `state` is `held`, `rejected` or `failed`."""

    asset: str
    partition: str
    state: str
    reason: str | None = None
    rows: int | None = None


class RunDocument(Document, frozen=True, kw_only=True):
    """`run` and `tick`. `state` is `succeeded`, `failed`, `partial`, `nothing_due`, or `cancelled` by somebody meanwhile."""

    now: datetime
    run_id: str | None
    state: str
    attempts: list[AttemptRow]
    published: list[PublishedRow]
    rejected: list[RejectedRow]
    incidents_opened: list[str] | None = None
    """Null until incidents are built."""
    clock: str = "live"
    reason: str | None = None
    """Why nothing was due, or what stopped the run."""


class ChangeRow(Document, frozen=True, kw_only=True):
    """One change between what is applied and what the files say."""

    node: str
    change: str
    breaking: bool = False
    columns: list[str] = []
    partitions_stale: int | None = None


class Affects(Document, frozen=True, kw_only=True):
    """Whom a change or a plan touches."""

    consumers: list[str] = []
    owners: list[str] = []


class PlanDocument(Document, frozen=True, kw_only=True):
    """What `apply` will do."""

    changes: list[ChangeRow]
    affects: Affects
    estimate: dict[str, Any] | None = None
    weakens: list[str] | None = None


class ApplyDocument(Document, frozen=True, kw_only=True):
    """`apply`. `state` is `applied`, `nothing_to_apply` or `declined`; `version` is the one in force afterwards."""

    now: datetime
    state: str
    version: int | None
    plan: PlanDocument
    clock: str = "live"


class ColumnRow(Document, frozen=True, kw_only=True):
    """A column by name and DuckDB type."""

    name: str
    type: str


class CheckRow(Document, frozen=True, kw_only=True):
    """What one check came to. `outcome` is `passed`, `failed` or `unchecked`."""

    name: str
    kind: str
    severity: str
    outcome: str
    rows: int
    failing: int
    detail: str = ""
    sample: list[dict[str, Any]] = []


class TryDocument(Document, frozen=True, kw_only=True):
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


class DemoEvent(Document, frozen=True, kw_only=True):
    """One thing of the replay that a person should know. `injected` marks what the demo itself did wrong on purpose."""

    partition: str
    state: str
    node: str
    message: str
    injected: bool = False


class DemoDocument(Document, frozen=True, kw_only=True):
    """`demo`: where it is, what the replay did, where its clock stands."""

    directory: str
    now: datetime
    resumed: bool
    """It was there already and wasn't replayed again."""
    counts: Counts
    owners: int
    first: str
    last: str
    days: int
    days_published: int
    rows: int
    """Flights published."""
    seconds: float
    """That the replay took."""
    data: str = ""
    """Where the data comes from, with its licence."""
    data_seconds: float | None = None
    events: list[DemoEvent] = []
    next: str | None = None


# status ---------------------------------------------------------------------------------------------------------------


class ReadRow(Document, frozen=True, kw_only=True):
    """How one asset that a consumer reads stands."""

    asset: str
    state: str
    data_through: str | None


class ExportRow(Document, frozen=True, kw_only=True):
    """The newest interval of a consumer's export that is due or was written: `exported`, `superseded` (what can be read was corrected
    since), `running`, `waiting`, `failed` or `missing`. `at` is when it was written last, `target` the file or table."""

    state: str
    interval: str | None
    at: datetime | None
    target: str
    superseded: list[str] = []
    """Intervals that were corrected after they had been written, and weren't written again."""


class RiskRow(Document, frozen=True, kw_only=True):
    """What will make a consumer late: the node and partition that cause it, the interval, when that is due, and when it will be met
    (null where nothing says when)."""

    node: str
    partition: str
    interval: str
    due_at: datetime
    predicted_at: datetime | None
    reason: str


class PausedRow(Document, frozen=True, kw_only=True):
    """Who paused something, why, and until when; null: until somebody resumes it."""

    node: str
    reason: str
    by: str
    until: datetime | None


class ConsumerRow(Document, frozen=True, kw_only=True):
    """How one consumer is served. `state` is the first that holds of `states`."""

    name: str
    owner: str
    state: str
    states: list[str]
    since: datetime | None
    due_interval: str | None
    data_through: str | None
    backlog: list[str]
    reads: list[ReadRow]
    reason: str
    incident: str | None = None
    next: str | None = None
    needs: str = ""
    """What was promised, for people: `07:00 daily`, `30 h old`."""
    export: ExportRow | None = None
    """Null where nothing is exported to it."""
    risk: RiskRow | None = None
    """Where it is at risk: what will make it late."""
    paused: PausedRow | None = None
    """Null where the consumer itself isn't paused."""


class AssetCounts(Document, frozen=True, kw_only=True):
    """How many assets are in each state. A quarantined or unchecked one is counted under its state as well."""

    fresh: int = 0
    behind: int = 0
    stale: int = 0
    quarantined: int = 0
    never: int = 0
    unchecked: int = 0


class FilesRow(Document, frozen=True, kw_only=True):
    """Where a `files` asset that consumers read can be opened: paths relative to the project."""

    asset: str
    partition: str
    paths: list[str]


class QuarantineCounts(Document, frozen=True, kw_only=True):
    """What waits in quarantine."""

    deliveries: int
    partitions: int
    rows: int


class StatusDocument(Document, frozen=True, kw_only=True):
    """`status`: consumers first. Figures about the past are null until they are built."""

    project: str
    env: str
    timezone: str
    now: datetime
    observed_at: datetime | None
    runtime: str
    clock: str
    consumers: list[ConsumerRow]
    assets: AssetCounts
    quarantine: QuarantineCounts
    files: list[FilesRow]
    paused: list[PausedRow] = []
    """All that is paused, by name."""
    honest_availability: str | None = None
    honest_mean: str | None = None
    minutes_lost: int | None = None
    claimed_availability: str | None = None
    classic_uptime: str | None = None
    promises_weakened: int | None = None
    window: str = "30d"
    incidents_open: int | None = None
    not_applied: int | None = 0
    """Nodes whose files differ from what is applied; null where the files have errors."""
    next: str | None = None


# runs, logs, quarantine -----------------------------------------------------------------------------------------------


class RunRow(Document, frozen=True, kw_only=True):
    """One partition of one attempt of one run; a run that attempted nothing has one row whose node is null."""

    run_id: str
    run_kind: str
    run_state: str
    actor: str
    attempt: str | None
    node: str | None
    partition: str | None
    state: str
    verdict: str | None
    at: datetime
    """When it was last known to change: finished, else started, else queued."""
    reason: str | None
    rows: int | None = None
    seconds: float | None = None
    run_started_at: datetime
    run_finished_at: datetime | None = None
    error: ErrorRow | None = None
    cancelled_at: datetime | None = None
    """When a person took the run back, where one did; `run_state` is `cancelled` then."""
    cancelled_by: str | None = None
    cancel_reason: str | None = None


class LogRow(Document, frozen=True, kw_only=True):
    """One captured line of one attempt, with what became of the attempt."""

    node: str
    partition: str
    attempt: str
    state: str
    verdict: str | None
    at: datetime
    reason: str | None
    stream: str
    level: str
    text: str


class QuarantineRow(Document, frozen=True, kw_only=True):
    """Held or rejected data that waits, readable, with the reason."""

    node: str
    partition: str
    state: str
    verdict: str
    at: datetime
    reason: str
    owner: str | None
    rows: int | None
    path: str | None
    """Where the data is, relative to the project; null where nothing could be kept."""
    delivery: str | None
    """The vendor's file, relative to the project."""
    sample: list[dict[str, Any]]
    checks: list[CheckRow]
    attempt: str
    todo: str
    """What to do about it, in one line."""


# lineage, read, render, explain, init ---------------------------------------------------------------------------------


class LineageRow(Document, frozen=True, kw_only=True):
    """One column that the asked one comes from, or goes into. `via` is the column on the way that is next to the
    asked one's side; `transformation` is that of the step between `column` and `via`."""

    column: str
    via: str
    transformation: str


class LineageDocument(Document, frozen=True, kw_only=True):
    """`lineage`: `column` is `asset.column`, or the asset where all its columns were asked for."""

    column: str
    upstream: list[LineageRow] | None
    downstream: list[LineageRow] | None


class ReadDocument(Document, frozen=True, kw_only=True):
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


class RenderInput(Document, frozen=True, kw_only=True):
    """Which partitions of an input a body will see; null partitions mean all that is published."""

    node: str
    mode: str
    partitions: list[str] | None
    published: int
    """How many of them are there to be read."""


class RenderDocument(Document, frozen=True, kw_only=True):
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


class Page(Document, frozen=True, kw_only=True):
    """One page of `explain`."""

    code: str
    title: str
    text: str


class InitDocument(Document, frozen=True, kw_only=True):
    """`init`: what was written, and what to type next."""

    directory: str
    files: list[str]
    sources: list[str]
    assets: list[str]
    consumers: list[str]
    notes: list[str]
    next: str
