"""Once a day the leader looks after the lake: small files are merged, old snapshots expire, what nothing names is deleted.

DuckLake's own SQL does it, in a process of its own: its SQLite library and ours can't share one. Each of its steps is a
short transaction that waits for the leader's, and the leader's for it.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from headrace.lake import catalog
from headrace.lake.maintenance import PostgresqlCatalog
from headrace.lake.orphans import orphans, remove
from headrace.model import LakeError
from headrace.model.times import parse_duration
from headrace.run.folders import Folders
from headrace.store import SqliteAddress, Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import leading

EVERY = timedelta(days=1)
SNAPSHOTS_KEPT = "30d"
LONGEST_ATTEMPT = timedelta(days=1)
"""Files that nothing names are left alone for so long: an attempt may be writing them, a reader reading."""
STEP_SECONDS_MAX = 600.0


def due(tx: Transaction, now_us: int) -> bool:
    """Whether a day has passed since the lake was last looked after, or since it was made."""
    last = leading.upkeep_at(tx)
    if last is None:
        leading.upkeep_done(tx, now_us)
        return False
    return instant(now_us) - instant(last) >= EVERY


def keep_up(store: Store, epoch: int, folders: Folders, retention: dict[str, str], now_us: int) -> None:
    """Merge, expire and delete. Raises LakeError; what was done stays done, and the rest is due again."""
    kept = parse_duration(retention.get("snapshots", SNAPSHOTS_KEPT))
    now = instant(now_us)
    _step(store, folders.lake, "merge")
    _step(store, folders.lake, "expire", "--before", _iso(now - kept))
    age = ["--before", _iso(now - LONGEST_ATTEMPT), "--longest-attempt-s", str(LONGEST_ATTEMPT.total_seconds() - 1)]
    _step(store, folders.lake, "clean", *age)
    with store.read() as tx:
        named = catalog.named_paths(tx)
    longest_us = int(LONGEST_ATTEMPT.total_seconds() * 1_000_000)
    remove(folders.lake, orphans(folders.lake, named, (), before_us=now_us - longest_us))
    with store.write(epoch) as tx:
        leading.upkeep_done(tx, now_us)


def _catalog(store: Store) -> tuple[str, str]:
    """Where DuckLake finds the catalog: as an argument, and what goes to its standard input, because it holds a password."""
    if isinstance(store.address, SqliteAddress):
        return str(store.address.path), ""
    address = PostgresqlCatalog(store.address.parameters, store.address.lake_schema)
    return "-", msgspec.json.encode(address).decode()


def _iso(at: datetime) -> str:
    return at.isoformat()


def _step(store: Store, lake: Path, step: str, *options: str) -> None:
    where, said_in = _catalog(store)
    command = [sys.executable, "-m", "headrace.lake.maintenance", step, "--catalog", where, "--data-folder", str(lake), *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, input=said_in, timeout=STEP_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as error:
        raise LakeError(f"the lake's upkeep ({step}) took longer than {STEP_SECONDS_MAX:.0f} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise LakeError(f"the lake's upkeep ({step}) failed: {said[0]}")
