"""The event log's records: what a statement changes, and the record that its transaction appends."""

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
from headrace.store.engines.postgresql_dialect import parameter_names

# A record of the event log, its bytes and its hash.

FORMAT = 1
GENESIS = bytes(32)
"""What the first record names as the hash before it."""


class EventRecordKind(enum.IntEnum):
    """What a record tells of."""

    COMMIT = 0
    """A transaction: its changes."""
    MIGRATED = 1
    """The tables were made, or changed by a newer Headrace: `changes` are rows of the table `migration`."""
    CHECKPOINT = 2
    """A file holds what all records up to `checkpoint.seq` come to; they may be gone."""
    MAINTENANCE = 3
    """DuckLake changes the catalog by itself from here on: it can be computed again from the next checkpoint only."""


class LogCheckpoint(msgspec.Struct, frozen=True, array_like=True):
    """A file with the tables as they were after record `seq`, whose hash is `hash`."""

    seq: int
    hash: bytes
    file: str
    """Its name in the folder of checkpoints."""
    sha256: bytes
    trail: tuple[int, str]
    """The audit trail's last entry then, and its hash."""
    actions: dict[str, int]
    """How many entries the trail had of each action."""
    why: str


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One transaction. `at` is real time in microseconds, `epoch` the leader's, 0 for what needs none."""

    format: int
    kind: EventRecordKind
    at: int
    epoch: int
    trail: tuple[int, str] | None
    """The audit trail's last entry and its hash, where this transaction appended any."""
    statements: dict[int, str]
    """Texts that are named here for the first time."""
    changes: list[Any]
    """[number of the statement, rows of values, ids that the database gave]."""
    checkpoint: LogCheckpoint | None = None


ENCODE = msgspec.msgpack.Encoder(enc_hook=str).encode
DECODE = msgspec.msgpack.Decoder(Record).decode


def chained(seq: int, before: bytes, content: bytes) -> bytes:
    """The hash of a record: SHA-256 over its number, the hash before it, and its bytes."""
    return sha256(b"%d:" % seq + before + content).digest()


# How each table is guarded. A table in neither of these sets is recorded in full, and `db check`
# computes its rows again.

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
"""Table → columns of which the log keeps a SHA-256 instead of the value: large, and computed from nothing that the log has."""

LEFT_OUT: Mapping[str, frozenset[str]] = {
    "audit": frozenset({"event", "prev_hash"}),
    "migration": frozenset({"applied_at"}),
}
"""Table → columns that aren't compared: of the trail its own hash, which the log has, is computed from them; a state that was moved to
another database was made there at another time."""

UNRECORDED: Mapping[str, str] = {
    "lease": "a leader renews it every three seconds",
    "checkpoint": "what the core starts from; it is compared with the table `partition`, and the next leader makes it anew",
    "event_log": "it is what the others are compared with; its own hashes are computed again, which"
    " whoever may write the database can do, too",
}
"""Table → why its rows aren't in the log."""

OWN = frozenset({"event_log", "event_statement"})
"""Tables that the log itself writes. The texts of statements are compared: each record brings those that are new."""


# What a statement changes, parsed once from its text: whether it is recorded, and which of its
# values are recorded as their hash.

_TRAIL = ["seq", "at", "event", "prev_hash", "hash"]
KNOWN_MAX = 4_096
"""Statements that are remembered; some are composed."""
HASHED = b"\0sha256:"
"""How what stands in for a value begins; its SHA-256 follows."""
HASHED_BYTES_MIN = 64
"""Shorter values are kept: their hash would be no smaller."""

_CHANGE = re.compile(r"\s*(?:insert\s+into|update|delete\s+from)\s+\"?(\w+)\"?", re.IGNORECASE)
_SAVEPOINT = re.compile(r"\s*(?:savepoint|release|rollback\s+to)\b", re.IGNORECASE)
_INSERT = re.compile(r"\s*insert\s+into\s+\"?\w+\"?\s*\(([^)]*)\)\s*(?:values\s*\(([^()]*)\))?", re.IGNORECASE)
_READ = re.compile(r"\b(?:from|join)\s+\"?(\w+)\"?", re.IGNORECASE)
CATALOG = "ducklake_"
"""How the names of the catalog's tables begin."""
_ID = re.compile(r"create table (\w+) \(\s*(?:--[^\n]*\s*)*(\w+) integer primary key\b(?! check)")

Parameters = Mapping[str, Any] | Sequence[Any]


class WriteStatement(NamedTuple):
    """A statement that changes something."""

    table: str
    """What it changes; empty for a savepoint."""
    values: Callable[[Any], Sequence[Any]] | None
    """Its named parameters in the order of `names`; None where they are given by position."""
    hashed: tuple[int, ...]
    """Positions of the values that are recorded as their hash."""
    chained: bool
    """Entries of the audit trail, whose own hash stands for what they say."""
    numbered: str
    """The column whose value the database chooses; empty where the statement says it."""


_STATEMENTS: dict[str, WriteStatement | None] = {}


def statement(sql: str) -> WriteStatement | None:
    """What a text changes; None for one that isn't recorded: it reads, or changes what the log doesn't hold."""
    try:
        return _STATEMENTS[sql]
    except KeyError:
        if len(_STATEMENTS) >= KNOWN_MAX:
            _STATEMENTS.clear()
        write_statement = _STATEMENTS[sql] = _read(sql)
        return write_statement


def recorded(given: WriteStatement, parameters: Any) -> Sequence[Any]:
    """The values of one execution as they are recorded."""
    if given.chained:
        seq, at, _, _, digest = parameters
        return seq, at, "", "", digest
    values = parameters if given.values is None else given.values(parameters)
    if given.hashed:
        values = list(values)
        for position in given.hashed:
            values[position] = stand_in(values[position])
    return values


@lru_cache(maxsize=4_096)
def refuse_reading(sql: str, table: str) -> None:
    """AssertionError for a statement that is to be recorded and whose result depends on rows that a
    replay doesn't have. What an earlier version recorded is replayed all the same."""
    for read in _READ.findall(sql):
        foreign = read.lower().startswith(CATALOG) and not table.startswith(CATALOG)
        assert not foreign, f"what changes {table} must not read {read}: DuckLake changes it, too"
        recorded_too = read.lower() not in UNRECORDED
        assert recorded_too, f"what changes {table} reads {read}, which isn't recorded"


def stand_in(value: Any) -> Any:
    """A long text or bytes as its hash; everything else as it is."""
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
        values = lambda given: (given[only],)  # noqa: E731 - an itemgetter of one name gives no tuple
    elif named:
        values = itemgetter(*named)
    insert = _INSERT.match(sql)
    if insert is None:
        return WriteStatement(table, values, (), chained=False, numbered="")
    columns = [column.strip().strip('"').lower() for column in insert[1].split(",")]
    own = numbered_tables().get(table, "")
    hashed = _hashed(table, columns, insert[2] or "", named)
    chained = table == "audit" and columns == _TRAIL and not named
    return WriteStatement(table, values, hashed, chained, "" if own in columns else own)


def _hashed(table: str, columns: list[str], values: str, named: tuple[str, ...]) -> tuple[int, ...]:
    """Positions among the values of an `insert … values` that belong to columns which are guarded by their hash."""
    wanted = BY_HASH.get(table)
    if not wanted or not values:
        return ()
    results, position = [], 0
    for column, value in zip(columns, (item.strip() for item in values.split(",")), strict=True):
        if column in wanted and value == "?":
            results.append(position)
        elif column in wanted and value.startswith(":"):
            results.append(named.index(value[1:]))
        position += value == "?"
    return tuple(results)


@cache
def numbered_tables() -> dict[str, str]:
    """Table → its column that the database numbers."""
    return {table: column for migration in migrations.known() for table, column in _ID.findall(migration.text)}


# A transaction notes the statements that it executes, and writes one record before it commits.

LAST = "select seq, hash from event_log order by seq desc limit 1"
INSERT = "insert into event_log (seq, content, hash) values (?, ?, ?)"
INSERT_TEXT = "insert into event_statement (id, sql) values (?, ?)"
TEXTS = "select id, sql from event_statement"

Execute = Callable[[str, Sequence[Any]], Any]


class Texts:
    """The numbers of statements, as one process knows them. Numbers are never given again, so that what is known stays true."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        """Numbered in the transaction that is under way."""

    def committed(self) -> None:
        """What was numbered is there for good."""
        self.known.update(self.pending)
        self.pending.clear()

    def refresh(self, execute: Execute) -> None:
        """Read what other processes have numbered."""
        self.known = {sql: number for number, sql in execute(TEXTS, ()).fetchall()}


class Recorder:
    """What one transaction changes, in the order of its statements."""

    __slots__ = ("_changes", "_epoch", "_texts", "_trail")

    def __init__(self, texts: Texts, epoch: int | None) -> None:
        self._texts = texts
        self._epoch = epoch or 0
        self._changes: list[tuple[str, list[Sequence[Any]], list[int | None]]] = []
        self._trail: tuple[int, str] | None = None
        texts.pending.clear()

    def note(self, sql: str, given: WriteStatement, rows: Sequence[Any]) -> list[int | None]:
        """A statement was executed once for each of the rows. The ids that the database chose may be
        added to the list that this gives, one for each row; None for a row that wasn't inserted."""
        refuse_reading(sql, given.table)
        plain = given.values is None and not given.hashed and not given.chained
        values = list(rows) if plain else [recorded(given, row) for row in rows]
        if given.chained:
            self._trail = (rows[-1][0], rows[-1][4])
        ids: list[int | None] = []
        self._changes.append((sql, values, ids))
        return ids

    def __bool__(self) -> bool:
        return bool(self._changes)

    @property
    def asks(self) -> bool:
        """Whether writing reads the numbers of statements first."""
        known = self._texts.known
        return any(sql not in known for sql, _, _ in self._changes)

    def write(self, execute: Execute, last: tuple[int, bytes] | None = None) -> None:
        """Append the record; `last` is the newest one where that is known."""
        texts = self._texts
        new: dict[int, str] = {}
        if self.asks:
            new = self._number(execute)
        known = texts.known if not new else texts.known | texts.pending
        changes = [(known[sql], values, ids) if ids else (known[sql], values) for sql, values, ids in self._changes]
        content = ENCODE((FORMAT, 0, time.time_ns() // 1000, self._epoch, self._trail, new, changes))
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
    """Append a record's bytes to the chain; its number."""
    seq, before = last or execute(LAST, ()).fetchone() or (0, GENESIS)
    execute(INSERT, (seq + 1, content, chained(seq + 1, bytes(before), content)))
    return int(seq) + 1


def append_event(
    execute: Execute, kind: EventRecordKind, *, epoch: int = 0, changes: Sequence[Any] = (), checkpoint: LogCheckpoint | None = None
) -> int:
    """Append a record that is no transaction's; its number."""
    record = Record(FORMAT, kind, time.time_ns() // 1000, epoch, None, {}, list(changes), checkpoint)
    return append(execute, ENCODE(record))
