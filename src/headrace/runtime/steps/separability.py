"""Proof that an asset is separable, checked once for each version of the code.

It is if computing several partitions at once gives the same rows as computing one of them alone.
Lineage proves it except for what DuckDB does with the query; this checks that proof on real rows.
"""

from __future__ import annotations

import msgspec

from headrace.engine import BodyError, ErrorKind
from headrace.engine.compute import AssetOutput
from headrace.engine.compute import compute as run_body
from headrace.engine.failures import BodyFailed
from headrace.lake import PARTITION_COLUMN, ColumnLookup, FileRef, LakeColumn, StagedFile
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import quote, relation_sql
from headrace.lake.staging import hash_partitions
from headrace.runtime.messages import (
    BatchPartition,
    ComputeTask,
)
from headrace.runtime.steps.worker_context import WorkerContext

DIGITS = 10
"""Significant digits of floating-point numbers that must agree: sums depend on the order."""
_INEXACT = ("FLOAT", "DOUBLE")


def prove(
    task: ComputeTask,
    alone: BatchPartition,
    output: AssetOutput,
    session: DuckDBSession,
    context: WorkerContext,
) -> None:
    """Compute one partition alone and compare it with its rows in the batch.

    Raises `BodyFailed` (`not_separable`) if they differ, or as the asset code does. The partition's
    file is deleted.
    """
    assert output.staged is not None
    assert output.table is not None
    (key,) = alone.scope.partitions
    single = msgspec.structs.replace(
        task,
        scope=alone.scope,
        inputs=alone.inputs,
        table=output.table,
        evolve=False,
        alone=None,
    )
    file = run_body(single, session, context.folders).staged
    assert file is not None
    try:
        if not _alike(session, file, output.staged, key, output.table.columns):
            raise BodyFailed(_not_separable(task, key, file, output.staged))
    finally:
        (context.folders.lake / file.path).unlink(missing_ok=True)


def _alike(
    session: DuckDBSession,
    file: StagedFile,
    batch: StagedFile,
    key: str,
    columns: tuple[LakeColumn, ...],
) -> bool:
    if file.rows != _rows_of(batch, key):
        return False
    alone, together = _file(file, key), _file(batch, key)
    if hash_partitions(session, [alone], columns) == hash_partitions(session, [together], columns):
        return True
    inexact = any(column.type in _INEXACT for column in columns)
    return inexact and not _differ(session, alone, together, columns)


def _file(staged: StagedFile, key: str) -> FileRef:
    return FileRef(staged.path, (key,), lookup=ColumnLookup.SAME)


def _differ(
    session: DuckDBSession, ref: FileRef, other: FileRef, columns: tuple[LakeColumn, ...]
) -> bool:
    """Whether some rows of two files with equal row counts differ.

    Floating-point numbers are compared by their first DIGITS digits.
    """
    text = ", ".join(_comparable(column) for column in columns if column.name != PARTITION_COLUMN)
    left, right = (f"SELECT {text} FROM ({relation_sql([file], columns)})" for file in (ref, other))
    return session.connection.execute(f"({left} EXCEPT ALL {right}) LIMIT 1").fetchone() is not None


def _comparable(column: LakeColumn) -> str:
    return (
        f"format('{{:.{DIGITS - 1}e}}', {quote(column.name)})"
        if column.type in _INEXACT
        else quote(column.name)
    )


def _rows_of(staged: StagedFile, key: str) -> int:
    return sum(part.rows for part in staged.partitions if part.key == key)


def _not_separable(task: ComputeTask, key: str, file: StagedFile, batch: StagedFile) -> BodyError:
    rows = (
        f"{file.rows} rows alone, {_rows_of(batch, key)} in the batch"
        if file.rows != _rows_of(batch, key)
        else "as many rows, other values"
    )
    return BodyError(
        ErrorKind.NOT_SEPARABLE,
        f"{key} computed together with others isn't what it is alone ({rows})",
        file=task.body.file,
        line=task.body.line,
        hint=(
            "its partitions are computed one by one from now on; `batch: off` says so in the asset"
        ),
        code="not_separable",
    )
