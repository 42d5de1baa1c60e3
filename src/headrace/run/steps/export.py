"""Exporting: what a consumer reads, of one interval, is written to where it wants it, whole and once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from headrace.connect.engines.address import address_of
from headrace.connect.exports.fence import WriterFenced
from headrace.connect.exports.files import export_files
from headrace.connect.exports.registry import Assignment, ExportFailed, Portion, Surroundings, Written, table_writer
from headrace.connect.kinds import Unavailable
from headrace.engine import BodyError, ErrorKind, InputData, Measures
from headrace.engine.failures import kind_of, shortened
from headrace.engine.measure import Meter
from headrace.govern.secrets import SecretMissing
from headrace.lake import PARTITION_COLUMN, LakeColumn
from headrace.lake.inlining import source_sql
from headrace.lake.session import DuckDBSession, quote, relation_sql
from headrace.model import Consumer, Place
from headrace.model.errors import first_line
from headrace.model.exports import export_of
from headrace.run.messages import ExportTask, TaskOutcome
from headrace.run.steps.worker_context import LARGE_ROWS, WorkerContext

if TYPE_CHECKING:
    from headrace.model.exports import Export as Declared

SORTED_ROWS_MAX = 10_000_000
"""Up to so many rows are sorted by all columns, so that the same rows give the same bytes, however they were computed. More are
written in the order of the lake's files."""


def export(task: ExportTask, context: WorkerContext) -> TaskOutcome:
    """One interval of a consumer: written, or failed with nothing of it visible."""
    with Meter() as meter:
        outcome = _attempted(task, context)
    rows = sum(data.rows or 0 for data in task.reads)
    size = sum(int(item["size"]) for item in outcome.manifest or ())
    return msgspec.structs.replace(outcome, measures=meter.measures(rows_in=rows, bytes_in=0, rows_out=_rows(outcome), bytes_out=size))


def _rows(outcome: TaskOutcome) -> int:
    return sum(int(item["rows"]) for item in outcome.manifest or ())


def _attempted(task: ExportTask, context: WorkerContext) -> TaskOutcome:
    import duckdb

    try:
        written = _written(task, context)
    except WriterFenced as error:
        return _failed(task, ErrorKind.CANCELLED, str(error))
    except ExportFailed as error:
        kind = ErrorKind.TRANSIENT if error.code == "destination_unavailable" else ErrorKind.DETERMINISTIC
        return _failed(task, kind, str(error), error.hint, error.code)
    except Unavailable as error:
        return _failed(task, ErrorKind.DETERMINISTIC, str(error), code=error.code)
    except SecretMissing as error:
        return _failed(task, ErrorKind.DETERMINISTIC, str(error), error.hint, "configuration_error")
    except duckdb.Error as error:
        kind = kind_of(error)
        code = "configuration_error" if kind is ErrorKind.DETERMINISTIC else ""
        return _failed(task, kind, first_line(error), code=code)
    told = sorted((item.asset, item.target, item.sha256) for item in written)
    return TaskOutcome(
        attempt=task.attempt,
        state="staged",
        measures=Measures(),
        manifest=tuple(msgspec.to_builtins(item) for item in written),
        sha256=hashlib.sha256(msgspec.json.encode(told)).hexdigest(),
    )


def _failed(task: ExportTask, kind: ErrorKind, message: str, hint: str = "", code: str = "") -> TaskOutcome:
    error = BodyError(kind=kind, message=shortened(message), hint=hint, code=code)
    return TaskOutcome(attempt=task.attempt, state="failed", measures=Measures(), error=error)


def _written(task: ExportTask, context: WorkerContext) -> tuple[Written, ...]:
    declared = _declared(task)
    resolved = msgspec.structs.replace(declared, path=context.secrets.resolved(declared.path)) if declared.path else declared
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
        shown=declared.shown,
    )
    rows = [data.rows or 0 for data in task.reads]
    around = Surroundings(
        session=context.session(task.timezone, large=sum(rows) >= LARGE_ROWS, ordered=max(rows, default=0) > SORTED_ROWS_MAX),
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
    consumer = Consumer(name=task.consumer, owner="", reads=(), export=task.target, place=Place(file=""))
    export = export_of(consumer)
    assert export is not None
    return export


def _portion(data: InputData, session: DuckDBSession) -> Portion:
    """What is written of one read. Of a view nothing is known before it is asked: columns, rows, and an order of its partitions."""
    if not data.sql:
        return _ordered(data.name, data.columns, data.rows or 0, relation_sql(data.files, data.columns, with_partition=True))
    view = source_sql(data)
    described = session.connection.execute(f"DESCRIBE SELECT * FROM ({view})").fetchall()
    counted = session.connection.execute(f"SELECT count(*) FROM ({view})").fetchone()
    assert counted is not None
    columns = tuple(LakeColumn(name, kind, place) for place, (name, kind, *_) in enumerate(described, 1))
    return _ordered(data.name, columns, counted[0], f"SELECT CAST('*' AS VARCHAR) AS {quote(PARTITION_COLUMN)}, * FROM ({view}) AS view")


def _ordered(name: str, columns: Sequence[LakeColumn], rows: int, source: str) -> Portion:
    lake_columns = tuple(column for column in columns if column.name != PARTITION_COLUMN)
    by = ", ".join(f"rows.{quote(item)}" for item in (PARTITION_COLUMN, *(column.name for column in lake_columns)))
    return Portion(asset=name, columns=lake_columns, rows=rows, source=source, order="" if rows > SORTED_ROWS_MAX else f" ORDER BY {by}")
