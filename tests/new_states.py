"""New states in SQLite are copies of one that has been migrated already.

The migrations of all versions take 100 ms, and thousands of tests begin with a new state. Tests of
the migrations themselves use other ones, or begin with a file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.store import migrations
from headrace.store.engines import sqlite
from headrace.store.engines.sqlite import SqliteEngine

_create = SqliteEngine.create
_migrated: dict[tuple[str, ...], bytes] = {}
"""Checksums of the known migrations → the bytes of a state that has them."""


def copy_migrated(patch: pytest.MonkeyPatch) -> None:
    """Let this process, and those that are forked from it, begin states with a copy."""
    _bytes()
    patch.setattr(SqliteEngine, "create", _copied)


def _copied(engine: SqliteEngine) -> None:
    if not engine.path.exists():
        with contextlib.suppress(OSError):  # what is wrong with the folder, `create` says
            _link(engine.path)
    _create(engine)


def _link(path: Path) -> None:
    """Put a copy there, whole, unless another process has made a state meanwhile."""
    sqlite.private_folder(path.parent)
    with tempfile.NamedTemporaryFile(dir=path.parent) as copy:
        copy.write(_bytes())
        copy.flush()
        os.link(copy.name, path)


def _bytes() -> bytes:
    known = tuple(migration.checksum for migration in migrations.known())
    if known not in _migrated:
        with tempfile.TemporaryDirectory() as folder:
            engine = SqliteEngine(Path(folder) / "state.db")
            _create(engine)
            engine.close()
            _migrated[known] = engine.path.read_bytes()
    return _migrated[known]


@pytest.fixture(scope="session", autouse=True)
def new_states() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        copy_migrated(patch)
        yield
