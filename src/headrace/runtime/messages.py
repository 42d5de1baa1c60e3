"""Messages between the leader and its workers: msgpack with ids and values, never code."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from headrace.checks import Audit, Verdict
from headrace.checks.anomalies.explanations import Peer
from headrace.checks.anomalies.row_anomalies import PublishedContent
from headrace.checks.facts import DriftChange, Fact
from headrace.checks.metrics import StoredMetrics
from headrace.checks.restatement import PreviousPublication
from headrace.connect import DetectedDelivery, SourceSchema
from headrace.connect.deliveries import DELIVERY_BYTES_MAX
from headrace.engine import AttemptScope, BodyError, InputData, Measures
from headrace.engine.attempts import CodePackages, CodeSandbox, Handed
from headrace.lake import FileRef, LakeTable, Replacement, StagedFile
from headrace.lake.tables import MergeRule, MergeState
from headrace.model import Body, CheckSpec, ContractColumn, Source
from headrace.model.erased_rows import ErasedRows
from headrace.model.nodes import ALL_NETWORKS
from headrace.plan.column_limits import ColumnLimits
from headrace.scheduler import AttemptState


class RewrittenFile(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A current file without the partitions being replaced; `staged` is None if nothing remains."""

    path: str
    staged: StagedFile | None


class ViewCheck(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A view over the audited node, with its blocking checks.

    If `data` names the node itself, its files are the other rows that the view reads from it; the
    staged rows are added to them.
    """

    data: InputData
    checks: tuple[CheckSpec, ...]
    references: tuple[InputData, ...]
    timezone: str
    macros: dict[str, str]


class ViewCheckReads(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Other data that the checks of views read, besides the audited rows.

    If any of it is published in the meantime, the checks must be repeated. `keys` None means all
    partitions; `newest` is the id of their newest publication, 0 if there is none.
    """

    node: str
    keys: tuple[str, ...] | None
    newest: int


class AnomalyContext(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a partition is compared with to find anomalies, and the declared policies."""

    on_anomaly: str | None = None
    of_columns: dict[str, str] = {}
    """Column → `hold`, `warn` or `ignore`."""
    sources: int = 20
    """Number of the project's sources."""
    versions: tuple[PublishedContent, ...] = ()
    """Sources: publications of its partitions, newest first."""
    peers: tuple[Peer, ...] = ()
    calendar: str = ""
    """Calendar of public holidays, as the `holidays` package names it.

    The node's, else that of its time zone's country.
    """
    unusual: tuple[str, ...] = ()
    """Assets: partitions of inputs that were published with anomalies."""
    emptied: tuple[tuple[str, str], ...] = ()
    """Assets: a partition of `unusual` and a column of the asset.

    The column is derived from an input column that is null there more often than ever.
    """
    more_rows: tuple[str, ...] | None = None
    """Assets whose code changed since their newest rows: `unusual` partitions with unusual rows.

    No other anomaly of an input explains more rows. None: the code is the same.
    """
    rows_each: float | None = None
    """Assets whose code changed since their newest rows: most rows ever per row of the input.

    There is exactly one input.
    """
    used: tuple[str, ...] | None = None
    """Sources: the columns used downstream, in lower case; None if any may be used."""


class CheckData(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The data that checks read besides the audited rows."""

    references: tuple[InputData, ...] = ()
    views: tuple[ViewCheck, ...] = ()
    beside: tuple[ViewCheckReads, ...] = ()


class EarlierPublication(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Published rows of an earlier partition."""

    data: InputData
    failed: tuple[str, ...] = ()
    """The checks that these rows failed when they were published."""
    as_of_us: int = 0
    """Reference time for the ages in these checks.

    The publication, or the end of its interval if that is earlier.
    """


OUTSIZED_TIMES = 10
"""A delivery at least 10 times as large as any earlier one of its source is unusual."""


class TooMuch(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A delivery that exceeded an attempt's memory or time.

    With the sizes of the source's other deliveries.
    """

    said: str
    """Message of the last attempt."""
    read: int = 0
    """Number of other deliveries of the source that were read."""
    largest_bytes: int = 0
    """Size of the largest of them in bytes."""
    timed_out: bool = False
    """Whether the delivery exceeded the time, not the memory."""

    def is_of(self, size_bytes: int) -> bool:
        """Whether a delivery of this size is to blame; one of a usual size isn't."""
        return not self.largest_bytes or size_bytes >= OUTSIZED_TIMES * self.largest_bytes


class Unreadable(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Why a delivery is kept and rejected without being read."""

    deaths: str = ""
    """How workers died repeatedly over this delivery; empty if they didn't."""
    too_much: TooMuch | None = None
    """Set if an attempt exceeded its memory or time; a delivery of a usual size is read again."""


class NeighbouringIntervals(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Published rows of intervals before a delivery of one interval."""

    day_before: InputData | None = None
    """Those of the interval right before."""
    lately: InputData | None = None
    """Those of the last few intervals, if a column is joined downstream."""
    joined: frozenset[str] = frozenset()
    """The columns that are joined downstream."""


class KnownDeliveries(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Earlier deliveries that a delivery may repeat or restate."""

    before: dict[str, PreviousPublication] = {}
    """Sound publications of these partitions that readers see; different rows are a restatement."""
    previous: InputData | None = None
    """The rows of those publications."""
    withheld: tuple[tuple[str, str], ...] = ()
    """Interval and SHA-256 of deliveries of the same size, held or rejected for other intervals."""
    withdrawn: tuple[tuple[str, str, str], ...] = ()
    """Partition, content hash and reason (with the user) of withdrawn rows.

    The same rows are held if they are delivered again.
    """


class IngestTask(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="take_in"):
    """Read one delivery: keep its bytes, parse, compare with the pinned schema, stage, audit."""

    attempt: str
    source: Source
    found: DetectedDelivery
    """The file as observed; if it has changed since, it is left to the next observation."""
    pinned: SourceSchema | None
    promised: tuple[ContractColumn, ...] | None
    """The contract's columns: their types apply while no schema is pinned, their checks always."""
    table: LakeTable | None
    evolve: bool
    """Whether the declared columns of the source changed since its table's columns were set."""
    history_has_rows: bool
    samples: tuple[DetectedDelivery, ...] = ()
    """Other waiting deliveries, to infer types from while no schema is pinned."""
    shared: tuple[FileRef, ...] = ()
    """Current files that hold this and other partitions: publishing needs a rewrite of each."""
    now_us: int = 0
    keys: tuple[str, ...] = ()
    """The partitions: one, or all of a bundle, whose rows the source's column assigns to them."""
    replaced: tuple[str, ...] = ()
    """Bundles: partitions that another file has delivered since. Their rows are left out."""
    connection: dict[str, Any] = {}
    """[connections.X] as declared, for sources that aren't files.

    The worker resolves its secrets.
    """
    private_addresses: tuple[str, ...] = ALL_NETWORKS
    """Networks of private addresses that requests may be sent to."""
    bytes_max: int = DELIVERY_BYTES_MAX
    """Of the delivery, if it is fetched."""
    macros: dict[str, str] = {}
    """File → text of the project's CREATE MACROs."""
    accepted: bool = False
    """Whether a user accepted the delivery as it is; later deliveries aren't compared with it."""
    waived: dict[str, tuple[str, ...]] = {}
    """Partition → checks that the user accepted to fail there."""
    emptied: tuple[str, ...] = ()
    """Columns in lower case that the user accepted to be null."""
    used: dict[str, tuple[str, ...]] = {}
    """Column in lower case → its direct readers.

    `*`: readers of all columns, whatever their names.
    """
    sha256: str | None = None
    """Re-ingested deliveries: hash of the raw copy to read if the file is gone or has changed."""
    earlier: EarlierPublication | None = None
    """Rows of an earlier interval: the contents of columns that have disappeared."""
    neighbours: NeighbouringIntervals = NeighbouringIntervals()
    known: KnownDeliveries = KnownDeliveries()
    check_data: CheckData = CheckData()
    history: tuple[StoredMetrics, ...] = ()
    """Metrics of the sound partitions before this one, oldest first."""
    around: AnomalyContext = AnomalyContext()
    exact: tuple[str, ...] = ()
    """Whole-number columns of the table whose values a DOUBLE holds exactly.

    They may change their type to DOUBLE.
    """
    unreadable: Unreadable = Unreadable()
    handed: Handed | None = None
    erased: tuple[ErasedRows, ...] = ()
    """The rows of erased subjects: they are left out of every delivery."""

    @property
    def classified(self) -> list[str]:
        """Return the classified columns: none of their values may be stored."""
        promised = [column.name for column in self.promised or () if column.classification]
        return [*promised, *self.source.classified]


class IngestBatchTask(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="take_in_several"
):
    """Read deliveries of several intervals: those that are like the source's earlier ones.

    The worker gives back the partitions from the first one that has to be ingested alone.
    """

    attempt: str
    first: IngestTask
    """The task that would ingest the first delivery alone."""
    found: tuple[DetectedDelivery, ...]
    """All deliveries, in order of time. Those after them have to be ingested alone."""
    keys: tuple[str, ...]
    """The attempt's partitions, also of deliveries that aren't in `found`."""
    peers: dict[str, tuple[Peer, ...]] = {}
    lately: tuple[InputData, ...] = ()
    """Published rows of intervals before the first, the newest first, where columns are joined."""
    handed: Handed | None = None

    @property
    def now_us(self) -> int:
        """The time on the store's clock when the attempt was dispatched."""
        return self.first.now_us


class BatchPartition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One of a batch's partitions as if it was computed alone: its scope and its inputs."""

    scope: AttemptScope
    inputs: tuple[InputData, ...]


class CodeEnvironment(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The environment variables of Python and commands."""

    variables: dict[str, str] = {}
    """Those that the asset declares, with their values."""
    passed: tuple[str, ...] = ()
    """Names of variables passed on unchanged from the machine that the attempt runs on."""
    secrets: dict[str, str] = {}
    """Name of a variable → reference to the secret with its value."""
    hidden: tuple[str, ...] = ()
    """References to the project's other secrets: not passed, and redacted from its output."""


class PublishedRows(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The published rows of an attempt's partitions, to compare with the new ones."""

    data: InputData
    hashes: dict[str, str] = {}
    """Partition → known content hash; equal hashes need no comparison."""


class ComputeTask(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="produce"):
    """Compute partitions of one asset, stage, audit.

    `table` is None until its columns are known.
    """

    scope: AttemptScope
    body: Body
    sql: str | None
    """SQL: the statement to run, with `$self` and the like already resolved."""
    code: str | None
    """Python and commands: the folder below `.headrace/code` with the applied files."""
    inputs: tuple[InputData, ...]
    materialize: str
    partition_column: str | None
    table: LakeTable | None
    evolve: bool
    """Whether the code changed since the table's columns were set, so they may change with it."""
    checks: tuple[CheckSpec, ...]
    on_fail: str
    written: tuple[tuple[str, str | None], ...] = ()
    """Python and commands: columns declared in `columns:`, with their types if stated."""
    shared: tuple[FileRef, ...] = ()
    """Current files that hold these and other partitions: publishing needs a rewrite of each."""
    now_us: int = 0
    macros: dict[str, str] = {}
    """File → text of the project's CREATE MACROs."""
    without: tuple[str, ...] = ()
    """Missing optional inputs: the partition is published with a warning."""
    key_column: str | None = None
    """The key column of data partitioned by key: rows with another value are rejected."""
    merge: MergeRule | None = None
    """`merge` and `snapshot`: how computed rows are merged into the table in `state`."""
    state: MergeState | None = None
    check_data: CheckData = CheckData()
    memory_max_bytes: int | None = None
    """Memory limit of the attempt in bytes; None: the limit of all attempts."""
    alone: BatchPartition | None = None
    """Batches: computed alone as well; the attempt fails with `not_separable` if it differs."""
    call_inputs: tuple[tuple[InputData, ...], ...] = ()
    """Batches of a Python asset: the inputs of each call, in the order of the partitions."""
    packages: CodePackages = CodePackages()
    previous: PublishedRows | None = None
    """Set for attempts of a backfill."""
    history: tuple[StoredMetrics, ...] = ()
    """Metrics of the sound partitions before the first of these, oldest first."""
    around: AnomalyContext = AnomalyContext()
    classified: tuple[str, ...] = ()
    """Classified and derived columns, whose values may not be stored. `*`: all columns."""
    classified_inputs: tuple[str, ...] = ()
    """Inputs with such columns: the words of an error may hold their values."""
    environment: CodeEnvironment = CodeEnvironment()
    sandbox: CodeSandbox = CodeSandbox()
    lock: str | None = None
    """Of an asset with `requirements`: the applied file that names its packages."""
    function: dict[str, Any] = {}
    """Of a Python asset in such an environment: what is called there, added by the worker."""
    handed: Handed | None = None
    """The values of all these variables, added when the task is sent."""
    earlier: EarlierPublication | None = None
    """Rows of an earlier partition, if another version was applied at that time.

    They show whether a failed check would fail there as well.
    """
    waived: dict[str, tuple[str, ...]] = {}
    """Partition → checks that a user accepted to fail there."""


class ObserveTask(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="look_at"):
    """Observe one remote source, or read which intervals local files hold. Changes nothing."""

    attempt: str
    """`0.n`: an observation is no attempt, but is answered like one."""
    source: Source
    connection: dict[str, Any]
    wanted: tuple[str, ...] = ()
    """Ended intervals without a delivery, or that may be delivered again; oldest first."""
    known: dict[str, tuple[str, str]] = {}
    """Interval → path and version of its newest delivery."""
    files: tuple[DetectedDelivery, ...] = ()
    """Local files to read: which intervals do their rows belong to?"""
    pinned: SourceSchema | None = None
    promised: tuple[ContractColumn, ...] | None = None
    """Contract columns, by which these files are read."""
    private_addresses: tuple[str, ...] = ALL_NETWORKS
    """Networks of private addresses that requests may be sent to."""
    published: bool = True
    """Whether the newest delivery is published."""
    now_us: int = 0
    handed: Handed | None = None


class ExportTask(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="export"):
    """Write one consumer's data for one interval to its export target."""

    attempt: str
    consumer: str
    interval: str
    start: str | None
    """ISO 8601 with offset, as `end`."""
    end: str | None
    timezone: str
    target: dict[str, Any]
    """`export:` as declared."""
    connection: dict[str, Any]
    reads: tuple[InputData, ...]
    now_us: int = 0
    project: str = ""
    """Identity of the state, by which targets recognise a rebuilt project."""
    take_over: str = ""
    """Name of the newest take-over of the target."""
    macros: dict[str, str] = {}
    """The project's macros, which views may call."""
    limits: dict[str, ColumnLimits] = msgspec.field(default_factory=dict)
    """Read → its columns that are masked or left out; without reads that are written as they are.
    """
    classified_inputs: tuple[str, ...] = ()
    """Reads, and inputs of views, with classified columns."""
    keys: dict[str, str] = msgspec.field(default_factory=dict)
    """`[keys]`, by which the worker opens the key store."""
    handed: Handed | None = None
    erases: int = 0
    """The epoch of the leader at an erasure, which writes again what `attempt` wrote; 0: none."""
    replaces: dict[str, str] = msgspec.field(default_factory=dict)
    """At an erasure: each target that `attempt` wrote, with the hash of its content."""


class Prune(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="prune"):
    """Copy files of one table without partitions that are replaced; answered as `rewritten`."""

    attempt: str
    """The attempt, or a number of the backfill, that needs the copies."""
    table: LakeTable
    files: tuple[FileRef, ...]
    without: tuple[tuple[str, ...], ...]
    """The partitions to leave out of each file."""
    timezone: str
    now_us: int = 0
    promised: tuple[ContractColumn, ...] = ()
    """The columns of the source's contract, if it has one."""


Task = IngestTask | IngestBatchTask | ComputeTask | ObserveTask | ExportTask | Prune


class RowChangeCounts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Differences of a partition from its published rows.

    Without a key, a changed row counts as one removed and one added.
    """

    added: int = 0
    removed: int = 0
    changed: int = 0


# What a worker sends. `state` is the tag: stores of earlier versions hold outcomes of backfills and
# of withheld attempts with that key, so these fields keep their names and meanings.


class _Outcome(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="state"
):
    """What every outcome of a task says."""

    attempt: str
    measures: Measures
    audit: Audit | None = None
    sha256: str | None = None
    version: str | None = None
    """Of a fetched delivery, if its source gave it another one with the bytes."""
    fingerprint: str | None = None
    log_lines: int = 0
    environment: bytes = b""
    """Python assets: JSON of the interpreter and the packages that the code ran with."""


class _OutcomeWithData(_Outcome, frozen=True, kw_only=True):
    """The outcome of a task that didn't fail: its data, and what is unusual in it."""

    staged: StagedFile | None = None
    replacement: Replacement | None = None
    """`merge` and `snapshot`: what to do with the table's current files."""
    table: LakeTable | None = None
    """The columns as staged, if they were unknown before or have changed."""
    learnt: SourceSchema | None = None
    reason: str = ""
    """Why it is withheld, or the warnings with which it is published."""
    quarantined: str | None = None
    """Path of the withheld data, or of the rows left out, relative to the data folder."""
    quarantined_rows: int | None = None
    """Row count of data that wasn't staged, if known."""
    unstaged: dict[str, int] = {}
    """Deliveries that weren't staged: row count of each partition, if known."""
    acceptable: bool = True
    """Whether withheld data can be published once a person accepts it."""
    drift: tuple[DriftChange, ...] = ()
    """Deliveries: differences from what is expected of the interval."""
    facts: tuple[Fact, ...] = ()
    """Anomalies."""

    def rows_of(self, key: str) -> int | None:
        """Return the row count of one partition's data, staged or not; None if unknown."""
        staged = {} if self.staged is None else {p.key: p.rows for p in self.staged.partitions}
        return (staged or self.unstaged).get(key, self.quarantined_rows)


class HeldOutcome(_OutcomeWithData, frozen=True, kw_only=True, tag="held"):
    """The data waits for a decision."""

    state: ClassVar[AttemptState] = AttemptState.HELD


class RejectedOutcome(_OutcomeWithData, frozen=True, kw_only=True, tag="rejected"):
    """The data can't be published."""

    state: ClassVar[AttemptState] = AttemptState.REJECTED


class IngestedDelivery(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One delivery of a batch: its hashes, its size, and the warnings that it is published with."""

    sha256: str
    fingerprint: str
    size_bytes: int
    reason: str = ""


class StagedOutcome(_OutcomeWithData, frozen=True, kw_only=True, tag="staged"):
    """The data can be published; `staged` is None if there are no files for the lake."""

    state: ClassVar[AttemptState] = AttemptState.STAGED
    rewritten: tuple[RewrittenFile, ...] = ()
    manifest: tuple[dict[str, Any], ...] | None = None
    """`materialize: files`: path, size and sha256 of each file.

    Exports: target, asset, size, sha256 and rows of each.
    """
    changed: dict[str, RowChangeCounts] = {}
    """Attempts of a backfill: partition → difference from its published rows, if there is one."""
    ingested: dict[str, IngestedDelivery] = {}
    """Batches of deliveries: by partition."""
    alike: tuple[str, ...] = ()
    """Partitions of a delivery with the published rows, but for columns that nothing downstream
    uses and that loading changes: nothing is recomputed over them."""
    given_back: tuple[str, ...] = ()
    """Batches of deliveries: partitions that wait again; the first has to be ingested alone."""

    def withheld(
        self, verdict: Verdict, *, reason: str, quarantined: str | None
    ) -> HeldOutcome | RejectedOutcome:
        """Return the outcome of the same data, held or rejected by its audit."""
        kind = HeldOutcome if verdict is Verdict.HELD else RejectedOutcome
        fields = {name: getattr(self, name) for name in kind.__struct_fields__}
        return kind(**fields | {"reason": reason, "quarantined": quarantined, "learnt": None})


class FailedOutcome(_Outcome, frozen=True, kw_only=True, tag="failed"):
    """The task failed: there is no data."""

    state: ClassVar[AttemptState] = AttemptState.FAILED
    error: BodyError


WithheldOutcome = HeldOutcome | RejectedOutcome
TaskOutcome = StagedOutcome | WithheldOutcome | FailedOutcome


class SourceObserved(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="state", tag="observed"
):
    """The result of an observation.

    `code` is the kind of error (`access_denied`, `source_unavailable` …).
    """

    attempt: str
    found: tuple[DetectedDelivery, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None
    code: str | None = None


Answer = TaskOutcome | SourceObserved


class Returned(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="state", tag="returned"
):
    """The tasks that a worker gives back unstarted, because another worker is idle.

    Answers to tasks before them may still arrive.
    """

    attempts: tuple[str, ...]


class WorkerReady(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="state", tag="ready"
):
    """A worker has started and waits for work."""

    pid: int
