"""The applied graph as the core needs it: nodes, what each reads, and in which order they come."""

from __future__ import annotations

import msgspec

from headrace.model import Grain, InputSpec, PartitionSpec
from headrace.model.days_off import NO_DAYS_OFF, DaysOff


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
