"""The applied graph as the core needs it: nodes, what each reads, and in which order they come."""

from __future__ import annotations

import msgspec

from headrace.model import InputSpec, PartitionSpec
from headrace.model.days_off import NO_DAYS_OFF, DaysOff


class GraphNode(msgspec.Struct, frozen=True):
    """A source or an asset. `timeout_us` bounds one attempt; `start` is the first expected partition, where declared."""

    name: str
    is_source: bool
    partition: PartitionSpec
    timezone: str
    inputs: tuple[InputSpec, ...] = ()
    depends: tuple[str, ...] = ()
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


class Graph(msgspec.Struct, frozen=True):
    """All nodes in topological order, sources first."""

    nodes: tuple[GraphNode, ...]
