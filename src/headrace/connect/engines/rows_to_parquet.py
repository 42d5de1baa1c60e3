"""Rows as Python values, batch by batch, to a Parquet file with the columns' types kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.connect.deliveries import CannotRead
from headrace.connect.shown import shown

BATCH_ROWS = 10_000
"""Rows that are fetched at once."""
GROUP_ROWS = 120_000
GROUP_BYTES = 64 * 2**20
"""A row group is written when it has so many rows or bytes."""


class ValueColumn(msgspec.Struct, frozen=True):
    """A column. `type` None: the first batch's values say it. `convert` makes of a value that isn't None what Arrow takes."""

    name: str
    type: Any = None
    convert: Callable[[Any], Any] | None = None


def rows_to_parquet(columns: Sequence[ValueColumn], batches: Iterable[Sequence[Sequence[Any]]], target: Path) -> None:
    """Raises CannotRead where a value isn't what its column's type says; then, and if `batches` raises, there is no file."""
    try:
        target.touch()
        _write(columns, batches, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _write(columns: Sequence[ValueColumn], batches: Iterable[Sequence[Sequence[Any]]], target: Path) -> None:
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.RecordBatch] = []
    try:
        for rows in _at_least_one(batches):
            if writer is None:
                columns = [_typed(column, [row[n] for row in rows]) for n, column in enumerate(columns)]
                schema = pa.schema([(column.name, column.type) for column in columns])
                writer = pq.ParquetWriter(target, schema, compression="zstd")
            waiting.append(_batch(columns, rows, writer.schema))
            if sum(item.num_rows for item in waiting) >= GROUP_ROWS or sum(one.nbytes for one in waiting) >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting.clear()
        assert writer is not None
        writer.write_table(pa.Table.from_batches(waiting, writer.schema))
    finally:
        if writer is not None:
            writer.close()


def _at_least_one(batches: Iterable[Sequence[Sequence[Any]]]) -> Iterable[Sequence[Sequence[Any]]]:
    """The batches; one without rows where there are none, so that no rows have columns, too."""
    none = True
    for rows in batches:
        none = False
        yield rows
    if none:
        yield []


def _typed(column: ValueColumn, values: Sequence[Any]) -> ValueColumn:
    """Where nothing is declared (an expression), the kinds of the first values say the type, and text is what can hold anything."""
    if column.type is not None:
        return column
    kinds = {type(value) for value in values if value is not None}
    result = pa.string()
    if kinds and kinds <= {int}:
        result = pa.int64()
    elif kinds and kinds <= {int, float}:
        result = pa.float64()
    elif kinds and kinds <= {bytes}:
        result = pa.binary()
    convert = str if result == pa.string() and kinds - {str} else None
    return msgspec.structs.replace(column, type=result, convert=convert)


def _batch(columns: Sequence[ValueColumn], rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    cut = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pa.record_batch([_array(column, values) for column, values in zip(columns, cut, strict=True)], schema=schema)


def _array(column: ValueColumn, values: Sequence[Any]) -> pa.Array:
    try:
        if column.convert is not None:
            values = [None if value is None else column.convert(value) for value in values]
        return pa.array(values, type=column.type)
    except (pa.ArrowException, ValueError, TypeError, ArithmeticError) as error:
        raise _misfit(column, values, error) from None


def _misfit(column: ValueColumn, values: Sequence[Any], error: Exception) -> CannotRead:
    """Which value it was: the batch is gone through again, one by one."""
    for value in values:
        try:
            if value is not None:
                pa.array([value if column.convert is None else column.convert(value)], type=column.type)
        except (pa.ArrowException, ValueError, TypeError, ArithmeticError):
            return CannotRead(f"the column {shown(column.name)} holds {shown(repr(value))}, which is no {column.type}")
    return CannotRead(f"the column {shown(column.name)}: {shown(error, 200)}")
