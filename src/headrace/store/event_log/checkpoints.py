"""Checkpoints: a file that holds what all records up to one come to, so that those may go.

The file is written and synced first, then one transaction appends a record that names it by its SHA-256 and deletes the records that it
stands for. A crash before leaves a file that nothing names, a crash after it the older file: both go with the next checkpoint.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from headrace.faults import FaultPoint, reached
from headrace.store.database import Store
from headrace.store.event_log import replaying
from headrace.store.event_log.guards import BY_HASH, LEFT_OUT, UNRECORDED
from headrace.store.event_log.recording import append_event
from headrace.store.event_log.records import EventRecordKind, LogCheckpoint
from headrace.store.event_log.replaying import Log, Prepare, Replay
from headrace.store.event_log.statements import CATALOG, stand_in
from headrace.store.portable import as_sqlite, columns_by_table
from headrace.store.transaction import Transaction, insertion, quoted

FOLDER = "checkpoints"
"""In the data folder."""
Counted = tuple[tuple[int, str], dict[str, int]]
"""The audit trail's last entry and its hash, and how many entries there are of each action."""
Trail = Callable[[Transaction], Counted]


def begin(store: Store, epoch: int | None, folder: Path, prepare: Prepare, trail: Trail, why: str) -> LogCheckpoint:
    """Let the event log begin with what the tables hold now: for a state from before there was one, or one that was restored."""
    target = _new(folder)
    with store.read() as tx:
        log = replaying.read(tx)
        with closing(replaying.connected(target)) as connection:
            replaying.make_tables(connection, prepare)
            copy(tx, connection, lambda _: True)
        counted = trail(tx)
    return _written(store, epoch, folder, target, log, counted, why)


def write(store: Store, epoch: int | None, tx: Transaction, replay: Replay, log: Log, folder: Path, trail: Trail) -> LogCheckpoint:
    """Let a replay that was compared with the tables, in the same snapshot, stand for all records of the log. What DuckLake has changed
    by itself is read from the catalog as it is."""
    target = _new(folder)
    if not replay.catalog_known:
        copy(tx, replay.connection, lambda table: table.startswith(CATALOG))
    with closing(sqlite3.connect(target)) as copied:
        replay.connection.backup(copied)
    checkpoint = _written(store, epoch, folder, target, log, trail(tx), "")
    before = () if log.checkpoint is None else (log.checkpoint.file,)
    sweep(folder, checkpoint.file, *before)  # who reads an older snapshot copies the file before
    return checkpoint


def copy(tx: Transaction, target: sqlite3.Connection, wanted: Callable[[str], bool]) -> None:
    """Replace the rows of tables in a replay by those that the state has; large values by their hash."""
    there = replaying.columns(target)
    kept = {name: kinds for name, kinds in columns_by_table(tx).items() if name in there and wanted(name) and name not in UNRECORDED}
    target.execute("begin")
    for name, kinds in kept.items():
        target.execute(f"delete from {quoted(name)}")
        listed = ", ".join("''" if column in LEFT_OUT.get(name, ()) else as_sqlite(column, kind) for column, kind in kinds.items())
        rows = tx.stream(f"select {listed} from {quoted(name)}")
        hashed = [number for number, column in enumerate(kinds) if column in BY_HASH.get(name, ())]
        target.executemany(insertion(name, list(kinds)), (_short(row, hashed) for row in rows) if hashed else rows)
    target.execute("commit")


def _short(row: tuple[object, ...], hashed: list[int]) -> list[object]:
    values = list(row)
    for number in hashed:
        values[number] = stand_in(values[number])
    return values


def _new(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{os.getpid()}.tmp"
    path.unlink(missing_ok=True)
    return path


def _written(
    store: Store, epoch: int | None, folder: Path, path: Path, log: Log,
    counted: Counted, why: str,
) -> LogCheckpoint:  # fmt: skip
    last, actions = counted
    path.chmod(0o600)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    name = f"{log.last:012}-{digest.hexdigest()[:16]}.db"
    path.replace(folder / name)
    _sync(folder)
    reached(FaultPoint.EVENT_LOG_COPIED)
    checkpoint = LogCheckpoint(log.last, log.head, name, digest.digest(), last, actions, why)
    with store.write(epoch, durable=True) as tx:
        append_event(tx.execute, EventRecordKind.CHECKPOINT, epoch=epoch or 0, checkpoint=checkpoint)
        tx.execute("delete from event_log where seq <= ?", (checkpoint.seq,))
        reached(FaultPoint.EVENT_LOG_SHORTENING)
    reached(FaultPoint.EVENT_LOG_SHORTENED)
    return checkpoint


def sweep(folder: Path, *named: str) -> None:
    """Delete all files but these."""
    for other in folder.iterdir():
        if other.name not in named:
            other.unlink(missing_ok=True)


def beyond(folder: Path, last: int) -> str:
    """The name of a file that stands for more records than the log ever had; empty if there is
    none. One that stands for fewer was left by a process that was killed before it named it."""
    for path in sorted(folder.glob("*.db"), reverse=True):
        number = path.name.partition("-")[0]
        if number.isdecimal() and int(number) > last:
            return path.name
    return ""


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
