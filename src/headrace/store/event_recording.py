"""Records of the event log: parses changing statements, and appends a record per transaction."""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from headrace.store import migrations
from headrace.store.postgresql_dialect import parameter_names

# A record of the event log, its bytes and its hash.

FORMAT = 1
GENESIS = bytes(32)
"""Previous hash of the first record."""


class EventRecordKind(enum.IntEnum):
    """Kind of a record."""

    COMMIT = 0
    """The changes of a transaction."""
    MIGRATED = 1
    """Applied migrations; `changes` are rows of the table `migration`."""
    CHECKPOINT = 2
    """A file contains the result of all records up to `checkpoint.seq`, which may be deleted."""
    MAINTENANCE = 3
    """From here on DuckLake changes the catalog itself, without records.

    The catalog can be recomputed again from the next checkpoint on.
    """


class LogCheckpoint(msgspec.Struct, frozen=True, array_like=True):
    """A file with the tables after record `seq`, whose hash is `hash`."""

    seq: int
    hash: bytes
    file: str
    """File name in the folder of checkpoints."""
    sha256: bytes
    trail: tuple[int, str]
    """Number and hash of the audit trail's last entry at that point."""
    actions: dict[str, int]
    """Number of the audit trail's entries, by action."""
    why: str


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One record. `at` is real time in microseconds; `epoch` is 0 without a leader."""

    format: int
    kind: EventRecordKind
    at: int
    epoch: int
    trail: tuple[int, str] | None
    """Number and hash of the audit trail's last entry, if the transaction appended any."""
    statements: dict[int, str]
    """Texts of statements that are used for the first time, by number."""
    changes: list[Any]
    """[number of the statement, rows of values, ids from the database]."""
    checkpoint: LogCheckpoint | None = None


ENCODE = msgspec.msgpack.Encoder(enc_hook=str).encode
DECODE = msgspec.msgpack.Decoder(Record).decode


def chained(seq: int, before: bytes, content: bytes) -> bytes:
    """Return a record's hash: SHA-256 over its number, the previous hash, and its bytes."""
    return sha256(b"%d:" % seq + before + content).digest()


# Exceptions of tables and columns. All others are recorded in full, and `db check` recomputes their
# rows.

BY_HASH: Mapping[str, frozenset[str]] = {
    "content": frozenset({"bytes"}),
    "evidence": frozenset({"content"}),
    "fact": frozenset({"detail"}),
    "frozen_ledger": frozenset({"content"}),
    "journal": frozenset({"events"}),
    "judged": frozenset({"content"}),
    "metric": frozenset({"vector"}),
    "notice": frozenset({"body", "said"}),
    "overlay_attempt": frozenset({"outcome"}),
    "plan": frozenset({"content", "estimate"}),
    "profile": frozenset({"columns"}),
    "quarantine": frozenset({"sample"}),
    "request": frozenset({"document"}),
    "told_lineage": frozenset({"content"}),
    "version": frozenset({"compiled"}),
    "withheld": frozenset({"outcome"}),
}
"""Columns that are recorded as SHA-256 because their values are large, by table.

The log contains nothing from which the values could be computed.
"""

LEFT_OUT: Mapping[str, frozenset[str]] = {
    "audit": frozenset({"event", "prev_hash"}),
    "migration": frozenset({"applied_at"}),
}
"""Columns that aren't compared, by table.

The audit trail's hash, which the log contains, covers its columns. A state that was moved to
another database has other times of migration.
"""

UNRECORDED: Mapping[str, str] = {
    "lease": "a leader renews it every three seconds",
    "checkpoint": (
        "what the core starts from; it is compared with the table `partition`, and the next leader"
        " writes it again"
    ),
    "event_log": (
        "it is what the others are compared with; its own hashes are computed again, which"
        " whoever may write the database can do, too"
    ),
}
"""Tables whose rows aren't recorded, with the reason."""

OWN = frozenset({"event_log", "event_statement"})
"""Tables that the log itself writes.

The texts of statements are compared too, because each record contains the new ones.
"""


# Parsing of statements, once per text: whether a statement is recorded, and the values that are
# recorded as hashes.

_TRAIL = ["seq", "at", "event", "prev_hash", "hash"]
KNOWN_MAX = 4_096
"""Cache size in statements, some of which are composed at run time."""
HASHED = b"\0sha256:"
"""Prefix of a recorded hash; the value's SHA-256 follows."""
HASHED_BYTES_MIN = 64
"""Shorter values are recorded in full, because their hash would be no smaller."""

_CHANGE = re.compile(r"\s*(?:insert\s+into|update|delete\s+from)\s+\"?(\w+)\"?", re.IGNORECASE)
_SAVEPOINT = re.compile(r"\s*(?:savepoint|release|rollback\s+to)\b", re.IGNORECASE)
_INSERT = re.compile(
    r"\s*insert\s+into\s+\"?\w+\"?\s*\(([^)]*)\)\s*(?:values\s*\(([^()]*)\))?", re.IGNORECASE
)
_READ = re.compile(r"\b(?:from|join)\s+\"?(\w+)\"?", re.IGNORECASE)
CATALOG = "ducklake_"
"""Prefix of the catalog's tables."""
_ID = re.compile(r"create table (\w+) \(\s*(?:--[^\n]*\s*)*(\w+) integer primary key\b(?! check)")


class WriteStatement(NamedTuple):
    """A parsed statement that changes a table, or a savepoint."""

    table: str
    """The changed table; empty for a savepoint."""
    values: Callable[[Any], Sequence[Any]] | None
    """Returns the values of named parameters as a sequence; None for positional parameters."""
    hashed: tuple[int, ...]
    """Positions of values that are recorded as hashes."""
    chained: bool
    """True for inserts into the audit trail, of which only number, time and hash are recorded."""
    numbered: str
    """The id column that the database fills; empty if the statement contains the id."""


_STATEMENTS: dict[str, WriteStatement | None] = {}


def statement(sql: str) -> WriteStatement | None:
    """Parse a statement; None if it isn't recorded: a query, or a change of an unrecorded table."""
    try:
        return _STATEMENTS[sql]
    except KeyError:
        if len(_STATEMENTS) >= KNOWN_MAX:
            _STATEMENTS.clear()
        write_statement = _STATEMENTS[sql] = _read(sql)
        return write_statement


def recorded(write_statement: WriteStatement, parameters: Any) -> Sequence[Any]:
    """Return the recorded values of one execution."""
    if write_statement.chained:
        seq, at, _, _, digest = parameters
        return seq, at, "", "", digest
    values = parameters if write_statement.values is None else write_statement.values(parameters)
    if write_statement.hashed:
        values = list(values)
        for position in write_statement.hashed:
            values[position] = stand_in(values[position])
    return values


@lru_cache(maxsize=4_096)
def refuse_reading(sql: str, table: str) -> None:
    """Raise AssertionError if a recorded statement reads rows that a replay doesn't have.

    It applies only to new records: those of earlier versions are replayed anyway.
    """
    for read in _READ.findall(sql):
        foreign = read.lower().startswith(CATALOG) and not table.startswith(CATALOG)
        assert not foreign, f"what changes {table} must not read {read}: DuckLake changes it, too"
        recorded_too = read.lower() not in UNRECORDED
        assert recorded_too, f"what changes {table} reads {read}, which isn't recorded"


def stand_in(value: Any) -> Any:
    """Return the hash of long text or bytes; other values unchanged."""
    if isinstance(value, str):
        long = len(value) >= HASHED_BYTES_MIN
        value_bytes = value.encode("utf-8", "surrogateescape") if long else b""
    else:
        value_bytes = bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""
    return value if len(value_bytes) < HASHED_BYTES_MIN else HASHED + sha256(value_bytes).digest()


def _read(sql: str) -> WriteStatement | None:
    if _SAVEPOINT.match(sql):
        return WriteStatement("", None, (), chained=False, numbered="")
    change = _CHANGE.match(sql)
    if change is None or change[1].lower() in {*OWN, *UNRECORDED}:
        return None
    table, named = change[1].lower(), parameter_names(sql)
    values: Callable[[Any], Sequence[Any]] | None = None
    if len(named) == 1:
        (only,) = named
        # an itemgetter of one name gives no tuple
        values = lambda parameters: (parameters[only],)  # noqa: E731
    elif named:
        values = itemgetter(*named)
    insert = _INSERT.match(sql)
    if insert is None:
        return WriteStatement(table, values, (), chained=False, numbered="")
    columns = [column.strip().strip('"').lower() for column in insert[1].split(",")]
    id_column = numbered_tables().get(table, "")
    hashed = _hashed(table, columns, insert[2] or "", named)
    chained = table == "audit" and columns == _TRAIL and not named
    return WriteStatement(table, values, hashed, chained, "" if id_column in columns else id_column)


def _hashed(table: str, columns: list[str], values: str, named: tuple[str, ...]) -> tuple[int, ...]:
    """Return the positions of an insert's values that are recorded as hashes."""
    hashed_columns = BY_HASH.get(table)
    if not hashed_columns or not values:
        return ()
    results, position = [], 0
    for column, value in zip(columns, (item.strip() for item in values.split(",")), strict=True):
        if column in hashed_columns and value == "?":
            results.append(position)
        elif column in hashed_columns and value.startswith(":"):
            results.append(named.index(value[1:]))
        position += value == "?"
    return tuple(results)


@cache
def numbered_tables() -> dict[str, str]:
    """Return the id column that the database fills, by table."""
    return {
        table: column
        for migration in migrations.known()
        for table, column in _ID.findall(migration.text)
    }


# A transaction collects its changing statements, and writes one record before it commits.

LAST = "select seq, hash from event_log order by seq desc limit 1"
INSERT = "insert into event_log (seq, content, hash) values (?, ?, ?)"
INSERT_TEXT = "insert into event_statement (id, sql) values (?, ?)"
TEXTS = "select id, sql from event_statement"

Execute = Callable[[str, Sequence[Any]], Any]


class Texts:
    """One process's cache of statement numbers; it stays valid, as numbers are never reused."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        """Numbers assigned in the current transaction."""

    def committed(self) -> None:
        """Keep the pending numbers after a commit."""
        self.known.update(self.pending)
        self.pending.clear()

    def refresh(self, execute: Execute) -> None:
        """Read the numbers that other processes have assigned."""
        self.known = {sql: number for number, sql in execute(TEXTS, ()).fetchall()}


class Recorder:
    """Collects the changes of one transaction, in order."""

    __slots__ = ("_changes", "_epoch", "_texts", "_trail")

    def __init__(self, texts: Texts, epoch: int | None) -> None:
        self._texts = texts
        self._epoch = epoch or 0
        self._changes: list[tuple[str, list[Sequence[Any]], list[int | None]]] = []
        self._trail: tuple[int, str] | None = None
        texts.pending.clear()

    def note(
        self, sql: str, write_statement: WriteStatement, rows: Sequence[Any]
    ) -> list[int | None]:
        """Record a statement that was executed once per row, and return a list for ids.

        The caller adds the ids that the database assigned, one per row; None for a row that wasn't
        inserted.
        """
        refuse_reading(sql, write_statement.table)
        plain = (
            write_statement.values is None
            and not write_statement.hashed
            and not write_statement.chained
        )
        values = list(rows) if plain else [recorded(write_statement, row) for row in rows]
        if write_statement.chained:
            self._trail = (rows[-1][0], rows[-1][4])
        ids: list[int | None] = []
        self._changes.append((sql, values, ids))
        return ids

    def __bool__(self) -> bool:
        return bool(self._changes)

    @property
    def asks(self) -> bool:
        """Whether `write` must first read statement numbers."""
        known = self._texts.known
        return any(sql not in known for sql, _, _ in self._changes)

    def write(self, execute: Execute, last: tuple[int, bytes] | None = None) -> None:
        """Append the record. `last` is the number and hash of the newest record, if known."""
        texts = self._texts
        new: dict[int, str] = {}
        if self.asks:
            new = self._number(execute)
        known = texts.known if not new else texts.known | texts.pending
        changes = [
            (known[sql], values, ids) if ids else (known[sql], values)
            for sql, values, ids in self._changes
        ]
        content = ENCODE(
            (FORMAT, 0, time.time_ns() // 1000, self._epoch, self._trail, new, changes)
        )
        append(execute, content, last)

    def _number(self, execute: Execute) -> dict[int, str]:
        texts = self._texts
        texts.refresh(execute)
        new: dict[int, str] = {}
        number = max(texts.known.values(), default=0)
        for sql, _, _ in self._changes:
            if sql not in texts.known and sql not in texts.pending:
                number += 1
                execute(INSERT_TEXT, (number, sql))
                texts.pending[sql] = number
                new[number] = sql
        return new


def append(execute: Execute, content: bytes, last: tuple[int, bytes] | None = None) -> int:
    """Append a record's bytes to the chain and return its number."""
    seq, before = last or execute(LAST, ()).fetchone() or (0, GENESIS)
    execute(INSERT, (seq + 1, content, chained(seq + 1, bytes(before), content)))
    return int(seq) + 1


def append_event(
    execute: Execute,
    kind: EventRecordKind,
    *,
    epoch: int = 0,
    changes: Sequence[Any] = (),
    checkpoint: LogCheckpoint | None = None,
) -> int:
    """Append a record other than a transaction's, and return its number."""
    record = Record(
        FORMAT, kind, time.time_ns() // 1000, epoch, None, {}, list(changes), checkpoint
    )
    return append(execute, ENCODE(record))
