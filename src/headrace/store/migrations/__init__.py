"""Numbered .sql files, applied in order, each in one transaction, recorded with the checksum of its text.

A file that was released never changes: a store that was made by another text of it is refused, and so is a store
that knows a migration that this Headrace doesn't.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from headrace.model.errors import StoreError

APPLICATION_ID = 0x48445243
"""`HDRC` in the file's header: tells Headrace's databases from others."""

_RECORD = """create table if not exists migration (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at bigint not null
)"""


class Migration(NamedTuple):
    """One file: its number from 1, its name, its text and the text's SHA-256."""

    number: int
    name: str
    text: str
    checksum: str


@cache
def known() -> tuple[Migration, ...]:
    """The migrations of this Headrace, in order."""
    found = [_load(path) for path in sorted(Path(__file__).parent.glob("[0-9]*.sql"))]
    assert [migration.number for migration in found] == list(range(1, len(found) + 1)), "migrations are numbered from 1 without gaps"
    return tuple(found)


def _load(path: Path) -> Migration:
    text = path.read_text("utf-8")
    return Migration(int(path.name.partition("_")[0]), path.stem, text, hashlib.sha256(text.encode()).hexdigest())


def applied(connection: sqlite3.Connection, path: Path) -> dict[int, str]:
    """Number → checksum of what was applied; empty for an empty database. StoreError if the database isn't Headrace's."""
    (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
    if not tables:
        return {}
    (identity,) = connection.execute("pragma application_id").fetchone()  # in this order: both are set in one transaction
    if identity != APPLICATION_ID:
        raise StoreError(
            f"{path} is a SQLite database, but not one of Headrace's",
            hint="move it away, or point [store] url in headrace.toml elsewhere",
        )
    return dict(connection.execute("select number, checksum from migration"))


def check(connection: sqlite3.Connection, path: Path) -> None:
    """StoreError unless exactly the migrations of this Headrace have been applied."""
    done = applied(connection, path)
    _refuse_unknown(done, path)
    if len(done) < len(known()):
        raise StoreError(
            f"the state database {path} is of an older Headrace (version {len(done)}, this one needs {len(known())})",
            hint="the next `headrace run` or `headrace tick` brings it up to date",
        )


def apply(connection: sqlite3.Connection, path: Path) -> None:
    """Apply what is missing. Safe beside another process that does the same."""
    _refuse_unknown(applied(connection, path), path)
    for migration in known():
        connection.execute("begin immediate")
        try:
            done = applied(connection, path)
            _refuse_unknown(done, path)
            if migration.number not in done:
                _apply_one(connection, migration)
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise


def _apply_one(connection: sqlite3.Connection, migration: Migration) -> None:
    connection.execute(f"pragma application_id = {APPLICATION_ID}")
    connection.execute(_RECORD)
    for statement in statements(migration.text):
        connection.execute(statement)
    connection.execute(
        "insert into migration (number, name, checksum, applied_at) values (?, ?, ?, ?)",
        (migration.number, migration.name, migration.checksum, time.time_ns() // 1000),
    )


def statements(text: str) -> Iterator[str]:
    """The statements of a migration, one after the other (`executescript` would commit by itself). Each begins on a line of its own."""
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending


def _refuse_unknown(done: dict[int, str], path: Path) -> None:
    ours = {migration.number: migration.checksum for migration in known()}
    if unknown := sorted(done.keys() - ours.keys()):
        raise StoreError(
            f"the state database {path} is of a newer Headrace (version {unknown[-1]}, this one knows {len(ours)})",
            hint="use the Headrace that wrote it, or a newer one",
        )
    if changed := sorted(number for number, checksum in done.items() if ours[number] != checksum):
        raise StoreError(
            f"the state database {path} was made by another text of migration {changed[0]}",
            hint="it comes from an unreleased Headrace: use that one, or move the data folder away and start anew",
        )
