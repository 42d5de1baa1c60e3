"""What a backup is on disk: a folder with the saved state, the files that go with it, and a manifest with their hashes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.govern import identity
from headrace.lake import catalog
from headrace.lake.syncing import sync, sync_each
from headrace.store import Store, Transaction, portable
from headrace.store.engines.sqlite import SqliteTransaction
from headrace.store.migrations import known

FORMAT = 2
MANIFEST, STATE, DATA = "manifest.json", "state.db", "data"


class BackupFile(msgspec.Struct, frozen=True):
    """A file of a backup. `path` is below its folder; `sha256` is of its bytes."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is of. `made_at` is in microseconds since 1970 UTC, real time."""

    format: int
    version: int
    project: str
    made_at: int
    snapshot: int
    epoch: int
    entries: tuple[BackupFile, ...]
    identity: str = ""
    """Of the state and its lake; empty in backups of an earlier version."""
    state_only: bool = False
    """The files that the catalog names aren't in it, but in the lake."""
    tables: dict[str, int] = {}
    """Rows of each table of the state and the catalog."""
    missing: int = 0
    """Files that the catalog names of earlier snapshots only, and that were gone from the lake."""

    @property
    def made(self) -> datetime:
        """When it was made."""
        return datetime.fromtimestamp(self.made_at / 1e6, UTC)


class Saved(msgspec.Struct, frozen=True):
    """What a saved state says of itself."""

    snapshot: int
    epoch: int
    identity: str
    tables: dict[str, int]


def save_state(store: Store, target: Path) -> Saved:
    """Copy state and catalog, as one snapshot, into a new SQLite file, and read what is in it."""
    portable.save(store, target, catalog.create_tables)
    reached(FaultPoint.BACKUP_COPIED)
    with read_saved(target) as tx:
        (epoch,) = tx.execute("select epoch from lease where id = 1").fetchone()
        counts = {name: int(tx.execute(f'select count(*) from "{name}"').fetchone()[0]) for name in portable.copy_order(tx)}
        snapshot = 0 if catalog.missing(tx) else catalog.newest_snapshot(tx)
        return Saved(snapshot, int(epoch), identity.of_state(tx) or "", counts)


@contextmanager
def read_saved(state: Path) -> Iterator[Transaction]:
    """A transaction over a saved state, which is only read: nothing is written beside it either."""
    with closing(sqlite3.connect(f"{state.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        yield SqliteTransaction(connection)


def write_manifest(part: Path, paths: list[Path], saved: Saved, project: str, *, state_only: bool, missing: int = 0) -> Manifest:
    """Write what a backup holds beside it, and make all of it durable."""
    entries = tuple(_entry(part, path) for path in paths)
    manifest = Manifest(
        FORMAT, len(known()), project, time.time_ns() // 1000, saved.snapshot, saved.epoch, entries,
        identity=saved.identity, state_only=state_only, tables=saved.tables, missing=missing,
    )  # fmt: skip
    (part / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    (sync_each if state_only else sync)([part / MANIFEST, *paths])
    return manifest


def link_or_copy(source: Path, target: Path, *, linked: bool) -> None:
    """The same bytes under another name; linked where that is wanted and can be."""
    if linked:
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without links
            pass
        else:
            return
    shutil.copy2(source, target)


def _entry(part: Path, path: Path) -> BackupFile:
    return BackupFile(path.relative_to(part).as_posix(), path.stat().st_size, digest(path))


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
