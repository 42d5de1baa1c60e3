"""The store as the leader sees it: transactions that happen or don't, an epoch that each of them is checked against, a clock
that is never set back, and commits that a power cut can take away again."""

from __future__ import annotations

from collections import deque
from typing import Any

KEPT = 8
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
        self._undo: deque[list[tuple[str, Any, Any]]] = deque(maxlen=KEPT)
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
