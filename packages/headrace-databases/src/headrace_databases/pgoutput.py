"""Decode the messages of `pgoutput`, PostgreSQL's own logical decoding plugin, in version 1.

Source: PostgreSQL's documentation, "Logical Replication Message Formats". Values are the text that
PostgreSQL's output functions write under the settings of the session that reads them.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgspec

OPTIONS = ("proto_version", "1", "publication_names")
"""Options of `pg_logical_slot_peek_binary_changes`; the publication's name follows."""
_EPOCH_US = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000-01-01 UTC."""
_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")


class Unchanged:
    """The type of `UNCHANGED`."""


UNCHANGED = Unchanged()
"""A value that is stored out of line and that an UPDATE didn't change: it isn't sent."""

Value = bytes | None | Unchanged
Tuple = list[Value]


class Transaction(NamedTuple):
    """The begin of a committed transaction. `commit_lsn` is where its commit record starts."""

    commit_lsn: int
    committed_us: int
    xid: int


class RemoteColumn(msgspec.Struct, frozen=True):
    """A column of a relation; `modifier` is the type's, -1 without one."""

    name: str
    type_oid: int
    modifier: int
    key: bool
    """Whether it is in the replica identity: all columns are if that is FULL."""


class Relation(msgspec.Struct, frozen=True):
    """The columns of a table as of the changes that follow."""

    oid: int
    columns: tuple[RemoteColumn, ...]


class Change(NamedTuple):
    """A changed row; `old` is its key, or all of its old values, if they are sent."""

    op: str
    relation: int
    old: Tuple | None
    new: Tuple | None


class Truncation(NamedTuple):
    """Tables that a statement emptied."""

    relations: tuple[int, ...]


def commit_of(message: bytes) -> tuple[int, int, int]:
    """Return the start and the end of the commit record, and the time of the commit in µs."""
    _, start, end, at = _COMMIT.unpack_from(message, 1)
    return start, end, at + _EPOCH_US


def decode(message: bytes) -> Transaction | Relation | Change | Truncation | None:
    """Return the message as a value; None for those without changes of rows."""
    kind = message[:1]
    if kind in b"IUD":
        return _change(message)
    if kind == b"B":
        lsn, at, xid = _BEGIN.unpack_from(message, 1)
        return Transaction(lsn, at + _EPOCH_US, xid)
    if kind == b"R":
        return _relation(message)
    if kind == b"T":
        (count,) = struct.unpack_from(">I", message, 1)
        return Truncation(struct.unpack_from(f">{count}I", message, 6))
    return None


_OPS = {ord("I"): "insert", ord("U"): "update", ord("D"): "delete"}


def _change(message: bytes) -> Change:
    relation = int.from_bytes(message[1:5])
    old, new, at = None, None, 5
    if message[at] in b"KO":
        old, at = _tuple(message, at + 1)
    if at < len(message):
        new, at = _tuple(message, at + 1)
    return Change(_OPS[message[0]], relation, old, new)


def _tuple(message: bytes, at: int) -> tuple[Tuple, int]:
    count = int.from_bytes(message[at : at + 2])
    at += 2
    values: Tuple = []
    for _ in range(count):
        kind = message[at]
        at += 1
        if kind == 0x74:  # t: text
            end = at + 4 + int.from_bytes(message[at : at + 4])
            values.append(message[at + 4 : end])
            at = end
        else:
            values.append(None if kind == 0x6E else UNCHANGED)  # n: null
    return values, at


def _relation(message: bytes) -> Relation:
    oid = int.from_bytes(message[1:5])
    at = message.index(b"\0", 5) + 1  # after the schema
    at = message.index(b"\0", at) + 2  # after the table and its replica identity
    count = int.from_bytes(message[at : at + 2])
    at += 2
    columns: list[Any] = []
    for _ in range(count):
        end = message.index(b"\0", at + 1)
        kind, modifier = struct.unpack_from(">Ii", message, end + 1)
        columns.append(
            RemoteColumn(message[at + 1 : end].decode(), kind, modifier, message[at] == 1)
        )
        at = end + 9
    return Relation(oid, tuple(columns))
