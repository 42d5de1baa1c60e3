"""Ingest a delivery: keep its bytes, read it by its pinned schema, stage it, audit it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.checks import Audit
from headrace.checks.audit import AuditRequest, audit, promised_checks
from headrace.checks.drift import facts_of
from headrace.checks.facts import Fact
from headrace.checks.placement import PartitionCheck
from headrace.checks.restatement import duplicate_delivery
from headrace.connect import Drift, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.connectors import (
    AWAY_SECONDS_MAX,
    Unavailable,
    connector_name,
    is_routed_by_rows,
)
from headrace.connect.deliveries import DISAGREES, EMPTY, CannotRead
from headrace.connect.ingest import ReadRules, explain_error, prepare
from headrace.connect.parser_process import POISON
from headrace.connect.prepared import PreparedDelivery, miscounted, parquet_as_delivered
from headrace.connect.raw_files import (
    ChangedWhileRead,
    RawCopy,
)
from headrace.connect.row_partitions import key_of_rows
from headrace.engine import BodyError, ErrorKind, Measures
from headrace.engine.failures import kind_of
from headrace.engine.macros import lent
from headrace.engine.processes import Meter
from headrace.lake import FileRef, LakeTable, StagedFile
from headrace.lake.delivered_parquet import stage_delivered
from headrace.lake.erased_files import matches_sql, recognised
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, quote
from headrace.lake.staging import Partition, hash_partitions, stage
from headrace.lake.tables import ColumnLookup as FileLookup
from headrace.model import HeadraceError, LakeError, Source
from headrace.model.partitions import split
from headrace.runtime.accepted_rules import as_accepted, without_emptied
from headrace.runtime.messages import (
    FailedOutcome,
    HeldOutcome,
    IngestTask,
    RejectedOutcome,
    StagedOutcome,
    TaskOutcome,
    WithheldOutcome,
)
from headrace.runtime.steps.anomalies import further_facts
from headrace.runtime.steps.checks import (
    DeclaredChecks,
    EarlierPartition,
    blocking,
    with_own_checks,
    with_views,
    without_faulty_rows,
)
from headrace.runtime.steps.delivery_bytes import bytes_of
from headrace.runtime.steps.delivery_verdicts import ReadDelivery, concluded
from headrace.runtime.steps.drift import READINGS_MAX, Drifting
from headrace.runtime.steps.expected_schemas import target_of
from headrace.runtime.steps.repeated_rows import (
    StagedRows,
    with_copies,
    with_end,
    with_repeated,
    with_repeated_values,
)
from headrace.runtime.steps.sources import (
    RenameEvidence,
    Unread,
    facts_of_unreadable,
    outsized,
    poison,
    read_as,
)
from headrace.runtime.steps.worker_context import LARGE_BYTES, WorkerContext
from headrace.security.erasures import hash_key
from headrace.security.secrets import SecretMissing


def ingest(task: IngestTask, context: WorkerContext) -> TaskOutcome:
    """Ingest one delivery: staged, held, rejected or failed."""
    with Meter() as meter:
        outcome, bytes_in = _ingested(task, context)
    rows, size = _read_by(outcome)
    measures = meter.measures(rows_in=rows, bytes_in=bytes_in, rows_out=rows, bytes_out=size)
    audited = outcome.audit.seconds if outcome.audit else 0.0
    return msgspec.structs.replace(outcome, measures=measures.apart_from_audit(audited))


def _read_by(outcome: TaskOutcome) -> tuple[int, int]:
    """Return how many rows and bytes of a delivery were staged, with the rows left out."""
    if isinstance(outcome, FailedOutcome) or outcome.staged is None:
        return 0, 0
    left_out = outcome.quarantined_rows or 0 if isinstance(outcome, StagedOutcome) else 0
    return outcome.staged.rows + left_out, outcome.staged.size_bytes


def _ingested(task: IngestTask, context: WorkerContext) -> tuple[TaskOutcome, int]:
    """Return the outcome and the delivery's size in bytes."""
    try:
        copy, name = bytes_of(task, context)
    except CannotRead as error:
        rejected = RejectedOutcome(
            attempt=task.attempt,
            measures=Measures(),
            reason=str(error),
            facts=facts_of_unreadable(error.value),
            acceptable=False,
        )
        return rejected, max(task.found.size_bytes, 0)
    except ChangedWhileRead as error:
        return _failed(task, str(error), ErrorKind.TRANSIENT), 0
    except Unavailable as error:
        return _unavailable(task, error), 0
    except SecretMissing as error:
        kind = ErrorKind.TRANSIENT if error.transient else ErrorKind.DETERMINISTIC
        return _failed(task, f"{error}; {error.hint}", kind, error.code), 0
    except HeadraceError as error:
        return _failed(task, str(error), kind_of(error)), 0
    if (fact := _given_up(task, copy)) is not None:  # the bytes are kept, but not read any more
        raw = str(Path(copy.path).relative_to(context.folders.data))
        rejected = RejectedOutcome(
            attempt=task.attempt,
            measures=Measures(),
            reason=fact.observed,
            quarantined=raw,
            sha256=copy.sha256,
            version=copy.version,
            facts=(fact,),
            acceptable=False,
        )
        return rejected, copy.size_bytes
    outcome = _read(task, context, copy, name)
    withheld = () if task.source.expect.unchanged else task.known.withheld
    twins = duplicate_delivery(task.found.partition, copy.size_bytes, copy.sha256, withheld)
    if isinstance(outcome, FailedOutcome):
        return msgspec.structs.replace(outcome, sha256=copy.sha256), copy.size_bytes
    facts = (*outcome.facts, *twins)
    return msgspec.structs.replace(
        outcome, sha256=copy.sha256, version=copy.version, facts=facts
    ), copy.size_bytes


def _unavailable(task: IngestTask, error: Unavailable) -> FailedOutcome:
    """Return the failure of a source that didn't answer; it waits as long as the source asks."""
    if not error.throttled or error.retry_after is None:
        kind = ErrorKind.TRANSIENT if error.transient else ErrorKind.DETERMINISTIC
        return _failed(task, str(error), kind, error.code)
    after = min(max(error.retry_after, 1.0), AWAY_SECONDS_MAX)
    body_error = BodyError(
        ErrorKind.THROTTLED, str(error), code="source_throttled", after_seconds=after
    )
    return FailedOutcome(attempt=task.attempt, measures=Measures(), error=body_error)


def _given_up(task: IngestTask, copy: RawCopy) -> Fact | None:
    """Return why a delivery isn't read any more; None while it is."""
    if task.unreadable.deaths:
        return poison(task.unreadable.deaths)
    if task.unreadable.too_much is not None and task.unreadable.too_much.is_of(copy.size_bytes):
        return outsized(task.unreadable.too_much, copy.size_bytes)
    return None


def _read(task: IngestTask, context: WorkerContext, copy: RawCopy, name: str) -> TaskOutcome:
    large = copy.size_bytes >= LARGE_BYTES
    session = context.session(task.source.timezone, large=large, bounded=large)
    propose = RenameEvidence(task, context, copy, name).propose
    drifting = Drifting(task, propose)
    why: Unread = UnreadableFile("it can't be read")
    for _ in range(READINGS_MAX):
        result = _read_once(task, context, session, drifting, copy, name)
        if not isinstance(result, Unread):
            return result
        why = _without_classified(task, result)
        other = drifting.reread(why, Path(copy.path))
        if other is None:
            why = drifting.undecided or why
            break
        before = _as_before(task, context, session, drifting, copy, name, why)
        if isinstance(why, TypeDrift) and before is not None:
            drifting.read_as_always(why, before)
        drifting.pinned = other
    return _not_read(task, context, session, drifting, copy, name, why)


def _without_classified(task: IngestTask, why: Unread) -> Unread:
    """Return why a delivery can't be read, without values of classified columns."""
    if not isinstance(why, TypeDrift):
        return why
    return why.without_values({column.lower() for column in task.classified})


def _not_read(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    drifting: Drifting,
    copy: RawCopy,
    name: str,
    why: Unread,
) -> TaskOutcome:
    """Return the outcome of a delivery that can't be read in any allowed way."""
    before = _as_before(task, context, session, drifting, copy, name, why)
    if isinstance(why, TypeDrift) and before is not None:
        why = drifting.declared_otherwise(why, before)
    if _no_records_yet(task, copy, name, why):
        return StagedOutcome(attempt=task.attempt, measures=Measures())
    refused = _refused(task, why, copy, name, context, drifting)
    if _is_held(why) and not task.accepted:
        acceptable = _can_be_accepted(as_accepted(task), context, session, copy, name)
        refused = msgspec.structs.replace(refused, acceptable=acceptable)
    if not isinstance(why, Drift):
        return refused
    return msgspec.structs.replace(
        refused,
        facts=(*refused.facts, *further_facts(task, context, session, drifting, copy, name)),
    )


def _read_once(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    drifting: Drifting,
    copy: RawCopy,
    name: str,
) -> TaskOutcome | Unread:
    """Read the delivery in one way: return the outcome, or what prevents reading."""
    prepared = _prepared(task, context, session, drifting, copy, name)
    if not isinstance(prepared, PreparedDelivery):
        return prepared
    try:
        return _staged(task, context, session, prepared, drifting, copy)
    finally:
        prepared.discard()


def _prepared(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    drifting: Drifting,
    copy: RawCopy,
    name: str,
) -> PreparedDelivery | Unread:
    drifting.begin()
    adapt = drifting.adapt if drifting.pinned or task.promised else None
    return read_as(task, context, session, copy, name, pinned=drifting.pinned, adapt=adapt)


def _can_be_accepted(
    accepted: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    copy: RawCopy,
    name: str,
) -> bool:
    """Whether a delivery that is held can be read once a person accepts it."""
    drifting = Drifting(accepted, RenameEvidence(accepted, context, copy, name).propose)
    for _ in range(READINGS_MAX):
        prepared = _prepared(accepted, context, session, drifting, copy, name)
        why = _unread(prepared, session) if isinstance(prepared, PreparedDelivery) else prepared
        other = None if why is None else drifting.reread(why, Path(copy.path))
        if other is None:
            return why is None
        drifting.pinned = other
    return False


def _unread(prepared: PreparedDelivery, session: DuckDBSession) -> Unread | None:
    """Read all values; return what prevents it, or None."""
    import duckdb

    try:
        session.connection.execute(
            f"SELECT bit_xor(hash(delivery)) FROM ({prepared.select_sql}) AS delivery"
        ).fetchone()
    except duckdb.Error as error:
        return explain_error(error, prepared, session.connection)
    finally:
        prepared.discard()
    return None


def _as_before(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    drifting: Drifting,
    copy: RawCopy,
    name: str,
    why: Unread,
) -> SourceSchema | None:
    """Return the schema from before the contract declared other types.

    None unless all values of the affected columns fit it.
    """
    import duckdb

    schema = drifting.as_before(why) if isinstance(why, TypeDrift) else None
    if schema is None or not isinstance(why, TypeDrift):
        return None
    prepared = read_as(task, context, session, copy, name, pinned=schema, adapt=drifting.adapt)
    if not isinstance(prepared, PreparedDelivery):
        return None
    try:
        counts = ", ".join(f"count({quote(column.column)})" for column in why.columns)
        session.connection.execute(f"SELECT {counts} FROM ({prepared.select_sql})").fetchone()
    except duckdb.Error:
        return None
    finally:
        prepared.discard()
    return schema


def _no_records_yet(task: IngestTask, copy: RawCopy, name: str, why: Unread) -> bool:
    """Whether a connector's source has no records yet: complete with 0 rows, like a lone header."""
    nothing = isinstance(why, UnreadableFile) and why.code == EMPTY and copy.size_bytes <= 1
    return nothing and connector_name(task.source) is not None and name.endswith(".jsonl")


def _staged(
    task: IngestTask,
    context: WorkerContext,
    session: DuckDBSession,
    prepared: PreparedDelivery,
    drifting: Drifting,
    copy: RawCopy,
) -> TaskOutcome | Unread:
    import duckdb

    erased = 0
    try:
        prepared, erased = _without_erased(task, context, session, prepared)
        staged, table, left_out = _stage(task, session, prepared)
    except duckdb.Error as error:
        return explain_error(error, prepared, session.connection)
    except CannotRead as error:
        return error.value
    except LakeError as error:
        return _failed(task, str(error), ErrorKind.DETERMINISTIC)
    if (wrong := miscounted(prepared, staged.rows + left_out)) is not None:
        (context.folders.lake / staged.path).unlink()
        return wrong
    source = task.source
    if is_routed_by_rows(source):
        staged = _hashed(session, staged, table)
    promised = promised_checks(task.promised or (), source.place, source.on_drift)
    request = AuditRequest(
        checks=without_emptied((*promised, *source.checks), task.emptied),
        now_us=task.now_us,
        partition_check=routing(source),
        partitions=task.keys,
        key=_key(task),
        references=task.check_data.references,
        timezone=source.timezone,
        on_fail=blocking(source.on_fail),
        waived=task.waived,
        classified=task.classified,
    )

    def audited(file: StagedFile) -> Audit:
        return audit(session, file, table, request, repeated=True)

    on_fail = source.on_fail if len(task.keys) == 1 else blocking(source.on_fail)
    with lent(session, task.macros):
        row_split = without_faulty_rows(session, staged, table, request, audited, on_fail)
    staged, result = row_split.staged, row_split.audit
    rows = StagedRows.whole(staged)
    result = with_end(with_repeated(result, session, rows, table), prepared)
    result = with_copies(result, session, rows, table)
    result = with_repeated_values(result, session, rows, table, task.neighbours)
    result = with_views(result, task.check_data.views, session, staged, table, task.now_us)
    delivery = ReadDelivery(copy, prepared, drifting)
    outcome = concluded(task, context, session, delivery, staged, table, result)
    if not isinstance(outcome, StagedOutcome):
        declared = DeclaredChecks(source.checks, promised, task.promised or ())
        earlier = EarlierPartition(task.earlier, task.keys, source.timezone)
        facts = with_own_checks(
            outcome.facts, result, declared, earlier, session, row_split.staged, table
        )
        outcome = msgspec.structs.replace(outcome, facts=facts)
    if erased:
        _forget(copy)
    return row_split.settle(outcome, context)


def _without_erased(
    task: IngestTask, context: WorkerContext, session: DuckDBSession, prepared: PreparedDelivery
) -> tuple[PreparedDelivery, int]:
    """Return the delivery without the rows of erased subjects, and the number of these rows."""
    rows = recognised(task.erased, (column.name for column in prepared.schema.columns))
    if not rows:
        return prepared, 0
    condition = matches_sql(rows, hash_key(context.folders.data_path))
    row = session.connection.execute(
        f"SELECT count(*) FROM ({prepared.select_sql}) AS delivery WHERE {condition}"
    ).fetchone()
    erased = int(row[0]) if row else 0
    if not erased:
        return prepared, 0
    known = prepared.header.rows
    header = msgspec.structs.replace(
        prepared.header, rows=None if known is None else known - erased
    )
    rest = f"SELECT * FROM ({prepared.select_sql}) AS delivery WHERE NOT {condition}"
    return msgspec.structs.replace(prepared, select_sql=rest, header=header), erased


def _forget(copy: RawCopy) -> None:
    """Delete the stored bytes of a delivery with rows of an erased subject; their hash is kept."""
    for path in (copy.path, *(path for path, _ in copy.parts)):
        Path(path).unlink(missing_ok=True)


def _stage(
    task: IngestTask, session: DuckDBSession, prepared: PreparedDelivery
) -> tuple[StagedFile, LakeTable, int]:
    """Return the staged file, its table, and the number of rows that were left out."""
    target = target_of(task, prepared.schema)
    if is_routed_by_rows(task.source):
        select_sql, left_out = _without_replaced(task, session, prepared)
        partition: Partition = key_of_rows(task.source, prepared.schema.columns, task.keys)
    else:
        select_sql, left_out, partition = prepared.select_sql, 0, task.found.partition
        if (path := parquet_as_delivered(prepared)) is not None:
            columns = tuple((column.name, column.type) for column in prepared.schema.columns)
            staged = stage_delivered(
                session,
                path,
                columns,
                target=target,
                partition=task.found.partition,
            )
            if staged is not None:
                return *staged, 0
    file, table = stage(
        session,
        select_sql,
        target=target,
        partition=partition,
        hashed=is_routed_by_rows(task.source),
        alike=(task.source.name, prepared.schema),
    )
    return file, table, left_out


def _without_replaced(
    task: IngestTask, session: DuckDBSession, prepared: PreparedDelivery
) -> tuple[str, int]:
    """Return a query without the rows of replaced partitions, and the number of these rows.

    Another file has delivered these partitions since.
    """
    if not task.replaced:
        return prepared.select_sql, 0
    key = key_of_rows(task.source, prepared.schema.columns, task.replaced).sql
    replaced = f"coalesce({key} IN ({', '.join(map(literal, task.replaced))}), false)"
    row = session.connection.execute(
        f"SELECT count(*) FROM ({prepared.select_sql}) WHERE {replaced}"
    ).fetchone()
    return f"SELECT * FROM ({prepared.select_sql}) WHERE NOT {replaced}", int(row[0]) if row else 0


def routing(source: Source) -> PartitionCheck | None:
    """Return the column, grain and time zone that the audit checks rows by.

    No column if the file's name determines the interval.
    """
    grain = source.partition.grain
    if grain is None:
        return None
    column = (
        source.partition.column
        if is_routed_by_rows(source) and source.partition.key is None
        else None
    )
    return column, grain, source.timezone


def _key(task: IngestTask) -> tuple[str, str] | None:
    """Return the key that all rows must have, if the file's name determines it."""
    spec = task.source.partition
    return (
        None
        if spec.key is None or is_routed_by_rows(task.source)
        else (spec.key, split(task.keys[0], spec)[1])
    )


def _hashed(session: DuckDBSession, staged: StagedFile, table: LakeTable) -> StagedFile:
    """Return the file with the content hash of each partition, however large it is.

    A file delivered again is mostly unchanged, and only the changed partitions count.
    """
    if all(part.content_hash is not None for part in staged.partitions):
        return staged
    parts = {
        part.key: part
        for part in hash_partitions(
            session, [FileRef(staged.path, lookup=FileLookup.SAME)], table.columns
        )
    }
    return msgspec.structs.replace(
        staged, partitions=tuple(parts.get(part.key, part) for part in staged.partitions)
    )


def _refused(
    task: IngestTask,
    why: Unread,
    copy: RawCopy,
    name: str,
    context: WorkerContext,
    drifting: Drifting,
) -> WithheldOutcome:
    """Return the outcome of an unread delivery: drift is held, unreadable files are rejected.

    Its raw bytes wait in quarantine.
    """
    raw = str(Path(copy.path).relative_to(context.folders.data))
    changes = drifting.changes(why)
    facts = facts_of_unreadable(why) if isinstance(why, UnreadableFile) else ()
    if isinstance(why, UnreadableFile) and not _is_held(why):
        poisoned = why.code == POISON
        return RejectedOutcome(
            attempt=task.attempt,
            measures=Measures(),
            reason=why.reason,
            quarantined=raw,
            drift=() if poisoned else changes,
            facts=facts if poisoned else (*facts, *facts_of(changes)),
            acceptable=False,
        )
    return HeldOutcome(
        attempt=task.attempt,
        measures=Measures(),
        reason=why.detail if isinstance(why, Drift) else why.reason,
        quarantined=raw,
        unstaged=_rows(task, copy, name, context),
        drift=changes,
        facts=(*facts, *facts_of(changes)),
    )


def _is_held(why: Unread) -> bool:
    """Whether a person may accept what prevents reading a delivery."""
    return not isinstance(why, UnreadableFile) or why.code == DISAGREES


def _rows(task: IngestTask, copy: RawCopy, name: str, context: WorkerContext) -> dict[str, int]:
    """Return the rows of each partition of a held delivery, read without its contract.

    Nothing if they are unknown.
    """
    import duckdb

    connection = context.session(task.source.timezone).connection
    delivery = prepare(
        Path(copy.path),
        name,
        ReadRules(temporary=context.folders.temporary, options=task.source.connector),
        connection=connection,
        pinned=None,
    )
    if not isinstance(delivery, PreparedDelivery):
        return {}
    try:
        key = literal(task.keys[0])
        if len(task.keys) > 1:
            key = key_of_rows(task.source, delivery.schema.columns, task.keys).sql
        counted = f"SELECT {key}, count(*) FROM ({delivery.select_sql}) GROUP BY ALL"
        counts = dict(connection.execute(counted).fetchall())
    except (duckdb.Error, CannotRead):
        return {}
    finally:
        delivery.discard()
    return dict.fromkeys(task.keys, 0) | counts


def _failed(task: IngestTask, message: str, kind: ErrorKind, code: str = "") -> FailedOutcome:
    return FailedOutcome(
        attempt=task.attempt,
        measures=Measures(),
        error=BodyError(kind=kind, message=message, code=code),
    )
