"""Recomputes the tables from the event log, and replaces its old records by checkpoint files."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.store import migrations
from headrace.store.database import Store
from headrace.store.engines.sqlite import SqliteTransaction
from headrace.store.event_recording import (
    BY_HASH,
    CATALOG,
    DECODE,
    GENESIS,
    LEFT_OUT,
    TEXTS,
    UNRECORDED,
    EventRecordKind,
    LogCheckpoint,
    Record,
    append_event,
    chained,
    stand_in,
    statement,
)
from headrace.store.portable import as_sqlite, columns_by_table
from headrace.store.postgresql_dialect import parameter_names
from headrace.store.transaction import Transaction, insertion, quoted

# The tables are recomputed in a separate SQLite database, whatever database contains the state.
#
# A record contains statements and their values, so the result of an old record doesn't depend on
# today's code. Values assigned by the database (ids from a sequence) are in the record. Savepoints
# are recorded too, so their rollbacks are repeated.

Prepare = Callable[[Transaction], None]


DAMAGED = (
    sqlite3.Error,
    ValueError,
    TypeError,
    OverflowError,
    LookupError,
    AttributeError,
    AssertionError,
)
"""Exceptions of applying a record that Headrace hasn't written like this."""


class Misfit(NamedTuple):
    """An unexpected value in a record, or in the checkpoint file of older records."""

    seq: int
    field: str
    stored: str
    expected: str


class Log(NamedTuple):
    """Summary of the event log: newest checkpoint, last record, and errors in its chain."""

    records: int
    last: int
    head: bytes
    checkpoint: LogCheckpoint | None
    first: Record | None
    """The record with number 1, if it still exists."""
    misfits: tuple[Misfit, ...]
    trail: tuple[int, str] | None = None
    """Number and hash of the audit trail's last entry, as known to the records and checkpoint."""

    @property
    def begins(self) -> bool:
        """Whether the tables can be recomputed from the log."""
        return self.checkpoint is not None or _makes_tables(self.first)

    @property
    def waits(self) -> bool:
        """Whether the log was added to an older state, and the next leader must start it."""
        upgraded = self.first is not None and self.first.kind is EventRecordKind.MIGRATED
        return not self.begins and upgraded


def has_begun(tx: Transaction) -> bool:
    """Return False for an upgraded older state whose log no leader has started yet."""
    row = tx.execute("select seq, content from event_log order by seq limit 1").fetchone()
    first = None if row is None else _decoded(bytes(row[1]))
    upgraded = first is not None and row[0] == 1 and first.kind is EventRecordKind.MIGRATED
    return not upgraded or _makes_tables(first)


def last(tx: Transaction) -> int:
    """Return the number of the newest record; 0 without records."""
    row = tx.execute("select max(seq) from event_log").fetchone()
    return int(row[0] or 0)


def _makes_tables(first: Record | None) -> bool:
    """Return whether a record created the tables, by migrations from the first one on."""
    if first is None or first.kind is not EventRecordKind.MIGRATED or not first.changes:
        return False
    row = first.changes[0]
    return isinstance(row, list) and row[:1] == [1]


def read(tx: Transaction) -> Log:  # complexipy: ignore (a fold over the chain of records)
    """Read all records, recompute their hash chain, and return a summary with its errors."""
    checkpoint: LogCheckpoint | None = None
    first, last, head, count = 0, 0, GENESIS, 0
    oldest: Record | None = None
    misfits: list[Misfit] = []
    trail: tuple[int, str] | None = None
    for seq, content, digest in _rows(tx):
        if not count:
            first, last, head = seq, seq - 1, GENESIS
        if seq != last + 1:
            misfits.append(Misfit(seq, "seq", str(seq), str(last + 1)))
        elif (count or seq == 1) and (expected := chained(seq, head, content)) != digest:
            misfits.append(Misfit(seq, "hash", digest.hex(), expected.hex()))
        record = _decoded(content)
        if not count:
            oldest = record
        if record is not None and record.checkpoint is not None:
            checkpoint = record.checkpoint
            trail = trail or checkpoint.trail
        if record is not None and record.trail is not None:
            trail = record.trail
        last, head, count = seq, digest, count + 1
    if checkpoint is not None:
        misfits += _after(tx, checkpoint, first)
    log = Log(count, last, head, checkpoint, oldest if first == 1 else None, tuple(misfits), trail)
    if not log.begins and not log.waits:
        lost = Misfit(first, "seq", str(first) if count else "no record", "its first record")
        return log._replace(misfits=(lost, *misfits))
    return log


def _after(tx: Transaction, checkpoint: LogCheckpoint, first: int) -> Iterator[Misfit]:
    """Yield an error if the first remaining record doesn't continue the checkpoint."""
    if first > checkpoint.seq + 1:
        yield Misfit(first, "seq", str(first), str(checkpoint.seq + 1))
    elif first == checkpoint.seq + 1:
        content, digest = tx.execute(
            "select content, hash from event_log where seq = ?", (first,)
        ).fetchone()
        expected = chained(first, checkpoint.hash, bytes(content))
        if expected != bytes(digest):
            yield Misfit(first, "hash", bytes(digest).hex(), expected.hex())


class Replay:
    """The tables recomputed from the log. Create it with `replay`, and close it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self.path = path
        self.seq = 0
        self.catalog_known = True
        """False once DuckLake has changed the catalog itself, without records."""
        self.misfits: list[Misfit] = []
        self.complete = True
        """False if the checkpoint file is damaged: then all recomputed tables would be wrong."""
        self.trail: tuple[int, str] | None = None
        """Number and hash of the audit trail's last entry."""
        self._texts: dict[int, str] = {}

    def close(self) -> None:
        """Close the database; keep its file."""
        self.connection.close()

    def apply(self, seq: int, content: bytes) -> None:
        """Apply one record."""
        record = _decoded(content)
        self.seq = seq
        if record is None:
            self.misfits.append(Misfit(seq, "content", "bytes that can't be read", "a record"))
            return
        self.trail = record.trail or self.trail
        match record.kind:
            case EventRecordKind.MIGRATED:
                try:
                    self._migrate(record)
                except DAMAGED as error:
                    self.misfits.append(Misfit(seq, "content", str(error), "migrations"))
            case EventRecordKind.MAINTENANCE:
                self.catalog_known = False
            case EventRecordKind.COMMIT:
                self._commit(seq, record)

    def _migrate(self, record: Record) -> None:
        known = {migration.number: migration for migration in migrations.known()}
        self.connection.execute(migrations.RECORD)
        for row in record.changes:
            if row[0] in known:
                for text in migrations.statements(known[row[0]].text):
                    self.connection.execute(text)
            self.connection.execute("insert into migration values (?, ?, ?, ?)", row)
        drop_triggers(self.connection)

    def _commit(self, seq: int, record: Record) -> None:
        self._texts.update(record.statements)
        for number, text in record.statements.items():
            self.connection.execute(
                "insert or replace into event_statement values (?, ?)", (number, text)
            )
        self.connection.execute("begin")
        for change in record.changes:
            sql = ""
            try:
                number, rows, *ids = change
                sql = self._texts.get(number, "")
                self._execute(sql, rows, ids[0] if ids else [])
            except DAMAGED as error:
                description = f"{sql.split('(')[0][:80]}: {error}"
                self.misfits.append(
                    Misfit(seq, "content", description, "a change that can be made")
                )
        if self.connection.in_transaction:
            self.connection.execute("commit")

    def _execute(self, sql: str, rows: list[list[object]], ids: list[int | None]) -> None:
        change = statement(sql)
        if change is None:  # anyone may have written the record, so no other statement is executed
            raise ValueError("no statement that changes a table of the state")
        if change.table.startswith(CATALOG) and not self.catalog_known:
            return
        parameters = _parameters(sql, rows)
        if not ids:
            self.connection.executemany(sql, parameters) if len(
                parameters
            ) > 1 else self.connection.execute(sql, parameters[0])
            return
        for row, number in zip(parameters, ids, strict=False):
            cursor = self.connection.execute(sql, row)
            if number is not None and cursor.lastrowid != number:
                moved = f'update "{change.table}" set "{change.numbered}" = ? where rowid = ?'
                self.connection.execute(moved, (number, cursor.lastrowid))


def replay(tx: Transaction, log: Log, folder: Path, target: Path, prepare: Prepare) -> Replay:
    """Recompute the tables in the new file `target`.

    `folder` contains the checkpoints. `prepare` creates the catalog's tables.
    """
    result = _begun(log, folder, target, prepare)
    if result.complete:
        for seq, content, _ in _rows(tx, log.checkpoint.seq if log.checkpoint is not None else 0):
            result.apply(seq, content)
    return result


def _begun(log: Log, folder: Path, target: Path, prepare: Prepare) -> Replay:
    checkpoint = log.checkpoint
    if checkpoint is not None and (wrong := checkpoint_misfit(checkpoint, folder)) is None:
        shutil.copyfile(folder / checkpoint.file, target)
        target.chmod(0o600)
        connection = connected(target)
        replay = Replay(connection, target)
        replay._texts = dict(connection.execute(TEXTS).fetchall())
        return replay
    connection = connected(target)
    replay = Replay(connection, target)
    if checkpoint is not None and wrong is not None:
        replay.misfits.append(wrong)
        replay.complete = False
    prepare(SqliteTransaction(connection))
    return replay


def checkpoint_misfit(checkpoint: LogCheckpoint, folder: Path) -> Misfit | None:
    """Return the error of a checkpoint's file; None if it is the file that the log names."""
    path = folder / checkpoint.file
    if path.name != checkpoint.file:
        return Misfit(
            checkpoint.seq, "checkpoint", checkpoint.file, f"the name of a file in {folder}"
        )
    try:
        with path.open("rb") as file:
            digest = sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        return Misfit(
            checkpoint.seq,
            "checkpoint",
            f"{path} can't be read ({error.strerror})",
            checkpoint.sha256.hex(),
        )
    if digest.digest() != checkpoint.sha256:
        return Misfit(checkpoint.seq, "checkpoint", digest.hexdigest(), checkpoint.sha256.hex())
    return None


def connected(path: Path) -> sqlite3.Connection:
    """Open a temporary database without syncing, because it isn't needed after a crash."""
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in (
        "journal_mode = memory",
        "synchronous = off",
        "foreign_keys = off",
        "ignore_check_constraints = on",
    ):
        connection.execute(f"pragma {setting}")
    path.chmod(0o600)
    return connection


def make_tables(connection: sqlite3.Connection, prepare: Prepare) -> None:
    """Create the empty tables of this version of Headrace."""
    connection.execute(migrations.RECORD)
    for migration in migrations.known():
        for text in migrations.statements(migration.text):
            connection.execute(text)
    drop_triggers(connection)
    prepare(SqliteTransaction(connection))


def columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Return column names by table."""
    results: dict[str, list[str]] = {}
    rows = connection.execute(
        "select t.name, c.name from sqlite_master t join pragma_table_info(t.name) c"
        " where t.type = 'table' and t.name not like 'sqlite_%' order by t.name, c.cid"
    ).fetchall()
    for table, column in rows:
        results.setdefault(table, []).append(column)
    return results


def drop_triggers(connection: sqlite3.Connection) -> None:
    """Drop all triggers, because a checkpoint is filled in any order, and the log guards it."""
    for (name,) in connection.execute(
        "select name from sqlite_master where type = 'trigger'"
    ).fetchall():
        connection.execute(f'drop trigger "{name}"')


def _rows(tx: Transaction, after: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
    rows = tx.stream(
        f"select seq, content, hash from event_log where seq > {int(after)} order by seq"
    )
    return ((seq, bytes(content), bytes(digest)) for seq, content, digest in rows)


def _decoded(content: bytes) -> Record | None:
    try:
        return DECODE(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


# A checkpoint is a file with the result of all records up to a number, so that those records can be
# deleted.
#
# The file is written and synced first. Then one transaction appends a record with the file's
# SHA-256 and deletes the records that it replaces. A crash before that transaction leaves a file
# without record, a crash after it leaves the older file: the next checkpoint removes both.

Counted = tuple[tuple[int, str], dict[str, int]]
"""Number and hash of the audit trail's last entry, and the number of entries by action."""
Trail = Callable[[Transaction], Counted]


def begin(
    store: Store, epoch: int | None, folder: Path, prepare: Prepare, trail: Trail, why: str
) -> LogCheckpoint:
    """Start the event log with a checkpoint of the current tables.

    Used for a state that is older than the event log, or that was restored.
    """
    target = _new(folder)
    with store.read() as tx:
        log = read(tx)
        with closing(connected(target)) as connection:
            make_tables(connection, prepare)
            copy(tx, connection, lambda _: True)
        counted = trail(tx)
    return _written(store, epoch, folder, target, log, counted, why)


def write(
    store: Store,
    epoch: int | None,
    tx: Transaction,
    replay: Replay,
    log: Log,
    folder: Path,
    trail: Trail,
) -> LogCheckpoint:
    """Replace all records of the log by a checkpoint of a replay.

    The replay must have been compared with the tables in the same snapshot. If DuckLake has changed
    the catalog itself, the catalog is copied from the tables.
    """
    target = _new(folder)
    if not replay.catalog_known:
        copy(tx, replay.connection, lambda table: table.startswith(CATALOG))
    with closing(sqlite3.connect(target)) as copied:
        replay.connection.backup(copied)
    checkpoint = _written(store, epoch, folder, target, log, trail(tx), "")
    before = () if log.checkpoint is None else (log.checkpoint.file,)
    sweep(folder, checkpoint.file, *before)  # readers of an older snapshot need it
    return checkpoint


def copy(tx: Transaction, target: sqlite3.Connection, includes: Callable[[str], bool]) -> None:
    """Replace a replay's rows of `includes` tables by the state's, with hashes of large values."""
    there = columns(target)
    copied_tables = {
        name: kinds
        for name, kinds in columns_by_table(tx).items()
        if name in there and includes(name) and name not in UNRECORDED
    }
    target.execute("begin")
    for name, kinds in copied_tables.items():
        target.execute(f"delete from {quoted(name)}")
        target.executemany(insertion(name, list(kinds)), _rows_to_compare(tx, name, kinds))
    target.execute("commit")


def _rows_to_compare(
    tx: Transaction, name: str, kinds: Mapping[str, str]
) -> Iterable[Sequence[Any]]:
    left_out = LEFT_OUT.get(name, ())
    listed = ", ".join(
        "''" if column in left_out else as_sqlite(column, kind) for column, kind in kinds.items()
    )
    rows = tx.stream(f"select {listed} from {quoted(name)}")
    hashed = [number for number, column in enumerate(kinds) if column in BY_HASH.get(name, ())]
    return (_short(row, hashed) for row in rows) if hashed else rows


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
    store: Store,
    epoch: int | None,
    folder: Path,
    path: Path,
    log: Log,
    counted: Counted,
    why: str,
) -> LogCheckpoint:
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
        append_event(
            tx.execute, EventRecordKind.CHECKPOINT, epoch=epoch or 0, checkpoint=checkpoint
        )
        tx.execute("delete from event_log where seq <= ?", (checkpoint.seq,))
        reached(FaultPoint.EVENT_LOG_SHORTENING)
    reached(FaultPoint.EVENT_LOG_SHORTENED)
    return checkpoint


def sweep(folder: Path, *named: str) -> None:
    """Delete all files in a folder except the named ones."""
    for other in folder.iterdir():
        if other.name not in named:
            other.unlink(missing_ok=True)


def beyond(folder: Path, last: int) -> str:
    """Return the name of a checkpoint file for more records than the log ever had.

    Returns an empty text if there is none. A file for fewer records was left by a process that was
    killed before it recorded the file.
    """
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


def _parameters(sql: str, rows: list[list[object]]) -> list[Any]:
    names = parameter_names(sql)
    return [dict(zip(names, row, strict=True)) for row in rows] if names else rows
