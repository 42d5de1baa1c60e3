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


class RepairRow(Document, frozen=True, kw_only=True):
    """What repairs partitions of one node that didn't get through: what a person does before (null: nothing), and what is typed then,
    one command after the other."""

    node: str
    partitions: list[str]
    first: str | None
    commands: list[str]
    incident: str | None = None
    """In `status`: the open incident that these partitions are put down to; its repair is theirs."""


class RestatedRow(Document, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The past changed: so many partitions of a node, which readers had seen, were published again with other rows. `cause` is
    `restatement` (`because` names the sources that delivered again), `correction` (the same, of an exception), `code`, or `again`
    (somebody asked). `at` is the last time."""

    node: str
    partitions: int
    from_: str
    to: str
    rows_before: int
    rows_after: int
    at: datetime
    cause: str
    because: list[str]
    consumers: list[str]
    """Who reads it."""


class ProposedRow(Document, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Partitions of a node that are stale and are made again only if somebody asks, with the command that asks."""

    node: str
    partitions: int
    from_: str
    to: str
    command: str


class RepairedRow(Document, frozen=True, kw_only=True):
    """Partitions of a node that a run published and that had failed, been held, rejected or lost before. `still_wrong` is how many others
    of the node stand wrong; `assets` and `consumers` are all that reads it, through others too."""

    node: str
    partitions: list[str]
    still_wrong: int
    assets: list[str]
    consumers: list[str]


class RunDocument(Document, frozen=True, kw_only=True):
    """`run` and `tick`. `state` is `succeeded`, `failed`, `partial`, `nothing_due`, or `cancelled` by somebody meanwhile."""

    now: datetime
    run_id: str | None
    state: str
    attempts: list[AttemptRow]
    published: list[PublishedRow]
    rejected: list[RejectedRow]
    incidents_opened: list[str] = []
    """The incidents that were found, or opened again, at the end of it."""
    clock: str = "live"
    reason: str | None = None
    """Why nothing was due, or what stopped the run."""
    repairs: list[RepairRow] = []
    """What repairs what is in `rejected`."""
    repaired: list[RepairedRow] = []
    restated: list[RestatedRow] = []
    """What the run published in the place of what readers had seen."""
    proposed: list[ProposedRow] = []
    """What is stale after it, and waits for somebody to ask."""


class EffectRow(Document, frozen=True, kw_only=True):
    """What becomes of one column: `added`, `dropped`, another `type`, or another `meaning`; and who reads it, one step downstream."""

    column: str
    effect: str
    read_by: list[str] = []


class ChangeRow(Document, frozen=True, kw_only=True):
    """One change between what is applied and what the files say. `breaking`: somebody reads a column that goes, has another type, or
    means something else. `partitions_stale` of the node itself."""

    node: str
    change: str
    breaking: bool = False
    columns: list[str] = []
    partitions_stale: int | None = None
    effects: list[EffectRow] = []
    consumers: list[str] = []
    """Whom it reaches."""
    file: str | None = None
    line: int | None = None


class Affects(Document, frozen=True, kw_only=True):
    """Whom a change or a plan touches."""

    consumers: list[str] = []
    owners: list[str] = []


class StaleRow(Document, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Partitions of one node that a change concerns: so many, from the first to the last."""

    node: str
    partitions: int
    from_: str
    to: str
    why: str


class WeakenedRow(Document, frozen=True, kw_only=True):
    """A promise that becomes less, with both as they are declared."""

    node: str
    what: str
    before: str
    after: str
    file: str | None = None
    line: int | None = None


class NeededRow(Document, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A backfill that a change asks for, as `headrace backfill` takes it: from the first to the last partition, both included."""

    select: list[str]
    from_: str
    to: str
    mode: str
    command: str


class PromotedRow(Document, frozen=True, kw_only=True):
    """Partitions that an environment has built: published in production as they are, instead of being computed again."""

    environment: str
    node: str
    partitions: int


class ColumnChange(Document, frozen=True, kw_only=True):
    """A column that isn't the same on both sides: `added`, `removed` or `type`."""

    column: str
    change: str
    before: str | None
    after: str | None


class RowChange(Document, frozen=True, kw_only=True):
    """An example: `added` has only `after`, `removed` only `before`, `changed` both."""

    change: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class SpreadRow(Document, frozen=True, kw_only=True):
    """How the values of one column are distributed in production (`before`) and in the environment (`after`): rows, nulls, distinct values
    (estimated), minimum, maximum and mean as text, null where the type has none."""

    column: str
    before: dict[str, Any]
    after: dict[str, Any]


class DifferenceRow(Document, frozen=True, kw_only=True):
    """What an environment has built of a node, against what production has: of the newest partitions that differ, `compared` in all."""

    node: str
    identical: int
    """Partitions that have the same rows in both."""
    compared: int
    not_compared: int
    """Partitions that differ and were left out: older ones, where many do."""
    not_built: int
    """Partitions that only production has."""
    only_here: int
    columns: list[ColumnChange]
    keys: list[str] | None
    rows_added: int
    rows_removed: int
    rows_changed: int | None
    cells: dict[str, int]
    """Column → in how many changed rows it differs."""
    sample: list[RowChange]
    spreads: list[SpreadRow]
    """Of columns whose values are distributed otherwise."""


class PlanDocument(Document, frozen=True, kw_only=True):
    """What `apply` will do. Counts are null where nothing is known of what is published."""

    changes: list[ChangeRow]
    affects: Affects
    estimate: dict[str, Any] | None = None
    """Of making again all that becomes stale."""
    weakens: list[WeakenedRow] = []
    stale: list[StaleRow] = []
    """What becomes stale, inputs before what reads them. Readers keep what they see until somebody asks for it to be made again."""
    repairs: list[StaleRow] = []
    """What failed under the code as it was."""
    bytes_estimate: int | None = None
    backfills: list[NeededRow] = []
    """What makes again what becomes stale, and what failed."""
    built: list[PromotedRow] = []
    """What environments have built already: `apply` publishes it, and computes nothing."""
    against: str | None = None
    """What the files are compared with; null where nothing is applied."""
    env: str = "prod"
    next: str | None = None
    now: datetime | None = None
    clock: str = "live"
    diff: list[DifferenceRow] | None = None
    """In an environment: how what is built there differs from production, node by node."""


class ApplyDocument(Document, frozen=True, kw_only=True):
    """`apply`. `state` is `applied`, `nothing_to_apply` or `declined`; `version` is the one in force afterwards."""

    now: datetime
    state: str
    version: int | None
    plan: PlanDocument
    clock: str = "live"
    promoted: list[PromotedRow] = []
    """What environments had built, published as they built it."""
    stale: list[StaleRow] = []
    """What is stale now, of the nodes whose code changed."""
    backfills: list[NeededRow] = []
    """What makes that again, and what failed under the code as it was."""
    backfill: Any = None
    """What `--backfill` came to (`backfill`'s document, of the last one); null where nobody asked for it."""


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
    """`demo`: where it is, what the replay did, where its clock stands. Of `demo resume`: what the days came to that flowed since."""

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
    fault: str = "rename"
    """What the vendor does on the 11th of February: `rename` or `none`."""
    went_on: bool = False
    """It was stopped before, and the rest of its days flowed."""
    incidents: int = 0
    """How many were opened in the days that flowed since."""
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


class AvailabilityRow(Document, frozen=True, kw_only=True):
    """How a consumer was served over a window, since its first deadline in it. Percentages are rounded down, minutes that are lost up;
    null: nothing was due yet."""

    honest: str | None
    """Served, as known now; what nobody looked at, and what others than its owner had accepted, isn't."""
    claimed: str | None
    """What was said at the time."""
    minutes: int
    """That count."""
    lost_minutes: int
    corrected_minutes: int
    """Said to be served, and known since to have been wrong; `incidents` are why."""
    exception_minutes: int
    """Served only by an exception that somebody else than its owner made."""
    unknown_minutes: int
    promised: int
    """Obligations that fell due in the window."""
    kept: int
    """Those of them that were met in time."""
    incidents: list[str]


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
    availability: AvailabilityRow | None = None


class RemovedRow(Document, frozen=True, kw_only=True):
    """A consumer that was removed within the window: it stays in the figures until the window is past."""

    name: str
    availability: AvailabilityRow


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


class HoldingRow(Document, frozen=True, kw_only=True):
    """The causes that consumers wait for: how many, how many assets and consumers they hold back, and what repairs the first (null:
    Headrace does it by itself)."""

    causes: int
    assets: int
    consumers: int
    command: str | None


class StatusDocument(Document, frozen=True, kw_only=True):
    """`status`: consumers first. Of figures about the past null means that there is no data; `honest_availability` and
    `claimed_availability` are those of the worst consumer, `minutes_lost` are all consumers' together."""

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
    """Runs that ended in success of those that started, as other tools count: work that is held never starts, so it never fails."""
    runs_started: int = 0
    worst: str | None = None
    """The consumer that was served least, whose availability is the honest one."""
    promises_weakened: int | None = None
    removed: list[RemovedRow] = []
    window: str = "30d"
    incidents_open: int = 0
    undelivered: int = 0
    """Messages of the last 7 days that couldn't be sent, and aren't tried any more; `notify` says which."""
    not_applied: int | None = 0
    """Nodes whose files differ from what is applied; null where the files have errors."""
    next: str | None = None
    holding: HoldingRow | None = None
    """What the causes that consumers wait for hold back; null where a consumer that isn't served waits for none."""
    repairs: list[RepairRow] = []
    """What repairs what stands failed, held or rejected now, whether a consumer waits for it or not."""
    restated: list[RestatedRow] = []
    """What changed of the past in the last seven days."""
    proposed: list[ProposedRow] = []


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
    repair: RepairRow | None = None
    """What repairs it, where it didn't get through and nothing has come of it since."""
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
    repair: RepairRow | None = None
    decide: list[str] = []
    """What publishes it as it is, and what says that it never will be."""


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
