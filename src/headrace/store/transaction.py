"""Transactions on the state database, and the translation of SQLite's errors."""

from __future__ import annotations

import enum
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.model.errors import StateMissing, StoreError

# SQL text with `?` or `:name` parameters, whatever database the state is in.

Parameters = Mapping[str, Any] | Sequence[Any]


class Dialect(enum.StrEnum):
    """Kind of database; only code that creates tables or reads the schema depends on it."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Cursor(Protocol):
    """The used part of a DB-API cursor; rows are tuples."""

    @property
    def lastrowid(self) -> int | None:
        """The id that the database assigned to the last inserted row."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Transaction:
    """A transaction that runs SQL text with `?` or `:name` parameters.

    It ends with its `with` block; later use raises StoreError.
    """

    __slots__ = ()
    dialect: Dialect

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run one statement and return its cursor; rows are tuples."""
        raise NotImplementedError

    def insert(self, sql: str, parameters: Parameters = (), /) -> int:
        """Insert one row and return the id that the database assigned to it."""
        number = self.execute(sql, parameters).lastrowid
        assert number is not None
        return number

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> object:
        """Run one statement once per item of `parameters`."""
        raise NotImplementedError

    def stream(self, sql: str, /) -> Iterator[tuple[Any, ...]]:
        """Yield a query's rows, fetched in batches, for tables that may be larger than memory.

        Consume all rows before the transaction ends.
        """
        raise NotImplementedError

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Insert any number of rows as a stream. A row may refer to a later row of the same table.

        The rows aren't recorded in the event log. Use it only for copies, which include their own
        event log, and to repair tables that differ from the event log.
        """
        raise NotImplementedError

    def unrecorded(self, sql: str, parameters: Parameters = (), /) -> None:
        """Run one statement without recording it in the event log; for the same uses as `fill`."""
        raise NotImplementedError

    def real_us(self) -> int:
        """Return real time in microseconds since 1970 UTC, by a clock that all processes share."""
        raise NotImplementedError


def json_list(values: Iterable[str | int]) -> str:
    """Return values as a parameter for `json_each`, which has a row with each `value`."""
    return msgspec.json.encode(list(values)).decode()


def among(node: str = "node", partition: str = "partition") -> str:
    """Return the condition for the partitions of `at_places`, and maybe for others of the same
    nodes."""
    return (
        f"{node} in (select value from json_each(:nodes)) and {partition} in (select value from"
        " json_each(:keys))"
    )


def at_places(places: Collection[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters of `among` for nodes with one partition each."""
    return {
        "nodes": json_list({node for node, _ in places}),
        "keys": json_list({key for _, key in places}),
    }


def insertion(table: str, columns: Sequence[str]) -> str:
    """Return an `insert` statement for one row, with a `?` per column."""
    listed = ", ".join(quoted(column) for column in columns)
    return f"insert into {quoted(table)} ({listed}) values ({', '.join('?' for _ in columns)})"


def quoted(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def over() -> StoreError:
    """Return the error for a transaction that is used after its end."""
    return StoreError("this transaction is over")


# SQLite's errors as StoreErrors that name the file, the cause and the next step.
#
# Errors of the machine and of the file are translated. So are missing tables and columns: the
# statements are tested against the migrations' schema, so the file must be damaged. Errors in a
# statement (an IntegrityError, a syntax error) are bugs in Headrace and stay untranslated.

RESTORE = "`headrace db restore` brings the newest backup that fits back"
_NOT_OURS = ("no such table", "no such column", "Could not decode", "no such index")
"""Beginnings of SQLite's messages about tables or text that Headrace didn't write."""

_MEANINGS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_NOTADB: (
        "is no SQLite database",
        (
            f"if it was ours, {RESTORE}; else move the file away, or point [store] url in"
            " headrace.toml elsewhere"
        ),
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        f"{RESTORE}; `sqlite3 state.db '.recover'` saves what can be read",
    ),
    sqlite3.SQLITE_BUSY: (
        "is locked by another process, for longer than we wait",
        "find who holds it (`fuser -v` on the file) and let it finish",
    ),
    sqlite3.SQLITE_LOCKED: ("is locked", "let the other statement finish"),
    sqlite3.SQLITE_READONLY: (
        "can't be written",
        (
            "give this user write permission on the file and its folder, or run as the user who"
            " owns it"
        ),
    ),
    sqlite3.SQLITE_FULL: (
        "can't grow: the disk is full",
        "free some space; nothing of the last change was kept, and it can be done again",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "can't be opened",
        "check that the folder exists and that this user may read and write it",
    ),
    sqlite3.SQLITE_IOERR: (
        "can't be read or written: the disk reports an error",
        (
            "check the disk and that the file isn't on a network file system, which SQLite's WAL"
            " mode can't use"
        ),
    ),
    sqlite3.SQLITE_PERM: ("may not be opened by this user", "run as the user who owns it"),
    sqlite3.SQLITE_NOLFS: ("is too large for this file system", "move it to another file system"),
}
_FULL_BELOW_BYTES = 64 * 1024
"""With less free space, SQLite can't even read, because it can't create its companion files."""
_OF_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""SQLite's other error codes for a full disk, besides SQLITE_FULL."""


def translate(error: sqlite3.Error, path: Path) -> StoreError | None:
    """Return a StoreError for an error of the machine or the file; None for a wrong statement."""
    if str(error).startswith(_NOT_OURS) or any(
        part in str(error) for part in (" has no column ", " already exists")
    ):
        return StoreError(
            f"the state database {path} is damaged: its tables aren't those that Headrace made"
            f" ({error})",
            hint=RESTORE,
        )
    code = getattr(error, "sqlite_errorcode", None)
    meaning = None if code is None else _MEANINGS.get(code & 0xFF)
    if meaning is None:
        return None
    what, hint = meaning
    if code is not None and code & 0xFF in _OF_FULL and _is_full(path.parent):
        what, hint = (
            "can't be read or written: the disk is full",
            f"free space on the file system of {path.parent}",
        )
    return StoreError(f"the state database {path} {what} ({error})", hint=hint)


def _is_full(folder: Path) -> bool:
    """Return whether a folder's file system is full, or nearly so; False if that is unknown."""
    try:
        return shutil.disk_usage(folder).free < _FULL_BELOW_BYTES
    except OSError:
        return False


def unreadable(path: Path, error: UnicodeDecodeError) -> StoreError:
    """Return the error for a file whose table names aren't valid text any more."""
    text = (
        f"the state database {path} is damaged: its tables aren't those that Headrace made"
        f" ({error})"
    )
    return StoreError(text, hint=RESTORE)


def missing(where: str) -> StateMissing:
    """Return the error for a project without a state."""
    return StateMissing(
        f"there is no state yet at {where}", hint="`headrace run` or `headrace tick` makes it"
    )
