"""A look in a worker: at a source that isn't a local folder, or into files whose rows are several intervals'."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.connect import DetectedDelivery, Drift, UnreadableFile
from headrace.connect.deliveries import CannotRead
from headrace.connect.http_rate import THROTTLED_SECONDS_MAX
from headrace.connect.ingest import PreparedDelivery, explain_error, prepare
from headrace.connect.keep import keep
from headrace.connect.kinds import Access, Unavailable, kind_of
from headrace.connect.routed import CODE, partitions_in
from headrace.connect.shown import shown
from headrace.govern.secrets import SecretMissing
from headrace.lake.session import DuckDBSession
from headrace.model import HeadraceError
from headrace.model.intervals import bounds_us
from headrace.model.times import Offset
from headrace.run.messages import ObserveTask, SourceObserved
from headrace.run.steps.worker_context import LARGE_BYTES, WorkerContext

THROTTLED, TOO_LONG = "source_throttled", "throttled_too_long"
"""The codes of a look that a server's wish for a pause ended."""


def observe(task: ObserveTask, context: WorkerContext) -> SourceObserved:
    """What is there; an error is part of the answer."""
    access = Access(
        source=task.source,
        connection=task.connection,
        secrets=context.secrets,
        temporary=context.folders.temporary,
        now_us=task.now_us,
    )
    if task.files:
        return _looked_into(task, context)
    try:
        seen = kind_of(task.source).observe(access, task.wanted, task.known)
    except Unavailable as error:
        code = error.code if not error.throttled else _throttled(task, error.retry_after or 0.0)
        return SourceObserved(task.attempt, error=context.secrets.scrubbed(str(error)), code=code)
    except SecretMissing as error:
        return SourceObserved(task.attempt, error=f"{error}; {error.hint}", code="configuration_error")
    notes = tuple(context.secrets.scrubbed(note.message) for note in seen.notes)
    if seen.throttled_seconds is not None:
        return SourceObserved(task.attempt, found=seen.found, error=notes[0], code=_throttled(task, seen.throttled_seconds))
    return SourceObserved(task.attempt, found=seen.found, notes=notes)


def _throttled(task: ObserveTask, seconds: float) -> str:
    """What a server that asks for a pause comes to: one that is only waited for, or one that isn't there. The latter is meant by more
    than an hour, and by longer than until its data is promised."""
    until = task.now_us + int(seconds * 1_000_000)
    source, by = task.source, task.source.expect.by
    late = False
    if by is not None and source.partition.grain is not None:
        ends = (bounds_us(key, source.partition.grain, source.timezone)[1] for key in task.wanted)
        late = any(task.now_us < Offset.parse(by).after_us(end, source.timezone) <= until for end in ends)
    return TOO_LONG if late or seconds > THROTTLED_SECONDS_MAX else THROTTLED


def _looked_into(task: ObserveTask, context: WorkerContext) -> SourceObserved:
    """Which partitions the rows of each file belong to: one delivery a partition, all of one bundle. What can't be told is the
    look's error, and is looked into again; a file without rows is only noted."""
    deliveries: list[DetectedDelivery] = []
    notes: list[str] = []
    error, code = None, None
    for file in task.files:
        try:
            keys, bundle = _keys_in(file, task, context)
        except CannotRead as refusal:
            error = error or f"{shown(file.path, 200)}: {refusal.value.reason}"
            code = code or refusal.value.code
        except HeadraceError as failure:
            error = error or str(failure)
            code = code or "source_unavailable"
        else:
            deliveries += [msgspec.structs.replace(file, partition=key, bundle=bundle) for key in keys]
            notes += [] if keys else [f"{shown(file.path, 200)} holds no rows that belong to a partition"]
    return SourceObserved(task.attempt, found=tuple(deliveries), notes=tuple(notes), error=error, code=code)


def _keys_in(file: DetectedDelivery, task: ObserveTask, context: WorkerContext) -> tuple[list[str], str]:
    """The partitions of a file's rows, and the hash that its bytes are kept under. A file that has drifted is read as it shows
    itself: its ingestion says what has changed. Raises CannotRead and HeadraceError."""
    copy = keep(context.folders.project, file, context.folders.raw)
    session = context.session(task.source.timezone, large=copy.size_bytes >= LARGE_BYTES)
    reasons = []
    for pinned in dict.fromkeys((task.pinned, None)):
        prepared = prepare(
            Path(copy.path), file.path, connection=session.connection, temporary=context.folders.temporary, pinned=pinned,
            promised=task.promised, options=task.source.connector,
        )  # fmt: skip
        if not isinstance(prepared, PreparedDelivery):
            reasons.append(CannotRead(prepared.detail if isinstance(prepared, Drift) else prepared.reason, code=CODE))
            continue
        try:
            return _keys_read(prepared, file, task, session), copy.sha256
        except CannotRead as refusal:
            reasons.append(refusal)
        finally:
            prepared.discard()
    raise reasons[0]


def _keys_read(prepared: PreparedDelivery, file: DetectedDelivery, task: ObserveTask, session: DuckDBSession) -> list[str]:
    import duckdb

    try:
        return partitions_in(session.connection, prepared.select_sql, prepared.schema.columns, task.source, file.partition)
    except duckdb.Error as error:
        unreadable_file = explain_error(error, prepared, session.connection)
        raise CannotRead(
            unreadable_file.reason, code=unreadable_file.code if isinstance(unreadable_file, UnreadableFile) else CODE
        ) from error
