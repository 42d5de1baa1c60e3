"""One leader at a time: a lease with an epoch that only grows, in the database that it guards.

Safety comes from the epoch alone: every transaction of a leader checks it (`store.write(epoch)`), so a leader
that was stopped and continues can't commit. Expiry and the look at the holder's process only decide how soon
another may try: a holder that lives keeps the lease for 10 s without renewal, a released lease and that of a
process known to be dead are free at once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

from headrace.faults import FaultPoint, reached
from headrace.model.errors import LeaseLost, StoreError
from headrace.store.database import Store, Transaction
from headrace.store.processes import Process, is_dead, this_process

LEASE_SECONDS = 10.0
"""How long a lease lasts without renewal."""


class Holder(NamedTuple):
    """Who holds the lease, as the database says."""

    epoch: int
    name: str
    process: Process
    taken_at_us: int
    """Real time of the database that it is in, as `expires_at_us`."""
    expires_at_us: int


def holder(tx: Transaction) -> Holder | None:
    """The leader that runs now, or None: never taken, released, lapsed, or its process is dead."""
    row = tx.execute(
        "select epoch, holder, machine, pid, started, taken_at, expires_at from lease where id = 1 and released = 0"
    ).fetchone()
    if row is None:
        return None
    epoch, name, machine, pid, started, taken_at, expires_at = row
    process = Process(machine, pid, started)
    if expires_at <= tx.real_us() or is_dead(process):
        return None
    return Holder(epoch, name, process, taken_at, expires_at)


class Lease:
    """The right to write, for one epoch. Made by `Lease.take`."""

    def __init__(self, store: Store, epoch: int, seconds: float) -> None:
        self.epoch = epoch
        self._store = store
        self._seconds = seconds
        self._renewed = time.monotonic()

    @classmethod
    def take(
        cls,
        store: Store,
        name: str,
        *,
        seconds: float = LEASE_SECONDS,
        then: Callable[[Transaction, int], None] | None = None,
    ) -> Lease | None:
        """Take the lease if no leader runs, else None. `name` is who takes it, for people.

        `then` runs in the same transaction with the new epoch (the audit entry, the recovery of what the last leader left).
        """
        with store.read() as tx:
            if holder(tx) is not None:
                return None  # without waiting for that leader's transaction
        process = this_process()
        with store.write(None, durable=True) as tx:  # an epoch that a crash of the database's server took back would be given out twice
            if holder(tx) is not None:
                return None
            row = tx.execute("select epoch from lease where id = 1").fetchone()
            epoch = int(row[0]) + 1
            now = tx.real_us()
            tx.execute(
                "update lease set epoch = :epoch, holder = :holder, machine = :machine, pid = :pid, started = :started, "
                "taken_at = :now, expires_at = :expires, released = 0 where id = 1",
                {"epoch": epoch, "holder": name, "machine": process.machine, "pid": process.pid,
                 "started": process.started, "now": now, "expires": now + _microseconds(seconds)},
            )  # fmt: skip
            if then is not None:
                then(tx, epoch)
            reached(FaultPoint.LEASE_TAKING)
        return cls(store, epoch, seconds)

    @property
    def renewal_due(self) -> bool:
        """Whether a third of the lease's time has passed since it was last renewed."""
        return time.monotonic() - self._renewed > self._seconds / 3

    def renew(self) -> None:
        """Keep the lease for as long again. LeaseLost if another leader has taken it."""
        began = time.monotonic()
        with self._store.write(self.epoch) as tx:
            tx.execute("update lease set expires_at = :expires where id = 1", {"expires": tx.real_us() + _microseconds(self._seconds)})
            reached(FaultPoint.LEASE_RENEWING)
        reached(FaultPoint.LEASE_RENEWED)
        self._renewed = began

    def release(self) -> None:
        """Give the lease back, so that it is free at once. Nothing happens if it is no longer ours, nor if the database is out of
        reach: it lapses."""
        with contextlib.suppress(LeaseLost, StoreError), self._store.write(self.epoch) as tx:
            tx.execute("update lease set released = 1 where id = 1")


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
