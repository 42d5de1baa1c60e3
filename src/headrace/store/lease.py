"""The lease that allows one leader at a time, stored in the database that it guards.

Its epoch only grows. Safety comes from the epoch alone: every transaction of a leader checks it
(`store.write(epoch)`), so a leader that was suspended and replaced can't commit when it resumes.
Expiry and the check of the holder's process only decide how soon another process may take the
lease: after 10 s without renewal, or at once if the lease was released or its process is known to
be dead.
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
from headrace.store.engines import check_epoch
from headrace.store.transaction import Transaction

# Identify a process by pid, start time and machine together, and check whether it is alive.
#
# Pids are reused, but not together with the same start time. A pid is only valid on one machine,
# in one boot, in one pid namespace (containers may share a folder): elsewhere it is unknown
# whether the process is alive.

_PROC = Path("/proc")


class Process(NamedTuple):
    """Unique identity of a process. `machine` is empty if it can't be determined."""

    machine: str
    pid: int
    started: str


def this_process() -> Process:
    """Return the identity of the current process."""
    pid = os.getpid()
    return Process(_machine(), pid, _process_started(pid) or "")


def is_dead(process: Process) -> bool:
    """Return True only if the process is known to have ended; False if alive or unknown."""
    if not process.machine or not process.started or process.machine != _machine():
        return False
    return _process_started(process.pid) != process.started


def _machine() -> str:
    """Return the scope in which a pid is unique: host, boot and pid namespace (Linux), or host."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return "" if _PROC.is_dir() else platform.node()


def _process_started(pid: int) -> str | None:
    """Return a process's start time in the system's format; None if it has ended or is a zombie."""
    if not (_PROC / "self/stat").exists():
        return _started_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_by_ps(pid: int) -> str | None:
    """Return the start time on systems without /proc (macOS)."""
    import subprocess  # takes 4 ms, and only macOS needs it

    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


LEASE_SECONDS = 10.0
"""How long a lease lasts without renewal."""


class Holder(NamedTuple):
    """The current holder of the lease, as stored in the database."""

    epoch: int
    name: str
    process: Process
    expires_at_us: int
    """Real time by the database's clock."""


def holder(tx: Transaction) -> Holder | None:
    """Return the running leader; None if the lease is free, expired, or its process is dead."""
    row = tx.execute(
        "select epoch, holder, machine, pid, started, expires_at from lease where id = 1"
        " and released = 0"
    ).fetchone()
    if row is None:
        return None
    epoch, name, machine, pid, started, expires_at = row
    process = Process(machine, pid, started)
    if expires_at <= tx.real_us() or is_dead(process):
        return None
    return Holder(epoch, name, process, expires_at)


class Lease:
    """The right to write, for one epoch. Create it with `Lease.take`."""

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
        """Take the lease; return None if a leader runs. `name` is the holder's display name.

        `then` is called with the new epoch in the same transaction, for example to write the audit
        entry and to recover work that the previous leader left unfinished.
        """
        with store.read() as tx:
            if holder(tx) is not None:
                return None  # without waiting for that leader's transaction
        process = this_process()
        with store.write(None, durable=True) as tx:  # a lost commit would hand out its epoch twice
            if holder(tx) is not None:
                return None
            row = tx.execute("select epoch from lease where id = 1").fetchone()
            epoch = int(row[0]) + 1
            now = tx.real_us()
            tx.execute(
                "update lease set epoch = :epoch, holder = :holder, machine = :machine, pid = :pid,"
                " started = :started, taken_at = :now, expires_at = :expires, released = 0 where"
                " id = 1",
                {
                    "epoch": epoch,
                    "holder": name,
                    "machine": process.machine,
                    "pid": process.pid,
                    "started": process.started,
                    "now": now,
                    "expires": now + _microseconds(seconds),
                },
            )
            if then is not None:
                then(tx, epoch)
            reached(FaultPoint.LEASE_TAKING)
        return cls(store, epoch, seconds)

    @property
    def renewal_due(self) -> bool:
        """Whether a third of the lease's duration has passed since the last renewal."""
        return time.monotonic() - self._renewed > self._seconds / 3

    def renew(self) -> None:
        """Renew the lease for its full duration. Raises LeaseLost if another leader took it."""
        began = time.monotonic()
        with self._store.write(self.epoch) as tx:
            tx.execute(
                "update lease set expires_at = :expires where id = 1",
                {"expires": tx.real_us() + _microseconds(self._seconds)},
            )
            reached(FaultPoint.LEASE_RENEWING)
        reached(FaultPoint.LEASE_RENEWED)
        self._renewed = began

    def check(self) -> None:
        """Raise LeaseLost if another leader has taken the lease, or if it was released."""
        with self._store.read() as tx:
            row = tx.execute("select epoch, released from lease where id = 1").fetchone()
        check_epoch(self.epoch, int(row[0]), int(row[1]))

    def release(self) -> None:
        """Release the lease, so that another process can take it at once.

        Does nothing if another leader has taken it, or if the database can't be reached: it then
        expires.
        """
        with contextlib.suppress(LeaseLost, StoreError), self._store.write(self.epoch) as tx:
            tx.execute("update lease set released = 1 where id = 1")


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
