"""The state database as an open thing: `Store.open`, `store.read()`, `store.write(epoch)`.

SQL text with `:name` parameters over the DB-API; why not SQLAlchemy: docs/decisions/0010-plain-sql-store.md.
A store belongs to the thread that opened it; another thread or process opens its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Self

from headrace.model.errors import StoreError
from headrace.model.nodes import Settings
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
        """Open the project's state. With `create`, make it or bring an older one up to date first.

        `resolve` replaces references to secrets in a PostgreSQL address; without it only environment variables are.
        `empty` is called with the address, for messages, where no state was made there yet; it may refuse.

        Raises StoreError if there is none (and not `create`), if it is newer or older than this Headrace, or
        if the database can't be used.
        """
        store = cls(engine_of(root, settings, resolve))
        try:
            if empty is not None and not store.engine.made():
                empty(store.engine.where)
            if create:
                store.engine.create()
            store.engine.check()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def path(self) -> Path:
        """The SQLite file. StoreError where the state is in PostgreSQL."""
        if not isinstance(self.engine, SqliteEngine):
            raise StoreError("this state is no file")
        return self.engine.path

    @property
    def address(self) -> SqliteAddress | PostgresqlAddress:
        """Where the state is. A PostgreSQL address holds the password: it is never shown."""
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
        """One consistent snapshot: what others commit meanwhile isn't seen. Nothing can be written in it."""
        return self.engine.read()

    def write(self, epoch: int | None, *, durable: bool = False) -> AbstractContextManager[Transaction]:
        """One transaction that commits at the end of the block, or leaves no trace if the block raises.

        `epoch` is that of the leader's lease, checked inside the transaction: LeaseLost if another leader has
        taken over or the lease was released. None is for what needs no leader: requests, the lease itself, the clock.
        `durable` makes the commit outlive a power cut, for use before an effect outside; other commits outlive
        any crash of the process, but a power cut may take the last of them.
        """
        return self.engine.write(epoch, durable=durable)

    def data_version(self) -> int:
        """A number that changes whenever another connection has committed; costs microseconds, outside of `read()`."""
        return self.engine.data_version()


def engine_of(root: Path, settings: Settings, resolve: Resolve | None) -> StoreEngine:
    """The database that the settings name, not opened yet."""
    results = address(root, settings, resolve)
    if isinstance(results, PostgresqlAddress):
        from headrace.store.engines.postgresql import PostgresqlEngine  # psycopg: only who uses it pays for it

        return PostgresqlEngine(results)
    return SqliteEngine(results.path)


def state_path(root: Path, settings: Settings) -> Path:
    """The absolute path of the project's SQLite file. StoreError where the state is elsewhere, or the address can't be used."""
    results = address(root, settings)
    if not isinstance(results, SqliteAddress):
        raise StoreError("this state is no file")
    return results.path


def exists(root: Path, settings: Settings, resolve: Resolve | None = None) -> bool:
    """Whether a command that writes has made the state already. StoreError for an address that can't be used."""
    engine = engine_of(root, settings, resolve)
    try:
        return engine.exists()
    finally:
        engine.close()


# Apply missing migrations explicitly (`headrace db upgrade`). Every command that writes also does
# it by itself.


class Upgraded(NamedTuple):
    """How many migrations had been applied before, and are now; `copy` is the SQLite file as it was, if anything was to be done."""

    before: int
    after: int
    copy: Path | None


def upgrade(root: Path, settings: Settings, resolve: Resolve | None = None) -> Upgraded | None:
    """Apply what is missing; None where there is no state. StoreError for one of a newer Headrace, which stays as it is."""
    engine = engine_of(root, settings, resolve)
    try:
        if not engine.exists() or not (before := len(engine.applied())):
            return None
        engine.create()
        after = len(engine.applied())
        copy = engine.copy_of(before) if isinstance(engine, SqliteEngine) and after > before else None
        return Upgraded(before, after, copy)
    finally:
        engine.close()
