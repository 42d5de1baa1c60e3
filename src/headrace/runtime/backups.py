"""Backups on disk and automatic backups, each in a folder of its own.

Servers start this module as a process: `python -m headrace.runtime.backups`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake import catalog
from headrace.lake.files import file_digest, full_sync, sync, sync_each
from headrace.model import HeadraceError, LakeError, Settings
from headrace.model.intervals import DAY_US
from headrace.model.settings import PRODUCTION
from headrace.model.times import parse_duration
from headrace.security import state as security_state
from headrace.security.state import lake_folder, lake_identity, open_state
from headrace.store import Clock, ClockKind, Store, Transaction, portable
from headrace.store.clock import last_written, real_us
from headrace.store.engines.sqlite import SqliteTransaction
from headrace.store.migrations import known

# A backup is a folder with the saved state, the lake files that belong to it, and a manifest with
# their hashes.

FORMAT = 2
MANIFEST, STATE, DATA = "manifest.json", "state.db", "data"


class BackupFile(msgspec.Struct, frozen=True):
    """A file of a backup: its path in the backup's folder, its size, and its SHA-256."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """A backup's manifest; `made_at` is real time in microseconds since 1970 UTC."""

    format: int
    version: int
    project: str
    made_at: int
    snapshot: int
    epoch: int
    entries: tuple[BackupFile, ...]
    identity: str = ""
    """The identity of the state and its lake; empty in backups of an earlier version."""
    state_only: bool = False
    """Whether the backup lacks the files that the catalog names; they are in the lake only."""
    tables: dict[str, int] = {}
    """Number of rows of each table of the state and the catalog."""
    missing: int = 0
    """Number of files that only earlier snapshots name and that were missing from the lake."""
    stored_at: int = 0
    """The last time that a live project stored; 0 for a replay, and in earlier backups."""

    @property
    def backup_time(self) -> datetime:
        """When the backup was made."""
        return datetime.fromtimestamp(self.made_at / 1e6, UTC)

    @property
    def is_ahead(self) -> bool:
        """Whether `made_at` or `stored_at` is more than a day after the machine's clock."""
        return max(self.made_at, self.stored_at) > real_us() + DAY_US


class Saved(msgspec.Struct, frozen=True):
    """Facts read from a saved state."""

    snapshot: int
    epoch: int
    identity: str
    tables: dict[str, int]
    stored_at: int
    """The last time that a live project stored; 0 for a replay."""


def save_state(store: Store, target: Path) -> Saved:
    """Copy state and catalog, as one snapshot, into a new SQLite file, and read its facts."""
    portable.save(store, target, catalog.create_tables)
    reached(FaultPoint.BACKUP_COPIED)
    with read_saved(target) as tx:
        (epoch,) = tx.execute("select epoch from lease where id = 1").fetchone()
        counts = {
            name: int(tx.execute(f'select count(*) from "{name}"').fetchone()[0])
            for name in portable.copy_order(tx)
        }
        snapshot = 0 if catalog.missing(tx) else catalog.newest_snapshot(tx)
        live = Clock.for_reading(tx, None).kind is ClockKind.LIVE
        identity = security_state.state_identity(tx) or ""
        return Saved(snapshot, int(epoch), identity, counts, last_written(tx) if live else 0)


@contextmanager
def read_saved(state: Path) -> Iterator[Transaction]:
    """Open a transaction over a saved state, read-only: no file is written alongside it either."""
    with closing(
        sqlite3.connect(f"{state.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    ) as connection:
        yield SqliteTransaction(connection)


def write_manifest(
    part: Path, paths: list[Path], saved: Saved, project: str, *, state_only: bool, missing: int = 0
) -> Manifest:
    """Write the manifest into the folder `part`, and make all files durable."""
    entries = tuple(_entry(part, path) for path in paths)
    manifest = Manifest(
        FORMAT, len(known()), project, time.time_ns() // 1000, saved.snapshot, saved.epoch, entries,
        identity=saved.identity, state_only=state_only, tables=saved.tables, missing=missing,
        stored_at=saved.stored_at,
    )  # fmt: skip
    (part / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    (sync_each if state_only else sync)([part / MANIFEST, *paths])
    return manifest


def link_or_copy(source: Path, target: Path, *, linked: bool) -> None:
    """Hard-link a file if `linked` and the file system allows it; otherwise copy it."""
    if linked:
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without links
            pass
        else:
            return
    shutil.copy2(source, target)


def _entry(part: Path, path: Path) -> BackupFile:
    return BackupFile(path.relative_to(part).as_posix(), path.stat().st_size, file_digest(path))


# Automatic backups: copies of state and catalog as `[backup]` configures them, each in a folder of
# its own. A command that led makes one after it has released the lease. A server starts this module
# as a separate process, so that the leader doesn't wait for it, and writes a BackupJob to its
# standard input. A copy is written under another name, made durable and renamed; the next backup
# removes what a killed process left behind.

_PART, _GONE = ".part", ".gone"


class ExistingBackup(NamedTuple):
    """A backup in the folder."""

    folder: Path
    manifest: Manifest


class BackupJob(msgspec.Struct, frozen=True):
    """The input of the backup process."""

    root: str
    settings: Settings


def folder_of(root: Path, settings: Settings) -> Path:
    """Return the folder of the backups of one environment."""
    if settings.backup.to is None:
        return lake_folder(root, settings).parent / "backups"
    to = (root / settings.backup.to).absolute()
    return to if settings.environment == PRODUCTION else to / settings.environment


def list_backups(root: Path, settings: Settings) -> list[ExistingBackup]:
    """Return all readable backups of the folder, newest first, whichever state they are of."""
    backups = []
    with suppress(OSError):
        for path in folder_of(root, settings).iterdir():
            if path.name.startswith(".") or not path.is_dir():
                continue
            with suppress(OSError, msgspec.DecodeError):
                backups.append(
                    ExistingBackup(
                        path, msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
                    )
                )
    return sorted(backups, key=lambda backup: backup.manifest.made_at, reverse=True)


def own_backups(root: Path, settings: Settings) -> list[ExistingBackup]:
    """Return the automatic backups of this project's state, newest first."""
    ours = lake_identity(lake_folder(root, settings))
    return [
        backup
        for backup in list_backups(root, settings)
        if backup.manifest.state_only and backup.manifest.identity == ours
    ]


def newest_sound(root: Path, settings: Settings) -> ExistingBackup | None:
    """Return the newest automatic backup that isn't ahead of the machine's clock."""
    return next((it for it in own_backups(root, settings) if not it.manifest.is_ahead), None)


def due(root: Path, settings: Settings) -> bool:
    """Whether the next automatic backup is due, by real time."""
    if settings.backup.every is None:
        return False
    newest = next(iter(own_backups(root, settings)), None)
    if newest is None:
        return True
    age_s = time.time() - newest.manifest.made_at / 1e6
    return (
        not 0 <= age_s < parse_duration(settings.backup.every).total_seconds()
    )  # a negative age (the clock was set back) counts as due


def make_backup(root: Path, settings: Settings, *, at_once: bool = False) -> Path | None:
    """Make the backup if it is due or `at_once`, and delete the oldest beyond `[backup] keep`.

    Return None if another process is making one or has just made it. Raise StoreError for an
    unreadable state, LakeError if the folder isn't writable.
    """
    folder = folder_of(root, settings)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(folder) as alone:
            if not alone or not (at_once or due(root, settings)):
                return None
            _sweep(folder)
            path = _write(root, settings, folder)
            reached(FaultPoint.BACKUP_NAMED)
            _rotate(root, settings)
    except OSError as error:
        raise LakeError(
            f"no backup can be written to {folder}: {error.strerror}",
            hint="look at the free space and who may write there",
        ) from error
    return path


def _write(root: Path, settings: Settings, folder: Path) -> Path:
    name = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")
    part = folder / f".{name}{_PART}"
    part.mkdir(mode=0o700)
    try:
        with open_state(root, settings) as store:
            saved = save_state(store, part / STATE)
        write_manifest(part, [part / STATE], saved, settings.name, state_only=True)
        reached(FaultPoint.BACKUP_WRITTEN)
        part.replace(folder / name)
        full_sync(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder / name


def _rotate(root: Path, settings: Settings) -> None:
    """Delete the oldest backups beyond `keep`, except the newest sound one.

    Each is renamed first, so that a half-deleted folder isn't taken for a backup.
    """
    sound = newest_sound(root, settings)
    for backup in own_backups(root, settings)[settings.backup.keep :]:
        if backup == sound:
            continue
        renamed_folder = backup.folder.with_name(f".{backup.folder.name}{_GONE}")
        backup.folder.rename(renamed_folder)
        reached(FaultPoint.BACKUP_ROTATING)
        shutil.rmtree(renamed_folder)


def _sweep(folder: Path) -> None:
    """Delete what a killed process left behind."""
    for path in folder.iterdir():
        if path.name.startswith(".") and path.name.endswith((_PART, _GONE)):
            shutil.rmtree(path)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Yield whether this process holds the folder's lock; the lock ends with the process."""
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def main() -> int:
    """Make one backup; print an error to standard error."""
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=BackupJob)
    try:
        make_backup(Path(errand.root), errand.settings)
    except HeadraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
