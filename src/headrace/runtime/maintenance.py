"""Daily maintenance of the lake, cleanup of a full disk, and the check of the lake's files."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.incidents.diagnosis.evidence import FailureCategory
from headrace.lake import catalog
from headrace.lake.catalog.schema import PostgresqlCatalog
from headrace.lake.files import check_file
from headrace.model import LakeError
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.errors import LAKE_FILE
from headrace.model.intervals import to_us
from headrace.plan import Compiled
from headrace.plan.compiled import expand_view_names
from headrace.runtime import event_log, usage
from headrace.runtime.folders import Folders
from headrace.runtime.garbage import (
    LONGEST_ATTEMPT,
    SNAPSHOTS_KEPT,
    RetentionPolicy,
    Waste,
    remove,
    waste,
)
from headrace.runtime.history_retention import HISTORY_KEPT, retirable, retire
from headrace.runtime.partition_retention import Retired, retire_partitions, retiring
from headrace.runtime.pruned_nodes import with_removed
from headrace.security.state import refuse_empty
from headrace.slo.damaged_files import damaged_files
from headrace.store import Clock, SqliteAddress, Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import (
    backfill_plans,
    holds,
    incidents,
    lake_maintenance,
    notifications,
    partition_states,
    publications,
    retention,
)
from headrace.store.queries.incidents import Happened
from headrace.store.queries.lake_maintenance import FileLook, FilesLook, PublishedFiles

# Once a day the leader merges small files, expires old snapshots and deletes unreferenced files.
# DuckLake's own SQL does it in a separate process, because its SQLite library and Python's can't
# share one. Each step is a short transaction that waits for the leader's, as the leader's waits for
# it.

EVERY = timedelta(days=1)
STEP_SECONDS_MAX = 600.0
STAGED_KEPT = timedelta(days=7)
"""Time for which the staged partitions of a failed backfill are kept, so that it can continue."""


def due(tx: Transaction, now_us: int) -> bool:
    """Whether a day has passed since the last maintenance, or since the lake was created."""
    last = lake_maintenance.maintained_at(tx)
    if last is None:
        lake_maintenance.maintenance_done(tx, now_us)
        return False
    return instant(now_us) - instant(last) >= EVERY


class Collected(msgspec.Struct, frozen=True):
    """Freed items, or those that would be: lake snapshots, their files, and other files by kind."""

    snapshots: int
    lake_files: int
    waste: tuple[Waste, ...]
    retired: dict[str, int] = {}
    """Outdated rows of the history, by kind."""
    partitions: tuple[Retired, ...] = ()
    """Partitions that `retain:` ends."""


def maintain(
    store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int
) -> None:
    """Merge, expire and delete.

    Raises LakeError; completed steps stay done, and the maintenance is due again.
    """
    event_log.maintained(store, epoch, folders)
    _merge(store, folders)
    reached(FaultPoint.MAINTENANCE_MERGED)
    _collect(store, epoch, folders, keep, now_us)
    usage.add_up(
        store,
        epoch,
        folders,
        (instant(now_us) - keep.of("history", HISTORY_KEPT)).date().isoformat(),
    )
    with store.write(epoch) as tx:
        notifications.forget(tx, to_us(instant(now_us) - keep.of("history", HISTORY_KEPT)))
        lake_maintenance.maintenance_done(tx, now_us)


def _merge(store: Store, folders: Folders) -> None:
    """Merge small files of tables without a damaged file: merging reads all of a table's files."""
    with store.read() as tx:
        damaged = sorted({file.node for file in damaged_files(tx)})
    _step(store, folders.lake, "merge", *(f"--without={name}" for name in damaged))


def collect(
    store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int
) -> Collected:
    """Expire old snapshots, and delete unneeded files and outdated history.

    Only the leader may call it. Raises LakeError, also if the state differs from its event log.
    """
    event_log.maintained(store, epoch, folders)
    return _collect(store, epoch, folders, keep, now_us)


def _collect(
    store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int
) -> Collected:
    now = instant(now_us)
    with store.read() as tx:
        keep = with_removed(tx, keep)
    partitions = retire_partitions(store, epoch, folders, keep, now_us)
    expired = _expire(store, folders, now - keep.of("snapshots", SNAPSHOTS_KEPT))
    reached(FaultPoint.MAINTENANCE_EXPIRED)
    age = [
        "--before",
        (now - LONGEST_ATTEMPT).isoformat(),
        "--longest-attempt-s",
        str(LONGEST_ATTEMPT.total_seconds() - 1),
    ]
    cleaned = _step(store, folders.lake, "clean", *age)
    reached(FaultPoint.MAINTENANCE_CLEANED)
    _abandon(store, epoch, now_us)
    with store.read() as tx:
        wastes = waste(tx, folders, keep, now_us)
    remove(wastes)
    retired = retire(store, epoch, keep, now_us)
    event_log.shorten(store, epoch, folders)
    return Collected(
        len(expired["snapshots"]),
        len(cleaned["paths"]),
        tuple(wastes),
        retired,
        tuple(partitions),
    )


def _expire(store: Store, folders: Folders, before: datetime) -> Any:
    """Expire the snapshots before a time; none of them under a legal hold, because all share them.

    Raises LakeError.
    """
    with store.read() as tx:
        if holds.in_force(tx):
            return {"snapshots": []}
    options = _keep_option(store, before)
    return _step(store, folders.lake, "expire", "--before", before.isoformat(), *options)


def _keep_option(store: Store, before: datetime) -> tuple[str, ...]:
    """Return the option that keeps the snapshot visible at a time: it may be much older.

    It is also what readers saw afterwards, until the next one.
    """
    with store.read() as tx:
        seen = catalog.snapshot_at(tx, to_us(before))
    return () if seen is None else ("--keep", str(seen))


def forget_lost(store: Store, folders: Folders) -> None:
    """After a restore, expire snapshots whose files were deleted since the backup was made.

    Raises LakeError.
    """
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
    """Delete staged partitions of backfills that nobody has continued for STAGED_KEPT."""
    with store.write(epoch) as tx:
        for plan in backfill_plans.abandoned(
            tx, now_us - int(STAGED_KEPT.total_seconds() * 1_000_000)
        ):
            backfill_plans.clear(tx, plan)


def collectable(store: Store, folders: Folders, keep: RetentionPolicy, now_us: int) -> Collected:
    """Return what `collect` would free, as far as known beforehand; lake files aren't counted."""
    before = now_us - int(keep.of("snapshots", SNAPSHOTS_KEPT).total_seconds() * 1_000_000)
    with store.read() as tx:
        keep = with_removed(tx, keep)
        snapshots = retention.expiring_snapshots(tx, catalog.snapshot_time(before))
        return Collected(
            0 if holds.in_force(tx) else snapshots,
            0,
            tuple(waste(tx, folders, keep, now_us)),
            retirable(tx, keep, now_us),
            tuple(retiring(tx, keep, now_us)),
        )


def _catalog(store: Store) -> tuple[str, str]:
    """Return DuckLake's catalog address: an argument, and a text for standard input.

    The text holds the password, which must not be an argument.
    """
    if isinstance(store.address, SqliteAddress):
        return str(store.address.path), ""
    address = PostgresqlCatalog(store.address.parameters, store.address.lake_schema)
    return "-", msgspec.json.encode(address).decode()


def _step(store: Store, lake: Path, step: str, *options: str) -> Any:
    where, said_in = _catalog(store)
    command = [
        sys.executable,
        "-m",
        "headrace.lake.maintenance",
        step,
        "--catalog",
        where,
        "--data-folder",
        str(lake),
        *options,
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            input=said_in,
            timeout=STEP_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LakeError(
            f"maintenance of the lake ({step}) took longer than {STEP_SECONDS_MAX:.0f} s"
        ) from error
    if done.returncode:
        error_lines = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise LakeError(f"maintenance of the lake ({step}) failed: {error_lines[0]}")
    return msgspec.json.decode(done.stdout)


# A full disk: unneeded files are deleted at once instead of a day later, at most once an hour.

RECLAIM_EVERY = timedelta(hours=1)
ACT = "reclaim"


def reclaim_due(tx: Transaction, now_us: int) -> bool:
    """Whether an operation lacked disk space, and nothing was freed within the last hour."""
    last = lake_maintenance.reclaimed_at(tx)
    return bool(_pressed(tx)) and (last is None or instant(now_us) - instant(last) >= RECLAIM_EVERY)


def reclaim(store: Store, epoch: int, folders: Folders, keep: RetentionPolicy, now_us: int) -> None:
    """Free disk space, and record it in the incidents.

    Raises LakeError; even then it isn't repeated within the hour.
    """
    with store.write(epoch) as tx:
        lake_maintenance.reclaimed(tx, now_us)
    freed = collect(store, epoch, folders, keep, now_us)
    with store.write(epoch) as tx:
        for number in _pressed(tx):
            incidents.happened(tx, number, [Happened(now_us, _freed_text(freed), HEADRACE, ACT)])


def _pressed(tx: Transaction) -> list[int]:
    """Return the open incidents about disk space."""
    space_cause = (CauseKind.RESOURCE_EXHAUSTED.value, FailureCategory.SPACE.value)
    return [
        incident.id
        for incident in incidents.open_incidents(tx)
        if (incident.kind, incident.detail) == space_cause
    ]


def _freed_text(freed: Collected) -> str:
    other = sum(waste.size_bytes for waste in freed.waste)
    if not (freed.snapshots or freed.lake_files or other):
        return (
            "nothing could be freed: all that is kept is needed, or is kept for so long as declared"
        )
    return (
        f"freed: {freed.snapshots} snapshots, {freed.lake_files} files of the lake,"
        f" {other / 2**20:,.1f} MiB of other files"
    )


# Checks that the lake's files are as published, before a reader finds a damaged one. The files of
# the newest publication that consumers read, and files that an attempt couldn't read, are checked
# every time; all others in rotation, up to a time limit. The store remembers where the rotation
# stopped. A lake that isn't a local folder isn't checked.

ROTATION_SECONDS = 0.05
"""Longest time for checking files in rotation in one pass."""
SERVER_EVERY_SECONDS = 5.0
"""Interval of these passes in a server: with `ROTATION_SECONDS` that is 1 % of a core."""
CHUNK = 500
PUBLICATIONS = 100
"""Most publications of `materialize: files` that one pass checks."""


def look_at_files(
    store: Store,
    epoch: int,
    lake: Path,
    compiled: Compiled,
    clock: Clock,
    *,
    seconds: float = ROTATION_SECONDS,
) -> bool:
    """Run one check of the lake's files; return whether any result differs from the last check.

    Raises StoreError if the lake is empty although the state has files in it: its file system is no
    longer mounted, as it was when this leader began.
    """
    with store.read() as tx:
        refuse_empty(tx, lake, store.engine.where)
        if not lake.is_dir():
            return False  # no lake exists yet
        read = catalog.current(tx, [*_read_by_consumers(tx, compiled), *_unreadable_files(tx)])
        before = lake_maintenance.known_checks(tx, (file.id for file in read))
    now = clock.now_us()
    observations = {file.id: _check_file(lake, file, before, now) for file in read}
    published = _look_at_published(store, lake.parent, now)
    after = _rotate(store, lake, observations, before, now, time.monotonic() + seconds)
    changed = [
        file_look
        for file_look in observations.values()
        if file_look.wrong
        != (before[file_look.file_id].wrong if file_look.file_id in before else None)
    ]
    with store.write(epoch) as tx:
        lake_maintenance.record_file_checks(tx, observations.values())
        lake_maintenance.move_rotation(tx, after, clock.mark(tx))
        if published:
            lake_maintenance.record_published_checks(
                tx, [observation for _, observation in published]
            )
    return bool(changed) or any(
        observation.wrong != (None if before is None else before.wrong)
        for before, observation in published
    )


def _look_at_published(
    store: Store, data: Path, now: int
) -> list[tuple[FilesLook | None, FilesLook]]:
    """Check the next publications of `materialize: files`; return the last and the new results."""
    with store.read() as tx:
        chosen = lake_maintenance.next_published_files(tx, PUBLICATIONS)
    return [(files.before, _published(data, files, now)) for files in chosen if files.files]


def _published(data: Path, files: PublishedFiles, now: int) -> FilesLook:
    for entry in files.files:
        wrong = _damage_of(data / entry["path"], int(entry["size"]))
        if wrong:
            was = files.before
            since = was.wrong_since if was is not None and was.wrong_since is not None else now
            return FilesLook(
                files.publication, now, str(entry["path"]), int(entry["size"]), wrong, since
            )
    return FilesLook(files.publication, now)


def _damage_of(path: Path, size_bytes: int) -> str:
    """Return what is wrong with a file, without reading it, as a clause that follows its path."""
    try:
        results = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "is gone"
    except OSError as error:
        return f"can't be inspected ({(error.strerror or 'unknown error').lower()})"
    if not stat.S_ISREG(results.st_mode):
        return "is no file"
    return (
        ""
        if results.st_size == size_bytes
        else f"has {results.st_size:,} bytes and not {size_bytes:,}"
    )


def _read_by_consumers(tx: Transaction, compiled: Compiled) -> list[int]:
    """Return the files of the newest publication of each node that a consumer reads."""
    reads = dict.fromkeys(
        name for consumer in compiled.project.consumers.values() for name in consumer.reads
    )
    results: dict[int, None] = {}
    for name in expand_view_names(compiled, [name for name in reads if name in compiled.nodes]):
        newest = publications.newest(tx, name)
        if newest is not None:
            results |= dict.fromkeys(catalog.ids_holding(tx, name, [newest.partition]))
    return list(results)


def _unreadable_files(tx: Transaction) -> list[int]:
    """Return the ids of the files that attempts couldn't read and that partitions wait for."""
    results = []
    for reason in sorted(partition_states.waiting_reasons(tx, LAKE_FILE)):
        # a reason is LAKE_FILE, the file's path, and a clause on what is wrong with the file
        path_and_fault = reason.removeprefix(LAKE_FILE)
        table = path_and_fault.rpartition("/")[0].rpartition("/")[2]
        results += [
            file.id
            for file in catalog.files_of(tx, table)
            if path_and_fault.startswith(f"{file.ref.path} ")
        ]
    return results


def _rotate(  # complexipy: ignore (the three places where a pass over a ring of files may end)
    store: Store,
    lake: Path,
    observations: dict[int, FileLook],
    before: dict[int, FileLook],
    now: int,
    until: float,
) -> int:
    """Check other files until the time is over or all are done.

    Returns the position at which the next pass continues.
    """
    with store.read() as tx:
        began = after = lake_maintenance.rotation_position(tx)
    wrapped = began == lake_maintenance.BEGINNING
    while time.monotonic() < until:
        with store.read() as tx:
            chunk = catalog.current_after(tx, after, CHUNK)
            before |= lake_maintenance.known_checks(
                tx, (file.id for file in chunk if file.id not in before)
            )
        for file in chunk:
            if wrapped and lake_maintenance.BEGINNING < began < file.id:
                return after
            if file.id not in observations:
                observations[file.id] = _check_file(lake, file, before, now)
            after = file.id
            if time.monotonic() >= until:
                return after
        if len(chunk) < CHUNK:
            if wrapped:
                return lake_maintenance.BEGINNING
            after, wrapped = lake_maintenance.BEGINNING, True
    return after


def _check_file(
    lake: Path, file: catalog.CurrentFile, before: Mapping[int, FileLook], now: int
) -> FileLook:
    last = before.get(file.id)
    seen = check_file(
        lake / file.path,
        file.size_bytes,
        file.footer_bytes,
        last.footer if last is not None else "",
    )
    footer = (last.footer if last is not None else "") or ("" if seen.wrong else seen.footer)
    if not seen.wrong:
        return FileLook(file.id, footer, now, None, None)
    since = last.wrong_since if last is not None and last.wrong_since is not None else now
    return FileLook(file.id, footer, now, seen.wrong, since)
