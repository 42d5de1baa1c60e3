"""A record of the event log, its bytes and its hash."""

from __future__ import annotations

import enum
from hashlib import sha256
from typing import Any

import msgspec

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
