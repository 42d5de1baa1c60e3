"""Ingest deliveries of several intervals in one attempt, as far as nothing about them is unusual.

All of them are read by one statement into one staged file, which one scan audits. Each delivery is
then evaluated like one that is ingested alone, after the deliveries before it were published. From
the first one that isn't certainly published like that, all are given back: the scheduler has that
one ingested alone, so that every finding and every message about a single delivery has one origin
(`runtime.steps.ingest`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from headrace.checks import Audit, Verdict, metrics
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.row_anomalies import PublishedContent
from headrace.checks.audit import PROFILES_MAX, AuditRequest, audit, promised_checks
from headrace.checks.facts import Fact
from headrace.checks.metrics import HISTORY_PARTITIONS, REPEATED_ROWS_MAX, StoredMetrics
from headrace.checks.profile_plan import BATCH_ROWS_MAX, EXACT_ROWS_MAX
from headrace.checks.results import PartitionAudit
from headrace.connect.alike_files import AlikeFile, AlikeFiles
from headrace.connect.connectors import Unavailable
from headrace.connect.deliveries import CannotRead
from headrace.connect.prepared import PreparedDelivery, fingerprint
from headrace.connect.raw_files import RawCopy
from headrace.connect.schemas import Adapted, about_the_machine
from headrace.engine import InputData, Measures
from headrace.engine.macros import lent
from headrace.engine.processes import Meter
from headrace.lake import FileRef, LakeTable, StagedFile
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote, relation_sql
from headrace.lake.staging import KeyExpression, stage
from headrace.lake.tables import PARTITION_COLUMN, ColumnLookup
from headrace.model import HeadraceError
from headrace.model.intervals import previous_key
from headrace.runtime.messages import (
    AnomalyContext,
    IngestBatchTask,
    IngestedDelivery,
    IngestTask,
    NeighbouringIntervals,
    StagedOutcome,
)
from headrace.runtime.steps.anomalies import EvaluatedAudit, LargerSample, evaluated_audit
from headrace.runtime.steps.checks import blocking
from headrace.runtime.steps.delivery_bytes import bytes_of
from headrace.runtime.steps.delivery_verdicts import PUBLISHABLE, unexpected_row_count
from headrace.runtime.steps.drift import Drifting
from headrace.runtime.steps.expected_schemas import needs_room, of_file
from headrace.runtime.steps.ingest import routing
from headrace.runtime.steps.repeated_rows import (
    StagedRows,
    columns_of,
    repeated_sql,
    shares_repeated,
    times_by_partition,
    uncounted,
    with_copies,
    with_open_end,
    with_repeated_values,
)
from headrace.runtime.steps.sources import RenameEvidence, read_as, texts_for_a_few_values
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.security.secrets import SecretMissing

LATELY = 7
"""Number of earlier intervals that show the known keys of joined columns."""
VERSIONS_MAX = 500
"""Number of publications whose rows a delivery is compared with."""


class _Delivery(NamedTuple):
    """A delivery that may be read with the others."""

    key: str
    copy: RawCopy
    file: AlikeFile


class _Batch(NamedTuple):
    """What the deliveries of a batch have in common."""

    task: IngestBatchTask
    session: DuckDBSession
    prepared: PreparedDelivery
    files: AlikeFiles

    @property
    def first(self) -> IngestTask:
        return self.task.first


class _Evaluated(NamedTuple):
    """One delivery, audited and evaluated."""

    delivery: _Delivery
    audit: Audit
    facts: tuple[Fact, ...]
    reason: str


def ingest_batch(task: IngestBatchTask, context: WorkerContext) -> StagedOutcome:
    """Ingest the deliveries up to the first one that has to be ingested alone."""
    with Meter() as meter:
        outcome = _ingested(task, context)
    rows = outcome.staged.rows if outcome.staged is not None else 0
    measures = meter.measures(
        rows_in=rows,
        bytes_in=sum(ingested.size_bytes for ingested in outcome.ingested.values()),
        rows_out=rows,
        bytes_out=outcome.staged.size_bytes if outcome.staged is not None else 0,
    )
    audited = outcome.audit.seconds if outcome.audit else 0.0
    return msgspec.structs.replace(outcome, measures=measures.apart_from_audit(audited))


def _ingested(task: IngestBatchTask, context: WorkerContext) -> StagedOutcome:
    session = context.session(task.first.source.timezone)
    copies = list(_raw_copies(task, context))
    batch = _begun(task, context, session, copies[0]) if copies else None
    if batch is not None:
        deliveries = list(_alike(batch, context, copies))
        while deliveries:
            result = _staged(batch, context, deliveries)
            if isinstance(result, StagedOutcome):
                return result
            deliveries = deliveries[:result]
    return StagedOutcome(attempt=task.attempt, measures=Measures(), given_back=task.keys)


def _raw_copies(task: IngestBatchTask, context: WorkerContext) -> Iterator[RawCopy]:
    """Keep the bytes of the deliveries, up to the first that can't be kept or repeats another."""
    contents = set[str]()
    for detected in task.found:
        single = msgspec.structs.replace(
            task.first, found=detected, keys=(detected.partition,), sha256=None
        )
        try:
            copy, _ = bytes_of(single, context)
        except (CannotRead, Unavailable, SecretMissing, HeadraceError):
            return
        if copy.sha256 in contents:
            return
        contents.add(copy.sha256)
        yield copy


def _begun(
    task: IngestBatchTask, context: WorkerContext, session: DuckDBSession, copy: RawCopy
) -> _Batch | None:
    """Return the batch, if the first delivery is read exactly as its schema is pinned."""
    first = task.first
    drifting = Drifting(first, RenameEvidence(first, context, copy, first.found.path).propose)
    drifting.begin()
    prepared = read_as(
        first,
        context,
        session,
        copy,
        first.found.path,
        pinned=drifting.pinned,
        adapt=drifting.adapt,
    )
    if not isinstance(prepared, PreparedDelivery):
        return None
    try:
        files = AlikeFiles.begin(prepared, copy)
    finally:
        prepared.discard()
    if files is None or needs_room(prepared.schema, first.table):
        return None
    return _Batch(task, session, prepared, files)


def _alike(batch: _Batch, context: WorkerContext, copies: Sequence[RawCopy]) -> Iterator[_Delivery]:
    """Yield the deliveries up to the first one that isn't read as the pinned schema says."""
    columns = max(1, len(batch.prepared.schema.columns))
    together = list(zip(batch.task.found, copies, strict=False))[: PROFILES_MAX // columns]
    for detected, copy in together:
        file = batch.files.compare(copy, detected.path)
        single = msgspec.structs.replace(batch.first, found=detected, keys=(detected.partition,))
        if file is None or not _is_as_pinned(batch, single, context, copy):
            return
        yield _Delivery(detected.partition, copy, file)


def _is_as_pinned(batch: _Batch, task: IngestTask, context: WorkerContext, copy: RawCopy) -> bool:
    """Whether a delivery's columns are those expected of its interval, under the same names."""
    drifting = Drifting(task, RenameEvidence(task, context, copy, task.found.path).propose)
    drifting.begin()
    header = batch.prepared.header
    adapted = drifting.adapt(msgspec.structs.replace(header, names=batch.prepared.header_names))
    return (
        isinstance(adapted, Adapted)
        and not adapted.added
        and not adapted.computed
        and all(name == column for name, column in adapted.names.items())
        and set(header.names) <= adapted.names.keys()
        and not drifting.as_is
        and not drifting.changes(batch.prepared)
        and drifting.to_pin(batch.prepared) is None
    )


def _staged(
    batch: _Batch, context: WorkerContext, deliveries: Sequence[_Delivery]
) -> StagedOutcome | int:
    """Return the outcome of all deliveries, or the number of those to try without the others."""
    import duckdb

    try:
        staged, table = _stage(batch, deliveries)
    except (CannotRead, HeadraceError, duckdb.Error) as error:
        if isinstance(error, duckdb.Error) and about_the_machine(error):
            raise
        return len(deliveries) // 2  # whose rows they are isn't known
    as_many = _with_as_many_rows(staged, deliveries)
    if as_many == len(deliveries):
        audited = _audited(batch, staged, table, deliveries)
        evaluated = list(_evaluated(batch, staged, table, audited, deliveries))
        if len(evaluated) == as_many:
            return _outcome(batch, staged, table, audited, evaluated)
        as_many = len(evaluated)
    (context.folders.lake / staged.path).unlink()
    return as_many


def _stage(batch: _Batch, deliveries: Sequence[_Delivery]) -> tuple[StagedFile, LakeTable]:
    keys = {delivery.copy.path: delivery.key for delivery in deliveries}
    source = batch.first.source
    return stage(
        batch.session,
        batch.files.select_sql(keys, PARTITION_COLUMN),
        target=TargetTable(source.name, batch.first.table),
        partition=KeyExpression(
            quote(PARTITION_COLUMN), tuple(keys.values()), column=PARTITION_COLUMN
        ),
        hashed=False,
        alike=(source.name, batch.prepared.schema, PARTITION_COLUMN),
    )


def _with_as_many_rows(staged: StagedFile, deliveries: Sequence[_Delivery]) -> int:
    """Return the number of deliveries before the first whose rows aren't those of its file.

    Few enough rows are profiled completely; of more, half of the deliveries are tried.
    """
    if staged.rows > BATCH_ROWS_MAX:
        return len(deliveries) // 2
    rows = {part.key: part.rows for part in staged.partitions}
    for place, delivery in enumerate(deliveries):
        expected = rows[delivery.key] if delivery.file.rows is None else delivery.file.rows
        if not 0 < rows[delivery.key] == expected <= EXACT_ROWS_MAX:
            return place
    return len(deliveries)


def _audited(
    batch: _Batch, staged: StagedFile, table: LakeTable, deliveries: Sequence[_Delivery]
) -> Audit:
    first, source = batch.first, batch.first.source
    promised = promised_checks(first.promised or (), source.place, source.on_drift)
    request = AuditRequest(
        checks=(*promised, *source.checks),
        now_us=first.now_us,
        partition_check=routing(source),
        partitions=[delivery.key for delivery in deliveries],
        references=first.check_data.references,
        timezone=source.timezone,
        on_fail=blocking(source.on_fail),
        classified=first.classified,
    )
    with lent(batch.session, first.macros):
        return audit(batch.session, staged, table, request)


# Each delivery is evaluated after those before it, as if they had been published.


class _Earlier:
    """What a delivery is compared with: the source's publications, and the batch before it."""

    def __init__(self, task: IngestBatchTask, staged: StagedFile, table: LakeTable) -> None:
        self._task, self._first, self._staged = task, task.first, staged
        self._columns = tuple(columns_of(table))
        self._history = list(task.first.history)
        self._versions = list(task.first.around.versions)
        self._rows: dict[str, InputData] = {}

    @property
    def history(self) -> list[StoredMetrics]:
        """The metrics of the last partitions, oldest first."""
        return self._history[-HISTORY_PARTITIONS:]

    def context(self, key: str) -> AnomalyContext:
        """Return what a delivery's anomalies depend on besides its history."""
        return msgspec.structs.replace(
            self._first.around,
            versions=tuple(self._versions[:VERSIONS_MAX]),
            peers=self._task.peers.get(key, ()),
        )

    def neighbours(self, key: str) -> NeighbouringIntervals:
        """Return the rows of the intervals before a delivery's."""
        of_first = self._first.neighbours
        if not self._rows:
            return of_first
        return NeighbouringIntervals(
            day_before=self._rows.get(_before(self._first, key)),
            lately=self._lately() if of_first.joined else None,
            joined=of_first.joined,
        )

    def _lately(self) -> InputData | None:
        """Return the rows of the last few intervals; None while there are fewer."""
        known = [*reversed(self._rows.values()), *self._task.lately]
        if len(known) < LATELY:
            return None
        files = tuple(file for data in known[:LATELY] for file in data.files)
        return msgspec.structs.replace(known[0], files=files)

    def add(self, key: str, evaluated: EvaluatedAudit, rows: StagedRows) -> None:
        """Count a delivery as published, but for columns with anomalies that were let through."""
        doubtful = tuple(fact.column for fact in evaluated.facts if fact.let_through)
        metrics_of_it = evaluated.audit.metrics
        self._history.append(StoredMetrics(key, metrics_of_it, doubtful=doubtful))
        self._rows[key] = InputData(
            name=self._first.source.name, files=(rows.file,), columns=self._columns, rows=rows.rows
        )
        content_hash = evaluated.audit.content_hash
        if content_hash is not None and not self._first.source.expect.unchanged:
            self._versions.insert(0, PublishedContent(key, content_hash))
            self._versions.sort(key=lambda version: version.partition, reverse=True)


def _evaluated(
    batch: _Batch,
    staged: StagedFile,
    table: LakeTable,
    audited: Audit,
    deliveries: Sequence[_Delivery],
) -> Iterator[_Evaluated]:
    """Yield the deliveries up to the first one that isn't certainly published."""
    first, session, grain = batch.first, batch.session, batch.first.source.partition.grain
    rows = {part.key: _rows_of(staged, part.key, part.rows) for part in staged.partitions}
    repeated = _repeated(session, staged, table)
    audits = {
        delivery.key: _with_counts(
            audited.of(delivery.key), rows[delivery.key], repeated[delivery.key], delivery.file
        )
        for delivery in deliveries
    }
    names = {name for key in audits for name in uncounted(audits[key], rows[key].rows, table)}
    times = times_by_partition(session, _file(staged), table, sorted(names))
    previous = {key: _before(first, key) for key in audits}
    previous = {key: other for key, other in previous.items() if other in audits}
    still_there = shares_repeated(session, _file(staged), table, previous)
    texts = texts_for_a_few_values(batch.prepared.schema, first.promised or ())
    larger = LargerSample(session, staged, table, first.source.timezone, first.classified)
    earlier = _Earlier(batch.task, staged, table)
    for delivery in deliveries:
        result, of_one = audits[delivery.key], rows[delivery.key]
        result = with_copies(result, session, of_one, table, times.get(delivery.key, {}))
        neighbours = earlier.neighbours(delivery.key)
        result = with_repeated_values(
            result, session, of_one, table, neighbours, still_there.get(delivery.key)
        )
        around, history = earlier.context(delivery.key), MetricHistory(earlier.history, grain)
        evaluated = evaluated_audit(result, staged, (delivery.key,), around, history, larger)
        if not _is_published(first, evaluated.audit, of_one.rows):
            return
        earlier.add(delivery.key, evaluated, of_one)
        yield _Evaluated(delivery, evaluated.audit, (*texts, *evaluated.facts), evaluated.reason)


def _before(task: IngestTask, key: str) -> str:
    """Return the interval right before."""
    return previous_key(key, task.source.partition.time_grain, task.source.timezone)


def _is_published(task: IngestTask, result: Audit, rows: int) -> bool:
    unexpected = unexpected_row_count(task.source, rows, history_has_rows=task.history_has_rows)
    return result.verdict in PUBLISHABLE and not unexpected


def _file(staged: StagedFile) -> FileRef:
    return FileRef(staged.path, lookup=ColumnLookup.SAME)


def _rows_of(staged: StagedFile, key: str, rows: int) -> StagedRows:
    return StagedRows(FileRef(staged.path, (key,), lookup=ColumnLookup.SAME), rows)


def _repeated(session: DuckDBSession, staged: StagedFile, table: LakeTable) -> dict[str, int]:
    """Return the number of rows of each partition that are identical to others in it."""
    rows = relation_sql([_file(staged)], columns_of(table), with_partition=True)
    counted = f"SELECT {quote(PARTITION_COLUMN)}, {repeated_sql(table)} FROM ({rows}) AS file"
    return dict(session.connection.execute(f"{counted} GROUP BY 1").fetchall())


def _with_counts(result: Audit, rows: StagedRows, repeated: int, file: AlikeFile) -> Audit:
    """Return the audit with the metrics of a delivery that its scan hasn't computed."""
    if not result.metrics:
        return result
    if 1 < rows.rows <= REPEATED_ROWS_MAX:
        measured = msgspec.structs.replace(metrics.decoded(result.metrics), repeated=repeated)
        result = msgspec.structs.replace(result, metrics=metrics.encoded(measured))
    return with_open_end(result, open_end=file.open_end)


def _outcome(
    batch: _Batch,
    staged: StagedFile,
    table: LakeTable,
    audited: Audit,
    evaluated: Sequence[_Evaluated],
) -> StagedOutcome:
    task, schema = batch.task, of_file(batch.prepared)
    by_key = {each.delivery.key: each for each in evaluated}
    warned = any(each.audit.verdict is Verdict.WARNED for each in evaluated)
    partitions = {
        key: PartitionAudit(
            each.audit.verdict, each.audit.results, each.audit.content_hash, each.audit.metrics
        )
        for key, each in by_key.items()
    }
    result = msgspec.structs.replace(
        audited,
        verdict=Verdict.WARNED if warned else audited.verdict,
        partitions=partitions,
        profiles={key: each.audit.profile for key, each in by_key.items()},
    )
    return StagedOutcome(
        attempt=task.attempt,
        measures=Measures(),
        staged=staged.hashed_each(result.hashes()),
        table=table if table != batch.first.table else None,
        audit=result,
        facts=tuple(fact for each in evaluated for fact in each.facts),
        reason="; ".join(f"{key}: {each.reason}" for key, each in by_key.items() if each.reason),
        ingested={
            key: IngestedDelivery(
                each.delivery.copy.sha256,
                fingerprint(schema, each.delivery.copy.sha256),
                each.delivery.copy.size_bytes,
                each.reason,
            )
            for key, each in by_key.items()
        },
        given_back=tuple(key for key in task.keys if key not in by_key),
    )
