"""Opening of the state, with its secrets and a check that it belongs to the project's lake.

A PostgreSQL password may be in a file or a keyring. Three cases are refused: a state of another
lake, a missing state for a lake with files, and a state with files for a lake without any.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from headrace.lake import catalog
from headrace.lake.files import full_sync
from headrace.lake.tables import SCHEMA_FOLDER, lost_with
from headrace.model.errors import StateMissing, StoreError
from headrace.model.nodes import Settings
from headrace.security.secrets import Secrets
from headrace.store import Store, Transaction, exists
from headrace.store.database import engine_of

# The link between a state and its lake: one random id, in the state's `meta` table and in a file of
# the lake's folder.
#
# Both are compared whenever a state is opened. A lost, emptied or exchanged state is then not
# mistaken for that of a new project. States and lakes of older versions have no id; the next leader
# adds one.

FILE = "identity.json"
"""The name of the file in the lake's folder."""
_KEY = "identity"
_NEXT = (
    "`headrace db restore` brings the newest backup that fits back; `headrace db restore"
    " --new-state` starts over and moves the lake aside"
)
MOUNT = (
    "mount it and type the command again. If its files are lost: `headrace db restore DIR` brings"
    " them back from a backup that holds them; `headrace db restore --new-state` starts over"
)


class LakeIdentity(msgspec.Struct, frozen=True):
    """The content of the file; `project` is for people who find the folder."""

    identity: str
    project: str = ""


def lake_folder(root: Path, settings: Settings) -> Path:
    """Return the absolute path of the project's lake."""
    return (root / settings.lake_path).absolute()


def lake_identity(lake: Path) -> str | None:
    """Return the identity of a lake, or None. Raises StoreError if its file can't be read."""
    path = lake / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=LakeIdentity).identity
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(
            f"{path} can't be read: {error.strerror}", hint="look at its permissions"
        ) from error
    except msgspec.DecodeError as error:
        raise StoreError(
            f"{path} doesn't say which state the lake belongs to ({error})",
            hint=(
                "`headrace db check` says whether state and files agree; if they do, delete the"
                " file: the next tick writes it again"
            ),
        ) from error


def state_identity(tx: Transaction) -> str | None:
    """Return the identity of a state, or None."""
    row = tx.execute("select value from meta where key = ?", (_KEY,)).fetchone()
    return None if row is None else str(row[0])


def set_identity(tx: Transaction, identity: str) -> None:
    """Set the identity of a state."""
    tx.execute(
        "insert into meta (key, value) values (?, ?) on conflict (key) do update set value ="
        " excluded.value",
        (_KEY, identity),
    )


def settle_identity(tx: Transaction, lake: Path) -> str:
    """Return the identity of a state; if it has none, set the lake's or a new one."""
    known = state_identity(tx)
    if known is None:
        known = lake_identity(lake) or uuid.uuid4().hex
        set_identity(tx, known)
    return known


def mark_lake(lake: Path, identity: str, project: str) -> None:
    """Write the identity into the lake's folder, if it differs, atomically and durably."""
    if lake_identity(lake) == identity:
        return
    part = lake / f".{FILE}.{os.getpid()}.tmp"
    try:
        with part.open("wb") as file:
            file.write(msgspec.json.encode(LakeIdentity(identity, project)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(lake / FILE)
        full_sync(lake)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise StoreError(
            f"{lake / FILE} can't be written: {error.strerror}",
            hint="look at the free space and who may write there",
        ) from error


def refuse_lost(lake: Path, where: str) -> None:
    """Raise StoreError for a lake with an identity or files, as its state is missing."""
    count = sum(1 for _ in data_files(lake))
    if count or lake_identity(lake) is not None:
        files = f"{count:,} file{'' if count == 1 else 's'}"
        raise StoreError(
            f"the state {where} is missing or empty, and the lake {lake} has {files} of it: nothing"
            " is written",
            hint=_NEXT,
        )


def refuse_other(tx: Transaction, lake: Path, where: str) -> None:
    """Raise StoreError if the lake belongs to another state."""
    theirs = lake_identity(lake)
    if theirs is None:
        return
    ours = state_identity(tx)
    if ours == theirs or (
        ours is None and (lake_fits(tx, lake) or next(data_files(lake), None) is None)
    ):
        return
    text = (
        f"state {ours[:8]}" if ours else "a state of an earlier version, whose files aren't there"
    )
    raise StoreError(
        f"the state {where} ({text}) isn't that of the lake {lake} (state {theirs[:8]}): nothing is"
        " written",
        hint=_NEXT,
    )


def lake_fits(tx: Transaction, lake: Path) -> bool:
    """Return whether readers see files of a state and all of these are in the lake."""
    current = _current(tx)
    return bool(current) and all((lake / path).is_file() for path in current)


def refuse_empty(tx: Transaction, lake: Path, where: str) -> None:
    """Raise StoreError if readers see files of a state of which the lake has none.

    Not if the lake has an identity. The usual cause is a file system that isn't mounted.
    """
    if message := describe_empty_lake(tx, lake, where):
        raise StoreError(f"{message} Nothing is read or written", hint=MOUNT)


def describe_empty_lake(tx: Transaction, lake: Path, where: str) -> str:
    """Return the message for a lake as in `refuse_empty`; empty for any other lake."""
    if lake_identity(lake) is not None:
        return ""
    current = _current(tx)
    if not current or any((lake / path).is_file() for path in current):
        return ""
    files = f"{len(current):,} file{'' if len(current) == 1 else 's'}"
    return (
        f"the lake {lake} is empty although the state {where} knows {files} in it; is it mounted?"
    )


def _current(tx: Transaction) -> list[str]:
    """Return the files that readers see, relative to the lake's folder, without those given up."""
    if catalog.missing(tx):
        return []
    results = [item.path for item in catalog.registered(tx) if not item.ended]
    return [path for path in results if lost_with(path.rpartition("/")[2]) is None]


def data_files(lake: Path) -> Iterator[Path]:
    """Return the Parquet files of a lake's tables."""
    for folder, _, names in os.walk(lake / SCHEMA_FOLDER):
        yield from (Path(folder, name) for name in names if name.endswith(".parquet"))


def open_state(
    root: Path, settings: Settings, *, create: bool = False, lake_may_be_empty: bool = False
) -> Store:
    """Open the store with every reference to a secret resolved, and check its lake.

    Raises the errors of `Store.open`, SecretMissing, and StoreError for a state that isn't the
    lake's. Also raises StoreError for a lake without any of the state's files, unless
    `lake_may_be_empty`.
    """
    lake = lake_folder(root, settings)
    resolve = Secrets(root).resolved
    store = Store.open(
        root, settings, create=create, resolve=resolve, empty=partial(refuse_lost, lake)
    )
    try:
        with store.read() as tx:
            refuse_other(tx, lake, store.engine.where)
            if not lake_may_be_empty:
                refuse_empty(tx, lake, store.engine.where)
    except BaseException:
        store.close()
        raise
    return store


def existing_state(
    root: Path, settings: Settings, *, lake_may_be_empty: bool = False
) -> Store | None:
    """Open the state as `open_state` does; None before the first command that writes."""
    try:
        return open_state(root, settings, lake_may_be_empty=lake_may_be_empty)
    except StateMissing:
        if state_exists(root, settings):
            raise
        return None


def state_exists(root: Path, settings: Settings) -> bool:
    """Return whether a command that writes has created the state.

    Raises the errors of `open_state` for an invalid address, and StoreError if the lake has files
    of a lost state.
    """
    if exists(root, settings, Secrets(root).resolved):
        return True
    check_identity(root, settings)
    return False


def check_identity(root: Path, settings: Settings) -> None:
    """Raise StoreError if the state isn't the lake's, or is lost while the lake has files.

    It works for states of any version.
    """
    lake = lake_folder(root, settings)
    engine = engine_of(root, settings, Secrets(root).resolved)
    try:
        if not engine.applied():
            refuse_lost(lake, engine.where)
            return
        with engine.read() as tx:
            refuse_other(tx, lake, engine.where)
            refuse_empty(tx, lake, engine.where)
    finally:
        engine.close()
