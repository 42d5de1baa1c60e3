"""The state, opened with the secrets of its address: a PostgreSQL password may be in a file or a keyring.

A state that isn't that of the project's lake, a missing one beside a lake with files, and one that has files beside a lake without any are
refused here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from headrace.govern.identity import lake_folder, refuse_empty, refuse_lost, refuse_other
from headrace.govern.secrets import Secrets
from headrace.model.nodes import Settings
from headrace.store import Store, exists
from headrace.store.database import engine_of


def open_state(root: Path, settings: Settings, *, create: bool = False, lake_may_be_empty: bool = False) -> Store:
    """`Store.open`, with every reference to a secret resolved.

    Raises what that raises, SecretMissing, and StoreError for a state that isn't the lake's, and,
    unless `lake_may_be_empty`, for a lake that has none of the state's files."""
    lake = lake_folder(root, settings)
    resolve = Secrets(root).resolved
    store = Store.open(root, settings, create=create, resolve=resolve, empty=partial(refuse_lost, lake))
    try:
        with store.read() as tx:
            refuse_other(tx, lake, store.engine.where)
            if not lake_may_be_empty:
                refuse_empty(tx, lake, store.engine.where)
    except BaseException:
        store.close()
        raise
    return store


def state_exists(root: Path, settings: Settings) -> bool:
    """Whether a command that writes has made the state already.

    Raises what `open_state` does for an address that can't be used, and StoreError where the lake has files of a state that is lost."""
    if exists(root, settings, Secrets(root).resolved):
        return True
    check_identity(root, settings)
    return False


def check_identity(root: Path, settings: Settings) -> None:
    """StoreError where the state isn't that of the lake, whatever version it is of, or is lost beside a lake with files."""
    lake = lake_folder(root, settings)
    engine = engine_of(root, settings, Secrets(root).resolved)
    try:
        if not engine.made():
            refuse_lost(lake, engine.where)
            return
        with engine.read() as tx:
            refuse_other(tx, lake, engine.where)
            refuse_empty(tx, lake, engine.where)
    finally:
        engine.close()
