"""The state in one SQLite file in WAL mode. A connection belongs to the thread that opened it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from headrace.model.errors import StoreError
from headrace.store import engines, migrations
from headrace.store.address import SqliteAddress
from headrace.store.event_recording import (
    EventRecordKind,
    Recorder,
    Texts,
    append_event,
    statement,
)
from headrace.store.transaction import (
    RESTORE,
    Dialect,
    Parameters,
    Transaction,
    insertion,
    over,
    translate,
    unreadable,
)

BUSY_SECONDS = 10.0
"""Seconds that a statement waits for another process's transaction before it raises StoreError."""
WAL_BYTES_KEPT = 64 * 1024 * 1024
"""Size to which SQLite truncates the write-ahead log, to free the disk after large publications."""
APPLICATION_ID = 0x48445243
"""`HDRC` in the file's header identifies Headrace's databases."""


class SqliteTransaction(Transaction):
    """A transaction of a connection."""

    __slots__ = ("_connection",)
    dialect = Dialect.SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection: sqlite3.Connection | None = connection

    def execute(self, sql: str, parameters: Parameters = (), /) -> sqlite3.Cursor:
        if self._connection is None:
            raise over()
        return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> None:
        if self._connection is None:
            raise over()
        if (
            parameters != []
        ):  # an empty call takes microseconds, and most calls of a commit are empty
            self._connection.executemany(sql, parameters)

    def stream(self, sql: str, /) -> Iterator[tuple[Any, ...]]:
        return iter(self.execute(sql))

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        self.execute(
            "pragma defer_foreign_keys = on"
        )  # until the commit, because rows may refer to later ones
        self.executemany(insertion(table, columns), rows)

    def unrecorded(self, sql: str, parameters: Parameters = (), /) -> None:
        self.execute(sql, parameters)

    def real_us(self) -> int:
        """Return this machine's time, because the file is on this machine."""
        return time.time_ns() // 1000

    def end(self) -> None:
        self._connection = None


class SqliteRecording(SqliteTransaction):
    """A writing transaction; it records changes in the event log."""

    __slots__ = ("recorder",)

    def __init__(self, connection: sqlite3.Connection, recorder: Recorder) -> None:
        super().__init__(connection)
        self.recorder = recorder

    def execute(self, sql: str, parameters: Parameters = (), /) -> sqlite3.Cursor:
        if self._connection is None:
            raise over()
        cursor = self._connection.execute(sql, parameters)
        if not sql.startswith(("select ", "SELECT ")):
            change = statement(sql)
            if change is not None:
                self.recorder.note(sql, change, (parameters,))
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> None:
        if self._connection is None:
            raise over()
        rows = parameters if isinstance(parameters, list) else list(parameters)
        if rows:  # an empty call takes microseconds, and most calls of a commit are empty
            self._connection.executemany(sql, rows)
            change = statement(sql)
            if change is not None:
                self.recorder.note(sql, change, rows)

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        if self._connection is None:
            raise over()
        self._connection.execute("pragma defer_foreign_keys = on")
        self._connection.executemany(insertion(table, columns), rows)

    def unrecorded(self, sql: str, parameters: Parameters = (), /) -> None:
        if self._connection is None:
            raise over()
        self._connection.execute(sql, parameters)


class SqliteEngine:
    """Engine for the state in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.address = SqliteAddress(path)
        self.path = path
        self.folder = path.parent
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._texts = Texts()

    @property
    def where(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        return self.path.exists()

    def create(self) -> None:
        _private_file(self.path)
        with self._translated():
            connection = self.write_connection()
            done = applied(connection, self.path)
            migrations.refuse_unknown(done, self.where)
            migrations.refuse_gap(done, self.where)
            if 0 < len(done) < len(migrations.known()):
                self._copy(connection, len(done))
            apply(connection, self.path)

    def applied(self) -> dict[int, str]:
        if not self.path.exists():
            return {}
        with self._translated():
            return applied(self.read_connection(), self.path)

    def copy_of(self, version: int) -> Path:
        """Return the path of the backup from before the upgrade from `version`."""
        return self.path.with_name(f"{self.path.name}.version-{version}")

    def _copy(self, connection: sqlite3.Connection, version: int) -> None:
        target = self.copy_of(version)
        if not target.exists():
            part = target.with_name(f"{target.name}.{os.getpid()}.part")
            with closing(sqlite3.connect(part)) as copy:
                connection.backup(copy)
            part.chmod(0o600)
            part.replace(target)

    def close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with self._translated():
            connection = self.read_connection()
            connection.execute("begin")
            transaction = SqliteTransaction(connection)
            try:
                yield transaction
            finally:
                transaction.end()
                connection.execute("rollback")

    @contextmanager
    def write(self, epoch: int | None, *, durable: bool) -> Iterator[Transaction]:
        with self._translated():
            connection = self.write_connection()
            if durable:
                connection.execute("pragma synchronous = full")
            try:
                connection.execute("begin immediate")
                yield from _committed(connection, epoch, self._texts)
            finally:
                if durable:
                    connection.execute("pragma synchronous = normal")

    def data_version(self) -> int:
        with self._translated():
            row = self.read_connection().execute("pragma data_version").fetchone()
            return int(row[0])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            meant = translate(error, self.path)
            if meant is None:
                raise
            raise meant from error

    def read_connection(self) -> sqlite3.Connection:
        """Return the read-only connection."""
        if self._reader is None:
            self._reader = _connect(self.path)
            self._reader.execute("pragma query_only = on")
        return self._reader

    def compact(self) -> None:
        """Write the file anew and empty its log, so that no free page holds deleted values.

        Raises StoreError if readers or writers keep the file busy.
        """
        connection = self.write_connection()
        for number in range(COMPACT_TRIES):
            try:
                if number == 0:
                    connection.execute("vacuum")
                busy, *_ = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
            except sqlite3.OperationalError:
                busy = 1
            if not busy:
                return
            time.sleep(COMPACT_WAIT_S)
        raise StoreError(
            f"{self.path} can't be rewritten: another process reads it all the time",
            hint="run the same command again when no long reader is active",
        )

    def write_connection(self) -> sqlite3.Connection:
        """Return the writing connection."""
        if self._writer is None:
            self._writer = _connect(self.path)
            _use_wal(self._writer)
            self._writer.execute("pragma synchronous = normal")
            self._writer.execute(f"pragma journal_size_limit = {WAL_BYTES_KEPT}")
            self._writer.execute("pragma foreign_keys = on")
        return self._writer


COMPACT_TRIES = 50
COMPACT_WAIT_S = 0.1


def _committed(
    connection: sqlite3.Connection, epoch: int | None, texts: Texts
) -> Iterator[Transaction]:
    recorder = Recorder(texts, epoch)
    transaction = SqliteRecording(connection, recorder)
    try:
        if epoch is not None:
            engines.check_epoch(
                epoch,
                *connection.execute("select epoch, released from lease where id = 1").fetchone(),
            )
        yield transaction
        if recorder:
            recorder.write(connection.execute)
        connection.execute("commit")
        texts.committed()
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    finally:
        transaction.end()


def _connect(path: Path) -> sqlite3.Connection:
    """Connect to an existing file, in autocommit mode, because each `begin` is explicit."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        cached_statements=256,
    )
    try:
        connection.execute("select 1 from sqlite_master limit 1").fetchone()
    except UnicodeDecodeError as error:  # SQLite's message contains a damaged name
        connection.close()
        raise unreadable(path, error) from error
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; retry for 10 s, as SQLite's timeout doesn't apply here."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return


def applied(connection: sqlite3.Connection, path: Path) -> dict[int, str]:
    """Return the checksums of applied migrations by number; empty for an empty database.

    Raises StoreError for another tool's database.
    """
    (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
    if not tables:
        return {}
    (identity,) = connection.execute(
        "pragma application_id"
    ).fetchone()  # in this order: both are set in one transaction
    if identity != APPLICATION_ID:
        raise StoreError(
            f"{path} is a SQLite database, but not one of Headrace's",
            hint=(
                f"if it was ours, {RESTORE}; else move it away, or point [store] url in"
                " headrace.toml elsewhere"
            ),
        )
    return dict(connection.execute("select number, checksum from migration"))


def apply(connection: sqlite3.Connection, path: Path) -> None:
    """Apply missing migrations in one transaction, so that other processes see all or none."""
    migrations.refuse_unknown(applied(connection, path), str(path))
    connection.execute("begin immediate")
    try:
        done = applied(connection, path)
        migrations.refuse_unknown(done, str(path))
        migrations.refuse_gap(done, str(path))
        missing_ones = [
            migration for migration in migrations.known() if migration.number not in done
        ]
        applied_now = [_apply_or_refuse(connection, migration, path) for migration in missing_ones]
        if applied_now:
            append_event(connection.execute, EventRecordKind.MIGRATED, changes=applied_now)
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _apply_or_refuse(
    connection: sqlite3.Connection, migration: migrations.Migration, path: Path
) -> tuple[int, str, str, int]:
    try:
        return _apply_one(connection, migration)
    except sqlite3.DatabaseError as error:
        of_tables = (
            getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
        )  # exists, or is missing
        if not of_tables and translate(error, path) is not None:  # error of machine or file
            raise
        raise migrations.unappliable(migration, str(path), error) from error


def _apply_one(
    connection: sqlite3.Connection, migration: migrations.Migration
) -> tuple[int, str, str, int]:
    """Apply a migration and return its row of the table `migration`."""
    connection.execute(f"pragma application_id = {APPLICATION_ID}")
    connection.execute(migrations.RECORD)
    for text in migrations.statements(migration.text):
        connection.execute(text)
    row = (migration.number, migration.name, migration.checksum, time.time_ns() // 1000)
    connection.execute(
        "insert into migration (number, name, checksum, applied_at) values (?, ?, ?, ?)", row
    )
    return row


def _private_file(path: Path) -> None:
    """Create an empty file and the data folder, accessible only to the owner.

    SQLite's companion files get the same mode.
    """
    try:
        private_folder(path.parent)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise StoreError(
            f"the state database {path} can't be made: {error.strerror}",
            hint="check that its folder is a folder, and that this user may write to it",
        ) from error


def private_folder(folder: Path) -> None:
    """Create the data folder, accessible only to the owner."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.name == ".headrace":
        folder.chmod(0o700)
