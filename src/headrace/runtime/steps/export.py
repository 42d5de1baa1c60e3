"""Export: write a consumer's data of one interval to its destination, completely and exactly once.

Classified columns are masked or left out before a row reaches the destination, unless the export
declares that they are written as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.connect.connection_kinds import connection_kind_named, resolved_kind
from headrace.connect.connectors import Unavailable
from headrace.connect.exports.fence import WriterFenced
from headrace.connect.exports.files import export_files
from headrace.connect.exports.registry import (
    DESTINATION_UNAVAILABLE,
    Assignment,
    ExportFailed,
    Portion,
    Surroundings,
    Written,
)
from headrace.engine import InputData, Measures
from headrace.engine.attempts import BodyError, ErrorKind
from headrace.engine.failures import ATTRIBUTABLE, kind_of, shortened, without_words
from headrace.engine.macros import lent
from headrace.engine.processes import Meter
from headrace.lake import PARTITION_COLUMN, LakeColumn
from headrace.lake.masked_queries import masked_query, unregister
from headrace.lake.masks import ORDER, ColumnMask, mask_failure, masked_types
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote, relation_sql, source_sql
from headrace.model import Consumer, Place
from headrace.model.errors import first_line
from headrace.model.exports import export_of
from headrace.model.texts import marked
from headrace.plan.column_limits import ColumnLimits
from headrace.runtime.messages import ExportTask, FailedOutcome, StagedOutcome
from headrace.runtime.steps.failed_answers import attributed_to_damaged_files
from headrace.runtime.steps.worker_context import LARGE_ROWS, WorkerContext
from headrace.security.key_problems import KeyProblem, KeyUnreachable
from headrace.security.keys import KeyStore
from headrace.security.masks import fit_masks
from headrace.security.secrets import SecretMissing, SecretUnreachable

if TYPE_CHECKING:
    import duckdb

    from headrace.model.exports import Export as Declared

_PARTITION = LakeColumn(PARTITION_COLUMN, "VARCHAR", 0)
SORTED_ROWS_MAX = 10_000_000
"""Up to this many rows are sorted by all columns, so that equal rows give equal bytes.

More rows are written in the order of the lake's files, unless a hidden value may have decided it.
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
        return _destination_failed(task, error)
    except Unavailable as error:
        return _export_failed(task, ErrorKind.DETERMINISTIC, str(error), code=error.code)
    except (KeyUnreachable, SecretUnreachable) as error:
        return _export_failed(
            task, ErrorKind.TRANSIENT, str(error), error.hint, DESTINATION_UNAVAILABLE
        )
    except (KeyProblem, SecretMissing) as error:
        return _export_failed(
            task, ErrorKind.DETERMINISTIC, str(error), error.hint, "configuration_error"
        )
    except duckdb.Error as error:
        return _query_failed(task, error, context.folders.lake)
    entries = sorted((item.asset, item.target, item.sha256) for item in written)
    return StagedOutcome(
        attempt=task.attempt,
        measures=Measures(),
        manifest=tuple(msgspec.to_builtins(item) for item in written),
        sha256=hashlib.sha256(msgspec.json.encode(entries)).hexdigest(),
    )


def _destination_failed(task: ExportTask, error: ExportFailed) -> FailedOutcome:
    retried = error.code == DESTINATION_UNAVAILABLE
    kind = ErrorKind.TRANSIENT if retried else ErrorKind.DETERMINISTIC
    message = str(error)
    if task.target.get("clear") and _is_of_destination(error):
        message = without_words(message, task.classified_inputs)
    elif _is_of_destination(error):
        message = marked(message)
    return _export_failed(task, kind, message, error.hint, error.code)


def _query_failed(task: ExportTask, error: duckdb.Error, lake: Path) -> FailedOutcome:
    """Return the failure of a query, whose error may quote clear values of rows."""
    failed = mask_failure(error, "exported")
    if failed is not None:
        return _export_failed(
            task, ErrorKind.DETERMINISTIC, str(failed), failed.hint, "configuration_error"
        )
    kind = kind_of(error)
    code = "configuration_error" if kind is ErrorKind.DETERMINISTIC else ""
    # the prefix is that of DuckDB's function `error`, which exports call with a column's name
    words = first_line(error).removeprefix("Invalid Input Error: ")
    message = words if words.startswith("column ") else marked(words)
    answer = _export_failed(task, kind, message, code=code)
    attributed = attributed_to_damaged_files(answer, task, lake)
    if attributed is answer and task.classified_inputs and kind in ATTRIBUTABLE:
        message = without_words(answer.error.message, task.classified_inputs)
        return _export_failed(task, kind, message, code=code)
    return attributed


def _is_of_destination(error: ExportFailed) -> bool:
    """Whether a database or a package words the error: it may quote a value that it was given."""
    return error.__cause__ is not None and not isinstance(error.__cause__, OSError | Unavailable)


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
        erases=task.erases,
        replaces=task.replaces,
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
    store = KeyStore(context.folders.data_path, context.folders.project, task.keys)
    with _masking(task, around.session, store) as portions:
        if declared.table is not None:
            name, _ = resolved_kind(task.connection, context.secrets)
            return connection_kind_named(name).export(assignment, portions, around)
        return export_files(assignment, portions, around)


def _declared(task: ExportTask) -> Declared:
    consumer = Consumer(
        name=task.consumer, owner="", reads=(), export=task.target, place=Place(file="")
    )
    export = export_of(consumer)
    assert export is not None
    return export


@contextlib.contextmanager
def _masking(task: ExportTask, session: DuckDBSession, store: KeyStore) -> Iterator[list[Portion]]:
    """Give the rows to write, masked. Raises ExportFailed, KeyProblem.

    The session forgets the masks afterwards, because it lives on.
    """
    used: list[ColumnMask] = []
    views = any(data.sql for data in task.reads)
    try:
        with lent(session, task.macros if views else {}):
            yield [
                _portion(data, session, task.limits.get(data.name), store, used)
                for data in task.reads
            ]
    finally:
        unregister(session.connection, used)


def _portion(
    data: InputData,
    session: DuckDBSession,
    limits: ColumnLimits | None,
    store: KeyStore,
    used: list[ColumnMask],
) -> Portion:
    """Return the rows to write for one input; the masks that it needs are added to `used`."""
    columns, rows, source = _clear(data, session)
    ordered = rows <= SORTED_ROWS_MAX
    if limits is not None:
        left_out, masks = fit_masks(limits, columns, store.data_key)
        ordered |= masks.pop(ORDER, None) is not None
        visible = [column for column in columns if column.name.lower() not in left_out]
        if not visible:
            raise _nothing_visible(data.name)
        used += masks.values()
        source = masked_query(session.connection, source, [_PARTITION, *visible], masks)
        columns = masked_types(visible, masks)
    # by masked values: the order of hidden ones would say which is greater
    by = ", ".join(
        f"rows.{quote(item)}" for item in (PARTITION_COLUMN, *(column.name for column in columns))
    )
    return Portion(
        asset=data.name,
        columns=columns,
        rows=rows,
        source=source,
        order=f" ORDER BY {by}" if ordered else "",
    )


def _clear(data: InputData, session: DuckDBSession) -> tuple[tuple[LakeColumn, ...], int, str]:
    """Return the columns of an input, the number of its rows, and a relation with these rows.

    A view's columns and rows are known only after it is queried.
    """
    if not data.sql:
        columns = tuple(column for column in data.columns if column.name != PARTITION_COLUMN)
        source = relation_sql(data.files, data.columns, with_partition=True)
        rows = _count(session, source) if data.rows is None else data.rows
        return columns, rows, source
    view = source_sql(data)
    described = session.connection.execute(f"DESCRIBE SELECT * FROM ({view})").fetchall()
    columns = tuple(
        LakeColumn(name, kind, place) for place, (name, kind, *_) in enumerate(described, 1)
    )
    partition = f"CAST('*' AS VARCHAR) AS {quote(PARTITION_COLUMN)}"
    return columns, _count(session, view), f"SELECT {partition}, * FROM ({view}) AS view"


def _count(session: DuckDBSession, query: str) -> int:
    counted = session.connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
    assert counted is not None
    return int(counted[0])


def _nothing_visible(name: str) -> ExportFailed:
    return ExportFailed(
        f"all columns of {name} are classified, or computed from such columns, and none has a mask",
        hint=f"declare masks, or export: {{clear: {{COLUMN: REASON}}}}; headrace lineage {name}",
    )
