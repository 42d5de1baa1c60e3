"""Rows as CSV text that one thread sends, to typed Parquet by DuckDB in another: neither the text nor the rows are ever all in memory."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec

from headrace.connect.deliveries import CannotRead
from headrace.connect.shown import shown
from headrace.lake.session import literal, quote

MEMORY_MAX = "1GB"
VALUE_BYTES_MAX = 32 * 1024 * 1024
"""Of one row's text."""
_COLUMN = re.compile(r"source column c(\d+)")


class TextColumn(msgspec.Struct, frozen=True):
    """A column of the Parquet file. `cast` is DuckDB's expression of its value; the text of the n-th column, from 0, is called `c<n>`."""

    name: str
    cast: str


Write = Callable[[bytes | bytearray | memoryview], object]
Send = Callable[[Write], None]
"""Writes all of the text, by the function that it is handed."""


def text_to_parquet(columns: Sequence[TextColumn], target: Path, send: Send) -> None:
    """Raises what `send` raised, and CannotRead where a value isn't what its column's type says. Then there is no file."""
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
        os.close(read_end)  # a sender that still writes is told by this
        sender.join()
    if sender.error is not None or failure is not None:
        target.unlink(missing_ok=True)
        raise sender.error or failure or AssertionError


class _Sender(threading.Thread):
    """Sends, and keeps what went wrong."""

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
            pass  # who reads has failed, and says why
        except BaseException as error:  # noqa: BLE001 - it is raised again by the thread that waits
            self.error = error


def _convert(columns: Sequence[TextColumn], read_end: int, target: Path) -> None:
    """Arrow parses the text block by block; DuckDB's own reader would keep all of a pipe's blocks, in memory or on the disk."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "autoload_known_extensions": False, "autoinstall_known_extensions": False, "memory_limit": MEMORY_MAX, "threads": 2,
        "preserve_insertion_order": False, "temp_directory": "", "python_enable_replacements": False,
    }  # fmt: skip
    values = ", ".join(f"{column.cast} AS {quote(column.name)}" for column in columns)
    with os.fdopen(read_end, "rb", closefd=False) as pipe, duckdb.connect(config=config) as connection:
        connection.register("sent", _parsed(pipe, [f"c{n}" for n in range(len(columns))]))
        connection.execute(f"COPY (SELECT {values} FROM sent) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd)")


def _parsed(pipe: BufferedReader, names: list[str]) -> Any:
    """The rows as text, in batches. What is quoted is a text, however empty; NULL isn't quoted."""
    import pyarrow as pa
    from pyarrow import csv

    schema = pa.schema([(name, pa.string()) for name in names])
    try:
        return csv.open_csv(
            pipe,
            read_options=csv.ReadOptions(column_names=names, block_size=VALUE_BYTES_MAX),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.Table.from_batches([], schema)
        raise


def _unreadable(error: Exception, columns: Sequence[TextColumn]) -> CannotRead:
    text = str(error).partition("\n\nLINE")[0]
    match = _COLUMN.search(text)
    where = f"the column {shown(columns[int(match[1])].name)}: " if match else ""
    return CannotRead(f"{where}{shown(_COLUMN.sub('it', ' '.join(text.split())), 300)}")
