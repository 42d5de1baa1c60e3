"""Bringing a state up to date by name, as every command that writes does by itself."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from headrace.model.nodes import Settings
from headrace.store.address import Resolve
from headrace.store.database import engine_of
from headrace.store.engines.sqlite import SqliteEngine


class Upgraded(NamedTuple):
    """How many migrations had been applied before, and are now; `copy` is the SQLite file as it was, if anything was to be done."""

    before: int
    after: int
    copy: Path | None


def upgrade(root: Path, settings: Settings, resolve: Resolve | None = None) -> Upgraded | None:
    """Apply what is missing; None where there is no state. StoreError for one of a newer Headrace, which stays as it is."""
    engine = engine_of(root, settings, resolve)
    try:
        if not engine.exists() or not (before := len(engine.applied())):
            return None
        engine.create()
        after = len(engine.applied())
        copy = engine.copy_of(before) if isinstance(engine, SqliteEngine) and after > before else None
        return Upgraded(before, after, copy)
    finally:
        engine.close()
