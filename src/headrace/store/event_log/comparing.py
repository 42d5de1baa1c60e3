"""Compares the stored tables row by row with the tables recomputed from the event log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import Any, NamedTuple

from headrace.model.errors import StoreError, first_line
from headrace.store.event_log.replaying import columns
from headrace.store.event_recording import (
    HASHED,
    HASHED_BYTES_MIN,
    LEFT_OUT,
    UNRECORDED,
    stand_in,
)
from headrace.store.portable import as_sqlite, columns_by_table
from headrace.store.transaction import Dialect, Transaction, quoted

_TEXT_TYPES = ("text", "varchar", "character varying")

UNREADABLE = (sqlite3.DatabaseError, StoreError)
"""Exceptions of reading a damaged table."""

Row = tuple[Any, ...]


class LogDifference(NamedTuple):
    """A difference from the event log: in one `field`, or, without `field`, of the whole row.

    Then the row is missing, or isn't in the event log.
    """

    table: str
    key: dict[str, Any]
    field: str | None
    stored: Any
    expected: Any
    row: dict[str, Any]
    """The row from the event log, or, if it isn't there, the stored row."""
    repairable: bool = True
    """False if the log contains only a hash of the value."""


class ComparedTable(NamedTuple):
    """A table to compare. `types` are the stored table's column types."""

    name: str
    types: dict[str, str]
    key: tuple[str, ...]


def tables(
    tx: Transaction, expected: sqlite3.Connection, keys: Mapping[str, Sequence[str]]
) -> Iterator[ComparedTable]:
    """Yield the tables that exist on both sides. `keys` are for tables without a primary key."""
    stored = columns_by_table(tx)
    for name, column_names in columns(expected).items():
        if name not in UNRECORDED and name in stored:
            key = _primary_key(expected, name) or tuple(keys.get(name, ())) or tuple(column_names)
            left_out = LEFT_OUT.get(name, ())
            types = {
                column: stored[name].get(column, "")
                for column in column_names
                if column not in left_out
            }
            yield ComparedTable(name, types, key)


def count(tx: Transaction, table: str) -> int:
    """Return the number of rows of a table."""
    return int(tx.execute(f"select count(*) from {quoted(table)}").fetchone()[0])


@contextmanager
def apart(tx: Transaction) -> Iterator[None]:
    """Isolate the comparison of one table, so that an unreadable table doesn't end the transaction.

    On PostgreSQL, errors roll back to a savepoint and are raised as StoreError.
    """
    if tx.dialect is Dialect.SQLITE:
        yield
        return
    tx.execute("savepoint compared")
    try:
        yield
    except Exception as error:  # a damaged page may make server and driver fail in any way
        tx.execute("rollback to compared")
        raise StoreError(f"it can't be read ({first_line(error)[:200]})") from error
    tx.execute("release compared")


def missing_tables(tx: Transaction, expected: sqlite3.Connection) -> list[str]:
    """Return the names of missing tables, sorted."""
    return sorted(columns(expected).keys() - columns_by_table(tx).keys())


def compared(
    tx: Transaction, expected: sqlite3.Connection, table: ComparedTable
) -> Iterator[LogDifference]:
    """Yield the differences of a table. Raises an `UNREADABLE` exception for a damaged table."""
    key_at = [list(table.types).index(column) for column in table.key]
    ours = _groups(_expected_rows(expected, table), key_at)
    theirs = _groups(_stored_rows(tx, table), key_at)
    ours_next, theirs_next = next(ours, None), next(theirs, None)
    while ours_next is not None or theirs_next is not None:
        if theirs_next is None or (ours_next is not None and ours_next[0] < theirs_next[0]):
            assert ours_next is not None
            yield from (_row_missing(table, row, key_at) for row in ours_next[1])
            ours_next = next(ours, None)
        elif ours_next is None or theirs_next[0] < ours_next[0]:
            yield from (_row_added(table, row, key_at) for row in theirs_next[1])
            theirs_next = next(theirs, None)
        else:
            yield from _same_key(table, ours_next[1], theirs_next[1], key_at)
            ours_next, theirs_next = next(ours, None), next(theirs, None)


def _same_key(
    table: ComparedTable, expected: list[Row], stored: list[Row], key_at: list[int]
) -> Iterator[LogDifference]:
    """Yield the differences of rows with one key, after pairing equal rows."""
    left = list(stored)
    unmatched = []
    for row in expected:
        match = next((item for item in left if _same_row(item, row)), None)
        if match is None:
            unmatched.append(row)
        else:
            left.remove(match)
    for row, other in zip(unmatched, left, strict=False):
        yield from _fields(table, row, other, key_at)
    yield from (_row_missing(table, row, key_at) for row in unmatched[len(left) :])
    yield from (_row_added(table, row, key_at) for row in left[len(unmatched) :])


def _fields(
    table: ComparedTable, expected: Row, stored: Row, key_at: list[int]
) -> Iterator[LogDifference]:
    for column, expected_value, result in zip(table.types, expected, stored, strict=True):
        if not _same(result, expected_value):
            key, row = _key(table, expected, key_at), _whole(table, expected)
            known = not _is_hash(expected_value)
            yield LogDifference(table.name, key, column, result, expected_value, row, known)


def _row_missing(table: ComparedTable, row: Row, key_at: list[int]) -> LogDifference:
    known = not any(_is_hash(value) for value in row)
    whole = _whole(table, row)
    return LogDifference(table.name, _key(table, row, key_at), None, None, whole, whole, known)


def _row_added(table: ComparedTable, row: Row, key_at: list[int]) -> LogDifference:
    whole = _whole(table, row)
    return LogDifference(table.name, _key(table, row, key_at), None, whole, None, whole)


def _whole(table: ComparedTable, row: Row) -> dict[str, Any]:
    return dict(zip(table.types, row, strict=True))


def _key(table: ComparedTable, row: Row, key_at: list[int]) -> dict[str, Any]:
    return {column: row[position] for column, position in zip(table.key, key_at, strict=True)}


def _same_row(stored: Row, expected: Row) -> bool:
    return stored == expected or all(map(_same, stored, expected))


def _same(stored: Any, expected: Any) -> bool:
    if _is_hash(expected):
        return bool(stored == expected or stand_in(stored) == expected)
    if type(stored) is type(expected):
        return bool(
            stored == expected or (isinstance(stored, str) and _plain(stored) == _plain(expected))
        )
    return (
        isinstance(stored, int | float) and isinstance(expected, int | float) and stored == expected
    )


def _is_hash(value: Any) -> bool:
    return isinstance(value, bytes) and value.startswith(HASHED) and len(value) < HASHED_BYTES_MIN


def _plain(text: str) -> str:
    """Return text with NUL replaced, which PostgreSQL can't store."""
    return text.replace("\0", "\u2400")


def _groups(rows: Iterator[Row], key_at: list[int]) -> Iterator[tuple[list[Any], list[Row]]]:
    """Group rows, which are sorted by key, by key."""
    for key, group in groupby(rows, lambda row: [_rank(row[position]) for position in key_at]):
        yield key, list(group)


def _rank(value: Any) -> tuple[int, Any]:
    """Return a sort key in SQLite's order of values of all types."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, value
    return (
        (2, _plain(value).encode("utf-8", "surrogateescape"))
        if isinstance(value, str)
        else (3, bytes(value))
    )


def _expected_rows(expected: sqlite3.Connection, table: ComparedTable) -> Iterator[Row]:
    listed = ", ".join(quoted(column) for column in table.types)
    ordered = ", ".join(f"{quoted(column)} nulls first" for column in table.key)
    sql = f"select {listed} from {quoted(table.name)} order by {ordered}"
    return iter(expected.execute(sql))


def _stored_rows(tx: Transaction, table: ComparedTable) -> Iterator[Row]:
    sqlite = tx.dialect is Dialect.SQLITE
    ordered = ", ".join(
        _ordered(column, table.types[column], sqlite=sqlite) for column in table.key
    )
    listed = ", ".join(as_sqlite(column, kind) for column, kind in table.types.items())
    done = 0
    try:
        for row in tx.stream(f"select {listed} from {quoted(table.name)} order by {ordered}"):
            yield row
            done += 1
    except (sqlite3.OperationalError, UnicodeDecodeError):
        # some text isn't valid UTF-8 any more: read bytes, so that its row can be reported
        rows = (
            _sqlite_bytes(tx, table, ordered) if sqlite else _postgresql_bytes(tx, table, ordered)
        )
        yield from islice(rows, done, None)


def _sqlite_bytes(tx: Transaction, table: ComparedTable, ordered: str) -> Iterator[Row]:
    listed = ", ".join(_with_type(quoted(column)) for column in table.types)
    sql = f"select {listed} from {quoted(table.name)} order by {ordered}"
    for row in tx.execute(sql).fetchall():
        pairs = zip(row[::2], row[1::2], strict=True)
        yield tuple(_as_text(value) if kind == "text" else value for value, kind in pairs)


def _with_type(name: str) -> str:
    """Return SQL for a column, with text as bytes, and its type."""
    return (
        f"case typeof({name}) when 'text' then cast({name} as blob) else {name} end, typeof({name})"
    )


def _postgresql_bytes(tx: Transaction, table: ComparedTable, ordered: str) -> Iterator[Row]:
    """Yield rows with text read by `textsend`, because `convert_to` refuses invalid UTF-8."""
    texts = [kind in _TEXT_TYPES for kind in table.types.values()]
    listed = ", ".join(
        f"textsend({quoted(column)}::text)" if text else as_sqlite(column, kind)
        for (column, kind), text in zip(table.types.items(), texts, strict=True)
    )
    for row in tx.stream(f"select {listed} from {quoted(table.name)} order by {ordered}"):
        pairs = zip(row, texts, strict=True)
        yield tuple(
            _as_text(value) if text and value is not None else value for value, text in pairs
        )


def _as_text(value: Any) -> str:
    return bytes(value).decode("utf-8", "surrogateescape")


def _ordered(column: str, kind: str, *, sqlite: bool) -> str:
    collated = "" if sqlite or kind not in _TEXT_TYPES else ' collate "C"'
    return f"{quoted(column)}{collated} nulls first"


def _primary_key(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    rows = connection.execute(
        "select name from pragma_table_info(?) where pk > 0 order by pk", (table,)
    ).fetchall()
    return tuple(name for (name,) in rows)
