"""An environment reads what is as in production from there: which nodes those are, where their files lie, and what is new of them.

Production's state is only read. What was known of its publications when a leader of the environment last looked is remembered, so
that what was computed from older ones becomes stale as it would in production.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.govern.state import open_state, state_exists
from headrace.lake import FileRef
from headrace.model import Settings
from headrace.observe.borrowed import EnvironmentFacts
from headrace.observe.facts import StoredFacts
from headrace.plan import Compiled
from headrace.plan.borrowing import borrowed
from headrace.run.applying import newest
from headrace.run.folders import Folders
from headrace.schedule import LoadedPartition, PartitionState, Refreshed
from headrace.store import Clock, ClockKind, Store, Transaction
from headrace.store.queries import borrowing


class BorrowedChanges(msgspec.Struct, frozen=True):
    """What the core of an environment is told: where borrowed partitions stood when it last looked, and what is new since."""

    tracked_partitions: tuple[LoadedPartition, ...] = ()
    news: tuple[Refreshed, ...] = ()


class Production:
    """Production's state and lake as an environment sees them."""

    def __init__(self, store: Store, folders: Folders) -> None:
        self.store, self._folders = store, folders
        self.nodes: frozenset[str] = frozenset()
        """What is borrowed by the version that is applied in the environment."""

    @classmethod
    def open(cls, root: Path, settings: Settings) -> Production | None:
        """Production of the project at `root`, whose settings outside of any environment are `settings`; None before its first run."""
        if not state_exists(root, settings):
            return None
        store = open_state(root, settings)
        return cls(store, Folders.of(root, settings))

    def close(self) -> None:
        """Close its state."""
        self.store.close()

    @property
    def lake(self) -> Path:
        """The folder that borrowed files lie in."""
        return self._folders.lake

    def at_us(self) -> int | None:
        """Where the clock of a replay stands; None for a live production."""
        with self.store.read() as tx:
            clock = Clock.for_reading(tx, None)
        return clock.now_us() if clock.kind is ClockKind.REPLAY else None

    def take(self, tx: Transaction, compiled: Compiled) -> BorrowedChanges:
        """Decide what is borrowed, and write down what is seen of it. `tx` is the environment's."""
        with self.store.read() as theirs:
            applied = newest(theirs)
            self.nodes = borrowed(applied.compiled if applied else None, compiled)
            now = {key: seen for key, seen in borrowing.published(theirs).items() if key[0] in self.nodes}
        before = {key: seen for key, seen in borrowing.remembered(tx).items() if key[0] in self.nodes}
        borrowing.remember(tx, self.nodes, now)
        tracked_partitions = (_tracked(key, seen) for key, seen in before.items())
        rank = {name: place for place, name in enumerate(compiled.order)}  # sources first: they say when what follows starts
        moved = sorted((key for key, seen in now.items() if before.get(key) != seen), key=lambda key: (rank[key[0]], key[1]))
        return BorrowedChanges(
            tuple(tracked_partitions), tuple(Refreshed(*key, changed=_changed(before.get(key), now[key])) for key in moved)
        )

    def absolute(self, file: FileRef) -> FileRef:
        """A file of production's lake, to be read from elsewhere."""
        deletes = tuple(msgspec.structs.replace(delete, path=str(self.lake / delete.path)) for delete in file.deletes)
        return msgspec.structs.replace(file, path=str(self.lake / file.path), deletes=deletes)

    def facts(self, transaction: Transaction, theirs: Transaction) -> EnvironmentFacts:
        """What is judged in the environment, from both states."""
        return EnvironmentFacts(StoredFacts(transaction), StoredFacts(theirs), self.nodes)


def _changed(before: borrowing.Borrowed | None, now: borrowing.Borrowed) -> bool:
    """Whether a publication has another content than the one before it, as far as that is known."""
    return before is None or now.content_hash is None or now.content_hash != before.content_hash


def _tracked(key: tuple[str, str], seen: borrowing.Borrowed) -> LoadedPartition:
    return LoadedPartition(node=key[0], key=key[1], state=PartitionState.PUBLISHED, published=True, publication=seen.publication_id)
