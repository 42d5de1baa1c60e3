"""`db upgrade`, `db gc` and `db backup`, and the responses of all `db` commands."""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from headrace.access.permissions import ADMINISTER, command
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.lake import catalog
from headrace.lake.files import sync_each
from headrace.model import Refused, UsageError
from headrace.model.intervals import DAY_US
from headrace.privacy.retention import hold_rows
from headrace.project.parameters import Argument, Option
from headrace.project.session import Progress, ProjectSession
from headrace.responses import Response
from headrace.responses.retention import HoldRow, RebuildableRow
from headrace.runtime import backups, clock_jumps
from headrace.runtime.backups import (
    DATA,
    MANIFEST,
    STATE,
    Manifest,
    link_or_copy,
    read_saved,
    save_state,
    write_manifest,
)
from headrace.runtime.folders import Folders
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.maintenance import Collected, collect, collectable
from headrace.security.secrets import Secrets
from headrace.security.state import check_identity
from headrace.services.rebuildable import early_rows, remove_rebuildable
from headrace.store import Store, Transaction
from headrace.store.clock import last_written, real_us
from headrace.store.database import upgrade as upgrade_state
from headrace.store.queries import partition_states

# Responses of the `db` commands.


class UpgradeResponse(Response, frozen=True, kw_only=True):
    """`db upgrade`: the state's schema version before and after.

    `backup` is the copy of the SQLite file that was made first.
    """

    before: int
    after: int
    backup: str | None


class Finding(Response, frozen=True, kw_only=True):
    """One problem; `severity` is `error`, or `note` if nothing is wrong yet."""

    severity: str
    about: str
    message: str
    todo: str


class DifferenceSource(enum.StrEnum):
    """What revealed a difference."""

    EVENT_LOG = "event_log"
    CATALOG = "catalog"
    FILE = "file"
    AUDIT = "audit"


class Difference(Response, frozen=True, kw_only=True):
    """A row or a file that differs from what is expected.

    Without `field` the whole row is missing (`stored` is null) or superfluous (`expected` is null).
    A value of which only the hash is known reads `sha256:…`. `consumers` read data that depends on
    it.
    """

    table: str
    key: dict[str, Any]
    field: str | None
    stored: Any
    expected: Any
    source: DifferenceSource
    consumers: list[str]


class Unchecked(Response, frozen=True, kw_only=True):
    """Something that `db check` can't verify."""

    what: str
    why: str


class CheckResponse(Response, frozen=True, kw_only=True):
    """`db check`: `ok` is false if any finding is an error.

    `files_read` are compared with the SHA-256 in their names: a sample, or with `--deep` all of
    them. `partitions_compared` counts those whose rows were compared with the content hash of
    their publication, `checked` the rows of each table that were compared with the event log.
    `repair` is the command that corrects all differences, if there is one; `repaired` counts the
    differences that `--repair` corrected.
    """

    ok: bool
    version: int
    files: int
    size_bytes: int
    audit_entries: int
    audit_head: str
    findings: list[Finding]
    files_read: int
    bytes_read: int
    partitions_compared: int
    checked: dict[str, int]
    differences: list[Difference]
    unchecked: list[Unchecked]
    repair: str | None
    repaired: int = 0


class BackupResponse(Response, frozen=True, kw_only=True):
    """`db backup` and `db restore`: the folder and its contents.

    `db restore --new-state` has no folder.
    """

    folder: str
    made_at: datetime | None
    """When the backup was made; null for a new state."""
    snapshot: int
    epoch: int
    tables: dict[str, int]
    """Rows of each table of the state and the catalog; empty for a backup of an earlier version."""
    files: int
    """Number of files in the folder; an automatic backup holds the state alone."""
    bytes: int
    size_bytes: int
    """The same as `bytes`."""
    missing_files: int = 0
    """Files of earlier snapshots only that were missing from the lake when the backup was made.

    Reads at an earlier time that need them fail.
    """
    lost_since: datetime | None = None
    """`restore`: later publications and decisions aren't in the restored state.

    Null if there are none.
    """
    lost_files: int = 0
    """`restore`: number of data files in the lake that the restored state doesn't name."""
    erased_again: tuple[str, ...] = ()
    """`restore`: the erased subjects that the backup had; they were erased again."""
    restored: bool = False
    """False for `backup`, and for a `restore` that only says which backup fits."""
    aside: str | None = None
    """`restore`: the new location of the previous state."""
    lake_aside: str | None = None
    """`restore --new-state`: the folder that the lake's files were moved to."""


class Freed(Response, frozen=True, kw_only=True):
    """Number and size of the freed files of one kind."""

    kind: str
    files: int
    size_bytes: int


class RetiredRow(Response, frozen=True, kw_only=True):
    """Partitions of a node that are older than its `retain:`, and their published rows."""

    node: str
    partitions: int
    rows: int
    first: str
    last: str


class GcResponse(Response, frozen=True, kw_only=True):
    """`db gc`: the freed files, or with `--dry-run` those that would be freed."""

    dry_run: bool
    snapshots: int
    lake_files: int
    """Number of files that left the lake with expired snapshots; unknown in a dry run."""
    freed: list[Freed]
    retired: dict[str, int] = msgspec.field(default_factory=dict)
    """Number of history rows older than `[retention] history`, by table."""
    partitions: tuple[RetiredRow, ...] = ()
    """Partitions that `retain:` ends."""
    holds: tuple[HoldRow, ...] = ()
    """Legal holds in force, because of which something may stay."""
    rebuildable: tuple[RebuildableRow, ...] = ()
    """Partitions that `retain_rebuildable` lets go, or in a dry run: that are old enough for it."""


# `db upgrade`: brings the state to the current schema. A SQLite file is copied first.


@command("db upgrade", ADMINISTER)
def upgrade(session: ProjectSession) -> UpgradeResponse:
    """Apply the missing schema versions.

    Raise UsageError if there is no state, StoreError for a state of a newer Headrace, which stays
    unchanged.
    """
    check_identity(session.root, session.settings)
    done = upgrade_state(session.root, session.settings, Secrets(session.root).resolved)
    if done is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    return UpgradeResponse(
        before=done.before, after=done.after, backup=None if done.copy is None else str(done.copy)
    )


# `db clock`: compares the store's clock with the machine's, and lets a person confirm a jump.


class ClockResponse(Response, frozen=True, kw_only=True):
    """`db clock`: the machine's clock and the last time that the project stored.

    `ahead_days` is how far the machine's clock is after the other, negative where it is before.
    """

    machine_at: datetime
    stored_at: datetime
    ahead_days: int
    believed: bool
    """Whether the next commands believe the machine's clock, whatever its distance."""
    repair: str | None
    """The command that takes the project back, if its clock is ahead of the machine's.

    Null if no automatic backup is of before.
    """


@command("db clock", ADMINISTER)
def clock(session: ProjectSession, *, believe: bool = False) -> ClockResponse:
    """Compare the machine's clock with the last stored time; with `believe`, confirm the machine's.

    Before that, a backup of the state is made, unless `[backup]` turns automatic ones off.

    Raise UsageError without a state, and Refused for a replay.
    """
    if session.store is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    if session.replay:
        raise Refused("a replay has a clock of its own", hint="--now moves it")
    with session.store.read() as tx:
        stored_us = last_written(tx)
    machine_us = real_us()
    if believe:
        if session.settings.backup.every is not None:
            backups.make_backup(session.root, session.settings, at_once=True)
        clock_jumps.believe(session.data_folder, machine_us)
    return ClockResponse(
        machine_at=session.instant(machine_us),
        stored_at=session.instant(stored_us),
        ahead_days=int((machine_us - stored_us) / DAY_US),
        believed=believe,
        repair=clock_jumps.repair_of(session.root, session.settings)
        if session.clock.days_ahead()
        else None,
    )


# `db gc`: deletes files and rows that are no longer needed. If a leader runs, the leader does it.


FreeNothing = Annotated[bool, Option("--dry-run", help="say what would be freed")]


@command("db gc", ADMINISTER, session="gc")
def gc(session: ProjectSession, *, dry_run: FreeNothing = False, progress: Progress) -> GcResponse:
    """Free expired snapshots, orphans, raw bytes, logs, quarantine, and data of ended runs.

    Also delete history older than `[retention] history`. Raise LakeError if DuckLake's own steps
    fail; what was freed stays freed.
    """
    if not dry_run:
        early = remove_rebuildable(session, progress)
        freed: GcResponse = _gc.perform(session, progress)
        return msgspec.structs.replace(freed, rebuildable=tuple(early))
    if session.store is None:
        return GcResponse(dry_run=True, snapshots=0, lake_files=0, freed=[])
    keep = RetentionPolicy.declared(session.project())
    unneeded = collectable(session.store, session.folders, keep, session.clock.now_us())
    return msgspec.structs.replace(
        _response(unneeded, dry_run=True),
        holds=_holds(session, session.store),
        rebuildable=_old_enough(session, session.store),
    )


@leader_command("gc", GcResponse)
def _gc(context: CommandContext) -> GcResponse:
    applied = context.applied()
    keep = (
        RetentionPolicy.declared(applied.compiled.project)
        if applied
        else RetentionPolicy(context.session.settings.retention)
    )
    with context.store.write(context.held.lease.epoch) as tx:
        partition_states.drop_checkpoint(
            tx
        )  # the checkpoint derives from rows that stay, so it can be rebuilt
    freed = collect(
        context.store,
        context.held.lease.epoch,
        context.held.folders,
        keep,
        context.clock.now_us(),
    )
    return msgspec.structs.replace(
        _response(freed, dry_run=False), holds=_holds(context.session, context.store)
    )


def _old_enough(session: ProjectSession, store: Store) -> tuple[RebuildableRow, ...]:
    if session.compiled is None:
        return ()
    with store.read() as tx:
        return tuple(early_rows(session, tx, session.compiled))


def _holds(session: ProjectSession, store: Store) -> tuple[HoldRow, ...]:
    with store.read() as tx:
        return tuple(hold_rows(session, tx))


def _response(result: Collected, *, dry_run: bool) -> GcResponse:
    freed = [
        Freed(kind=waste.kind, files=len(waste.paths), size_bytes=waste.size_bytes)
        for waste in result.waste
        if waste.paths
    ]
    return GcResponse(
        dry_run=dry_run,
        snapshots=result.snapshots,
        lake_files=result.lake_files,
        freed=freed,
        retired=result.retired,
        partitions=tuple(
            RetiredRow(
                node=item.node,
                partitions=item.partitions,
                rows=item.rows,
                first=item.first,
                last=item.last,
            )
            for item in result.partitions
        ),
    )


# `db backup`: the state, the catalog and the files that they name, of one snapshot. The folder
# appears as a whole or not at all. The state is saved as a SQLite file whatever the database, so a
# backup can be restored into SQLite or PostgreSQL. Lake files and raw bytes never change once they
# are written: on the same file system they are hard links and cost no space. Automatic backups hold
# the state alone; their files are those of the lake.

TRIES_MAX = 3
"""Maximum number of attempts at a backup, if maintenance meanwhile deletes files that it needs."""


class _Gone(Exception):
    """A file that the saved state names was deleted before it could be copied."""


@command("db backup", ADMINISTER, session="backup")
def backup(
    session: ProjectSession, folder: Annotated[Path, Argument("DIR", help="of the backup")]
) -> BackupResponse:
    """Back up into a new folder, from this process and alongside a running leader.

    Raise UsageError without a state, or if the folder exists and isn't empty; Refused if a file of
    the current snapshot is missing or the folder can't be written. Missing files of earlier
    snapshots are left out and counted in the manifest.
    """
    folder = folder.absolute()
    if session.store is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is there already",
            hint="name a folder that isn't: a backup is never overwritten",
        )
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        manifest = _write_backup(session, session.store, part)
        part.replace(folder)
        sync_each([folder / MANIFEST])
    except OSError as error:
        raise Refused(
            f"{folder} can't be written: {error.strerror}",
            hint="look at the free space and who may write there",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return describe_backup(folder, manifest)


def _write_backup(session: ProjectSession, store: Store, part: Path) -> Manifest:
    """Write the backup into a temporary folder; start anew if a file was deleted meanwhile."""
    for tried in range(1, TRIES_MAX + 1):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        try:
            return _write(session, store, part, last_try=tried == TRIES_MAX)
        except _Gone as gone:
            if tried == TRIES_MAX:
                raise Refused(
                    f"the catalog names {gone}, which isn't there",
                    hint="`headrace db check` lists what is missing, and what to do",
                ) from gone
    raise AssertionError


def describe_backup(folder: Path, manifest: Manifest) -> BackupResponse:
    """Return a backup's contents as a response."""
    size = sum(entry.size_bytes for entry in manifest.entries)
    return BackupResponse(
        folder=str(folder),
        made_at=manifest.backup_time,
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
            continue  # files outside of the lake may expire at any time
        paths.append(target)
    return write_manifest(
        part, paths, saved, session.settings.name, state_only=False, missing=len(missing)
    )


def _named_files(state: Path, lake: Path) -> tuple[list[str], list[str]]:
    """Return the lake files that a saved state names: existing ones, and missing ones.

    Only files of earlier snapshots may be missing; raises `_Gone` if a file of the current snapshot
    is.
    """
    with read_saved(state) as tx:
        named = sorted(path for path in catalog.named_paths(tx) if not Path(path).is_absolute())
        missing = [path for path in named if not (lake / path).is_file()]
        if missing:
            _refuse_current(tx, missing)
    missing_paths = set(missing)
    return [path for path in named if path not in missing_paths], missing


def _refuse_current(tx: Transaction, missing: Sequence[str]) -> None:
    """Raise `_Gone` for the first missing file of the current snapshot."""
    current = {item.path for item in catalog.registered(tx) if not item.ended}
    for path in missing:
        if path in current:
            raise _Gone(path)


def _sources(folders: Folders, named: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield the files to back up: path in the backup, and source path."""
    for path in named:
        yield f"lake/{path}", folders.lake / path
    for name, folder in kept_folders(folders).items():
        for inside, _, files in os.walk(folder):
            for file in sorted(files):
                source = Path(inside, file)
                if not file.endswith(".tmp") and source.is_file() and not source.is_symlink():
                    yield f"{name}/{source.relative_to(folder).as_posix()}", source


def kept_folders(folders: Folders) -> dict[str, Path]:
    """Return the folders that a backup holds in addition to the lake, by their names in it."""
    return {"raw": folders.raw, "quarantine": folders.quarantine, "files": folders.files}
