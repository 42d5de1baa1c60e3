"""Write rows of a database to a Parquet file with the columns' types."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.connect.deliveries import CannotRead, printable
from headrace.lake.sqltext import literal, quote

# Rows as Python values, batch by batch.

BATCH_ROWS = 10_000
"""Number of rows per fetch."""
GROUP_ROWS = 120_000
GROUP_BYTES = 64 * 2**20
"""A row group is written when it has GROUP_ROWS rows or GROUP_BYTES (64 MiB)."""


class ValueColumn(msgspec.Struct, frozen=True):
    """A column of the Parquet file.

    With `type` None the first batch's values decide. `convert` turns a non-null value into one that
    Arrow accepts.
    """

    name: str
    type: Any = None
    convert: Callable[[Any], Any] | None = None


def rows_to_parquet(
    columns: Sequence[ValueColumn], batches: Iterable[Sequence[Sequence[Any]]], target: Path
) -> None:
    """Write batches of rows to a Parquet file.

    Raises CannotRead for a value that doesn't fit its column's type; no file is left then, or if
    `batches` raises.
    """
    try:
        target.touch()
        _write(columns, batches, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _typed_columns(
    columns: Sequence[ValueColumn], rows: Sequence[Sequence[Any]]
) -> tuple[list[ValueColumn], pa.Schema]:
    typed = [_typed(column, [row[n] for row in rows]) for n, column in enumerate(columns)]
    return typed, pa.schema([(column.name, column.type) for column in typed])


def _write(
    columns: Sequence[ValueColumn], batches: Iterable[Sequence[Sequence[Any]]], target: Path
) -> None:
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.RecordBatch] = []
    try:
        for rows in _at_least_one(batches):
            if writer is None:
                columns, schema = _typed_columns(columns, rows)
                writer = pq.ParquetWriter(target, schema, compression="zstd")
            waiting.append(_batch(columns, rows, writer.schema))
            rows_waiting = sum(batch.num_rows for batch in waiting)
            bytes_waiting = sum(batch.nbytes for batch in waiting)
            if rows_waiting >= GROUP_ROWS or bytes_waiting >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting.clear()
        assert writer is not None
        writer.write_table(pa.Table.from_batches(waiting, writer.schema))
    finally:
        if writer is not None:
            writer.close()


def _at_least_one(batches: Iterable[Sequence[Sequence[Any]]]) -> Iterable[Sequence[Sequence[Any]]]:
    """Yield the batches, or an empty one if there are none, so that the file has columns anyway."""
    none = True
    for rows in batches:
        none = False
        yield rows
    if none:
        yield []


def _typed(column: ValueColumn, values: Sequence[Any]) -> ValueColumn:
    """Infer a column's type from its first values if none is declared (an expression).

    Text is the fallback that can hold anything.
    """
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


def _batch(
    columns: Sequence[ValueColumn], rows: Sequence[Sequence[Any]], schema: pa.Schema
) -> pa.RecordBatch:
    cut = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pa.record_batch(
        [_array(column, values) for column, values in zip(columns, cut, strict=True)], schema=schema
    )


def _array(column: ValueColumn, values: Sequence[Any]) -> pa.Array:
    try:
        if column.convert is not None:
            values = [None if value is None else column.convert(value) for value in values]
        return pa.array(values, type=column.type)
    except (pa.ArrowException, ValueError, TypeError, ArithmeticError) as error:
        raise _misfit(column, values, error) from None


def _misfit(column: ValueColumn, values: Sequence[Any], error: Exception) -> CannotRead:
    """Return the error for the batch's bad value, found by converting one value at a time."""
    for value in values:
        try:
            if value is not None:
                pa.array(
                    [value if column.convert is None else column.convert(value)], type=column.type
                )
        except (pa.ArrowException, ValueError, TypeError, ArithmeticError):
            return CannotRead(
                f"the column {printable(column.name)} holds {printable(repr(value))}, which is no"
                f" {column.type}"
            )
    return CannotRead(f"the column {printable(column.name)}: {printable(error, 200)}")


# Rows as CSV text that one thread sends and DuckDB converts in another: neither the text nor the
# rows are ever all in memory.

MEMORY_MAX = "1GB"
VALUE_BYTES_MAX = 32 * 1024 * 1024
"""32 MiB: maximum text of one row."""
_COLUMN = re.compile(r"source column c(\d+)")


class TextColumn(msgspec.Struct, frozen=True):
    """A column of the Parquet file.

    `cast` is DuckDB's expression for its value; the text of the n-th column, from 0, is called
    `c<n>`.
    """

    name: str
    cast: str


Write = Callable[[bytes | bytearray | memoryview], object]
Send = Callable[[Write], None]
"""A function that sends the whole text with the writer that it receives."""


def text_to_parquet(columns: Sequence[TextColumn], target: Path, send: Send) -> None:
    """Convert CSV text to a Parquet file.

    Raises the errors of `send`, and CannotRead for a value that doesn't fit its column's type; no
    file is left then.
    """
    import duckdb
    import pyarrow as pa

    target.touch()
    read_end, write_end = os.pipe()
    sender = _Sender(send, write_end)
    failure: CannotRead | None = None
    try:
        _convert(columns, read_end, target)
    except (duckdb.Error, pa.ArrowException) as error:
        failure = _unreadable(error, columns)
    finally:
        os.close(read_end)  # makes a sender that still writes fail
        sender.join()
    if sender.error is not None or failure is not None:
        target.unlink(missing_ok=True)
        raise sender.error or failure or AssertionError


class _Sender(threading.Thread):
    """The sending thread; `error` is the exception that ended it."""

    def __init__(self, send: Send, write_end: int) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self._send, self._write_end = send, write_end
        self.start()

    def run(self) -> None:
        try:
            with os.fdopen(self._write_end, "wb", buffering=1 << 18) as pipe:
                self._send(pipe.write)
        except BrokenPipeError:
            pass  # the reader has failed, and reports why
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it again
            self.error = error


def _convert(columns: Sequence[TextColumn], read_end: int, target: Path) -> None:
    """Parse the text with Arrow, block by block.

    DuckDB's own reader would keep all of a pipe's blocks, in memory or on disk.
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "autoload_known_extensions": False,
        "autoinstall_known_extensions": False,
        "memory_limit": MEMORY_MAX,
        "threads": 2,
        "preserve_insertion_order": False,
        "temp_directory": "",
        "python_enable_replacements": False,
    }
    values = ", ".join(f"{column.cast} AS {quote(column.name)}" for column in columns)
    with (
        os.fdopen(read_end, "rb", closefd=False) as pipe,
        duckdb.connect(config=config) as connection,
    ):
        connection.register("sent", _parsed(pipe, [f"c{n}" for n in range(len(columns))]))
        connection.execute(
            f"COPY (SELECT {values} FROM sent) TO {literal(str(target))} (FORMAT parquet,"
            " COMPRESSION zstd)"
        )


def _parsed(pipe: BufferedReader, names: list[str]) -> Any:
    """Return the rows as text, in batches.

    Quoted values are text, even if empty; NULL isn't quoted.
    """
    import pyarrow as pa
    from pyarrow import csv

    schema = pa.schema([(name, pa.string()) for name in names])
    try:
        return csv.open_csv(
            pipe,
            read_options=csv.ReadOptions(column_names=names, block_size=VALUE_BYTES_MAX),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.Table.from_batches([], schema)
        raise


def _unreadable(error: Exception, columns: Sequence[TextColumn]) -> CannotRead:
    text = str(error).partition("\n\nLINE")[0]
    match = _COLUMN.search(text)
    where = f"the column {printable(columns[int(match[1])].name)}: " if match else ""
    return CannotRead(f"{where}{printable(_COLUMN.sub('it', ' '.join(text.split())), 300)}")
