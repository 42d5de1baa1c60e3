"""What a statement changes, read once from its text: whether it is recorded, and which of its values by their hash."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import Any, NamedTuple

from headrace.store import migrations
from headrace.store.engines.parameters import names
from headrace.store.event_log.guards import BY_HASH, OWN, UNRECORDED

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
    table, named = change[1].lower(), names(sql)
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
