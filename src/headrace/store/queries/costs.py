"""What the work of an attempt is, by its stored measures."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class _Measures(msgspec.Struct):
    bytes_in: int = 0
    seconds: float = 0.0
    audit_seconds: float = 0.0


class AttemptWork(NamedTuple):
    """How long an attempt held a slot, in microseconds, and what it read."""

    slot_us: int
    bytes_read: int


def work_of(measures: str) -> AttemptWork:
    """Return the work of an attempt from its stored measures."""
    known = msgspec.json.decode(measures, type=_Measures)
    return AttemptWork(round((known.seconds + known.audit_seconds) * 1e6), known.bytes_in)
