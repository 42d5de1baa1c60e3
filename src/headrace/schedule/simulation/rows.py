"""What the simulated store keeps, one struct a row."""

from __future__ import annotations

import msgspec

from headrace.schedule.events import AttemptId, Target
from headrace.schedule.states import PartitionState


class SimulatedPartitionRow(msgspec.Struct, frozen=True):
    """Where a partition stands."""

    state: PartitionState
    stale: bool = False
    failures: int = 0
    not_before: int | None = None
    proposed: bool = False
    since: int = 0


class SimulatedPublicationRow(msgspec.Struct, frozen=True):
    """What readers see of a partition."""

    id: int
    content: int
    hash: str | None
    attempt: AttemptId | None
    """None for what is published elsewhere."""
    file: int
    first: int
    """The publication that first had this content."""


class SimulatedAttemptRow(msgspec.Struct, frozen=True):
    """An attempt; `files` are the vendor's that it ingests."""

    node: str
    keys: tuple[str, ...]
    runs: tuple[int, ...]
    reads: tuple[int, ...]
    """Publications that it reads."""
    contents: tuple[int, ...]
    files: tuple[int, ...] = ()
    prove: bool = False
    """One of its partitions is computed alone as well."""


class SimulatedDeliveryRow(msgspec.Struct, frozen=True):
    """The newest delivery of one interval of a source, and the vendor's file that it came in."""

    file: int
    bundle: str
    content: int
    state: str = "waiting"


class SimulatedRunRow(msgspec.Struct, frozen=True):
    """A run: open until it settles, is cancelled or lost."""

    targets: tuple[Target, ...]
    standing: bool
    state: str = "running"


class SimulatedPlanRow(msgspec.Struct, frozen=True):
    """A backfill: its partitions by node, and where it stands. `partial`: what can be made is published although something is missing."""

    keys: dict[str, tuple[str, ...]]
    partial: bool = False
    state: str = "running"


class RequestRow(msgspec.Struct, frozen=True):
    """What a person asked the leader for; `deed` is its place in the scenario."""

    deed: int
