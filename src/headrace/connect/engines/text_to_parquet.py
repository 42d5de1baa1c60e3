"""Rows as CSV text that one thread sends, to typed Parquet by DuckDB in another: neither the text nor the rows are ever all in memory."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from headrace.connect.deliveries import CannotRead
from headrace.connect.shown import shown
from headrace.lake.session import literal, quote

MEMORY_MAX = "1GB"
VALUE_BYTES_MAX = 64 * 1024 * 1024
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

    read_end, write_end = os.pipe()
    sender = _Sender(send, write_end)
    failure: CannotRead | None = None
    try:
        _convert(columns, read_end, target)
    except duckdb.Error as error:
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
    import duckdb

    names = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(columns)))
    read = (
        f"read_csv('/dev/fd/{read_end}', columns = {{{names}}}, header = false, auto_detect = false, delim = ',', quote = '\"',"
        f" escape = '\"', nullstr = '', allow_quoted_nulls = false, parallel = false,"
        f" max_line_size = {VALUE_BYTES_MAX}, buffer_size = {VALUE_BYTES_MAX},"
        " new_line = '\\n', strict_mode = true)"
    )
    values = ", ".join(f"{column.cast} AS {quote(column.name)}" for column in columns)
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoload_known_extensions": False, "autoinstall_known_extensions": False, "memory_limit": MEMORY_MAX, "threads": 2,
        "preserve_insertion_order": False, "temp_directory": f"{target}.spill",
    }  # fmt: skip
    with duckdb.connect(config=config) as connection:
        connection.execute(f"COPY (SELECT {values} FROM {read}) TO {literal(str(target))} (FORMAT parquet, COMPRESSION zstd)")


def _unreadable(error: Exception, columns: Sequence[TextColumn]) -> CannotRead:
    text = str(error).partition("\n\nLINE")[0]
    found = _COLUMN.search(text)
    where = f"the column {shown(columns[int(found[1])].name)}: " if found else ""
    return CannotRead(f"{where}{shown(_COLUMN.sub('it', ' '.join(text.split())), 300)}")
