"""Write rows of a database to a Parquet file with the columns' types."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.extension import literal, marked, quote
from headrace.extension.sources import CannotRead, printable

POINTS_IN_TIME = "a date or time that can be kept (years 1 to 9999)"


def number_in_words(precision: int, scale: int) -> str:
    """Return the numbers that a decimal column holds."""
    return f"a number of at most {precision - scale} digits before the point and {scale} after it"


IN_QUERY = "cast it, or leave it out, in a `query`"


def _refusal(
    row: int, column: str, value: object, holds: str, instead: str = IN_QUERY
) -> CannotRead:
    """Return the error for a value, at `row` (from 1) of those read, that its column can't hold.

    `instead` says how to do without it.
    """
    text = f"x'{value.hex()}'" if isinstance(value, bytes) else value
    return CannotRead(
        f"row {row:,}, column {printable(column)}: `{marked(printable(text))}` isn't {holds};"
        f" {instead}"
    )


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
    rows_before = 0
    try:
        for rows in _at_least_one(batches):
            if writer is None:
                columns, schema = _typed_columns(columns, rows)
                writer = pq.ParquetWriter(target, schema, compression="zstd")
            waiting.append(_batch(columns, rows, writer.schema, rows_before))
            rows_before += len(rows)
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
    convert = _plain_text if result == pa.string() and kinds - {str} else None
    return msgspec.structs.replace(column, type=result, convert=convert)


def _plain_text(value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value)


def _batch(
    columns: Sequence[ValueColumn],
    rows: Sequence[Sequence[Any]],
    schema: pa.Schema,
    rows_before: int,
) -> pa.RecordBatch:
    cut = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [
        _array(column, values, rows_before) for column, values in zip(columns, cut, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _array(column: ValueColumn, values: Sequence[Any], rows_before: int) -> pa.Array:
    try:
        return _converted(column, values)
    except _MISFITS as error:
        raise _misfit(column, values, rows_before, error) from None


class NotHeld(ValueError):
    """A value that its column can't hold; the text says what it can."""


_MISFITS = (pa.ArrowException, ValueError, TypeError, ArithmeticError)
_MISTAKEN = {pa.string(): bytes, pa.binary(): str}
"""What Arrow takes for a column's type, though it is another one."""


def _converted(column: ValueColumn, values: Sequence[Any]) -> pa.Array:
    if column.convert is not None:
        values = [None if value is None else column.convert(value) for value in values]
    kinds = set(map(type, values))
    if _MISTAKEN.get(column.type) in kinds:
        raise TypeError
    if (
        float in kinds
        and pa.types.is_integer(column.type)
        and any(isinstance(value, float) and not value.is_integer() for value in values)
    ):
        raise ValueError  # Arrow would cut it off
    return pa.array(values, type=column.type)


def _misfit(
    column: ValueColumn, values: Sequence[Any], rows_before: int, error: Exception
) -> CannotRead:
    """Return the error for the batch's bad value, found by converting one value at a time."""
    for row, value in enumerate(values, rows_before + 1):
        try:
            _converted(column, [value])
        except _MISFITS as misfit:
            holds = str(misfit) if isinstance(misfit, NotHeld) else _in_words(column.type)
            return _refusal(row, column.name, value, holds)
    return CannotRead(f"the column {printable(column.name)}: {marked(printable(error, 200))}")


def _in_words(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return number_in_words(kind.precision, kind.scale)
    if pa.types.is_temporal(kind):
        return POINTS_IN_TIME
    if pa.types.is_integer(kind):
        return f"a whole number of {kind.bit_width} bits"
    words = {pa.bool_(): "true or false", pa.string(): "text", pa.binary(): "bytes"}
    return words.get(kind, "a number that DOUBLE holds exactly")


# Rows as CSV text that one thread sends and DuckDB converts in another: neither the text nor the
# rows are ever all in memory.

MEMORY_MAX = "1GB"
VALUE_BYTES_MAX = 32 * 1024 * 1024
"""32 MiB: maximum text of one row."""


class TextColumn(msgspec.Struct, frozen=True):
    """A column of the Parquet file, as expressions of DuckDB.

    The text of the n-th column, from 0, is called `c<n>`. `value` is its value; `bad` is the
    condition for a text that must not be cast, and `holds` says in words what can.
    """

    name: str
    value: str
    bad: str = "false"
    holds: str = "a value that can be read"


Write = Callable[[bytes | bytearray | memoryview], object]
Send = Callable[[Write], None]
"""A function that sends the whole text with the writer that it receives."""


def text_to_parquet(
    columns: Sequence[TextColumn], target: Path, send: Send, instead: str = IN_QUERY
) -> None:
    """Convert CSV text to a Parquet file.

    Raises the errors of `send`, and CannotRead for a value that doesn't fit its column's type, with
    how to do without it (`instead`); no file is left then. To find that value, the text is sent a
    second time.
    """
    import duckdb

    target.touch()
    try:
        with _sent(columns, send) as sent:
            _convert(columns, sent, target)
    except duckdb.Error as error:
        target.unlink(missing_ok=True)
        raise _first_bad(columns, send, instead) or CannotRead(
            marked(printable(error, 300))
        ) from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _sent(columns: Sequence[TextColumn], send: Send) -> Iterator[pa.RecordBatchReader]:
    """Yield the rows while they are sent. Raises the errors of `send`, and CannotRead."""
    read_end, write_end = os.pipe()
    sender = _Sender(send, write_end)
    try:
        with os.fdopen(read_end, "rb") as pipe:  # once closed, a sender that still writes fails
            yield _parsed(pipe, [f"c{n}" for n in range(len(columns))])
    except pa.ArrowException:
        raise CannotRead(f"a row has more than {VALUE_BYTES_MAX >> 20} MiB of text") from None
    finally:
        sender.join()
        if sender.error is not None:
            raise sender.error


def _first_bad(columns: Sequence[TextColumn], send: Send, instead: str) -> CannotRead | None:
    """Return the error for the first row with a bad value."""
    import duckdb

    firsts = ", ".join(
        f"min(n) FILTER ({column.bad} OR TRY({column.value}) IS NULL AND c{at} IS NOT NULL)"
        for at, column in enumerate(columns)
    )
    rows_before = 0
    with _sent(columns, send) as sent, duckdb.connect(config=_CONFIG) as connection:
        for batch in sent:
            connection.register("sent", pa.Table.from_batches([batch]))
            numbered = "SELECT *, row_number() OVER () - 1 AS n FROM sent"
            first_rows = connection.execute(f"SELECT {firsts} FROM ({numbered})").fetchone()
            bad = [(row, at) for at, row in enumerate(first_rows or ()) if row is not None]
            if bad:
                row, at = min(bad)
                value = batch.column(at)[row].as_py()
                return _refusal(
                    rows_before + row + 1, columns[at].name, value, columns[at].holds, instead
                )
            rows_before += batch.num_rows
    return None


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


_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "memory_limit": MEMORY_MAX,
    "threads": 2,
    "preserve_insertion_order": False,
    "temp_directory": "",
    "python_enable_replacements": False,
}


def _convert(columns: Sequence[TextColumn], sent: pa.RecordBatchReader, target: Path) -> None:
    """Write the rows, block by block.

    Arrow parses the text: DuckDB's own reader would keep all of a pipe's blocks, in memory or on
    disk.
    """
    import duckdb

    values = ", ".join(
        f"CASE WHEN {column.bad} THEN error('') ELSE {column.value} END AS {quote(column.name)}"
        for column in columns
    )
    with duckdb.connect(config=_CONFIG) as connection:
        connection.register("sent", sent)
        connection.execute(
            f"COPY (SELECT {values} FROM sent) TO {literal(str(target))} (FORMAT parquet,"
            " COMPRESSION zstd)"
        )


def _parsed(pipe: BufferedReader, names: list[str]) -> pa.RecordBatchReader:
    """Return the rows as text, in batches.

    Quoted values are text, even if empty; NULL isn't quoted. A row of one NULL is an empty line.
    """
    from pyarrow import csv

    schema = pa.schema([(name, pa.string()) for name in names])
    try:
        return csv.open_csv(
            pipe,
            read_options=csv.ReadOptions(column_names=names, block_size=VALUE_BYTES_MAX),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.RecordBatchReader.from_batches(schema, [])
        raise
