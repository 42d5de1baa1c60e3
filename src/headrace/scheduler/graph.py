"""The applied graph as the core needs it: nodes, inputs, triggers, deadlines and pools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from headrace.model import Asset, Grain, InputSpec, PartitionSpec, Project
from headrace.model.times import NO_DAYS_OFF, DaysOff, days_off, parse_duration


class Take(msgspec.Struct, frozen=True):
    """Slots that an attempt holds while it runs. A pool is one of `[pools]`, or a limit of a node or an owner: `node:x`, `owner:y`."""

    pool: str
    slots: int = 1


class NodeTrigger(msgspec.Struct, frozen=True):
    """When a node runs, where that isn't left to its inputs and consumers. One of the first five says what fires it."""

    cron: str | None = None
    """Five fields, in `timezone`."""
    every_us: int | None = None
    """An interval, counted from midnight of 1970 in UTC."""
    arrival: str | None = None
    """A source: each of its deliveries fires; all sources above the node where it is empty."""
    upstream: str | None = None
    """A node: each of its publications fires; all inputs where it is empty."""
    outside: bool = False
    """A webhook, or nothing at all (`manual`): only the event `Fired`, or a person."""
    timezone: str = "UTC"
    days_off: DaysOff = NO_DAYS_OFF
    """Days on which it doesn't fire."""
    latest: bool = False
    """`catch_up: latest`: of what waited, only the newest interval runs; the others are waived."""


class ConsumerDeadline(msgspec.Struct, frozen=True):
    """A consumer's deadline for what comes out of a node: `due` after the end of the consumer's interval, which the node's data
    reaches `after_us` after the node has begun, by the durations of what lies between."""

    consumer: str
    grain: Grain
    timezone: str
    due: str
    after_us: int
    days_off: DaysOff = NO_DAYS_OFF
    max_age: str | None = None
    """Instead of `due`: so long after its beginning an interval is too late, because the one before has become too old."""


class GraphNode(msgspec.Struct, frozen=True):
    """A source or an asset. `timeout_us` bounds one attempt; `start` is the first expected partition, where declared."""

    name: str
    is_source: bool
    partition: PartitionSpec
    timezone: str
    inputs: tuple[InputSpec, ...] = ()
    depends: tuple[str, ...] = ()
    checked_against: tuple[str, ...] = ()
    """Other nodes that its checks read: they come first, and nothing becomes stale through them."""
    start: str | None = None
    attempts_max: int = 5
    timeout_us: int = 3_600_000_000
    rebuild_on_reference: bool = False
    chained: bool = False
    """Each partition needs the one before it of the same node (`$self`, merge, snapshot)."""
    tells: bool = False
    """What became stale isn't computed again before somebody asks (an export with `on_restatement: tell`)."""
    settled: bool = False
    """The whole data that it refers to is waited for, as what is required is: an export shows both, and they have to agree."""
    expect_by: str | None = None
    """Of a source: until when after an interval its delivery was promised; optional inputs are waited for until then."""
    watermark: bool = False
    """Of a source: an interval is complete when a delivery of a later one has arrived."""
    complete_after: str | None = None
    """Of a source: an interval is complete so long after its end."""
    restate_within: str | None = None
    """Of a source: how long after an interval's end what reads it is computed again without asking; None for always."""
    days_off: DaysOff = NO_DAYS_OFF
    """Days on which nothing is due."""
    takes: tuple[Take, ...] = ()
    """What an attempt needs of pools, beside a worker."""
    batch_max: int = 1
    """How many partitions that follow each other one attempt may compute."""
    priority: int | None = None
    """Declared: the larger comes first, before any deadline."""
    trigger: NodeTrigger | None = None
    promises: tuple[ConsumerDeadline, ...] = ()


class Graph(msgspec.Struct, frozen=True):
    """All nodes in topological order, sources first."""

    nodes: tuple[GraphNode, ...]
    pools: dict[str, int] = {}
    """Name → slots of each pool that a node takes."""
    by_node: bool = False
    """What is ready is given out node by node, as nothing is due: so there are batches of what reads something that has none. Otherwise
    the oldest interval comes first."""


# The trigger of a graph node from an asset's `trigger:`. The core and forecasts use the same one.

_SECOND_US = 1_000_000


def trigger_of(project: Project, asset: Asset) -> NodeTrigger | None:
    """What releases an asset; on the days off of its calendar nothing does by itself."""
    said = asset.trigger
    if said is None:
        return None
    every = said.get("interval")
    return NodeTrigger(
        cron=said.get("cron"),
        every_us=int(parse_duration(every).total_seconds() * _SECOND_US) if every is not None else None,
        arrival=_node_name(said.get("arrival")),
        upstream=_node_name(said.get("upstream")),
        outside=bool(said.get("webhook") or said.get("manual")),
        timezone=said.get("timezone") or asset.timezone,
        days_off=days_off(project, asset.calendar),
        latest=said.get("catch_up") == "latest",
    )


def _node_name(value: object) -> str | None:
    """A node; empty for all that there are."""
    return None if value is None else value if isinstance(value, str) else ""


# Capacity of pools. Declared pools, and limits of nodes and owners, are the same thing here. The
# used capacity follows from the attempts that run, each of which holds its slots until it ends or
# its lease lapses. No counter goes up and down, so a missed message loses nothing.

LAPSE_US = 60_000_000
"""So long after its time-out an attempt whose end nobody heard of doesn't hold anything any more."""
OF_NODE = "node:"
OF_OWNER = "owner:"

Takes = tuple[tuple[str, int], ...]
"""Pool and slots of each that an attempt at a node needs."""


class PoolLease(NamedTuple):
    """What an attempt holds."""

    takes: Takes
    expires_at: int

    def holds(self, now: int) -> bool:
        """Whether it hasn't lapsed."""
        return now < self.expires_at + LAPSE_US


def slots_taken(node: GraphNode, pools: Mapping[str, int]) -> Takes:
    """What an attempt at a node takes. Of a pool that is smaller it takes all; one that isn't declared has room for everybody."""
    return tuple((take.pool, min(take.slots, pools[take.pool])) for take in node.takes if take.pool in pools)


class PoolCapacity:
    """What is free at an instant, as attempts are given out by urgency."""

    def __init__(self, pools: Mapping[str, int], leases: Iterable[PoolLease], now: int, elsewhere: Takes = ()) -> None:
        """`elsewhere`: what another core's attempts hold of the same pools."""
        self._pools = pools
        self._taken: dict[str, int] = {}
        if pools:
            self.take(elsewhere)
            for lease in leases:
                if lease.takes and lease.holds(now):
                    self.take(lease.takes)

    def take(self, takes: Takes) -> None:
        """Somebody takes slots."""
        for pool, slots in takes:
            self._taken[pool] = self._taken.get(pool, 0) + slots

    def taken(self, pool: str) -> int:
        """How many slots of a pool aren't free."""
        return self._taken.get(pool, 0)

    def short(self, takes: Takes) -> list[str]:
        """The pools that haven't enough room."""
        return [pool for pool, slots in takes if self._taken.get(pool, 0) + slots > self._pools[pool]]

    def wait(self, takes: Takes) -> None:
        """What is most urgent and has no room keeps what is free until there is enough, so that smaller ones can't pass it for ever.
        What waits only for its own node keeps nothing: nobody else can take that."""
        if not all(pool.startswith(OF_NODE) for pool in self.short(takes)):
            self.take(takes)
