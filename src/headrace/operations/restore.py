"""`db restore`: a backup's state and files in the project's place. Everything is verified before anything is touched.

The restored state's epoch is later than every one that a leader of the state before may have, so that one that still runs can't
commit. Files that were there stay: those that the restored catalog doesn't name are orphans, and go when they are old enough.
"""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path

import msgspec

from headrace.govern import identity
from headrace.govern.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.govern.secrets import Secrets
from headrace.govern.state import open_state
from headrace.lake import catalog
from headrace.model import Refused, UsageError
from headrace.model.commands import command_line
from headrace.operations.backup import described, kept_folders
from headrace.operations.backup_files import (
    DATA,
    FORMAT,
    MANIFEST,
    STATE,
    BackupFile,
    Manifest,
    digest,
    link_or_copy,
    read_saved,
)
from headrace.operations.db.responses import BackupResponse
from headrace.operations.session import ProjectSession
from headrace.operations.setting_aside import ExistingState, before, lake_aside, stamp
from headrace.run import event_log, maintenance
from headrace.run.folders import Folders
from headrace.store import Clock, SqliteAddress, Store, portable
from headrace.store.address import address
from headrace.store.clock import last_written
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.migrations import known


def restore(session: ProjectSession, folder: Path, *, force: bool, new_state: bool = False) -> BackupResponse:
    """Put a backup in the project's place; with `force` a state that can be used is moved aside, with `new_state` the lake's files too.

    UsageError for a folder that is no backup, Refused for one that is damaged, newer or of another lake, where a state is there (and
    not `force`), and while a leader runs."""
    manifest = read_manifest(folder)
    verify(folder, manifest)
    was = before(session)
    if not new_state:
        _check_lake(session, folder, manifest)
    elif manifest.state_only:
        raise Refused(f"{folder} holds the state alone, its files are the lake's", hint=command_line("db", "restore", str(folder)))
    was.check(force=force)
    lost = losses(session, folder, manifest, was)
    session.close()
    mark = stamp()
    aside = was.put_aside(mark)
    moved = lake_aside(session.folders, mark) if new_state else None
    _place_files(folder, manifest, session.folders)
    epoch = max(was.epoch, manifest.epoch) + 1
    _place_state(session, folder, manifest, epoch, lost)
    response = described(folder, manifest)
    return msgspec.structs.replace(
        response,
        epoch=epoch,
        restored=True,
        aside=aside,
        lake_aside=None if moved is None else str(moved),
        lost_since=lost.since,
        lost_files=lost.files,
    )


class Losses(msgspec.Struct, frozen=True):
    """What a restored state doesn't know: everything since then (None: nothing happened), and files of the lake."""

    since: datetime | None
    files: int


def losses(session: ProjectSession, folder: Path, manifest: Manifest, was: ExistingState) -> Losses:
    """What is lost by restoring a backup."""
    lake = session.folders.lake
    with read_saved(folder / STATE) as tx:
        named = catalog.named_paths(tx)
        seq, head = tx.execute("select seq, hash from audit order by seq desc limit 1").fetchone() or (0, "")
    files = sum(1 for path in identity.data_files(lake) if path.relative_to(lake).as_posix() not in named)
    nothing_there = not files and was.made is False and identity.of_lake(lake) is None
    unchanged = was.trail == (seq, head)
    return Losses(None if nothing_there or (unchanged and not files) else manifest.made, files)


def read_manifest(folder: Path) -> Manifest:
    """What the backup in a folder says of itself."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{folder} is no backup: {MANIFEST} can't be read ({error})", hint="headrace db backup DIR makes one") from error
    if manifest.format > FORMAT or manifest.version > len(known()):
        raise Refused(f"{folder} was made by a newer Headrace", hint="use the Headrace that made it, or a newer one")
    return manifest


def verify(folder: Path, manifest: Manifest) -> None:
    """Refused where a file of the backup isn't there as it was written."""
    root = folder.resolve()
    for entry in manifest.entries:
        path = folder / entry.path
        if not path.resolve().is_relative_to(root):
            raise Refused(f"{folder} names a file outside of itself: {entry.path}", hint="use another backup")
        if not path.is_file() or path.stat().st_size != entry.size_bytes or digest(path) != entry.sha256:
            raise Refused(f"{path} is missing or isn't what was backed up", hint="use another backup; nothing was touched")


def _check_lake(session: ProjectSession, folder: Path, manifest: Manifest) -> None:
    """Refused where the lake is another state's, or lacks files that the backup's readers would see."""
    if reason := unfit(session.folders.lake, folder, manifest):
        hint = "`headrace db restore` without a folder looks for one that fits; `headrace db restore --new-state` begins anew"
        raise Refused(f"{folder} doesn't fit the lake {session.folders.lake}: {reason}", hint=hint)


def unfit(lake: Path, folder: Path, manifest: Manifest) -> str:
    """Why a backup can't be restored beside a lake, in words; empty where it can."""
    theirs = identity.of_lake(lake)
    if theirs and manifest.identity and theirs != manifest.identity:
        return f"it is of state {manifest.identity[:8]}, and the lake of state {theirs[:8]}"
    if not manifest.state_only:
        return ""
    with read_saved(folder / STATE) as tx:
        current = [item.path for item in catalog.registered(tx) if not item.ended] if not catalog.missing(tx) else []
    gone = [path for path in current if not (lake / path).is_file()]
    return f"the lake lacks {len(gone)} of its {len(current)} files, such as {gone[0]}" if gone else ""


def _place_files(folder: Path, manifest: Manifest, folders: Folders) -> None:
    places = {"lake": folders.lake, **kept_folders(folders)}
    for entry in manifest.entries:
        name, _, rest = entry.path.removeprefix(f"{DATA}/").partition("/")
        if rest and name in places and entry.path != STATE:
            _place_file(folder / entry.path, places[name] / rest, entry, linked=name != "files")


def _place_file(source: Path, target: Path, entry: BackupFile, *, linked: bool) -> None:
    if target.is_file() and target.stat().st_size == entry.size_bytes and digest(target) == entry.sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    part.unlink(missing_ok=True)
    link_or_copy(source, part, linked=linked)
    part.replace(target)


def _place_state(session: ProjectSession, folder: Path, manifest: Manifest, epoch: int, lost: Losses) -> None:
    """The saved state, brought up to date and given its new epoch before anybody can see it."""
    lake = session.folders.lake
    with tempfile.TemporaryDirectory(prefix="headrace-") as temporary:
        copy = Path(temporary, STATE)
        portable.place(folder / STATE, SqliteAddress(copy))
        engine = SqliteEngine(copy)
        try:
            engine.create()
            with engine.write(None, durable=True) as tx:
                tx.execute("update lease set epoch = ?, released = 1 where id = 1", (epoch,))
                known_as = identity.settle(tx, lake)
                if not catalog.missing(tx):
                    catalog.move(tx, f"{lake}/")
                append(tx, Clock.for_writing(tx, None).now_us(), _restored(session, folder, manifest, lost))
                now = last_written(tx)
            # what the event log begins with isn't in a backup: it begins anew with what was verified above
            why = "the state was restored from a backup"
            actor = Actor(ActorType.PERSON, session.actor)
            event_log.begin_anew(Store(engine), None, session.folders, actor, now, why)
            engine.close()  # a connection that reads would hold on to the journal
            engine.write_connection().execute("pragma journal_mode = delete")
        finally:
            engine.close()
        where = address(session.root, session.settings, Secrets(session.root).resolved)
        if isinstance(where, SqliteAddress):
            portable.place(copy, where)
        else:
            with Store.open(session.root, session.settings, create=True, resolve=Secrets(session.root).resolved) as store:
                portable.load(copy, store, catalog.create_tables)
    lake.mkdir(parents=True, exist_ok=True)
    identity.mark(lake, known_as, session.settings.name)
    with open_state(session.root, session.settings) as store:
        maintenance.forget_lost(store, session.folders)


def _restored(session: ProjectSession, folder: Path, manifest: Manifest, lost: Losses) -> AuditEvent:
    return AuditEvent(
        action=Action.STATE_RESTORED,
        actor=Actor(ActorType.PERSON, session.actor),
        object=Object("backup", folder.name),
        after={
            "made_at": manifest.made.isoformat(),
            "snapshot": manifest.snapshot,
            "lost_since": None if lost.since is None else lost.since.isoformat(),
            "lost_files": lost.files,
        },
    )
