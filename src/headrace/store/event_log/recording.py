"""Appending to the event log: a transaction notes what it executes, and writes one record before it commits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from headrace.store.event_log.records import ENCODE, FORMAT, GENESIS, EventRecordKind, LogCheckpoint, Record, chained
from headrace.store.event_log.statements import WriteStatement, recorded, refuse_reading

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
