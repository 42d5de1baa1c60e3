"""Once a day the leader looks after the lake: small files are merged, old snapshots expire, what nothing names is deleted.

DuckLake's own SQL does it, in a process of its own: its SQLite library and ours can't share one. Each of its steps is a
short transaction that waits for the leader's, and the leader's for it.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake import catalog
from headrace.lake.address import PostgresqlCatalog
from headrace.model import LakeError
from headrace.model.zones import to_us
from headrace.observe.damaged import damaged_files
from headrace.run import event_log, usage
from headrace.run.folders import Folders
from headrace.run.garbage import LONGEST_ATTEMPT, SNAPSHOTS_KEPT, RetentionPolicy, Waste, remove, waste
from headrace.run.retiring import HISTORY_KEPT, retirable, retire
from headrace.store import SqliteAddress, Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import attending, keeping, notifications, plans

EVERY = timedelta(days=1)
STEP_SECONDS_MAX = 600.0
STAGED_KEPT = timedelta(days=7)
"""So long after a backfill has failed what it staged may still be gone on with."""


def due(tx: Transaction, now_us: int) -> bool:
    """Whether a day has passed since the lake was last looked after, or since it was made."""
    last = attending.maintained_at(tx)
    if last is None:
        attending.maintenance_done(tx, now_us)
        return False
    return instant(now_us) - instant(last) >= EVERY


class Collected(msgspec.Struct, frozen=True):
    """What was (or would be) freed: snapshots of the lake, files that left the lake with them, and other files by kind."""

    snapshots: int
    lake_files: int
    waste: tuple[Waste, ...]
    retired: dict[str, int] = {}
    """Rows of the history that were older than it is kept, by kind."""


def maintain(store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int) -> None:
    """Merge, expire and delete. Raises LakeError; what was done stays done, and the rest is due again."""
    event_log.maintained(store, epoch, folders)
    _merge(store, folders)
    reached(FaultPoint.MAINTENANCE_MERGED)
    _collect(store, epoch, folders, keep, now_us)
    usage.add_up(store, epoch, folders, (instant(now_us) - keep.of("history", HISTORY_KEPT)).date().isoformat())
    with store.write(epoch) as tx:
        notifications.forget(tx, to_us(instant(now_us) - keep.of("history", HISTORY_KEPT)))
        attending.maintenance_done(tx, now_us)


def _merge(store: Store, folders: Folders) -> None:
    """Merge small files, but for those of tables with a damaged one: merging reads all of a table's."""
    with store.read() as tx:
        damaged = sorted({file.node for file in damaged_files(tx)})
    _step(store, folders.lake, "merge", *(f"--without={name}" for name in damaged))


def collect(store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int) -> Collected:
    """Expire old snapshots, delete what nothing needs any more and history that has had its time. For who leads. Raises LakeError,
    and then too where the state isn't as its event log says."""
    event_log.maintained(store, epoch, folders)
    return _collect(store, epoch, folders, keep, now_us)


def _collect(store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int) -> Collected:
    now = instant(now_us)
    before = now - keep.of("snapshots", SNAPSHOTS_KEPT)
    expired = _step(store, folders.lake, "expire", "--before", before.isoformat(), *_kept(store, before))
    reached(FaultPoint.MAINTENANCE_EXPIRED)
    age = ["--before", (now - LONGEST_ATTEMPT).isoformat(), "--longest-attempt-s", str(LONGEST_ATTEMPT.total_seconds() - 1)]
    cleaned = _step(store, folders.lake, "clean", *age)
    reached(FaultPoint.MAINTENANCE_CLEANED)
    _abandon(store, epoch, now_us)
    with store.read() as tx:
        wastes = waste(tx, folders, keep, now_us)
    remove(wastes)
    retired = retire(store, epoch, keep, now_us)
    event_log.shorten(store, epoch, folders)
    return Collected(len(expired["snapshots"]), len(cleaned["paths"]), tuple(wastes), retired)


def _kept(store: Store, before: datetime) -> tuple[str, ...]:
    """The snapshot that readers saw at a time, as an option of expiry: it may be much older, and is what they saw after it, too."""
    with store.read() as tx:
        seen = catalog.snapshot_at(tx, to_us(before))
    return () if seen is None else ("--keep", str(seen))


def forget_lost(store: Store, folders: Folders) -> None:
    """After a restore: snapshots expire that need files which were deleted since the backup was made. Raises LakeError."""
    with store.read() as tx:
        if catalog.missing(tx):
            return
        lake = folders.lake
        needed = [end for path, end in catalog.ended_files(tx) if not (lake / path).is_file()]
        if not needed:
            return
        before = catalog.snapshot_time_of(tx, max(needed))
    event_log.maintained(store, None, folders)
    _step(store, lake, "expire", "--before", before.isoformat())
    event_log.shorten(store, None, folders)


def _abandon(store: Store, epoch: int, now_us: int) -> None:
    """What backfills that couldn't be published have staged is given up, if nobody has gone on with them for a while."""
    with store.write(epoch) as tx:
        for plan in plans.abandoned(tx, now_us - int(STAGED_KEPT.total_seconds() * 1_000_000)):
            plans.clear(tx, plan)


def collectable(store: Store, folders: Folders, keep: RetentionPolicy, now_us: int) -> Collected:
    """What `collect` would free, as far as that can be told without doing it: the lake's files aren't counted."""
    before = now_us - int(keep.of("snapshots", SNAPSHOTS_KEPT).total_seconds() * 1_000_000)
    with store.read() as tx:
        snapshots = keeping.expiring_snapshots(tx, catalog.snapshot_time(before))
        return Collected(snapshots, 0, tuple(waste(tx, folders, keep, now_us)), retirable(tx, keep, now_us))


def _catalog(store: Store) -> tuple[str, str]:
    """Where DuckLake finds the catalog: as an argument, and what goes to its standard input, because it holds a password."""
    if isinstance(store.address, SqliteAddress):
        return str(store.address.path), ""
    address = PostgresqlCatalog(store.address.parameters, store.address.lake_schema)
    return "-", msgspec.json.encode(address).decode()


def _step(store: Store, lake: Path, step: str, *options: str) -> Any:
    where, said_in = _catalog(store)
    command = [sys.executable, "-m", "headrace.lake.maintenance", step, "--catalog", where, "--data-folder", str(lake), *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, input=said_in, timeout=STEP_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as error:
        raise LakeError(f"maintenance of the lake ({step}) took longer than {STEP_SECONDS_MAX:.0f} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise LakeError(f"maintenance of the lake ({step}) failed: {said[0]}")
    return msgspec.json.decode(done.stdout)
