"""The core's write-ahead record: what it was told in each transaction of a leader, and a digest of what it decided."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import msgspec

from headrace.store.database import Transaction

PLAIN_BYTES_MAX = 4096
"""Larger records (what a core starts from) are compressed."""
_ZLIB = 0x78
"""What compressed bytes begin with; a msgpack array of events never does."""


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """One turn. `events` is msgpack, `decisions` a digest (`schedule.history`)."""

    epoch: int
    slots: int
    at: int
    events: bytes
    decisions: bytes
    plan: int = 0
    """Whose core it is: that of a plan, or production's."""


def append(tx: Transaction, rows: Sequence[JournalRow]) -> None:
    """Write turns, oldest first."""
    tx.executemany(
        "insert into journal (epoch, slots, at, events, decisions, plan_id) values (?, ?, ?, ?, ?, ?)",
        [(r.epoch, r.slots, r.at, _kept(r.events), r.decisions, r.plan) for r in rows],
    )


def of_epoch(tx: Transaction, epoch: int, plan: int = 0) -> Iterator[JournalRow]:
    """The turns of one leader's core, in order: production's, or a plan's."""
    rows = tx.execute(
        "select epoch, slots, at, events, decisions, plan_id from journal where epoch = ? and plan_id = ? order by seq", (epoch, plan)
    )
    for epoch_of, slots, at, events, decisions, plan_of in rows:
        yield JournalRow(epoch_of, slots, at, _read(bytes(events)), bytes(decisions), plan_of)


def _kept(events: bytes) -> bytes:
    return zlib.compress(events, 1) if len(events) > PLAIN_BYTES_MAX else events


def _read(events: bytes) -> bytes:
    return zlib.decompress(events) if events[:1] == bytes([_ZLIB]) else events
