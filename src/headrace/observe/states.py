"""How consumers stand, as values: what `status` says of each (SEMANTICS §7)."""

from __future__ import annotations

import enum

import msgspec

from headrace.observe.freshness import AssetStateCounts, FreshnessState
from headrace.observe.obligations import Obligation
from headrace.observe.state_facts import AcceptedPartition, Pausing


class ConsumerState(enum.StrEnum):
    """How a consumer is served; the first that holds, in this order."""

    UNKNOWN = "unknown"
    NEVER = "never"
    WRONG = "wrong"
    LATE = "late"
    AT_RISK = "at_risk"
    SERVED = "served"
    SUPERSEDED_UPSTREAM = "superseded_upstream"
    """Never how it is served, only among what holds besides: a vendor restated an interval too late."""


class ConsumedAsset(msgspec.Struct, frozen=True):
    """How one asset that a consumer reads stands; `data_through` in the asset's own partitions, or the consumer's
    intervals where it has none but follows inputs that have."""

    asset: str
    state: FreshnessState
    data_through: str | None


class LatestExport(msgspec.Struct, frozen=True):
    """The export of a consumer's newest interval that is due or was exported: `exported`, `superseded` (what was exported isn't what
    can be read any more), `running`, `waiting`, `failed` or `missing`. `at_us` is when it was last exported."""

    state: str
    interval: str | None
    at_us: int | None
    target: str


class AtRisk(msgspec.Struct, frozen=True):
    """What will make a consumer late: an interval, when it is due, the node and partition that will cause it, and one clause about it.
    `predicted_us` is when it will be met, None where nothing says when."""

    interval: str
    due_us: int
    node: str
    partition: str
    reason: str
    next: str
    since_us: int | None = None
    """Since when it is so; None where that isn't known."""
    predicted_us: int | None = None
    withdrawn: str = ""
    """Why, and by whom, the partition was withdrawn; empty where it wasn't."""


class Wronged(msgspec.Struct, frozen=True):
    """What a consumer can read isn't sound: since when, by which incident (None: not told), in one
    clause, and what to type next."""

    since_us: int
    incident: int | None
    said: str
    next: str | None = None


class ConsumerStatus(msgspec.Struct, frozen=True):
    """One consumer. `states` lists all that hold, `due_interval` is the newest that is due, `backlog` the older ones
    that aren't met. Times are microseconds of the store's clock."""

    name: str
    owner: str
    state: ConsumerState
    states: tuple[ConsumerState, ...]
    since_us: int | None
    due_interval: str | None
    data_through: str | None
    backlog: tuple[str, ...]
    reads: tuple[ConsumedAsset, ...]
    reason: str
    next: str | None
    export: LatestExport | None = None
    risk: AtRisk | None = None
    paused: Pausing | None = None
    """Whether the consumer itself is paused; what it reads is told of by the reason."""
    obligations: tuple[Obligation, ...] = ()
    """Those that its state was judged by, oldest first."""
    withdrawn: str = ""
    """What was withdrawn that one that is late waits for, and why and by whom; empty for another cause."""
    late_since_us: int | None = None
    """Since when it is late, whatever else holds; None where it isn't, was never served, or before a deadline has passed."""
    never_since_us: int | None = None
    """Since when one that was never served is due; None where it was, or before a deadline has passed."""
    deadline: AtRisk | None = None
    """What will make it late; of what is at risk, only deadlines."""
    incident: str | None = None
    """The incident that it waits for, or that makes it wrong: `INC-1`."""
    exceptions: tuple[AcceptedPartition, ...] = ()
    """What of its newest intervals was published by exception, the one that lapses first coming first."""
    missing_besides: int = 0
    """How many intervals are due and neither met nor waived, besides those that the reason is about."""
    superseded: tuple[str, ...] = ()
    """Exported intervals that were corrected afterwards, and weren't exported again."""


class Status(msgspec.Struct, frozen=True):
    """All consumers, in the order of declaration, and the assets. `observed_at_us` is the last look at any source."""

    now_us: int
    observed_at_us: int | None
    consumers: tuple[ConsumerStatus, ...]
    assets: AssetStateCounts
