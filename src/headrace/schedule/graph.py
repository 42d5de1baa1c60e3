"""The applied graph as the core needs it: nodes, what each reads, and in which order they come."""

from __future__ import annotations

import msgspec

from headrace.model import InputSpec, PartitionSpec


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


class Graph(msgspec.Struct, frozen=True):
    """All nodes in topological order, sources first."""

    nodes: tuple[GraphNode, ...]
