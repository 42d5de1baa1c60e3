"""Tables of an SQLite file.

Nothing is rounded: decimals are numbers if a double holds all of their digits, else text, as are
integers beyond 64 bits. Times are ISO 8601 text; NaN is NULL, because SQLite has none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from headrace.extension import quote
from headrace.extension.tables import (
    Assignment,
    ExportFailed,
    LakeColumn,
    Portion,
    Surroundings,
    Written,
    as_double,
    as_text,
    is_nested,
    unavailable,
)
from headrace_databases.engines.engine import address_of, file_of
from headrace_databases.exports.tables import (
    LEDGER,
    ExportRecord,
    ExportTarget,
    export_tables,
    gone,
)

BUSY_SECONDS = 10.0
_DIGITS = 15
_TYPES = {
    "BOOLEAN": "BOOLEAN",
    "TINYINT": "INTEGER",
    "SMALLINT": "INTEGER",
    "INTEGER": "INTEGER",
    "BIGINT": "INTEGER",
    "UTINYINT": "INTEGER",
    "USMALLINT": "INTEGER",
    "UINTEGER": "INTEGER",
    "FLOAT": "REAL",
    "DOUBLE": "REAL",
    "BLOB": "BLOB",
}
_AGAIN = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
)


def write(
    assignment: Assignment, portions: Sequence[Portion], around: Surroundings
) -> tuple[Written, ...]:
    """Replace an interval's rows in tables of an SQLite file."""
    path = file_of(address_of(around.connection, around.secrets), around.root)
    if path.resolve().is_relative_to(around.fence.parent.resolve()):
        raise ExportFailed(
            "this file lies where Headrace keeps its own state",
            hint="name a file outside of .headrace",
        )
    if assignment.erases and not path.exists():
        if not path.parent.is_dir():
            raise unavailable(f"the folder of {path.name} isn't there: make it if it is empty")
        return gone(assignment, portions)
    with _translated_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        if assignment.erases:
            _overwrite_deleted(connection, path)
        return export_tables(SqliteExportTarget(connection, path), assignment, portions, around)
    finally:
        connection.close()


def _overwrite_deleted(connection: sqlite3.Connection, path: Path) -> None:
    """Let SQLite overwrite deleted rows by zeros, which stay in free pages otherwise."""
    with _translated_errors(path):
        connection.execute("pragma secure_delete = on")


class SqliteExportTarget(ExportTarget):
    """An SQLite file that tables are exported to."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("begin immediate")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    def commit(self) -> None:
        self.execute("commit")

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _translated_errors(self._path):
            return self._connection.execute(sql, values).fetchall()

    def columns(self, table: str) -> list[str] | None:
        results = self.execute("select name from pragma_table_info(?)", (table,))
        return [name for (name,) in results] or None

    def load(self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        marks, listed = ", ".join("?" * len(names)), ", ".join(map(self.column, names))
        with _translated_errors(self._path):
            self._connection.executemany(
                f"insert into {self.quoted(table)} ({listed}) values ({marks})", rows
            )

    def type_of(self, column: LakeColumn) -> str:
        if column.type.startswith("DECIMAL") and not is_nested(column):
            return ""  # no affinity: NUMERIC would convert number-like text to a double
        return _TYPES.get(column.type, "TEXT")

    def value_of(self, column: LakeColumn) -> str:
        name = quote(column.name)
        if column.type.startswith("DECIMAL") and not is_nested(column):
            return name
        if column.type == "FLOAT":
            return as_double(column)
        return name if column.type in _TYPES else as_text(column)

    def bound(self, value: Any) -> Any:
        if not isinstance(value, Decimal):
            return value
        return float(value) if len(value.as_tuple().digits) <= _DIGITS else str(value)

    def check_names(self, names: Sequence[str]) -> None:
        for name in names:
            if "\0" in name:
                raise ExportFailed(
                    "a column's name holds a NUL, which SQLite doesn't take", hint="rename it"
                )

    def claim(self, key: Sequence[str]) -> ExportRecord:
        self.execute(f"insert or ignore into {LEDGER} values (?, ?, ?, 0, 0, 0, '', 0, '')", key)
        where = "consumer = ? and asset = ? and interval_key = ?"
        return ExportRecord(
            *self.execute(
                f"select epoch, n, row_count, sha256, project from {LEDGER} where {where}", key
            )[0]
        )


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's error into an ExportFailed."""
    try:
        yield
    except OSError as error:
        raise unavailable(f"{path.name}: {error.strerror}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _AGAIN:
            raise unavailable(f"{path.name}: {error}") from error
        raise ExportFailed(
            f"{path.name}: {error}", hint="headrace explain configuration_error"
        ) from error
