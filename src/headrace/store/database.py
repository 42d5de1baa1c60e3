"""The state database as an open thing: `Store.open`, `store.read()`, `store.write(epoch)`.

SQL text with `:name` parameters over the DB-API; why not SQLAlchemy: docs/decisions/0010-plain-sql-store.md.
A store belongs to the thread that opened it; another thread or process opens its own.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from headrace.model.errors import LeaseLost, NotBuilt, StoreError
from headrace.model.nodes import Settings
from headrace.store import migrations
from headrace.store.failures import translate

BUSY_SECONDS = 10.0
"""How long a statement waits for another process's transaction before it is a StoreError."""
WAL_BYTES_KEPT = 64 * 1024 * 1024
"""What the write-ahead log is cut to after a checkpoint, so that one large publication doesn't keep the disk."""

Parameters = Mapping[str, Any] | Sequence[Any]


class Transaction:
    """What runs inside one transaction. It is over when its `with` block is; used later, it raises StoreError."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection: sqlite3.Connection | None = connection

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run one statement; the cursor gives rows as tuples."""
        if self._connection is None:
            raise StoreError("this transaction is over")
        return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> sqlite3.Cursor:
        """Run one statement for each of the parameters."""
        if self._connection is None:
            raise StoreError("this transaction is over")
        return self._connection.executemany(sql, parameters)

    def _end(self) -> None:
        self._connection = None


class Store:
    """One state database, opened by `Store.open`. Use it as a context manager, or `close()` it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """The database file; its folder is the data folder, which also holds the socket that wakes the leader."""
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None

    @classmethod
    def open(cls, root: Path, settings: Settings, *, create: bool = False) -> Store:
        """Open the project's state. With `create`, make it or bring an older one up to date first.

        Raises StoreError if there is none (and not `create`), if it is newer or older than this Headrace, or
        if the file can't be used; NotBuilt for a PostgreSQL address.
        """
        store = cls(state_path(root, settings))
        try:
            if create:
                store._create()
            store._check()
        except BaseException:
            store.close()
            raise
        return store

    def _create(self) -> None:
        _private_file(self.path)
        with self._translated():
            connection = self._write_connection()
            migrations.apply(connection, self.path)

    def _check(self) -> None:
        if not self.path.exists():
            raise _missing(self.path)
        with self._translated():
            connection = self._read_connection()
            if not migrations.applied(connection, self.path):
                raise _missing(self.path)
            migrations.check(connection, self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The store can't be used afterwards."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One consistent snapshot: what others commit meanwhile isn't seen. Nothing can be written in it."""
        with self._translated():
            connection = self._read_connection()
            connection.execute("begin")
            transaction = Transaction(connection)
            try:
                yield transaction
            finally:
                transaction._end()
                connection.execute("rollback")

    @contextmanager
    def write(self, epoch: int | None, *, durable: bool = False) -> Iterator[Transaction]:
        """One transaction that commits at the end of the block, or leaves no trace if the block raises.

        `epoch` is that of the leader's lease, checked inside the transaction: LeaseLost if another leader has
        taken over or the lease was released. None is for what needs no leader: requests, the lease itself, the clock.
        `durable` makes the commit outlive a power cut, for use before an effect outside; other commits outlive
        any crash of the process, but a power cut may take the last of them.
        """
        with self._translated():
            connection = self._write_connection()
            if durable:
                connection.execute("pragma synchronous = full")
            try:
                connection.execute("begin immediate")
                yield from _committed(connection, epoch)
            finally:
                if durable:
                    connection.execute("pragma synchronous = normal")

    def data_version(self) -> int:
        """A number that changes whenever another connection has committed; costs microseconds, outside of `read()`."""
        with self._translated():
            row = self._read_connection().execute("pragma data_version").fetchone()
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

    def _read_connection(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = _connect(self.path)
            self._reader.execute("pragma query_only = on")
        return self._reader

    def _write_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = _connect(self.path)
            _use_wal(self._writer)
            self._writer.execute("pragma synchronous = normal")
            self._writer.execute(f"pragma journal_size_limit = {WAL_BYTES_KEPT}")
            self._writer.execute("pragma foreign_keys = on")
        return self._writer


def _committed(connection: sqlite3.Connection, epoch: int | None) -> Iterator[Transaction]:
    transaction = Transaction(connection)
    try:
        if epoch is not None:
            _check_epoch(connection, epoch)
        yield transaction
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    finally:
        transaction._end()


def _check_epoch(connection: sqlite3.Connection, epoch: int) -> None:
    current, released = connection.execute("select epoch, released from lease where id = 1").fetchone()
    if current != epoch:
        raise LeaseLost(f"another leader has taken over (epoch {current}, ours is {epoch}); nothing was committed")
    if released:
        raise LeaseLost(f"the lease of epoch {epoch} was released; nothing was committed")


def _connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode: every transaction is begun by name. Never creates a file."""
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite doesn't wait for others here, as it does everywhere else, so we do."""
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


def state_path(root: Path, settings: Settings) -> Path:
    """The absolute path of the project's state database. NotBuilt or StoreError for an address that isn't `sqlite:PATH`."""
    kind, _, rest = settings.store_url.partition(":")
    if kind in ("postgresql", "postgres"):
        raise NotBuilt("[store] url: PostgreSQL isn't built yet", hint='write url = "sqlite:.headrace/state.db"')
    if kind != "sqlite" or not rest or rest.startswith("//") or "\0" in rest:
        raise StoreError(
            f"[store] url {settings.store_url!r} is no address of a state database",
            hint='write url = "sqlite:.headrace/state.db": a path, relative to the project or absolute',
        )
    return (root.absolute() / rest).absolute()


def exists(root: Path, settings: Settings) -> bool:
    """Whether a verb that writes has made the state already. StoreError for an address that can't be used."""
    return state_path(root, settings).exists()


def _missing(path: Path) -> StoreError:
    return StoreError(f"there is no state yet at {path}", hint="`headrace run` or `headrace tick` makes it")


def _private_file(path: Path) -> None:
    """Make the file, empty, readable by its owner alone, and the data folder too. SQLite gives the same mode to its companions."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.name == ".headrace":
            path.parent.chmod(0o700)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise StoreError(
            f"the state database {path} can't be made: {error.strerror}",
            hint="check that its folder is a folder, and that this user may write to it",
        ) from error
