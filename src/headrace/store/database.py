"""Connections to the state database: `Store.open`, `store.read()`, `store.write(epoch)`.

It uses SQL text with `:name` parameters over the DB-API; docs/decisions/0015-sql-store.md
explains why not SQLAlchemy. A store belongs to the thread that opened it: each thread and process
opens its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Self

from headrace.model.errors import StoreError
from headrace.model.nodes import Settings
from headrace.store import migrations
from headrace.store.address import PostgresqlAddress, Resolve, SqliteAddress, address
from headrace.store.engines import StoreEngine
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.transaction import Transaction


class Store:
    """One state database, opened by `Store.open`. Use it as a context manager, or `close()` it."""

    def __init__(self, engine: StoreEngine) -> None:
        self.engine = engine

    @classmethod
    def open(
        cls,
        root: Path,
        settings: Settings,
        *,
        create: bool = False,
        resolve: Resolve | None = None,
        empty: Callable[[str], None] | None = None,
    ) -> Store:
        """Open the project's state. With `create`, create it or apply missing migrations first.

        `resolve` replaces secret references in a PostgreSQL address; without it, only references to
        environment variables are replaced. If no state exists, `empty` is called with the address
        as text without a password, and may raise to refuse.

        Raises StateMissing if no state exists (without `create`), and StoreError if it is newer or
        older than this version of Headrace, or if the database can't be used.
        """
        store = cls(engine_of(root, settings, resolve))
        try:
            applied = store.engine.applied()
            if empty is not None and not applied:
                empty(store.engine.where)
            if create:
                store.engine.create()
                applied = store.engine.applied()
            migrations.check(applied, store.engine.where)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def path(self) -> Path:
        """The SQLite file's path. Raises StoreError if the state is in PostgreSQL."""
        if not isinstance(self.engine, SqliteEngine):
            raise StoreError("this state is no file")
        return self.engine.path

    @property
    def address(self) -> SqliteAddress | PostgresqlAddress:
        """The state's address. For PostgreSQL it contains the password: never print or log it."""
        return self.engine.address

    @property
    def folder(self) -> Path:
        """The data folder on this machine, which also holds the socket that wakes the leader."""
        return self.engine.folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The store can't be used afterwards."""
        self.engine.close()

    def read(self) -> AbstractContextManager[Transaction]:
        """Begin a read-only transaction on one snapshot, which later commits don't change."""
        return self.engine.read()

    def write(
        self, epoch: int | None, *, durable: bool = False
    ) -> AbstractContextManager[Transaction]:
        """Begin a transaction that commits when the block ends, or rolls back if the block raises.

        `epoch` is the epoch of the leader's lease and is checked inside the transaction. Raises
        LeaseLost if another leader has taken over or the lease was released. Pass None for writes
        that need no leader: requests, the lease itself, the clock.

        With `durable`, the commit survives a power cut; use it before an external side effect.
        Other commits survive a crash of the process, but a power cut may lose the latest ones.
        """
        return self.engine.write(epoch, durable=durable)

    def data_version(self) -> int:
        """Return a number that changes with each commit of another connection.

        Takes microseconds. Call it outside of `read()`.
        """
        return self.engine.data_version()


def engine_of(root: Path, settings: Settings, resolve: Resolve | None) -> StoreEngine:
    """Return the engine of the database that the settings name, without connecting."""
    results = address(root, settings, resolve)
    if isinstance(results, PostgresqlAddress):
        from headrace.store.engines.postgresql import PostgresqlEngine  # imports psycopg

        return PostgresqlEngine(results)
    return SqliteEngine(results.path)


def exists(root: Path, settings: Settings, resolve: Resolve | None = None) -> bool:
    """Return whether the state exists. Raises StoreError for an unusable address."""
    engine = engine_of(root, settings, resolve)
    try:
        return engine.exists()
    finally:
        engine.close()


# Apply missing migrations explicitly (`headrace db upgrade`). Every writing command also applies
# them.


class Upgraded(NamedTuple):
    """Number of migrations applied before and after an upgrade.

    `copy` is the backup of the SQLite file from before the upgrade; None if nothing changed, and
    for PostgreSQL.
    """

    before: int
    after: int
    copy: Path | None


def upgrade(root: Path, settings: Settings, resolve: Resolve | None = None) -> Upgraded | None:
    """Apply missing migrations; None if no state exists.

    Raises StoreError for a state of a newer version of Headrace, and leaves it unchanged.
    """
    engine = engine_of(root, settings, resolve)
    try:
        if not engine.exists() or not (before := len(engine.applied())):
            return None
        engine.create()
        after = len(engine.applied())
        copy = (
            engine.copy_of(before) if isinstance(engine, SqliteEngine) and after > before else None
        )
        return Upgraded(before, after, copy)
    finally:
        engine.close()
