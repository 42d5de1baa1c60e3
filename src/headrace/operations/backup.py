"""`db backup`: the state, the catalog and the files that they name, of one snapshot, in a folder that is there whole or not at all.

The state is saved as a SQLite file whatever database it is in, so that a backup can be restored into either. Files of the lake and raw
bytes never change once they are written: they are linked where the folder is on the same file system, and cost no space. A backup that
the leader makes by itself (`automatic_backup`) holds the state alone: its files are those of the lake.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from headrace.lake import catalog
from headrace.lake.syncing import sync_each
from headrace.model import Refused, UsageError
from headrace.operations.backup_files import (
    DATA,
    MANIFEST,
    STATE,
    Manifest,
    link_or_copy,
    read_saved,
    save_state,
    write_manifest,
)
from headrace.operations.db.responses import BackupResponse
from headrace.operations.session import ProjectSession
from headrace.run.folders import Folders
from headrace.store import Store

TRIES_MAX = 3
"""At most so often a backup is begun, where maintenance deletes meanwhile what the saved state names."""


class _Gone(Exception):
    """A file that the saved state names was there no more when it was to be copied."""


def backup(session: ProjectSession, folder: Path) -> BackupResponse:
    """Back up into a new folder. The leader isn't asked: this process reads the state, and copies beside it.

    UsageError without a state, and where the folder is there already and not empty; Refused where a file that is read now is missing
    or the folder can't be written. Missing files of earlier snapshots only are left out, and counted in the manifest."""
    folder = folder.absolute()
    if session.store is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", hint="name a folder that isn't: a backup is never overwritten")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        manifest = _made(session, session.store, part)
        part.replace(folder)
        sync_each([folder / MANIFEST])
    except OSError as error:
        raise Refused(f"{folder} can't be written: {error.strerror}", hint="look at the free space and who may write there") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return described(folder, manifest)


def _made(session: ProjectSession, store: Store, part: Path) -> Manifest:
    """All of it in a folder under another name; begun anew where a file was deleted since the state was saved."""
    for tried in range(1, TRIES_MAX + 1):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        try:
            return _write(session, store, part, last_try=tried == TRIES_MAX)
        except _Gone as gone:
            if tried == TRIES_MAX:
                raise Refused(
                    f"the catalog names {gone}, which isn't there", hint="`headrace db check` lists what is missing, and what to do"
                ) from gone
    raise AssertionError


def described(folder: Path, manifest: Manifest) -> BackupResponse:
    """What a backup holds."""
    size = sum(entry.size_bytes for entry in manifest.entries)
    return BackupResponse(
        folder=str(folder),
        made_at=manifest.made,
        snapshot=manifest.snapshot,
        epoch=manifest.epoch,
        tables=manifest.tables,
        files=len(manifest.entries),
        bytes=size,
        size_bytes=size,
        missing_files=manifest.missing,
    )


def _write(session: ProjectSession, store: Store, part: Path, *, last_try: bool) -> Manifest:
    folders, state = session.folders, part / STATE
    saved = save_state(store, state)
    named, missing = _named_files(state, folders.lake)
    if missing and not last_try:
        raise _Gone(missing[0])  # maintenance may have deleted it since the state was saved
    paths = [state]
    for path, source in _sources(folders, named):
        target = part / DATA / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            link_or_copy(source, target, linked=not path.startswith("files/"))
        except FileNotFoundError as error:
            if path.startswith("lake/"):
                raise _Gone(path.removeprefix("lake/")) from error
            continue  # what is kept besides has its time, and it was over
        paths.append(target)
    return write_manifest(part, paths, saved, session.settings.name, state_only=False, missing=len(missing))


def _named_files(state: Path, lake: Path) -> tuple[list[str], list[str]]:
    """The files in the lake's folder that a saved state names: those that are there, and those of
    earlier snapshots only that are missing. `_Gone` where one is missing that is read now."""
    with read_saved(state) as tx:
        named = sorted(path for path in catalog.named_paths(tx) if not Path(path).is_absolute())
        missing = [path for path in named if not (lake / path).is_file()]
        if missing:
            read_now = {item.path for item in catalog.registered(tx) if not item.ended}
            for path in missing:
                if path in read_now:
                    raise _Gone(path)
    gone = set(missing)
    return [path for path in named if path not in gone], missing


def _sources(folders: Folders, named: list[str]) -> Iterator[tuple[str, Path]]:
    """What is backed up: its path in the backup, and where it is."""
    for path in named:
        yield f"lake/{path}", folders.lake / path
    for name, folder in kept_folders(folders).items():
        for inside, _, files in os.walk(folder):
            for file in sorted(files):
                source = Path(inside, file)
                if not file.endswith(".tmp") and source.is_file() and not source.is_symlink():
                    yield f"{name}/{source.relative_to(folder).as_posix()}", source


def kept_folders(folders: Folders) -> dict[str, Path]:
    """What a backup holds besides the lake, by its name there."""
    return {"raw": folders.raw, "quarantine": folders.quarantine, "files": folders.files}
