"""Messages between the leader and its workers: msgpack with ids and values, never code."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import msgspec

from headrace.checks import Audit
from headrace.checks.anomalies.explanations import Peer
from headrace.checks.anomalies.row_anomalies import PublishedContent
from headrace.checks.facts import DriftChange, Fact
from headrace.checks.metrics import StoredMetrics
from headrace.checks.restatement import PreviousPublication
from headrace.connect import DetectedDelivery, SourceSchema
from headrace.connect.connectors import connector_name
from headrace.engine import AttemptScope, BodyError, InputData, Measures
from headrace.engine.attempts import Handed
from headrace.lake import FileRef, LakeTable, Replacement, StagedFile
from headrace.lake.tables import MergeRule, MergeState
from headrace.model import Body, CheckSpec, CommandBody, ContractColumn, Project, PythonBody, Source
from headrace.security.secrets import SecretMissing, Secrets, references_in


class RewrittenFile(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A current file without the partitions that are replaced; `staged` is None if nothing of it is left."""

    path: str
    staged: StagedFile | None


class ViewCheck(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A view that reads what is audited, and its blocking checks. Where `data` names the node itself, the files are what else the
    view reads of it; what is staged comes to them."""

    data: InputData
    checks: tuple[CheckSpec, ...]
    references: tuple[InputData, ...]
    timezone: str
    macros: dict[str, str]


class ViewCheckReads(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the checks of views read besides what is audited: if something of it was published meanwhile, they must be made again.
    `keys` None: all partitions; `newest` is the id of their newest publication, 0 for none."""

    node: str
    keys: tuple[str, ...] | None
    newest: int


class AnomalyContext(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a partition is judged beside, and what is declared about what is odd."""

    on_anomaly: str | None = None
    of_columns: dict[str, str] = {}
    """Column → `hold`, `warn` or `ignore`."""
    sources: int = 20
    """Of the project."""
    versions: tuple[PublishedContent, ...] = ()
    """Of a source: what was published of its partitions, newest first."""
    peers: tuple[Peer, ...] = ()
    calendar: str = ""
    """Of public holidays, as the `holidays` package calls it: the node's, else that of its time zone's country."""
    unusual: tuple[str, ...] = ()
    """Of an asset: partitions of what it reads that were published unlike their own history."""
    emptied: tuple[tuple[str, str], ...] = ()
    """Of an asset: such a partition, and a column of the asset that is made of what is null there more often than ever."""
    more_rows: tuple[str, ...] | None = None
    """Of an asset whose code isn't the one that its newest rows were published by: those of `unusual` in which rows are unusual. Nothing
    else about inputs makes more rows of them. None: its code is the same."""
    rows_each: float | None = None
    """Of an asset with other code than its newest rows: the most rows that it ever had for each row of its one input."""
    used: tuple[str, ...] | None = None
    """Of a source: the columns that something downstream uses, in lower case; None where all may be."""


OUTSIZED_TIMES = 10
"""A delivery at least 10 times as large as any earlier one of its source is unusual."""


class TooMuch(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A delivery that took more memory, or time, than an attempt may, and what is known of the sizes of its source's deliveries."""

    said: str
    """What the last try ended with."""
    read: int = 0
    """How many other deliveries of the source were read."""
    largest_bytes: int = 0
    """The size of the largest of them."""
    timed_out: bool = False
    """Whether time was what it took too much of."""

    def is_of(self, size_bytes: int) -> bool:
        """Whether a delivery of this size is to blame: one of a usual size isn't."""
        return not self.largest_bytes or size_bytes >= OUTSIZED_TIMES * self.largest_bytes


class IngestTask(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="take_in"):
    """Read one delivery: keep its bytes, parse, compare with the pinned schema, stage, audit."""

    attempt: str
    source: Source
    found: DetectedDelivery
    """The file as the look saw it; one that isn't so any more is left to the next look."""
    pinned: SourceSchema | None
    promised: tuple[ContractColumn, ...] | None
    """The contract's columns, where there is a contract: they give types while nothing is pinned, and checks always."""
    table: LakeTable | None
    evolve: bool
    """Whether what the source promises changed since its table's columns were set."""
    history_has_rows: bool
    samples: tuple[DetectedDelivery, ...] = ()
    """Other deliveries that wait, to learn types from while nothing is pinned."""
    shared: tuple[FileRef, ...] = ()
    """Current files that hold this partition and others: publishing takes a rewrite of each."""
    references: tuple[InputData, ...] = ()
    now_us: int = 0
    keys: tuple[str, ...] = ()
    """The partitions: one, or all of a bundle, whose rows are routed by the source's column."""
    replaced: tuple[str, ...] = ()
    """Of a bundle: the partitions that another file has brought since. Their rows are left out."""
    connection: dict[str, Any] = {}
    """[connections.X] as declared, for sources that aren't files; secrets in it are references, resolved by the worker."""
    views: tuple[ViewCheck, ...] = ()
    beside: tuple[ViewCheckReads, ...] = ()
    macros: dict[str, str] = {}
    """File → text of the project's CREATE MACROs, where a check may use one."""
    accepted: bool = False
    """Somebody has accepted it as it is: it is no measure of what comes after it."""
    used: dict[str, tuple[str, ...]] = {}
    """Column, in lower case → who reads it directly; `*`: who reads all of them, whatever they are called."""
    sha256: str | None = None
    """Of a delivery that was ingested before: what is kept of it, where the file itself has gone or is another one by now."""
    earlier: InputData | None = None
    """What is published of an earlier interval: what columns held before they were gone."""
    earlier_failed: tuple[str, ...] = ()
    """The checks that this failed when it was audited."""
    earlier_as_of_us: int = 0
    """What its ages were measured from: when it was published, or the end of its interval where that was earlier."""
    day_before: InputData | None = None
    """What readers see of the interval right before a delivery of one interval."""
    lately: InputData | None = None
    """What readers see of the last few intervals before it, where something is joined by one of its columns."""
    joined: frozenset[str] = frozenset()
    """Those columns."""
    before: dict[str, PreviousPublication] = {}
    """What readers see of these partitions, as far as it is sound: what comes otherwise is restated."""
    previous: InputData | None = None
    """The rows of those."""
    withheld: tuple[tuple[str, str], ...] = ()
    """Interval and SHA-256 of deliveries of the same size that were held or rejected for other intervals."""
    history: tuple[StoredMetrics, ...] = ()
    """What the sound partitions before this one measured, oldest first."""
    around: AnomalyContext = AnomalyContext()
    exact: tuple[str, ...] = ()
    """Columns of whole numbers of its table that a DOUBLE holds to the last digit, so that they may become one."""
    deaths: str = ""
    """How workers ended over this delivery, where they did so too often: it is kept and rejected, and nothing reads it any more."""
    too_much: TooMuch | None = None
    """Of a delivery that is too large to be read: it is kept and rejected as well."""
    handed: Handed | None = None
    withdrawn: tuple[tuple[str, str, str], ...] = ()
    """Partition, content hash and reason (with who gave it) of rows that somebody withdrew: the same rows are held."""


class BatchPartition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One of a batch's partitions as if it was computed by itself: what the attempt would be for, and what it would read."""

    scope: AttemptScope
    inputs: tuple[InputData, ...]


class ComputeTask(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="produce"):
    """Compute partitions of one asset, stage, audit. `table` is None until its columns are known."""

    scope: AttemptScope
    body: Body
    sql: str | None
    """For SQL: the statement to run, `$self` and the like already resolved."""
    code: str | None
    """For Python and commands: the folder (below `.headrace/code`) with the applied files."""
    inputs: tuple[InputData, ...]
    materialize: str
    partition_column: str | None
    table: LakeTable | None
    evolve: bool
    """Whether the code changed since the table's columns were set, so that they may change with it."""
    checks: tuple[CheckSpec, ...]
    on_fail: str
    written: tuple[tuple[str, str | None], ...] = ()
    """Of Python and commands: the columns that `columns:` declares, with their types where it states them."""
    shared: tuple[FileRef, ...] = ()
    """Current files that hold these partitions and others: publishing takes a rewrite of each."""
    references: tuple[InputData, ...] = ()
    now_us: int = 0
    macros: dict[str, str] = {}
    """For SQL: file → text of the project's CREATE MACROs, where the body may use one."""
    without: tuple[str, ...] = ()
    """Optional inputs that haven't come: it is published with a warning."""
    key_column: str | None = None
    """The column of the rows' key, where data is cut by one: rows with another value are rejected."""
    merge: MergeRule | None = None
    """Of `merge` and `snapshot`: how what the body computes meets the table that is in `state`."""
    state: MergeState | None = None
    views: tuple[ViewCheck, ...] = ()
    beside: tuple[ViewCheckReads, ...] = ()
    memory_max_bytes: int | None = None
    """What the attempt may use; None: what any attempt may."""
    prove: bool = False
    """Of several partitions: compute one of them alone as well, and fail (`not_separable`) if that comes to something else."""
    alone: BatchPartition | None = None
    """What `prove` computes."""
    packages: tuple[str, ...] = ()
    """Of Python and commands: top-level names that its code imports, whose versions are recorded with the attempt."""
    code_packages: tuple[str, ...] = ()
    """Distributions that are recorded besides."""
    previous: InputData | None = None
    """Of a plan's attempt: what readers see of these partitions now, to be compared with what is made."""
    history: tuple[StoredMetrics, ...] = ()
    """What the sound partitions before the first of these measured, oldest first."""
    around: AnomalyContext = AnomalyContext()
    classified: tuple[str, ...] = ()
    """Columns of whose values nothing may be kept."""
    previous_hashes: dict[str, str] = {}
    """Partition → content hash of that, as far as it is known: what comes to the same needn't be compared."""
    environment: dict[str, str] = {}
    """Of Python and commands: what the asset declares of its environment."""
    pass_environment: tuple[str, ...] = ()
    """Names of variables that it gets as they are where the attempt runs."""
    secrets: dict[str, str] = {}
    """Name of a variable → reference to the secret that is its value."""
    hidden: tuple[str, ...] = ()
    """References to the project's other secrets: it isn't given them, and what it says is kept without them."""
    handed: Handed | None = None
    """The values of all these, put in when the task is sent."""
    earlier: InputData | None = None
    """What is published of an earlier partition, where another version was in force then: whether it would fail a check as well."""
    earlier_failed: tuple[str, ...] = ()
    """The checks that it failed when it was published."""
    earlier_as_of_us: int = 0
    """What its ages were measured from: when it was published, or the end of its interval where that was earlier."""


class ObserveTask(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="look_at"):
    """Look at one source that isn't a local folder, or into a file whose rows are several intervals'. Changes nothing."""

    attempt: str
    """`0.n`: a look is no attempt, but is answered like one."""
    source: Source
    connection: dict[str, Any]
    wanted: tuple[str, ...] = ()
    """Intervals that have ended and that nothing was delivered for, or that may be delivered again; oldest first."""
    known: dict[str, tuple[str, str]] = {}
    """Interval → path and version of its newest delivery."""
    files: tuple[DetectedDelivery, ...] = ()
    """Local files to be looked into: which intervals do their rows belong to?"""
    pinned: SourceSchema | None = None
    promised: tuple[ContractColumn, ...] | None = None
    """Of files to be looked into: how they are read."""
    now_us: int = 0
    handed: Handed | None = None


class SourceObserved(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="looked"):
    """What a look found. `code` says what kind of error it was (`access_denied`, `source_unavailable` …)."""

    attempt: str
    found: tuple[DetectedDelivery, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None
    code: str | None = None


class ExportTask(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="export"):
    """Write what one consumer reads, for one interval, to where it wants it."""

    attempt: str
    consumer: str
    interval: str
    start: str | None
    """ISO 8601 instants with offset."""
    end: str | None
    timezone: str
    target: dict[str, Any]
    """`export:` as declared."""
    connection: dict[str, Any]
    reads: tuple[InputData, ...]
    now_us: int = 0
    project: str = ""
    """The identity of the state, by which targets know a rebuilt project."""
    take_over: str = ""
    """What the newest take-over of the target was called."""
    handed: Handed | None = None


class Prune(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="prune"):
    """Copy files of one table without some of their partitions, which are replaced: what is left of each is answered as `rewritten`."""

    attempt: str
    """The attempt, or a number of the plan, that it is done for."""
    table: LakeTable
    files: tuple[FileRef, ...]
    without: tuple[tuple[str, ...], ...]
    """Of each of the files."""
    timezone: str
    now_us: int = 0


Task = IngestTask | ComputeTask | ObserveTask | ExportTask | Prune


class Returned(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="returned"):
    """The tasks that weren't begun and won't be, asked for because another worker has nothing to do; answers to those before them may
    still be on their way."""

    attempts: tuple[str, ...]


class RowChangeCounts(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Rows of a partition against those that readers see: without a key to know rows by, one that changed counts as removed and added."""

    added: int = 0
    removed: int = 0
    changed: int = 0


class TaskOutcome(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="outcome"):
    """What became of a task. `state` is `staged`, `held`, `rejected` or `failed`; of a held or rejected one,
    `quarantined` is the path of its data relative to the data folder."""

    attempt: str
    state: str
    measures: Measures
    staged: StagedFile | None = None
    replacement: Replacement | None = None
    """Of `merge` and `snapshot`: what becomes of the files that are there."""
    table: LakeTable | None = None
    """The columns as staged, where they weren't known before or have changed."""
    rewritten: tuple[RewrittenFile, ...] = ()
    audit: Audit | None = None
    error: BodyError | None = None
    reason: str = ""
    quarantined: str | None = None
    quarantined_rows: int | None = None
    """Of what wasn't staged: the rows that it has, where that can be told."""
    learnt: SourceSchema | None = None
    sha256: str | None = None
    fingerprint: str | None = None
    manifest: tuple[dict[str, Any], ...] | None = None
    """Of `materialize: files`: path, size and sha256 of each file. Of an export: target, asset, size, sha256 and rows of each."""
    log_lines: int = 0
    changed: dict[str, RowChangeCounts] = {}
    """Of a plan's attempt: partition → how it differs from what readers see; those that don't differ aren't there."""
    drift: tuple[DriftChange, ...] = ()
    """Of a delivery: how it differs from what is expected of its interval."""
    facts: tuple[Fact, ...] = ()
    """What is odd about it."""
    environment: bytes = b""
    """Of a Python asset: JSON of the interpreter and the packages that its code ran with."""


Answer = TaskOutcome | SourceObserved


class WorkerReady(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag="ready"):
    """A worker has started and waits for work."""

    pid: int


# What a task is handed beyond the clean environment of workers: variables, and secrets of nodes
# that declare them. The values enter a task when it is sent, through the pipe to one worker. From
# then on that worker is of their kind (`kind_of`): it never gets a task of another kind that runs
# asset code and could read what is left in memory.

CONNECTED = "connected"
"""The kind of a worker that has the whole environment, for drivers and clients that read it (proxies, certificates, clouds' keys)."""


def environment_kind(task: Task) -> Hashable:
    """What the environment of a task's worker has to be like; None where nothing depends on it."""
    if isinstance(task, ComputeTask):
        if not isinstance(task.body, PythonBody | CommandBody):
            return None
        return (
            tuple(sorted(task.environment.items())),
            task.pass_environment,
            tuple(sorted(task.secrets.items())),
        )
    return CONNECTED if _connects(task) else None


def handed(task: Task, environment: Mapping[str, str], secrets: Secrets) -> Handed | None:
    """What a task is handed, from the environment of who sends it; None for nothing. `secrets` resolves, and remembers the values, so
    that who sends it can redact what comes back."""
    if not isinstance(task, ComputeTask):
        if not _connects(task):
            return None
        secrets.hide_all(_references(task))
        return Handed(dict(environment))
    secrets.hide_all(task.hidden)
    if not isinstance(task.body, PythonBody | CommandBody):
        return None
    variables = {name: environment[name] for name in task.pass_environment if name in environment} | task.environment
    try:
        values = {name: str(secrets.resolved(reference)) for name, reference in task.secrets.items()}
    except SecretMissing as error:
        return Handed(missing=f"{error}; {error.hint}" if error.hint else str(error))
    return Handed(variables | values, tuple(values)) if variables or values else None


def with_handed(task: Task, environment: Mapping[str, str], secrets: Secrets) -> Task:
    """The task as it is sent."""
    given = handed(task, environment, secrets)
    return task if given is None or isinstance(task, Prune) else msgspec.structs.replace(task, handed=given)


def secrets_of(project: Project) -> tuple[str, ...]:
    """References to all secrets that a project declares: of connections, sources (headers, parameters), assets, exports, channels."""
    return tuple(sorted(set(_declared(project))))


def _declared(project: Project) -> Iterator[str]:
    settings = project.settings
    yield from references_in([settings.connections, settings.notify, settings.openlineage, settings.environments])
    yield from references_in(settings.store_url)
    for source in project.sources.values():
        yield from references_in(source.connector)
    for asset in project.assets.values():
        yield from references_in(asset.secrets)
    for consumer in project.consumers.values():
        yield from references_in(consumer.export or {})


def _connects(task: Task) -> bool:
    """Whether a task talks to something outside of this machine's files, or resolves references."""
    match task:
        case ObserveTask() | ExportTask():
            return True
        case IngestTask():
            return connector_name(task.source) is not None or bool(task.connection)
    return False


def _references(task: Task) -> Iterator[str]:
    match task:
        case ObserveTask() | IngestTask():
            yield from references_in([task.connection, task.source.connector])
        case ExportTask():
            yield from references_in([task.connection, task.target])
