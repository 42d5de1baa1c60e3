"""The simulated store and lake, with commits and files that a power cut can take away."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from headrace.scheduler.events import AttemptId, Target
from headrace.scheduler.states import PartitionState

# Rows of the simulated store, one struct per table.


class SimulatedPartitionRow(msgspec.Struct, frozen=True):
    """The state of a partition."""

    state: PartitionState
    stale: bool = False
    failures: int = 0
    not_before: int | None = None
    proposed: bool = False
    since: int = 0


class SimulatedPublicationRow(msgspec.Struct, frozen=True):
    """The visible publication of a partition."""

    id: int
    content: int
    hash: str | None
    attempt: AttemptId | None
    """None for a partition published elsewhere."""
    file: int
    first: int
    """The publication that first had this content."""


class SimulatedAttemptRow(msgspec.Struct, frozen=True):
    """An attempt; `files` are the vendor's files that it ingests."""

    node: str
    keys: tuple[str, ...]
    runs: tuple[int, ...]
    reads: tuple[int, ...]
    """Publications that it reads."""
    contents: tuple[int, ...]
    files: tuple[int, ...] = ()
    prove: bool = False
    """Whether one of its partitions is computed alone as well."""
    sent: int | None = None
    """Of a batch of deliveries: the number of those that the worker is sent."""


class SimulatedDeliveryRow(msgspec.Struct, frozen=True):
    """The newest delivery of one interval of a source, and the vendor's file that contained it."""

    file: int
    bundle: str
    content: int
    state: str = "waiting"


class SimulatedRunRow(msgspec.Struct, frozen=True):
    """A run: open until it settles, is cancelled or lost."""

    targets: tuple[Target, ...]
    standing: bool
    state: str = "running"


class SimulatedPlanRow(msgspec.Struct, frozen=True):
    """A backfill: its partitions by node, and its state.

    `partial`: the computed partitions are published although some are missing.
    """

    keys: dict[str, tuple[str, ...]]
    partial: bool = False
    state: str = "running"


class RequestRow(msgspec.Struct, frozen=True):
    """A person's request to the leader; `deed` is its index in the scenario."""

    deed: int


# The store as the leader sees it: transactions that may fail, an epoch that each of them is checked
# against, a clock that is never set back, and commits that a power cut can undo.

COMMITS_KEPT = 8
"""Number of commits that a power cut can still undo."""
TABLES = (
    "partition",
    "publication",
    "attempt",
    "delivery",
    "run",
    "pause",
    "firing",
    "request",
    "batching",
    "plan",
    "overlay",
    "single",
)
_ABSENT = object()


class SimulatedLeaseLost(Exception):
    """The transaction's epoch is outdated: another leader has the lease."""


class CommitFailed(Exception):
    """The disk was full, or the database was unavailable: nothing was written."""


class SimulatedTransaction:
    """A transaction that reads committed rows and its own writes.

    Writes are visible after `commit`.
    """

    def __init__(self, store: SimulatedStore, epoch: int | None) -> None:
        self._store, self.epoch = store, epoch
        self.writes: dict[tuple[str, Any], Any] = {}

    def get(self, table: str, key: Any) -> Any:
        """Return a row; None if there is none."""
        result = self.writes.get((table, key), _ABSENT)
        return result if result is not _ABSENT else self._store.tables[table].get(key)

    def put(self, table: str, key: Any, row: Any) -> None:
        """Write a row; None deletes it."""
        self.writes[table, key] = row


class SimulatedStore:
    """Tables of rows, with an undo log of the last commits."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, Any]] = {name: {} for name in TABLES}
        self.tables["single"].update(epoch=0, clock=0, publication=0, version=0, run=0, seen=0)
        self._undo: deque[list[tuple[str, Any, Any]]] = deque(maxlen=COMMITS_KEPT)
        self.failing = 0
        """Number of coming commits by leaders that fail."""

    @property
    def epoch(self) -> int:
        """The epoch of the current lease."""
        return int(self.tables["single"]["epoch"])

    def begin(self, epoch: int | None = None) -> SimulatedTransaction:
        """Begin a transaction of a leader, or of a client of the leader.

        Raises SimulatedLeaseLost if another leader has taken the lease since.
        """
        self.check(epoch)
        return SimulatedTransaction(self, epoch)

    def check(self, epoch: int | None) -> None:
        """Raise SimulatedLeaseLost if another leader has taken the lease since `epoch`."""
        if epoch is not None and epoch != self.epoch:
            raise SimulatedLeaseLost

    def mark(self, tx: SimulatedTransaction, wall_us: int) -> int:
        """Return the time of a transaction.

        The wall clock, but never before an earlier transaction.
        """
        now = max(wall_us, int(tx.get("single", "clock")))
        tx.put("single", "clock", now)
        return now

    def commit(self, tx: SimulatedTransaction) -> None:
        """Commit everything or nothing; raises SimulatedLeaseLost or CommitFailed."""
        if self.failing and tx.epoch is not None:
            self.failing -= 1
            raise CommitFailed
        self.check(tx.epoch)
        undo = []
        for (table, key), row in tx.writes.items():
            rows = self.tables[table]
            undo.append((table, key, rows.get(key)))
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        self._undo.append(undo)

    def lose(self, commits: int) -> int:
        """Undo the last commits, and leases in them, after a power cut; return their number."""
        lost = 0
        while self._undo and lost < commits:
            for table, key, row in reversed(self._undo.pop()):
                if row is None:
                    self.tables[table].pop(key, None)
                else:
                    self.tables[table][key] = row
            lost += 1
        return lost


# Staged files. A file that no commit names is waste; a file that wasn't synced is gone after a
# power cut.


class Lake:
    """File number → content; files in `durable` survive a power cut."""

    def __init__(self) -> None:
        self.files: dict[int, int] = {}
        self.durable: set[int] = set()
        self.full_until = 0
        """Until when nothing can be staged, in microseconds of true time."""
        self._last = 0

    def stage(self, content: int) -> int:
        """Write a file and return its number."""
        self._last += 1
        self.files[self._last] = content
        return self._last

    def sync(self, file: int) -> None:
        """Make a file survive power cuts."""
        if file in self.files:
            self.durable.add(file)

    def cut_power(self) -> None:
        """Drop all files that weren't synced."""
        self.files = {file: content for file, content in self.files.items() if file in self.durable}

    def sweep(self, named: set[int]) -> None:
        """Remove files that nothing names: unfinished attempts of former leaders."""
        self.files = {file: content for file, content in self.files.items() if file in named}
        self.durable &= named
