"""Changes of a table as rows of a Parquet file: what happened, when, and the columns.

Values are PostgreSQL's text, cast like the rows of a `table:`, but that arrays stay text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from headrace.extension.sources import CannotRead
from headrace_databases import pgoutput
from headrace_databases.engines.engine import checked_names
from headrace_databases.engines.parquet_files import TextColumn, Write, text_to_parquet
from headrace_databases.engines.postgresql import scalar_column
from headrace_databases.pgoutput import (
    UNCHANGED,
    Change,
    Relation,
    RemoteColumn,
    Transaction,
    Truncation,
    Unchanged,
    Value,
)

_NUMERIC = 1700
WITHOUT_COLUMN = (
    "leave the column out of the publication, then write another value into `snapshot:`"
)
"""How to go on without a column that has a value which can't be kept."""
OWN_COLUMNS = (
    TextColumn("_op", "c0"),
    TextColumn("_seq", "CAST(c1 AS BIGINT)"),
    TextColumn("_lsn", "CAST(c2 AS BIGINT)"),
    TextColumn("_committed_at", "make_timestamptz(CAST(c3 AS BIGINT))"),
    TextColumn("_unchanged", "c4"),
)
"""Columns before those of the table."""


Row = dict[str, Value]


class CatalogColumn(msgspec.Struct, frozen=True):
    """A column with its type as results describe it."""

    name: str
    type_code: int
    precision: int | None = None
    scale: int | None = None


def described(column: RemoteColumn) -> CatalogColumn:
    """Return a column with the precision and scale that a modifier of `numeric` says."""
    if column.type_oid != _NUMERIC or column.modifier < 0:
        return CatalogColumn(column.name, column.type_oid)
    precision, scale = divmod(column.modifier - 4, 1 << 16)
    signed = (scale & 0x7FF ^ 0x400) - 0x400  # 11 bits
    return CatalogColumn(column.name, column.type_oid, precision, signed)


def text_columns(columns: Iterable[RemoteColumn]) -> list[TextColumn]:
    """Return all columns of the file, for the table's columns."""
    read = [
        scalar_column(described(column), f"c{at}")
        for at, column in enumerate(columns, len(OWN_COLUMNS))
    ]
    checked_names([column.name for column in (*OWN_COLUMNS, *read)])
    return [*OWN_COLUMNS, *read]


class Span(msgspec.Struct, frozen=True):
    """Which transactions a delivery has: those whose commit records start in [after, until).

    `seen` is the snapshot that the table was copied in, `horizon` an LSN behind all of its commits.
    """

    after: int
    until: int
    seen: str = ""
    horizon: int = 0

    def has(self, transaction: Transaction) -> bool:
        """Whether a transaction is in the delivery, and wasn't in the copy of the table."""
        lsn = transaction.commit_lsn
        if not self.after <= lsn < self.until:
            return False
        return not (lsn < self.horizon and is_visible(transaction.xid, self.seen))


def is_visible(xid: int, snapshot: str) -> bool:
    """Whether a committed transaction's rows are in a snapshot, as `pg_current_snapshot` has it.

    The snapshot's numbers have 64 bits, the transaction's its last 32.
    """
    first, end, running = snapshot.split(":")
    low = int(first)
    full = low + ((xid - low + (1 << 31)) % (1 << 32)) - (1 << 31)
    return full < int(end) and str(full) not in running.split(",")


def union_of(relations: Sequence[Relation], now: Sequence[RemoteColumn]) -> list[RemoteColumn]:
    """Return the columns of all relations, each as its last one has it; of none, those of now."""
    columns: dict[str, RemoteColumn] = {}
    for relation in relations:
        columns |= {column.name: column for column in relation.columns}
    return list(columns.values()) or list(now)


def relations_in(heads: Iterable[bytes], table: int, span: Span) -> list[Relation]:
    """Return the table's relations in a delivery's transactions."""
    results, inside = [], False
    for message in heads:
        head = pgoutput.decode(message)
        if isinstance(head, Transaction):
            inside = span.has(head)
        elif inside and isinstance(head, Relation) and head.oid == table:
            results.append(head)
    return results


def write_changes(
    columns: Sequence[RemoteColumn],
    keys: Sequence[str],
    table: int,
    span: Span,
    messages: Callable[[], Iterable[bytes]],
    target: Path,
    now_us: int,
) -> None:
    """Write the rows of a delivery, whose messages can be read again. Raises CannotRead.

    Without any, a row says that nothing had changed by `now_us`, in microseconds since 1970 UTC.
    """

    def send(write: Write) -> None:
        rows = ChangeRows([column.name for column in columns], keys, table, span)
        for message in messages():
            for row in rows.of(message):
                write(row)
        if not rows.number:
            write(rows.heartbeat(now_us))

    text_to_parquet(text_columns(columns), target, send, WITHOUT_COLUMN)


class ChangeRows:
    """Turns messages into lines of CSV."""

    def __init__(self, names: Sequence[str], keys: Sequence[str], table: int, span: Span) -> None:
        self._names, self._table, self._span = names, table, span
        self._primary = keys
        self._keys: list[str] = []
        self._columns: list[str] = []
        self._head = b""
        self.number = 0
        self._inside = False
        self._values: dict[tuple[Value, ...], Row] = {}
        """Key → its values that later UPDATEs may leave out."""

    def of(self, message: bytes) -> Iterator[bytes]:
        """Yield the lines of a message."""
        if not self._inside and message[:1] not in b"BR":
            return
        item = pgoutput.decode(message)
        if isinstance(item, Transaction):
            self._inside = self._span.has(item)
            self._head = b'"%d","%d"' % (item.commit_lsn, item.committed_us)
        elif isinstance(item, Relation) and item.oid == self._table:
            self._adopt(item)
        elif isinstance(item, Truncation) and self._table in item.relations:
            self._values.clear()
            yield self._line("truncate", {})
        elif isinstance(item, Change) and item.relation == self._table:
            yield from self._changed(item)

    def heartbeat(self, at_us: int) -> bytes:
        """Return the line that says that nothing had changed at a point in time."""
        self._head = b'"%d","%d"' % (self._span.until, at_us)
        return self._line("heartbeat", {})

    def _adopt(self, relation: Relation) -> None:
        self._columns = [column.name for column in relation.columns]
        sent = [column.name for column in relation.columns if column.key]
        full = len(sent) == len(self._columns)
        known = [name for name in self._primary if name in self._columns]
        self._keys = known if full and known else sent or self._columns

    def _changed(self, change: Change) -> Iterator[bytes]:
        old = dict(zip(self._columns, change.old or (), strict=False))
        if change.new is None:
            self._values.pop(self._key(old), None)
            yield self._line("delete", old)
            return
        new = dict(zip(self._columns, change.new, strict=True))
        moved = bool(old) and self._key(old) != self._key({**old, **_sent(new)})
        new = self._completed(new, old, self._values.pop(self._key(old if moved else new), {}))
        if moved:
            yield self._line("delete", old)
            _refuse_left_out(new)
        self._values[self._key(new)] = {k: v for k, v in new.items() if _is_large(v)}
        yield self._line("insert" if moved else change.op, new)

    def _completed(self, new: Row, old: Row, before: Row) -> Row:
        """Return the new row with unchanged values that this delivery or the old row has.

        With the replica identity FULL the old row has all values, else only those of the key.
        """
        known = {**before, **{name: value for name, value in old.items() if value is not None}}
        return {**new, **{name: known[name] for name in _left_out(new) if name in known}}

    def _key(self, row: Row) -> tuple[Value, ...]:
        return tuple(row.get(name) for name in self._keys)

    def _line(self, op: str, row: Row) -> bytes:
        self.number += 1
        left_out = ",".join(_left_out(row)).encode() or None
        cells = [_cell(row.get(name)) for name in self._names]
        head = b'"%s","%d",%s,%s' % (op.encode(), self.number, self._head, _cell(left_out))
        return b",".join([head, *cells]) + b"\n"


LARGE_BYTES = 16
"""Values of fewer bytes are never stored out of line, so an UPDATE sends them."""


def _is_large(value: Value) -> bool:
    return isinstance(value, bytes) and len(value) > LARGE_BYTES


def _refuse_left_out(row: Row) -> None:
    if _left_out(row):
        raise CannotRead(
            "a row got another key, and the server doesn't send its unchanged large values: run"
            " `alter table … replica identity full`, then write another value into `snapshot:`"
        )


def _sent(row: Row) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, Unchanged)}


def _left_out(row: Row) -> list[str]:
    return [name for name, value in row.items() if value is UNCHANGED]


def _cell(value: Value) -> bytes:
    if value is None or isinstance(value, Unchanged):
        return b""
    return b'"' + value.replace(b'"', b'""') + b'"'
