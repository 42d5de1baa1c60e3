"""`db restore`: put a backup in the project's place, or begin with a new state.

Everything is verified before anything is changed. The restored state's epoch is later than every
epoch that a leader of the earlier state can have, so a leader that still runs can't commit.
Existing files stay: those that the restored catalog doesn't name are orphans, which garbage
collection deletes when they are old enough.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from headrace.access.permissions import ADMINISTER, command
from headrace.lake import catalog
from headrace.lake.files import file_digest
from headrace.model import HeadraceError, Refused, StoreError, UsageError
from headrace.model.partitions import command_line
from headrace.model.plugins import ERASURES, functions
from headrace.project.parameters import Argument, Option
from headrace.project.session import Progress, ProjectSession, Silent
from headrace.runtime import clock_jumps, event_log, maintenance
from headrace.runtime.backups import (
    DATA,
    FORMAT,
    MANIFEST,
    STATE,
    BackupFile,
    Manifest,
    folder_of,
    link_or_copy,
    list_backups,
    read_saved,
)
from headrace.runtime.folders import Folders
from headrace.security import state
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.security.erasures import CERTIFICATES, LEDGER_FILE, known_erasures
from headrace.security.secrets import Secrets
from headrace.security.state import describe_empty_lake, lake_identity, open_state, state_identity
from headrace.services.database import BackupResponse, describe_backup, kept_folders
from headrace.store import Clock, SqliteAddress, Store, portable
from headrace.store.address import address
from headrace.store.clock import last_written
from headrace.store.database import engine_of
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.lease import holder
from headrace.store.migrations import known

# What a project holds before a restore or a new state, and how it is moved aside. Nothing is
# deleted.


class ExistingState:
    """The existing state; `made` is False without one, and None if it can't be read."""

    def __init__(self, session: ProjectSession) -> None:
        self._session = session
        self.made: bool | None = False
        self.leader = ""
        self.trail: tuple[int, str] | None = None
        """The last entry of its audit trail: number and hash."""
        self.foreign = False
        """Whether it belongs to another lake, or the lake is empty, so that no command uses it."""
        self.epoch = _epoch_of_folders(session.folders)
        """At least the epoch of every leader that the data folder knows."""
        self._read()

    def _read(self) -> None:
        session = self._session
        engine = engine_of(session.root, session.settings, Secrets(session.root).resolved)
        try:
            if not engine.applied():
                return
            self.made = None
            with engine.read() as tx:
                leader = holder(tx)
                (epoch,) = tx.execute("select epoch from lease where id = 1").fetchone()
                last = tx.execute(
                    "select seq, hash from audit order by seq desc limit 1"
                ).fetchone()
                theirs = lake_identity(session.folders.lake)
                other = theirs is not None and state_identity(tx) not in (None, theirs)
                lake = session.folders.lake
                self.foreign = other or bool(describe_empty_lake(tx, lake, engine.where))
            self.leader = leader.name if leader is not None else ""
            self.epoch = max(self.epoch, int(epoch))
            self.trail = tuple(last) if last else (0, "")
            self.made = True
        except StoreError:
            if not isinstance(engine.address, SqliteAddress):
                raise  # an unreachable server can't be moved aside
            self.made = None
        finally:
            engine.close()

    def check(self, *, force: bool) -> None:
        """Raise Refused while a leader runs, or if a usable state exists and `force` is False."""
        if self.leader:
            raise Refused(
                f"{self.leader} leads this project", hint="let it finish, or end it; then restore"
            )
        if self.made and not self.foreign and not force:
            raise Refused(
                "there is a state already",
                hint="--force moves it aside; `headrace db check` says whether it is whole",
            )

    def put_aside(self, mark: str) -> str | None:
        """Rename the state; return its new name, or None if there is none."""
        session = self._session
        engine = engine_of(session.root, session.settings, Secrets(session.root).resolved)
        if isinstance(engine.address, SqliteAddress) and not engine.address.path.exists():
            engine.close()
            return None
        if not isinstance(engine.address, SqliteAddress) and self.made is False:
            engine.close()
            return None
        return portable.put_aside(Store(engine), f"before_{mark}")


def existing_state(session: ProjectSession) -> ExistingState:
    """Return the existing state."""
    return ExistingState(session)


def stamp() -> str:
    """Return a suffix for what is moved aside now: Unix time in seconds."""
    return str(time.time_ns() // 1_000_000_000)


def lake_aside(folders: Folders, mark: str) -> Path | None:
    """Move lake files, asset files and the quarantine into a folder alongside; return it.

    None if there are none. Raw bytes stay: they are stored by content. Raise HeadraceError if a
    folder can't be moved.
    """
    target = folders.data_path / f"before_{mark}"
    moved = False
    for folder in (folders.lake, folders.files, folders.quarantine):
        if not folder.is_dir() or not any(folder.iterdir()):
            continue
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            folder.rename(target / folder.name)
        except OSError as error:
            raise HeadraceError(
                f"{folder} can't be moved to {target}: {error.strerror}",
                hint=(
                    "a folder that is mounted can't be renamed: move what is in it away by hand,"
                    " and do it again"
                ),
            ) from error
        moved = True
    return target if moved else None


def _epoch_of_folders(folders: Folders) -> int:
    """Return the latest epoch in the data folder, whose logs and files are named by epoch.

    It is found even if the state is lost.
    """
    results = [0]
    with suppress(OSError, ValueError):
        results.append(int(folders.fence.read_text() or 0))
    if folders.logs.is_dir():
        results += [int(path.name) for path in folders.logs.iterdir() if path.name.isdecimal()]
    return max(results)


@command("db restore", ADMINISTER)
def restore(
    session: ProjectSession,
    folder: Annotated[
        Path, Argument("[DIR]", help="of the backup; by default the newest that fits")
    ],
    *,
    force: Annotated[bool, Option("--force", help="move the state that is there aside")],
    new_state: Annotated[
        bool, Option("--new-state", help="start over; the lake's files are moved aside")
    ] = False,
) -> BackupResponse:
    """Put a backup in the project's place.

    `force` moves a usable state aside, `new_state` also the lake's files. Raise UsageError for a
    folder that isn't a backup; Refused for a damaged, newer or another lake's backup, if a state
    exists (without `force`), while a leader runs, and if what erases again isn't installed.
    """
    erase_again = _erasing_again(session.data_folder)
    manifest = read_manifest(folder)
    verify(folder, manifest)
    was = existing_state(session)
    if not new_state:
        _check_lake(session, folder, manifest)
    elif manifest.state_only:
        raise Refused(
            f"{folder} holds the state alone, its files are the lake's",
            hint=command_line("db", "restore", str(folder)),
        )
    was.check(force=force)
    lost = losses(session, folder, manifest, was)
    clock_jumps.forget_belief(session.data_folder)
    session.close()
    mark = stamp()
    aside = was.put_aside(mark)
    moved = lake_aside(session.folders, mark) if new_state else None
    _place_files(folder, manifest, session.folders)
    epoch = max(was.epoch, manifest.epoch) + 1
    _place_state(session, folder, manifest, epoch, lost)
    restored = session.again(session.actor)
    erased = [subject for again in erase_again for subject in again(restored, Silent())]
    response = describe_backup(folder, manifest)
    return msgspec.structs.replace(
        response,
        epoch=epoch,
        restored=True,
        aside=aside,
        lake_aside=None if moved is None else str(moved),
        lost_since=lost.since,
        lost_files=lost.files,
        erased_again=tuple(erased),
    )


def _erasing_again(data: Path) -> list[Callable[[ProjectSession, Progress], list[str]]]:
    """Return what erases the rows again that a backup has from before they were erased.

    Raise Refused if rows were erased and the package that does it isn't installed, or the files by
    which it knows the rows are lost.
    """
    erasing, erasures = functions(ERASURES), known_erasures(data)
    if erasures.missing:
        names = " and ".join(erasures.missing)
        raise Refused(
            f"rows were erased since, and {data} lacks {names}, by which they are erased again;"
            " nothing was changed",
            hint=(
                f"put {names} back from a copy of that folder. If there is none: move"
                f" {CERTIFICATES} and {LEDGER_FILE} out of it, restore, and erase those subjects"
                " again"
            ),
        )
    if erasures.any and not erasing:
        raise Refused(
            "rows were erased since, and headrace-erase, which erases them again, isn't installed;"
            " nothing was changed",
            hint="pip install headrace-erase",
        )
    return erasing


class Losses(msgspec.Struct, frozen=True):
    """What a restored state lacks: everything `since` then (None: nothing), and lake `files`.

    `files` is the number of data files in the lake that the restored state doesn't name.
    """

    since: datetime | None
    files: int


def losses(session: ProjectSession, folder: Path, manifest: Manifest, was: ExistingState) -> Losses:
    """Return what restoring a backup would lose."""
    lake = session.folders.lake
    with read_saved(folder / STATE) as tx:
        named = catalog.named_paths(tx)
        seq, head = tx.execute(
            "select seq, hash from audit order by seq desc limit 1"
        ).fetchone() or (0, "")
    files = sum(
        1 for path in state.data_files(lake) if path.relative_to(lake).as_posix() not in named
    )
    nothing_there = not files and was.made is False and state.lake_identity(lake) is None
    unchanged = was.trail == (seq, head)
    return Losses(
        None if nothing_there or (unchanged and not files) else manifest.backup_time, files
    )


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup.

    Raise UsageError if the folder isn't a backup, Refused if a newer Headrace made it.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(
            f"{folder} is no backup: {MANIFEST} can't be read ({error})",
            hint="headrace db backup DIR makes one",
        ) from error
    if manifest.format > FORMAT or manifest.version > len(known()):
        raise Refused(
            f"{folder} was made by a newer Headrace",
            hint="use the Headrace that made it, or a newer one",
        )
    return manifest


def verify(folder: Path, manifest: Manifest) -> None:
    """Raise Refused if a file of the backup is missing or damaged."""
    root = folder.resolve()
    for entry in manifest.entries:
        path = folder / entry.path
        if not path.resolve().is_relative_to(root):
            raise Refused(
                f"{folder} names a file outside of itself: {entry.path}", hint="use another backup"
            )
        if (
            not path.is_file()
            or path.stat().st_size != entry.size_bytes
            or file_digest(path) != entry.sha256
        ):
            raise Refused(
                f"{path} is missing or isn't what was backed up",
                hint="use another backup; nothing was touched",
            )


def _check_lake(session: ProjectSession, folder: Path, manifest: Manifest) -> None:
    """Raise Refused if the lake is another state's, or lacks files of the current snapshot."""
    if reason := unfit(session.folders.lake, folder, manifest):
        hint = (
            "`headrace db restore` without a folder looks for one that fits; `headrace db restore"
            " --new-state` starts over"
        )
        raise Refused(f"{folder} doesn't fit the lake {session.folders.lake}: {reason}", hint=hint)


def unfit(lake: Path, folder: Path, manifest: Manifest) -> str:
    """Return why a backup doesn't fit a lake; empty if it does."""
    theirs = state.lake_identity(lake)
    if theirs and manifest.identity and theirs != manifest.identity:
        return f"it is of state {manifest.identity[:8]}, and the lake of state {theirs[:8]}"
    if not manifest.state_only:
        return ""
    with read_saved(folder / STATE) as tx:
        current = (
            [item.path for item in catalog.registered(tx) if not item.ended]
            if not catalog.missing(tx)
            else []
        )
    lost_files = [path for path in current if not (lake / path).is_file()]
    return (
        f"the lake lacks {len(lost_files)} of its {len(current)} files, such as {lost_files[0]}"
        if lost_files
        else ""
    )


def _place_files(folder: Path, manifest: Manifest, folders: Folders) -> None:
    places = {"lake": folders.lake, **kept_folders(folders)}
    for entry in manifest.entries:
        name, _, rest = entry.path.removeprefix(f"{DATA}/").partition("/")
        if rest and name in places and entry.path != STATE:
            _place_file(folder / entry.path, places[name] / rest, entry, linked=name != "files")


def _place_file(source: Path, target: Path, entry: BackupFile, *, linked: bool) -> None:
    if (
        target.is_file()
        and target.stat().st_size == entry.size_bytes
        and file_digest(target) == entry.sha256
    ):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    part.unlink(missing_ok=True)
    link_or_copy(source, part, linked=linked)
    part.replace(target)


def _place_state(
    session: ProjectSession, folder: Path, manifest: Manifest, epoch: int, lost: Losses
) -> None:
    """Place the saved state, after upgrading it and setting its new epoch in a copy."""
    lake = session.folders.lake
    with tempfile.TemporaryDirectory(prefix="headrace-") as temporary:
        copy = Path(temporary, STATE)
        portable.place(folder / STATE, SqliteAddress(copy))
        engine = SqliteEngine(copy)
        try:
            engine.create()
            with engine.write(None, durable=True) as tx:
                tx.execute("update lease set epoch = ?, released = 1 where id = 1", (epoch,))
                known_as = state.settle_identity(tx, lake)
                if not catalog.missing(tx):
                    catalog.move(tx, f"{lake}/")
                append(
                    tx,
                    Clock.for_writing(tx, None).now_us(),
                    _restored(session, folder, manifest, lost),
                )
                now = last_written(tx)
            # a backup lacks the event log's start: it starts over with the state verified above
            why = "the state was restored from a backup"
            actor = Actor(ActorType.PERSON, session.actor)
            event_log.begin_anew(Store(engine), None, session.folders, actor, now, why)
            engine.close()  # an open read connection would keep the journal
            engine.write_connection().execute("pragma journal_mode = delete")
        finally:
            engine.close()
        where = address(session.root, session.settings, Secrets(session.root).resolved)
        if isinstance(where, SqliteAddress):
            portable.place(copy, where)
        else:
            with Store.open(
                session.root, session.settings, create=True, resolve=Secrets(session.root).resolved
            ) as store:
                portable.load(copy, store, catalog.create_tables)
    lake.mkdir(parents=True, exist_ok=True)
    state.mark_lake(lake, known_as, session.settings.name)
    with open_state(session.root, session.settings) as store:
        maintenance.forget_lost(store, session.folders)


def _restored(
    session: ProjectSession, folder: Path, manifest: Manifest, lost: Losses
) -> AuditEvent:
    return AuditEvent(
        action=Action.STATE_RESTORED,
        actor=Actor(ActorType.PERSON, session.actor),
        object=Object("backup", folder.name),
        after={
            "made_at": manifest.backup_time.isoformat(),
            "snapshot": manifest.snapshot,
            "lost_since": None if lost.since is None else lost.since.isoformat(),
            "lost_files": lost.files,
        },
    )


# `db restore` without a folder: the newest automatic backup that fits the lake, and what it lacks.

REASONS_SHOWN_MAX = 3


@command("db restore", ADMINISTER)
def newest_backup(session: ProjectSession) -> BackupResponse:
    """Return the newest backup that fits the lake, with what it lacks.

    Raise Refused with the reasons if none fits.
    """
    reasons = []
    for backup in list_backups(session.root, session.settings):
        try:
            verify(backup.folder, backup.manifest)
            reason = unfit(session.folders.lake, backup.folder, backup.manifest)
            if backup.manifest.is_ahead:
                reason = "it is of a time when the machine's clock was ahead"
        except HeadraceError as error:
            reason = str(error)
        if reason:
            reasons.append(f"{backup.folder.name}: {reason}")
            continue
        lost = losses(session, backup.folder, backup.manifest, existing_state(session))
        return msgspec.structs.replace(
            describe_backup(backup.folder, backup.manifest),
            lost_since=lost.since,
            lost_files=lost.files,
        )
    where = folder_of(session.root, session.settings)
    text = "; ".join(reasons[:REASONS_SHOWN_MAX])
    raise Refused(
        f"no backup in {where} fits the lake" + (f" ({text})" if text else ": there is none"),
        hint=(
            "`headrace db restore DIR` restores one from elsewhere; `headrace db restore"
            " --new-state` starts over and moves the lake aside"
        ),
    )


# `db restore --new-state`: an empty state with an empty lake. Existing files are moved aside, never
# adopted.


@command("db restore", ADMINISTER)
def new_state(session: ProjectSession, *, force: bool) -> BackupResponse:
    """Begin with a new state; with `force` even if a usable state exists.

    Epochs continue after the earlier ones: attempts' logs and files are named by them, and exports
    accept no earlier one. Raise Refused while a leader runs, HeadraceError for a folder that can't
    be moved.
    """
    was = existing_state(session)
    was.check(force=force)
    theirs = state.lake_identity(session.folders.lake)
    session.close()
    mark = stamp()
    aside = was.put_aside(mark)
    moved = lake_aside(session.folders, mark)
    identity = uuid.uuid4().hex
    what = {
        "lake": theirs,
        "lake_aside": None if moved is None else str(moved),
        "state_aside": aside,
    }
    event = AuditEvent(
        action=Action.STATE_BEGUN_ANEW,
        actor=Actor(ActorType.PERSON, session.actor),
        object=Object("state", identity),
        before=what,
    )
    session.folders.lake.mkdir(parents=True, exist_ok=True)
    resolve = Secrets(session.root).resolved
    with (
        Store.open(session.root, session.settings, create=True, resolve=resolve) as store,
        store.write(None, durable=True) as tx,
    ):
        tx.execute("update lease set epoch = ?, released = 1 where id = 1", (was.epoch,))
        catalog.create(tx, f"{session.folders.lake}/")
        state.set_identity(tx, identity)
        append(tx, Clock.for_writing(tx, session.now_given).now_us(), event)
    state.mark_lake(session.folders.lake, identity, session.settings.name)
    return BackupResponse(
        folder="",
        made_at=None,
        snapshot=0,
        epoch=was.epoch,
        tables={},
        files=0,
        bytes=0,
        size_bytes=0,
        restored=True,
        aside=aside,
        lake_aside=None if moved is None else str(moved),
    )
