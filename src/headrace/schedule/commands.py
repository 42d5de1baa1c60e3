"""What the core asks the runtime to do. The runtime commits them before it acts on them."""

from __future__ import annotations

import msgspec

from headrace.schedule.events import AttemptId
from headrace.schedule.states import PartitionState


class Dispatch(msgspec.Struct, frozen=True):
    """Start an attempt at one node and these partitions. The claim on each of them passes to it."""

    attempt: AttemptId
    node: str
    keys: tuple[str, ...]
    queued_at: int
    without: tuple[tuple[str, str], ...] = ()
    """Optional inputs that it doesn't wait for any longer: node and partition."""


class Mark(msgspec.Struct, frozen=True):
    """A partition stands elsewhere now."""

    node: str
    key: str
    state: PartitionState
    stale: bool
    failures: int
    not_before: int | None
    reason: str
    proposed: bool = False
    """It is stale, and isn't computed again before somebody asks."""


class Kill(msgspec.Struct, frozen=True):
    """End an attempt's worker: it ran past its time-out."""

    attempt: AttemptId
    reason: str


Command = Dispatch | Mark | Kill
