"""The databases that can hold the state, one file each. Only these files know how they differ."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from headrace.model.errors import LeaseLost
from headrace.store.address import PostgresqlAddress, SqliteAddress
from headrace.store.transaction import Transaction


class StoreEngine(Protocol):
    """One database, as a store uses it."""

    folder: Path
    """The data folder on this machine: it holds the socket that wakes the leader."""

    @property
    def address(self) -> SqliteAddress | PostgresqlAddress:
        """Where it is."""

    @property
    def where(self) -> str:
        """What it is called in messages; never with a password."""

    def exists(self) -> bool:
        """Whether the state has been made. StoreError if that can't be found out."""

    def made(self) -> bool:
        """Whether there is a state with our tables. StoreError for a database of somebody else."""

    def create(self) -> None:
        """Make the state, or bring an older one up to date."""

    def applied(self) -> dict[int, str]:
        """Number → checksum of the migrations that have been applied."""

    def check(self) -> None:
        """StoreError unless the state is there, and of this Headrace's version."""

    def read(self) -> AbstractContextManager[Transaction]:
        """One consistent snapshot that can't write."""

    def write(self, epoch: int | None, *, durable: bool) -> AbstractContextManager[Transaction]:
        """One transaction, after all that began earlier; LeaseLost where `epoch` isn't that of the lease."""

    def data_version(self) -> int:
        """A number that changes whenever another connection has committed."""

    def close(self) -> None:
        """Close what is open."""


# The fence: whether the leader that writes is still the leader.


def check_epoch(epoch: int, current: int, released: int) -> None:
    """LeaseLost unless the lease is that of `epoch`; `current` and `released` are what the database says of it."""
    if current != epoch:
        raise LeaseLost(f"another leader has taken over (epoch {current}, ours is {epoch}); nothing was committed")
    if released:
        raise LeaseLost(f"the lease of epoch {epoch} was released; nothing was committed")
