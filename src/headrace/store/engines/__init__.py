"""Database engines of the state, one module each; only they contain database-specific code."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from headrace.model.errors import LeaseLost
from headrace.store.address import PostgresqlAddress, SqliteAddress
from headrace.store.transaction import Transaction


class StoreEngine(Protocol):
    """Interface of a database engine, as used by `Store`."""

    folder: Path
    """The data folder on this machine, with the socket that wakes the leader."""

    @property
    def address(self) -> SqliteAddress | PostgresqlAddress:
        """The database's address."""

    @property
    def where(self) -> str:
        """The address for messages, without a password."""

    def exists(self) -> bool:
        """Return whether the state exists. Raises StoreError if that can't be determined."""

    def create(self) -> None:
        """Create the state, or apply missing migrations."""

    def applied(self) -> dict[int, str]:
        """Return the checksums of applied migrations by number; empty without Headrace's tables.

        Raises StoreError for another tool's database.
        """

    def read(self) -> AbstractContextManager[Transaction]:
        """Begin a read-only transaction on one snapshot."""

    def write(self, epoch: int | None, *, durable: bool) -> AbstractContextManager[Transaction]:
        """Begin a writing transaction, after earlier ones have ended.

        Raises LeaseLost if `epoch` isn't the lease's epoch.
        """

    def data_version(self) -> int:
        """Return a number that changes with each commit of another connection."""

    def close(self) -> None:
        """Close all connections."""


# The fence: a writing leader must still hold the lease.


def check_epoch(epoch: int, current: int, released: int) -> None:
    """Raise LeaseLost unless `epoch` holds the lease.

    `current` and `released` are the lease's columns `epoch` and `released`.
    """
    if current != epoch:
        raise LeaseLost(
            f"another leader has taken over (epoch {current}, ours is {epoch}); nothing was"
            " committed"
        )
    if released:
        raise LeaseLost(f"the lease of epoch {epoch} was released; nothing was committed")
