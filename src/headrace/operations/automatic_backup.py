"""Backups that nobody has to ask for: copies of state and catalog as `[backup]` says, each in a folder of its own.

A command that led makes one after it has given the lease back. A server starts this module as a process of its own, so that the leader
doesn't wait for it: `python -m headrace.operations.automatic_backup`, which is told the project by standard input. A copy is written
under another name, made durable and renamed; what a kill left behind is removed by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.govern.identity import lake_folder, of_lake
from headrace.govern.state import open_state
from headrace.model import HeadraceError, LakeError, Settings
from headrace.model.environments import PRODUCTION
from headrace.model.times import parse_duration
from headrace.operations.backup_files import MANIFEST, STATE, Manifest, save_state, write_manifest

_PART, _GONE = ".part", ".gone"


class ExistingBackup(NamedTuple):
    """A backup in the folder."""

    folder: Path
    manifest: Manifest


class BackupJob(msgspec.Struct, frozen=True):
    """What the process is told."""

    root: str
    settings: Settings


def folder_of(root: Path, settings: Settings) -> Path:
    """The folder of the backups of one environment."""
    if settings.backup.to is None:
        return lake_folder(root, settings).parent / "backups"
    to = (root / settings.backup.to).absolute()
    return to if settings.environment == PRODUCTION else to / settings.environment


def kept(root: Path, settings: Settings) -> list[ExistingBackup]:
    """The backups that are there, of whatever state, the newest first. What can't be read isn't one."""
    backups = []
    with suppress(OSError):
        for path in folder_of(root, settings).iterdir():
            if path.name.startswith(".") or not path.is_dir():
                continue
            with suppress(OSError, msgspec.DecodeError):
                backups.append(ExistingBackup(path, msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)))
    return sorted(backups, key=lambda backup: backup.manifest.made_at, reverse=True)


def own(root: Path, settings: Settings) -> list[ExistingBackup]:
    """Of those, the ones that were made by themselves, of this project's state."""
    ours = of_lake(lake_folder(root, settings))
    return [backup for backup in kept(root, settings) if backup.manifest.state_only and backup.manifest.identity == ours]


def due(root: Path, settings: Settings) -> bool:
    """Whether it is time for another one. Real time counts."""
    if settings.backup.every is None:
        return False
    newest = next(iter(own(root, settings)), None)
    if newest is None:
        return True
    age_s = time.time() - newest.manifest.made_at / 1e6
    return not 0 <= age_s < parse_duration(settings.backup.every).total_seconds()  # not so, either, after a clock was set back


def make(root: Path, settings: Settings) -> Path | None:
    """Make one, and remove those beyond `[backup] keep`; None where another process is at it, or just was.

    StoreError for a state that can't be read, LakeError for a folder that can't be written."""
    folder = folder_of(root, settings)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(folder) as alone:
            if not alone or not due(root, settings):
                return None
            _sweep(folder)
            path = _write(root, settings, folder)
            reached(FaultPoint.BACKUP_NAMED)
            _rotate(root, settings)
    except OSError as error:
        raise LakeError(
            f"no backup can be written to {folder}: {error.strerror}", hint="look at the free space and who may write there"
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
        _sync_folder(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder / name


def _rotate(root: Path, settings: Settings) -> None:
    """Remove the oldest beyond `keep`. Each loses its name first: one that is half removed isn't taken for a backup."""
    for backup in own(root, settings)[settings.backup.keep :]:
        gone = backup.folder.with_name(f".{backup.folder.name}{_GONE}")
        backup.folder.rename(gone)
        reached(FaultPoint.BACKUP_ROTATING)
        shutil.rmtree(gone)


def _sweep(folder: Path) -> None:
    """What a process that was killed has left."""
    for path in folder.iterdir():
        if path.name.startswith(".") and path.name.endswith((_PART, _GONE)):
            shutil.rmtree(path)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else makes a backup here; the lock ends with the process."""
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> int:
    """Make one backup; what went wrong goes to standard error."""
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=BackupJob)
    try:
        make(Path(errand.root), errand.settings)
    except HeadraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
