"""One leader at a time: a lease with an epoch that only grows, in the database that it guards.

Safety comes from the epoch alone: every transaction of a leader checks it (`store.write(epoch)`), so a leader
that was stopped and continues can't commit. Expiry and the check of the holder's process only decide how soon
another may try: a live holder keeps the lease for 10 s without renewal; a released lease and that of a
process known to be dead are free at once.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from headrace.faults import FaultPoint, reached
from headrace.model.errors import LeaseLost, StoreError
from headrace.store.database import Store
from headrace.store.transaction import Transaction

# Identifies the process that holds something, and tells whether it is still alive: by pid, start
# time and machine together.
#
# Pids are reused; a pid with the start time of its process isn't. A pid means something only on
# one machine, in one boot, in one pid namespace (containers that share a folder): elsewhere the
# answer is "not known".

_PROC = Path("/proc")


class Process(NamedTuple):
    """A process, told from any other. `machine` is empty where it can't be told."""

    machine: str
    pid: int
    started: str


def this_process() -> Process:
    """Who we are."""
    pid = os.getpid()
    return Process(_machine(), pid, _process_started(pid) or "")


def is_dead(process: Process) -> bool:
    """True only if that process is known to have ended. False if it lives, or if we can't know."""
    if not process.machine or not process.started or process.machine != _machine():
        return False
    return _process_started(process.pid) != process.started


def _machine() -> str:
    """Within what a pid has a meaning: host, boot and pid namespace (Linux), or the host."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return "" if _PROC.is_dir() else platform.node()


def _process_started(pid: int) -> str | None:
    """When a process started, in the system's own terms; None if there is none, or if it has ended and only waits for its parent."""
    if not (_PROC / "self/stat").exists():
        return _started_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_by_ps(pid: int) -> str | None:
    """The same where there is no /proc (macOS)."""
    import subprocess  # measured: 4 ms of `status`, which needs it on no other system

    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


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
