"""`db restore`: a backup's state and files in the project's place. Everything is verified before anything is touched.

The restored state's epoch is later than every one that a leader of the state before may have, so that one that still runs can't
commit. Files that were there stay: those that the restored catalog doesn't name are orphans, and go when they are old enough.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import msgspec

from headrace.govern.secrets import Secrets
from headrace.govern.state import open_state, state_exists
from headrace.lake import catalog
from headrace.model import Refused, UsageError
from headrace.operations.backup import DATA, FORMAT, MANIFEST, STATE, Entry, Manifest, described, digest, kept_folders, link_or_copy
from headrace.operations.db.documents import BackupDocument
from headrace.operations.session import Session
from headrace.run.folders import Folders
from headrace.store import SqliteAddress, portable
from headrace.store.address import address
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.lease import holder
from headrace.store.migrations import known


def restore(session: Session, folder: Path, *, force: bool) -> BackupDocument:
    """Put a backup in the project's place; with `force` a state that is there is moved aside.

    UsageError for a folder that is no backup, Refused for one that is damaged or newer, where a state is there (and not `force`),
    and while a leader runs."""
    manifest = read_manifest(folder)
    _verify(folder, manifest)
    epoch, aside = manifest.epoch, None
    if state_exists(session.root, session.settings):
        epoch, aside = _put_aside(session, manifest, force=force)
    _place_files(folder, manifest, session.folders)
    _place_state(session, folder / STATE, epoch + 1)
    return described(folder, manifest, epoch=epoch + 1, aside=aside)


def read_manifest(folder: Path) -> Manifest:
    """What the backup in a folder says of itself."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{folder} is no backup: {MANIFEST} can't be read ({error})", hint="headrace db backup DIR makes one") from error
    if manifest.format > FORMAT or manifest.version > len(known()):
        raise Refused(f"{folder} was made by a newer Headrace", hint="use the Headrace that made it, or a newer one")
    return manifest


def _verify(folder: Path, manifest: Manifest) -> None:
    root = folder.resolve()
    for entry in manifest.entries:
        path = folder / entry.path
        if not path.resolve().is_relative_to(root):
            raise Refused(f"{folder} names a file outside of itself: {entry.path}", hint="use another backup")
        if not path.is_file() or path.stat().st_size != entry.size_bytes or digest(path) != entry.sha256:
            raise Refused(f"{path} is missing or isn't what was backed up", hint="use another backup; nothing was touched")


def _put_aside(session: Session, manifest: Manifest, *, force: bool) -> tuple[int, str]:
    """The epoch that the restored state must exceed, and where the state is now that was there."""
    if not force:
        raise Refused("there is a state already", hint="--force moves it aside; `headrace db check` says whether it is whole")
    store = open_state(session.root, session.settings)
    with store, store.read() as tx:
        leader = holder(tx)
        (epoch,) = tx.execute("select epoch from lease where id = 1").fetchone()
    if leader is not None:
        raise Refused(f"{leader.name} leads this project", hint="let it finish, or end it; then restore")
    session.close()
    return max(int(epoch), manifest.epoch), portable.put_aside(store, f"before_{time.time_ns() // 1_000_000_000}")


def _place_files(folder: Path, manifest: Manifest, folders: Folders) -> None:
    places = {"lake": folders.lake, **kept_folders(folders)}
    for entry in manifest.entries:
        name, _, rest = entry.path.removeprefix(f"{DATA}/").partition("/")
        if rest and name in places and entry.path != STATE:
            _place_file(folder / entry.path, places[name] / rest, entry, linked=name != "files")


def _place_file(source: Path, target: Path, entry: Entry, *, linked: bool) -> None:
    if target.is_file() and target.stat().st_size == entry.size_bytes and digest(target) == entry.sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    part.unlink(missing_ok=True)
    link_or_copy(source, part, linked=linked)
    part.replace(target)


def _place_state(session: Session, saved: Path, epoch: int) -> None:
    """The saved state, brought up to date and given its new epoch before anybody can see it."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as temporary:
        copy = Path(temporary, STATE)
        portable.place(saved, SqliteAddress(copy))
        engine = SqliteEngine(copy)
        try:
            engine.create()
            with engine.write(None, durable=True) as tx:
                tx.execute("update lease set epoch = ?, released = 1 where id = 1", (epoch,))
                if not catalog.missing(tx):
                    catalog.move(tx, f"{session.folders.lake}/")
            engine.write_connection().execute("pragma journal_mode = delete")
        finally:
            engine.close()
        where = address(session.root, session.settings, Secrets(session.root).resolved)
        if isinstance(where, SqliteAddress):
            portable.place(copy, where)
            return
        with open_state(session.root, session.settings, create=True) as store:
            portable.load(copy, store, catalog.create_tables)
