"""Perform one task in a worker: the boundary between user code and its process."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.connect.connectors import Unavailable
from headrace.connect.engines.engine import address_of
from headrace.connect.exports.fence import WriterFenced
from headrace.connect.exports.files import export_files
from headrace.connect.exports.registry import (
    DESTINATION_UNAVAILABLE,
    Assignment,
    ExportFailed,
    Portion,
    Surroundings,
    Written,
    table_writer,
)
from headrace.engine import InputData, Measures
from headrace.engine.attempts import BodyError, ErrorKind, surrounded
from headrace.engine.compute import error_of
from headrace.engine.failures import kind_of, shortened
from headrace.engine.processes import Meter
from headrace.lake import PARTITION_COLUMN, LakeColumn
from headrace.lake.files import DataCorrupted, check_file
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote, relation_sql, source_sql
from headrace.lake.staging import stage_rewrite
from headrace.lake.tables import FileRef, lost_with
from headrace.model import Consumer, Place
from headrace.model.errors import LAKE_FILE, first_line
from headrace.model.exports import export_of
from headrace.runtime.durable_files import with_durable_files
from headrace.runtime.messages import (
    Answer,
    ComputeTask,
    ExportTask,
    FailedOutcome,
    IngestBatchTask,
    IngestTask,
    ObserveTask,
    Prune,
    RewrittenFile,
    SourceObserved,
    StagedOutcome,
    Task,
)
from headrace.runtime.steps.compute import compute
from headrace.runtime.steps.ingest import ingest
from headrace.runtime.steps.ingest_batch import ingest_batch
from headrace.runtime.steps.sources import observe
from headrace.runtime.steps.worker_context import LARGE_ROWS, WorkerContext
from headrace.runtime.task_environments import with_handed
from headrace.runtime.worker_protocol import scrubbed
from headrace.security.secrets import SecretMissing

if TYPE_CHECKING:
    from headrace.model.exports import Export as Declared


# A lake file that a task reads and that isn't as published. A failure because of it isn't the fault
# of code or data, and the task waits for the repair of the file.

_ATTRIBUTABLE = (ErrorKind.DETERMINISTIC, ErrorKind.TRANSIENT)
_OF_FILES = re.compile(
    r"parquet|magic bytes|decompress|no such file|cannot open|no files found", re.IGNORECASE
)
"""Messages of DuckDB and Arrow about unreadable files; some don't contain the file's name."""


def attributed_to_damaged_files(answer: FailedOutcome, task: Task, lake: Path) -> FailedOutcome:
    """Return a failed task's answer; its error names a damaged input file if there is one."""
    error = answer.error
    if error.kind not in _ATTRIBUTABLE or not _OF_FILES.search(error.message):
        return answer
    for path in dict.fromkeys(_paths(task)):
        wrong = _damage_of(lake / path)
        # files that were given up are being recomputed
        if wrong and lost_with(Path(path).name) is None:
            message = f"{LAKE_FILE}{path} {wrong}"
            body_error = BodyError(
                ErrorKind.ENVIRONMENT,
                message,
                hint="headrace incidents lists what repairs it",
                code=DataCorrupted.code,
            )
            return msgspec.structs.replace(answer, error=body_error)
    return answer


_ERROR_NAME = re.compile(r"(?P<name>[A-Za-z]{1,40} ?(?:Error|Exception)): ")


def without_classified_values(answer: FailedOutcome, task: Task) -> FailedOutcome:
    """Return the answer of a failed task without the words of its error, if they may hold values.

    The words of asset code and of DuckDB quote values of rows. They are left out if an input has
    classified columns. Errors of every partition come before any row is read.
    """
    error = answer.error
    if (
        not isinstance(task, ComputeTask)
        or not task.classified_inputs
        or error.kind not in _ATTRIBUTABLE
        or error.everywhere
        or error.code == DataCorrupted.code
    ):
        return answer
    named = _ERROR_NAME.match(error.message)
    message = (
        f"{named['name'] if named else 'an error'}: its words are left out, because"
        f" {', '.join(task.classified_inputs[:3])} has classified columns"
    )
    hint = f"whoever may read them finds what the code printed by: headrace logs {task.scope.asset}"
    return msgspec.structs.replace(
        answer, error=msgspec.structs.replace(error, message=message, hint=hint)
    )


def _damage_of(path: Path) -> str:
    """Return what is visibly wrong with a file, whatever was published; empty if nothing."""
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return check_file(path, size, 0).wrong


def _paths(value: Any) -> Iterator[str]:
    """Yield the paths of all lake files in a task."""
    if isinstance(value, FileRef):
        yield value.path
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _paths(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _paths(item)


# Copies of files without replaced partitions. A backfill needs them before it can publish all of
# its partitions at once.


def prune(task: Prune, context: WorkerContext) -> StagedOutcome:
    """Copy each file without its replaced partitions, in the order of the files."""
    began, session = time.monotonic(), context.session(task.timezone)
    files = [
        RewrittenFile(file.path, stage_rewrite(session, file, task.table, without))
        for file, without in zip(task.files, task.without, strict=True)
    ]
    return StagedOutcome(
        attempt=task.attempt,
        measures=Measures(seconds=time.monotonic() - began),
        rewritten=tuple(files),
    )


# Export: write a consumer's data of one interval to its destination, completely and exactly once.

SORTED_ROWS_MAX = 10_000_000
"""Up to this many rows are sorted by all columns, so that equal rows give equal bytes.

More rows are written in the order of the lake's files.
"""


def export(task: ExportTask, context: WorkerContext) -> StagedOutcome | FailedOutcome:
    """Export one interval of a consumer: it is written, or fails without visible effect."""
    with Meter() as meter:
        outcome = _try_export(task, context)
    written = outcome.manifest or () if isinstance(outcome, StagedOutcome) else ()
    measures = meter.measures(
        rows_in=sum(data.rows or 0 for data in task.reads),
        bytes_in=0,
        rows_out=sum(int(item["rows"]) for item in written),
        bytes_out=sum(int(item["size"]) for item in written),
    )
    return msgspec.structs.replace(outcome, measures=measures)


def _try_export(task: ExportTask, context: WorkerContext) -> StagedOutcome | FailedOutcome:
    import duckdb

    try:
        written = _written(task, context)
    except WriterFenced as error:
        return _export_failed(task, ErrorKind.CANCELLED, str(error))
    except ExportFailed as error:
        kind = (
            ErrorKind.TRANSIENT
            if error.code == DESTINATION_UNAVAILABLE
            else ErrorKind.DETERMINISTIC
        )
        return _export_failed(task, kind, str(error), error.hint, error.code)
    except Unavailable as error:
        return _export_failed(task, ErrorKind.DETERMINISTIC, str(error), code=error.code)
    except SecretMissing as error:
        return _export_failed(
            task, ErrorKind.DETERMINISTIC, str(error), error.hint, "configuration_error"
        )
    except duckdb.Error as error:
        kind = kind_of(error)
        code = "configuration_error" if kind is ErrorKind.DETERMINISTIC else ""
        return _export_failed(task, kind, first_line(error), code=code)
    entries = sorted((item.asset, item.target, item.sha256) for item in written)
    return StagedOutcome(
        attempt=task.attempt,
        measures=Measures(),
        manifest=tuple(msgspec.to_builtins(item) for item in written),
        sha256=hashlib.sha256(msgspec.json.encode(entries)).hexdigest(),
    )


def _export_failed(
    task: ExportTask, kind: ErrorKind, message: str, hint: str = "", code: str = ""
) -> FailedOutcome:
    error = BodyError(kind=kind, message=shortened(message), hint=hint, code=code)
    return FailedOutcome(attempt=task.attempt, measures=Measures(), error=error)


def _written(task: ExportTask, context: WorkerContext) -> tuple[Written, ...]:
    declared = _declared(task)
    resolved = (
        msgspec.structs.replace(declared, path=context.secrets.resolved(declared.path))
        if declared.path
        else declared
    )
    epoch, _, n = task.attempt.partition(".")
    assignment = Assignment(
        consumer=task.consumer,
        interval=task.interval,
        start=datetime.fromisoformat(task.start) if task.start else None,
        epoch=int(epoch),
        n=int(n),
        now_us=task.now_us,
        export=resolved,
        project=task.project,
        take_over=task.take_over,
        label=declared.label,
    )
    rows = [data.rows or 0 for data in task.reads]
    around = Surroundings(
        session=context.session(
            task.timezone,
            large=sum(rows) >= LARGE_ROWS,
            ordered=max(rows, default=0) > SORTED_ROWS_MAX,
        ),
        root=context.folders.project,
        temporary=context.folders.temporary,
        fence=context.folders.fence,
        connection=task.connection,
        secrets=context.secrets,
    )
    portions = [_portion(data, around.session) for data in task.reads]
    if declared.table is not None:
        kind = address_of(task.connection, context.secrets).kind
        return table_writer(kind)(assignment, portions, around)
    return export_files(assignment, portions, around)


def _declared(task: ExportTask) -> Declared:
    consumer = Consumer(
        name=task.consumer, owner="", reads=(), export=task.target, place=Place(file="")
    )
    export = export_of(consumer)
    assert export is not None
    return export


def _portion(data: InputData, session: DuckDBSession) -> Portion:
    """Return the rows to write for one input.

    A view's columns and rows are known only after it is queried.
    """
    if not data.sql:
        return _ordered(
            data.name,
            data.columns,
            data.rows or 0,
            relation_sql(data.files, data.columns, with_partition=True),
        )
    view = source_sql(data)
    described = session.connection.execute(f"DESCRIBE SELECT * FROM ({view})").fetchall()
    counted = session.connection.execute(f"SELECT count(*) FROM ({view})").fetchone()
    assert counted is not None
    columns = tuple(
        LakeColumn(name, kind, place) for place, (name, kind, *_) in enumerate(described, 1)
    )
    return _ordered(
        data.name,
        columns,
        counted[0],
        f"SELECT CAST('*' AS VARCHAR) AS {quote(PARTITION_COLUMN)}, * FROM ({view}) AS view",
    )


def _ordered(name: str, columns: Sequence[LakeColumn], rows: int, source: str) -> Portion:
    lake_columns = tuple(column for column in columns if column.name != PARTITION_COLUMN)
    by = ", ".join(
        f"rows.{quote(item)}"
        for item in (PARTITION_COLUMN, *(column.name for column in lake_columns))
    )
    return Portion(
        asset=name,
        columns=lake_columns,
        rows=rows,
        source=source,
        order="" if rows > SORTED_ROWS_MAX else f" ORDER BY {by}",
    )


# Perform a task. Every failure except the end of the process becomes an answer, and no answer
# contains a secret.


def perform(task: Task, context: WorkerContext) -> Answer:
    """Perform one task and return its answer.

    Any error of user code becomes an answer, unless it ends the process. No answer contains a
    secret.
    """
    # the caller runs in this process, so the environment is its own
    if not isinstance(task, Prune) and task.handed is None:
        task = with_handed(task, os.environ, context.secrets)
    handed_values = None if isinstance(task, Prune) else task.handed
    if handed_values is not None:
        for name in handed_values.secrets:
            context.secrets.hide(handed_values.variables[name])
    with surrounded(handed_values):
        answer = _performed(task, context)
    if isinstance(answer, FailedOutcome):
        answer = attributed_to_damaged_files(answer, task, context.folders.lake)
        answer = without_classified_values(answer, task)
    return scrubbed(answer, context.secrets)


def _performed(task: Task, context: WorkerContext) -> Answer:
    context.limit(task.memory_max_bytes if isinstance(task, ComputeTask) else None)
    try:
        match task:
            case IngestBatchTask():
                return ingest_batch(task, context)
            case IngestTask():
                return ingest(task, context)
            case ComputeTask():
                return with_durable_files(compute(task, context), context.folders)
            case ExportTask():
                return export(task, context)
            case ObserveTask():
                return observe(task, context)
            case Prune():
                return with_durable_files(prune(task, context), context.folders)
    except BaseException as error:  # noqa: BLE001 - the error boundary: no task ends the worker
        return _failed(task, error)


def _failed(task: Task, error: BaseException) -> Answer:
    body_error = error_of(error)
    if isinstance(task, ObserveTask):
        return SourceObserved(task.attempt, error=body_error.message, code="source_unavailable")
    attempt = task.scope.attempt if isinstance(task, ComputeTask) else task.attempt
    return FailedOutcome(attempt=attempt, measures=Measures(), error=body_error)
