"""What the core asks the runtime to do. The runtime commits them before it acts on them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace.schedule.events import AttemptId
from headrace.schedule.states import PartitionState

WAITING_SHOWN_MAX = 20


class Dispatch(msgspec.Struct, frozen=True, gc=False, tag="dispatch"):
    """Start an attempt at one node and these partitions. The claim on each of them passes to it."""

    attempt: AttemptId
    node: str
    keys: tuple[str, ...]
    queued_at: int
    without: tuple[tuple[str, str], ...] = ()
    """Optional inputs that it doesn't wait for any longer: node and partition."""
    runs: tuple[int, ...] = ()
    """The runs that want it, newest first: it belongs to the newest, for whoever asks for something gets it told."""


class PartitionUpdate(msgspec.Struct, frozen=True, gc=False, tag="mark"):
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


CANCELLED = "was cancelled"
"""Why attempts that nobody wants any more are ended."""


class Kill(msgspec.Struct, frozen=True, gc=False, tag="kill"):
    """End an attempt's worker: it ran past its time-out, or isn't wanted any more."""

    attempt: AttemptId
    reason: str


class AwaitedPartition(NamedTuple):
    """What a partition waits for: another partition, and where that stands. `until`: when time alone ends the wait."""

    node: str
    key: str
    state: PartitionState
    reason: str
    until: int | None = None


class Settled(msgspec.Struct, frozen=True, gc=False, tag="settled"):
    """Nothing that a run asked for runs, and nothing of it will before something happens: it has ended."""

    run: int
    waiting: tuple[tuple[str, str, str], ...] = ()
    """Of what it wanted and couldn't run, the first WAITING_SHOWN_MAX partitions, each with why (`schedule.why`)."""


class FiredAt(msgspec.Struct, frozen=True, gc=False, tag="fired_at"):
    """A node's trigger fired: what waited for it may run, and the next leader needn't fire it again for that time."""

    node: str
    at: int


Command = Dispatch | PartitionUpdate | Kill | Settled | FiredAt
