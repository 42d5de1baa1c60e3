"""SQLite's errors as StoreErrors that say which file, what happened and what to do.

Only what the machine or the file does to us is translated; a statement that is wrong (an IntegrityError, a
syntax error) is a fault of ours and stays what it is.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from headrace.model.errors import StoreError

_MEANINGS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_NOTADB: (
        "is no SQLite database",
        "move the file away if it isn't needed, or point [store] url in headrace.toml elsewhere",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "restore it from a backup; `sqlite3 state.db '.recover'` saves what can be read",
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


def translate(error: sqlite3.Error, path: Path) -> StoreError | None:
    """The StoreError for what the machine or the file did, or None where the statement itself is at fault."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    meaning = _MEANINGS.get(code & 0xFF)
    if meaning is None:
        return None
    what, hint = meaning
    return StoreError(f"the state database {path} {what} ({error})", hint=hint)


def missing(where: str) -> StoreError:
    """There is no state."""
    return StoreError(f"there is no state yet at {where}", hint="`headrace run` or `headrace tick` makes it")
