"""`db backup`: the state, the catalog and the files that they name, of one snapshot, in a folder that is there whole or not at all.

The state is saved as a SQLite file whatever database it is in, so that a backup can be restored into either. Files of the lake and raw
bytes never change once they are written: they are linked where the folder is on the same file system, and cost no space.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headrace.lake import catalog
from headrace.model import Refused, UsageError
from headrace.operations.db.documents import BackupDocument
from headrace.operations.performing import Context, perform, verb
from headrace.operations.progress import Progress
from headrace.operations.session import Session
from headrace.run.folders import Folders
from headrace.store import portable
from headrace.store.migrations import known

FORMAT = 1
MANIFEST, STATE, DATA = "manifest.json", "state.db", "data"
CHUNK_BYTES = 1 << 20


class Entry(msgspec.Struct, frozen=True):
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
    entries: tuple[Entry, ...]


class BackupArguments(msgspec.Struct, frozen=True):
    """The folder, absolute."""

    folder: str


def backup(session: Session, folder: Path, *, progress: Progress) -> BackupDocument:
    """Back up into a new folder. UsageError where it is there already and not empty."""
    return perform(session, "backup", BackupArguments(str(folder.absolute())), progress)  # type: ignore[no-any-return]


@verb("backup", BackupArguments, BackupDocument)
def _backup(context: Context, arguments: BackupArguments, progress: Progress) -> BackupDocument:
    del progress
    folder = Path(arguments.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", hint="name a folder that isn't: a backup is never overwritten")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(mode=0o700, parents=True)
        manifest = _write(context, part)
        part.replace(folder)
    except OSError as error:
        raise Refused(f"{folder} can't be written: {error.strerror}", hint="look at the free space and who may write there") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return described(folder, manifest)


def described(folder: Path, manifest: Manifest, *, epoch: int | None = None, aside: str | None = None) -> BackupDocument:
    """What a backup holds; `epoch` is that of the state once restored."""
    return BackupDocument(
        folder=str(folder),
        snapshot=manifest.snapshot,
        epoch=manifest.epoch if epoch is None else epoch,
        files=len(manifest.entries),
        size_bytes=sum(entry.size_bytes for entry in manifest.entries),
        aside=aside,
    )


def _write(context: Context, part: Path) -> Manifest:
    """While we lead, no file that the state names is deleted."""
    folders, state = context.held.folders, part / STATE
    portable.save(context.store, state, catalog.create_tables)
    with context.store.read() as tx:
        named, snapshot = sorted(catalog.named_paths(tx)), catalog.newest_snapshot(tx)
    entries = [_entry(part, state)]
    for path, source in _sources(folders, named):
        target = part / DATA / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        link_or_copy(source, target, linked=not path.startswith("files/"))
        entries.append(_entry(part, target))
    manifest = Manifest(
        FORMAT, len(known()), context.session.settings.name, time.time_ns() // 1000, snapshot, context.held.lease.epoch, tuple(entries)
    )
    (part / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def _sources(folders: Folders, named: list[str]) -> Iterator[tuple[str, Path]]:
    """What is backed up: its path in the backup, and where it is."""
    for path in named:
        source = folders.lake / path
        if Path(path).is_absolute():
            continue  # a foreign writer's file that isn't in our folder
        if not source.is_file():
            raise Refused(f"the catalog names {path}, which isn't there", hint="`headrace db check` lists what is missing, and what to do")
        yield f"lake/{path}", source
    for name, folder in kept_folders(folders).items():
        for inside, _, files in os.walk(folder):
            for file in sorted(files):
                source = Path(inside, file)
                if not file.endswith(".tmp") and source.is_file() and not source.is_symlink():
                    yield f"{name}/{source.relative_to(folder).as_posix()}", source


def kept_folders(folders: Folders) -> dict[str, Path]:
    """What a backup holds besides the lake, by its name there."""
    return {"raw": folders.raw, "quarantine": folders.quarantine, "files": folders.files}


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


def _entry(part: Path, path: Path) -> Entry:
    return Entry(path.relative_to(part).as_posix(), path.stat().st_size, digest(path))


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
