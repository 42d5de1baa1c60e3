"""A batch of a Python asset: its function is called once per partition, one call after another.

Each call has the context, inputs, log and restored process of an attempt at this partition alone.
Their rows go into one file, as far as they can be staged together: few rows, with the same columns.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from headrace.engine import python
from headrace.engine.attempts import AttemptScope, BodyTask, DataFolders, ErrorKind
from headrace.engine.containers import select_sql
from headrace.engine.failures import BodyFailed, failed
from headrace.lake.session import DuckDBSession
from headrace.lake.small_files import SMALL_BYTES_MAX
from headrace.lake.sqltext import quote
from headrace.lake.staging import KeyExpression
from headrace.model import Grain
from headrace.model.intervals import interval_of

Captured = Callable[[int, str], contextlib.AbstractContextManager[None]]
"""Returns the context in which the call at a place, for a partition, writes its log."""


class RowsOfCalls(msgspec.Struct, frozen=True):
    """The rows of all calls, sorted by partition; `counts` are each partition's rows."""

    rows: pa.RecordBatch
    counts: tuple[tuple[str, int], ...]


def call_each(
    task: BodyTask,
    session: DuckDBSession,
    code_root: Path,
    folders: DataFolders,
    captured: Captured,
) -> RowsOfCalls:
    """Call the function for each partition and return the rows.

    Raises `BodyFailed` with the partition whose call failed, or `not_separable` for rows that can't
    be staged together.
    """
    results: dict[str, pa.RecordBatch] = {}
    for place, key in enumerate(task.scope.partitions):
        with captured(place, key), _named(key):
            batch = _called(_single(task, place, key), session, code_root, folders)
            results[key] = _alike(batch, list(results.values()), task)
    keys = sorted(results)
    filled = [results[key] for key in keys if results[key].num_rows]
    return RowsOfCalls(
        pa.concat_batches(filled) if filled else results[keys[0]],
        tuple((key, results[key].num_rows) for key in keys),
    )


@contextlib.contextmanager
def readable(called: RowsOfCalls, session: DuckDBSession) -> Iterator[tuple[str, KeyExpression]]:
    """Yield a SELECT over the rows, and the expression of their key, for which it has a column."""
    name, column = f"__output_{uuid.uuid4().hex}__", f"__partition_{uuid.uuid4().hex}__"
    keys = pa.array([key for key, count in called.counts for _ in range(count)], pa.string())
    table = pa.Table.from_batches([called.rows]).append_column(column, keys)
    session.connection.register(name, table)
    try:
        every = tuple(key for key, _ in called.counts)
        yield select_sql(name, called.rows.schema), KeyExpression(quote(column), every, column)
    finally:
        session.connection.unregister(name)


def _single(task: BodyTask, place: int, key: str) -> BodyTask:
    """Return the task as if its partition at `place` was computed alone."""
    return msgspec.structs.replace(  # type: ignore[type-var]
        task, scope=_scope(task.scope, key), inputs=task.call_inputs[place]
    )


def _scope(scope: AttemptScope, key: str) -> AttemptScope:
    assert scope.grain is not None, "only time is computed in batches"
    interval = interval_of(key, Grain(scope.grain), scope.timezone)
    return msgspec.structs.replace(
        scope,
        partitions=(key,),
        start=interval.start.isoformat(),
        end=interval.end.isoformat(),
    )


def _called(
    task: BodyTask, session: DuckDBSession, code_root: Path, folders: DataFolders
) -> pa.RecordBatch:
    with python.run(task, session, code_root, python.context_of(task.scope, None), folders) as rows:
        if rows is not None and rows.batch is not None:
            return _copy(rows.batch)
    raise _apart(task, f"its rows aren't one table of at most {SMALL_BYTES_MAX // 2**10} KiB")


def _copy(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows in memory of their own, since the next call may write to that of these."""
    if batch.get_total_buffer_size() > SMALL_BYTES_MAX:  # a part of larger arrays
        batch = batch.take(pa.array(range(batch.num_rows), pa.int64()))
    return batch.copy_to(pa.default_cpu_memory_manager()).replace_schema_metadata(None)


def _alike(
    batch: pa.RecordBatch, earlier: Sequence[pa.RecordBatch], task: BodyTask
) -> pa.RecordBatch:
    """Return the batch with its columns in the order of the earlier calls.

    Raises `BodyFailed` if it has other columns or types: alone, each partition is cast to the
    table's types by its own.
    """
    other = next((each for each in earlier if each.num_rows), earlier[0] if earlier else batch)
    if sorted(batch.schema.names) == sorted(other.schema.names):
        batch = batch.select(other.schema.names)
        pairs = zip(batch.schema, other.schema, strict=True)
        if all(
            field.equals(known, check_metadata=True)
            or _is_open(field, batch)
            or _is_open(known, other)
            for field, known in pairs
        ):
            return batch
    raise _apart(task, "its columns or types aren't those of the other partitions")


def _is_open(field: pa.Field, batch: pa.RecordBatch) -> bool:
    """Return whether a batch without rows leaves a field's type open.

    A list without rows has the table's columns, without a type for times with zone.
    """
    return not batch.num_rows and pa.types.is_null(field.type)


def _apart(task: BodyTask, reason: str) -> BodyFailed:
    """Return the failure of a batch whose rows can't be staged together.

    The asset's partitions are computed one by one from then on; while its table has no columns yet,
    or may get others, only those of this batch.
    """
    settled = task.table is not None and not task.evolve
    return failed(
        f"it can't be computed together with others: {reason}",
        kind=ErrorKind.NOT_SEPARABLE if settled else ErrorKind.DETERMINISTIC,
        code="not_separable",
        file=task.body.file,
        line=task.body.line,
        hint="its partitions are computed one by one; `batch: off` says so in the asset",
    )


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Name the partition in failures of its call.

    None of them counts as a failure of every partition: the calls before have succeeded.
    """
    try:
        yield
    except BodyFailed as failure:
        error = failure.error
        raise BodyFailed(
            msgspec.structs.replace(
                error, message=f"{key}: {error.message}", everywhere=False, machine=False
            )
        ) from failure
