"""`db upgrade`, `db gc` and `db backup`, and the responses of all `db` commands."""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from headrace.lake import catalog
from headrace.lake.files import sync_each
from headrace.model import Refused, UsageError
from headrace.runtime.folders import Folders
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.maintenance import Collected, collect, collectable
from headrace.security.secrets import Secrets
from headrace.security.state import check_identity
from headrace.services.backups import DATA, MANIFEST, STATE, Manifest, link_or_copy, read_saved, save_state, write_manifest
from headrace.services.commands import CommandContext, leader_command, perform
from headrace.services.responses import Response
from headrace.services.session import Progress, ProjectSession
from headrace.store import Store
from headrace.store.database import upgrade as upgrade_state
from headrace.store.queries import partition_states

# Responses of the `db` commands.


class UpgradeResponse(Response, frozen=True, kw_only=True):
    """`db upgrade`: the state's version before and after; `backup` is the copy of the SQLite file that was made first."""

    before: int
    after: int
    backup: str | None


class Finding(Response, frozen=True, kw_only=True):
    """One thing that isn't as it should be. `severity` is `error`, or `note` where nothing is wrong yet."""

    severity: str
    about: str
    message: str
    todo: str


class DifferenceSource(enum.StrEnum):
    """What a difference was found by."""

    EVENT_LOG = "event_log"
    CATALOG = "catalog"
    FILE = "file"
    AUDIT = "audit"


class Difference(Response, frozen=True, kw_only=True):
    """A row or a file that isn't as it should be. Without `field` it is missing (`stored` is null), or one too many (`expected` is
    null). A value that is known by its hash alone is `sha256:…`. `consumers` read what depends on it."""

    table: str
    key: dict[str, Any]
    field: str | None
    stored: Any
    expected: Any
    source: DifferenceSource
    consumers: list[str]


class Unchecked(Response, frozen=True, kw_only=True):
    """What `db check` can't say anything about."""

    what: str
    why: str


class CheckResponse(Response, frozen=True, kw_only=True):
    """`db check`: `ok` is false as soon as one finding is an error. Counts say what was looked at; `checked` has the rows of each table
    that were compared with the event log. `repair` is the command that puts right all that differs, if there is one. `repaired` counts
    the rows that `--repair` has put right."""

    ok: bool
    version: int
    files: int
    size_bytes: int
    audit_entries: int
    audit_head: str
    findings: list[Finding]
    checked: dict[str, int]
    differences: list[Difference]
    unchecked: list[Unchecked]
    repair: str | None
    repaired: int = 0


class BackupResponse(Response, frozen=True, kw_only=True):
    """`db backup` and `db restore`: the folder, and what is in it. `db restore --new-state` has no folder."""

    folder: str
    made_at: datetime | None
    """When the backup was made; null for a new state."""
    snapshot: int
    epoch: int
    tables: dict[str, int]
    """Rows of each table of the state and the catalog; empty for a backup of an earlier version."""
    files: int
    """In the folder; a backup that was made by itself holds the state alone."""
    bytes: int
    size_bytes: int
    """The same as `bytes`."""
    missing_files: int = 0
    """Of earlier snapshots only, and gone from the lake when the backup was made: reads at an earlier
    time that need them fail."""
    lost_since: datetime | None = None
    """`restore`: what was published and decided since then isn't in the restored state; null where nothing was."""
    lost_files: int = 0
    """`restore`: data files of the lake that the restored state doesn't name."""
    restored: bool = False
    """False for `backup`, and for a `restore` that only says which backup fits."""
    aside: str | None = None
    """`restore`: where the state that was there is now."""
    lake_aside: str | None = None
    """`restore --new-state`: the folder that the lake's files were moved to."""


class Freed(Response, frozen=True, kw_only=True):
    """How much of one kind."""

    kind: str
    files: int
    size_bytes: int


class GcResponse(Response, frozen=True, kw_only=True):
    """`db gc`: what was freed, or with `--dry-run` would be."""

    dry_run: bool
    snapshots: int
    lake_files: int
    """That left the lake with expired snapshots; not known beforehand."""
    freed: list[Freed]
    retired: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows of the history that were older than `[retention] history`, by table."""


# `db upgrade`: bring the state to the current schema. A SQLite file is copied first.


def upgrade(session: ProjectSession) -> UpgradeResponse:
    """Apply what is missing. UsageError where there is no state; StoreError for one of a newer Headrace, which stays as it is."""
    check_identity(session.root, session.settings)
    done = upgrade_state(session.root, session.settings, Secrets(session.root).resolved)
    if done is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    return UpgradeResponse(before=done.before, after=done.after, backup=None if done.copy is None else str(done.copy))


# `db gc`: delete what nothing needs any more. Where a leader runs, the leader does it.


class GcArguments(msgspec.Struct, frozen=True):
    """It takes nothing; a dry run asks nobody."""


def gc(session: ProjectSession, *, dry_run: bool, progress: Progress) -> GcResponse:
    """Free what nothing needs: expired snapshots, orphans, raw bytes, logs, quarantine, files and code of what has ended; and
    history that is older than `[retention] history`.

    Raises LakeError where DuckLake's own steps fail; what was freed stays freed."""
    if not dry_run:
        return perform(session, "gc", GcArguments(), progress)  # type: ignore[no-any-return]
    if session.store is None:
        return GcResponse(dry_run=True, snapshots=0, lake_files=0, freed=[])
    keep = RetentionPolicy.declared(session.project())
    return _response(collectable(session.store, session.folders, keep, session.clock.now_us()), dry_run=True)


@leader_command("gc", GcArguments, GcResponse)
def _gc(context: CommandContext, arguments: GcArguments, progress: Progress) -> GcResponse:
    del arguments, progress
    applied = context.applied()
    keep = RetentionPolicy.declared(applied.compiled.project) if applied else RetentionPolicy(context.session.settings.retention)
    with context.store.write(context.held.lease.epoch) as tx:
        partition_states.drop_checkpoint(tx)  # it is made of what stays
    return _response(collect(context.store, context.held.lease.epoch, context.held.folders, keep, context.clock.now_us()), dry_run=False)


def _response(result: Collected, *, dry_run: bool) -> GcResponse:
    freed = [Freed(kind=waste.kind, files=len(waste.paths), size_bytes=waste.size_bytes) for waste in result.waste if waste.paths]
    return GcResponse(dry_run=dry_run, snapshots=result.snapshots, lake_files=result.lake_files, freed=freed, retired=result.retired)


# `db backup`: the state, the catalog and the files that they name, of one snapshot. The folder
# appears as a whole or not at all.
#
# The state is saved as a SQLite file whatever the database, so a backup can be restored into
# SQLite or PostgreSQL. Lake files and raw bytes never change once they are written: on the same
# file system they are hard links and cost no space. Automatic backups hold the state alone; their
# files are those of the lake.

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
    return describe_backup(folder, manifest)


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


def describe_backup(folder: Path, manifest: Manifest) -> BackupResponse:
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
