"""What runs inside one transaction, and what SQLite's errors mean."""

from __future__ import annotations

import enum
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from headrace.model.errors import StoreError

# SQL text with `?` or `:name` parameters, whatever database the state is in.

Parameters = Mapping[str, Any] | Sequence[Any]


class Dialect(enum.StrEnum):
    """Which database it is. Only who makes tables needs to know."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Cursor(Protocol):
    """The part of a DB-API cursor that is used; rows are tuples."""

    @property
    def lastrowid(self) -> int | None:
        """The id that the database gave to the row inserted last."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Transaction:
    """SQL text with `?` or `:name` parameters. It is over when its `with` block is; used later, it raises StoreError."""

    __slots__ = ()
    dialect: Dialect

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run one statement; the cursor gives rows as tuples."""
        raise NotImplementedError

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> object:
        """Run one statement for each of the parameters."""
        raise NotImplementedError

    def stream(self, sql: str, /) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, fetched a few at a time: for tables that may be larger than memory.

        Read it to its end before the transaction ends."""
        raise NotImplementedError

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Insert rows as they are read, however many. A row may refer to a later one of the same table.

        The event log isn't told: for a copy, which brings its own, and for repairs of what the log says otherwise."""
        raise NotImplementedError

    def unrecorded(self, sql: str, parameters: Parameters = (), /) -> None:
        """Run one statement that the event log isn't told of, for the same uses as `fill`."""
        raise NotImplementedError

    def real_us(self) -> int:
        """Real time in microseconds since 1970 UTC, by the one clock that all who use this database share."""
        raise NotImplementedError


def insertion(table: str, columns: Sequence[str]) -> str:
    """`insert` of one row of a table, with a parameter for each column."""
    listed = ", ".join(quoted(column) for column in columns)
    return f"insert into {quoted(table)} ({listed}) values ({', '.join('?' for _ in columns)})"


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def over() -> StoreError:
    """What a transaction raises that is used after its end."""
    return StoreError("this transaction is over")


# SQLite's errors as StoreErrors that say which file, what happened and what to do.
#
# Errors of the machine or of the file are translated, and so is a schema that isn't what the
# migrations made: our statements are tested against that one. A wrong statement (an
# IntegrityError, a syntax error) is our own fault and stays what it is.

RESTORE = "`headrace db restore` brings the newest backup that fits back"
_NOT_OURS = ("no such table", "no such column", "Could not decode", "no such index")
"""How SQLite's messages begin where tables or texts aren't what we have written."""

_MEANINGS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_NOTADB: (
        "is no SQLite database",
        f"if it was ours, {RESTORE}; else move the file away, or point [store] url in headrace.toml elsewhere",
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
        "give this user write permission on the file and its folder, or run as the user who owns it",
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
        "check the disk and that the file isn't on a network file system, which SQLite's WAL mode can't use",
    ),
    sqlite3.SQLITE_PERM: ("may not be opened by this user", "run as the user who owns it"),
    sqlite3.SQLITE_NOLFS: ("is too large for this file system", "move it to another file system"),
}
_FULL_BELOW_BYTES = 64 * 1024
"""With less free, SQLite can't make the files that it needs beside the state's, not even to read."""
_OF_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""What SQLite says of a full disk where it isn't a table that can't grow."""


def translate(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The StoreError for what the machine or the file did, or None where the statement itself is at fault."""
    if str(error).startswith(_NOT_OURS) or any(part in str(error) for part in (" has no column ", " already exists")):
        return StoreError(f"the state database {path} is damaged: its tables aren't those that Headrace made ({error})", hint=RESTORE)
    code = getattr(error, "sqlite_errorcode", None)
    meaning = None if code is None else _MEANINGS.get(code & 0xFF)
    if meaning is None:
        return None
    what, hint = meaning
    if code is not None and code & 0xFF in _OF_FULL and _is_full(path.parent):
        what, hint = "can't be read or written: the disk is full", f"free space on the file system of {path.parent}"
    return StoreError(f"the state database {path} {what} ({error})", hint=hint)


def _is_full(folder: Path) -> bool:
    """Whether (almost) nothing is free on a folder's file system; False where that isn't known."""
    try:
        return shutil.disk_usage(folder).free < _FULL_BELOW_BYTES
    except OSError:
        return False


def unreadable(path: Path, error: UnicodeDecodeError) -> StoreError:
    """The names of its tables aren't text any more."""
    text = f"the state database {path} is damaged: its tables aren't those that Headrace made ({error})"
    return StoreError(text, hint=RESTORE)


def missing(where: str) -> StoreError:
    """There is no state."""
    return StoreError(f"there is no state yet at {where}", hint="`headrace run` or `headrace tick` makes it")
