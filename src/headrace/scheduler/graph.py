"""The applied graph as the core needs it: nodes, inputs, triggers, deadlines and pools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from headrace.model import Asset, Grain, InputSpec, PartitionSpec, Project
from headrace.model.hour_names import is_second_hour
from headrace.model.nodes import CatchUp
from headrace.model.times import NO_DAYS_OFF, DaysOff, days_off, parse_duration


class Take(msgspec.Struct, frozen=True):
    """Slots of a pool that an attempt holds while it runs.

    `pool` is one of `[pools]`, or a limit of a node (`node:x`) or an owner (`owner:y`).
    """

    pool: str
    slots: int = 1


class NodeTrigger(msgspec.Struct, frozen=True):
    """When a node runs, where its inputs and consumers don't decide that.

    One of the first five fields is set.
    """

    cron: str | None = None
    """Five cron fields, in `timezone`."""
    every_us: int | None = None
    """An interval, counted from 1970-01-01T00:00 UTC."""
    arrival: str | None = None
    """A source whose deliveries fire the trigger; if empty, all sources upstream of the node."""
    upstream: str | None = None
    """A node whose publications fire the trigger; if empty, all inputs."""
    outside: bool = False
    """Only the event `Fired` (a webhook) or a person releases it (`manual`)."""
    timezone: str = "UTC"
    days_off: DaysOff = NO_DAYS_OFF
    """Days on which it doesn't fire."""
    latest: bool = False
    """`catch_up: latest`: of the waiting intervals only the newest runs; the others are waived."""


class ConsumerDeadline(msgspec.Struct, frozen=True):
    """A consumer's deadline for data derived from a node: `due` after the end of its interval.

    The data reaches the consumer `after_us` after the node begins, by the durations of the nodes
    between.
    """

    consumer: str
    grain: Grain
    timezone: str
    due: str
    after_us: int
    days_off: DaysOff = NO_DAYS_OFF
    max_age: str | None = None
    """Instead of `due`: the maximum age, counted from the beginning of an interval, at which the
    previous interval is too old."""


class GraphNode(msgspec.Struct, frozen=True):
    """A source or an asset.

    `timeout_us` bounds one attempt. `start` is the first expected partition, where declared.
    """

    name: str
    is_source: bool
    partition: PartitionSpec
    timezone: str
    inputs: tuple[InputSpec, ...] = ()
    depends: tuple[str, ...] = ()
    checked_against: tuple[str, ...] = ()
    """Other nodes that its checks read: they run first, but never make it stale."""
    start: str | None = None
    attempts_max: int = 5
    timeout_us: int = 3_600_000_000
    rebuild_on_reference: bool = False
    chained: bool = False
    """Each partition needs the previous one of the same node (`$self`, merge, snapshot)."""
    tells: bool = False
    """Stale partitions are recomputed only on request (an export with `on_restatement: tell`)."""
    settled: bool = False
    """It waits for unpartitioned references as for required inputs: an export shows both, and they
    must agree."""
    expect_by: str | None = None
    """For a source: how long after an interval its delivery is promised; readers wait until then
    for it as an optional input."""
    watermark: bool = False
    """For a source: an interval is complete once a delivery of a later one has arrived."""
    complete_after: str | None = None
    """For a source: how long after its end an interval is complete."""
    restate_within: str | None = None
    """For a source: how long after an interval's end a restatement recomputes its readers without a
    request; None for always."""
    no_second_hour: str = ""
    """For a source: why nothing names the second of two hours with one name; empty if it can."""
    days_off: DaysOff = NO_DAYS_OFF
    """Days on which nothing is due."""
    untyped: bool = False
    """Its columns aren't known before its first publication, so nothing can read it before."""
    takes: tuple[Take, ...] = ()
    """Pool slots that an attempt needs in addition to a worker."""
    batch_max: int = 1
    """Maximum number of consecutive partitions that one attempt may compute."""
    called_each: bool = False
    """Its code is called once per partition, in a batch, too. Only short calls are batched, and
    only after successes, because an unsuccessful batch calls the code again for each partition."""
    priority: int | None = None
    """Declared priority: the larger runs first, before any deadline counts."""
    trigger: NodeTrigger | None = None
    promises: tuple[ConsumerDeadline, ...] = ()

    @property
    def parents(self) -> tuple[str, ...]:
        """The nodes directly upstream: inputs, and nodes that only have to run first."""
        return (*(spec.node for spec in self.inputs), *self.depends)

    def second_hour_reason(self, key: str) -> str:
        """Return why a partition of a source can't be delivered by name; empty if it can."""
        twice = self.no_second_hour and is_second_hour(key, self.partition, self.timezone)
        return self.no_second_hour if twice else ""


class Graph(msgspec.Struct, frozen=True):
    """All nodes in topological order, sources first."""

    nodes: tuple[GraphNode, ...]
    pools: dict[str, int] = {}
    """Name → slots of each pool that a node takes."""
    by_node: bool = False
    """Run ready partitions node by node, because nothing is due: this allows batches for readers of
    nodes without them. Otherwise the oldest interval runs first."""


# The trigger of a graph node from an asset's `trigger:`. The core and forecasts use the same one.

_SECOND_US = 1_000_000


def trigger_of(project: Project, asset: Asset) -> NodeTrigger | None:
    """Return what releases an asset; None without `trigger:`.

    It doesn't fire on its calendar's days off.
    """
    trigger = asset.trigger
    if trigger is None:
        return None
    every = trigger.get("interval")
    return NodeTrigger(
        cron=trigger.get("cron"),
        every_us=int(parse_duration(every).total_seconds() * _SECOND_US)
        if every is not None
        else None,
        arrival=_node_name(trigger.get("arrival")),
        upstream=_node_name(trigger.get("upstream")),
        outside=bool(trigger.get("webhook") or trigger.get("manual")),
        timezone=trigger.get("timezone") or asset.timezone,
        days_off=days_off(project, asset.calendar),
        latest=trigger.get("catch_up") == CatchUp.LATEST,
    )


def _node_name(value: object) -> str | None:
    """Return a node's name; empty for all nodes."""
    return None if value is None else value if isinstance(value, str) else ""


# Pool capacity. Limits of nodes and owners are pools like declared ones. The used capacity is
# computed from the running attempts, each of which holds its slots until it ends or its lease
# lapses. No counter is incremented and decremented, so a missed message loses no slots.

LAPSE_US = 60_000_000
"""Grace period after its time-out until an attempt with an unknown end releases its slots, in
microseconds."""
OF_NODE = "node:"
OF_OWNER = "owner:"

Takes = tuple[tuple[str, int], ...]
"""The (pool, slots) that an attempt at a node needs."""


class PoolLease(NamedTuple):
    """The slots that an attempt holds, until `expires_at` (microseconds)."""

    takes: Takes
    expires_at: int

    def holds(self, now: int) -> bool:
        """Whether the lease hasn't lapsed."""
        return now < self.expires_at + LAPSE_US


def slots_taken(node: GraphNode, pools: Mapping[str, int]) -> Takes:
    """Return the slots that an attempt at a node takes; undeclared pools have no limit.

    Where a pool has fewer slots than requested, the attempt takes all of them.
    """
    return tuple(
        (take.pool, min(take.slots, pools[take.pool])) for take in node.takes if take.pool in pools
    )


class PoolCapacity:
    """Free pool slots at one point in time, while slots are assigned by urgency."""

    def __init__(
        self, pools: Mapping[str, int], leases: Iterable[PoolLease], now: int, elsewhere: Takes = ()
    ) -> None:
        """`elsewhere` lists the slots of these pools that attempts of other cores hold."""
        self._pools = pools
        self._taken: dict[str, int] = {}
        if pools:
            self.take(elsewhere)
            for lease in leases:
                if lease.takes and lease.holds(now):
                    self.take(lease.takes)

    def take(self, takes: Takes) -> None:
        """Take slots."""
        for pool, slots in takes:
            self._taken[pool] = self._taken.get(pool, 0) + slots

    def in_use(self, pool: str) -> int:
        """Return the number of slots of a pool that aren't free."""
        return self._taken.get(pool, 0)

    def short(self, takes: Takes) -> list[str]:
        """Return the pools that don't have enough free slots."""
        return [
            pool for pool, slots in takes if self._taken.get(pool, 0) + slots > self._pools[pool]
        ]

    def wait(self, takes: Takes) -> None:
        """Reserve the free slots for the most urgent partition.

        Otherwise smaller ones could overtake it forever. A partition that waits only for its own
        node's limit reserves nothing, since no other node can take that.
        """
        if not all(pool.startswith(OF_NODE) for pool in self.short(takes)):
            self.take(takes)
