"""The simulated store and lake, with commits and files that a power cut can take away."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from headrace.scheduler.events import AttemptId, Target
from headrace.scheduler.states import PartitionState

# Rows of the simulated store, one struct per table.


class SimulatedPartitionRow(msgspec.Struct, frozen=True):
    """Where a partition stands."""

    state: PartitionState
    stale: bool = False
    failures: int = 0
    not_before: int | None = None
    proposed: bool = False
    since: int = 0


class SimulatedPublicationRow(msgspec.Struct, frozen=True):
    """What readers see of a partition."""

    id: int
    content: int
    hash: str | None
    attempt: AttemptId | None
    """None for what is published elsewhere."""
    file: int
    first: int
    """The publication that first had this content."""


class SimulatedAttemptRow(msgspec.Struct, frozen=True):
    """An attempt; `files` are the vendor's that it ingests."""

    node: str
    keys: tuple[str, ...]
    runs: tuple[int, ...]
    reads: tuple[int, ...]
    """Publications that it reads."""
    contents: tuple[int, ...]
    files: tuple[int, ...] = ()
    prove: bool = False
    """One of its partitions is computed alone as well."""


class SimulatedDeliveryRow(msgspec.Struct, frozen=True):
    """The newest delivery of one interval of a source, and the vendor's file that it came in."""

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
    """A backfill: its partitions by node, and where it stands. `partial`: what can be made is published although something is missing."""

    keys: dict[str, tuple[str, ...]]
    partial: bool = False
    state: str = "running"


class RequestRow(msgspec.Struct, frozen=True):
    """What a person asked the leader for; `deed` is its place in the scenario."""

    deed: int


# The store as the leader sees it: transactions that may fail, an epoch that each of them is
# checked against, a clock that is never set back, and commits that a power cut can take away
# again.

COMMITS_KEPT = 8
"""Commits that a power cut could still take away."""
TABLES = ("partition", "publication", "attempt", "delivery", "run", "pause", "firing", "request", "batching", "plan", "overlay", "single")
_ABSENT = object()


class SimulatedLeaseLost(Exception):
    """The epoch isn't the transaction's any more: somebody else leads."""


class CommitFailed(Exception):
    """The disk was full, or the database went away: nothing of it was written."""


class SimulatedTransaction:
    """Reads what is committed and its own writes; nothing of it is there before `commit`."""

    def __init__(self, store: SimulatedStore, epoch: int | None) -> None:
        self._store, self.epoch = store, epoch
        self.writes: dict[tuple[str, Any], Any] = {}

    def get(self, table: str, key: Any) -> Any:
        """A row; None if there is none."""
        result = self.writes.get((table, key), _ABSENT)
        return result if result is not _ABSENT else self._store.tables[table].get(key)

    def put(self, table: str, key: Any, row: Any) -> None:
        """Write a row; None takes it away."""
        self.writes[table, key] = row


class SimulatedStore:
    """Tables of rows, and how to undo the last commits."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Any, Any]] = {name: {} for name in TABLES}
        self.tables["single"].update(epoch=0, clock=0, publication=0, version=0, run=0, seen=0)
        self._undo: deque[list[tuple[str, Any, Any]]] = deque(maxlen=COMMITS_KEPT)
        self.failing = 0
        """So many commits of leaders fail."""

    @property
    def epoch(self) -> int:
        """Of whoever took the lease last."""
        return int(self.tables["single"]["epoch"])

    def begin(self, epoch: int | None = None) -> SimulatedTransaction:
        """A transaction of a leader, or of somebody who asks one; raises Refused."""
        self.check(epoch)
        return SimulatedTransaction(self, epoch)

    def check(self, epoch: int | None) -> None:
        """Raises Refused where another leader has taken the lease since."""
        if epoch is not None and epoch != self.epoch:
            raise SimulatedLeaseLost

    def mark(self, tx: SimulatedTransaction, wall_us: int) -> int:
        """The time of a transaction: what the wall shows, and never before what was written already."""
        now = max(wall_us, int(tx.get("single", "clock")))
        tx.put("single", "clock", now)
        return now

    def commit(self, tx: SimulatedTransaction) -> None:
        """All of it, or nothing: raises Refused or CommitFailed."""
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
        """The power was cut: the last commits never happened, nor did leases in them. How many there were."""
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
    """File number → content; what is `durable` survives a power cut."""

    def __init__(self) -> None:
        self.files: dict[int, int] = {}
        self.durable: set[int] = set()
        self.full_until = 0
        """Until when nothing can be staged, in true microseconds."""
        self._last = 0

    def stage(self, content: int) -> int:
        """Write a file; its number."""
        self._last += 1
        self.files[self._last] = content
        return self._last

    def sync(self, file: int) -> None:
        """It survives a power cut from now on."""
        if file in self.files:
            self.durable.add(file)

    def cut_power(self) -> None:
        """What wasn't synced is gone."""
        self.files = {file: content for file, content in self.files.items() if file in self.durable}

    def sweep(self, named: set[int]) -> None:
        """Remove what nothing names: half-finished attempts of leaders that are gone."""
        self.files = {file: content for file, content in self.files.items() if file in named}
        self.durable &= named
