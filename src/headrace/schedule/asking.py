"""Which partitions a request itself makes expected, beside those that inputs announce."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.model.intervals import bounds_us, key_at_us, keys_between, previous_key
from headrace.model.required import SEPARATOR, join
from headrace.schedule.events import Target
from headrace.schedule.graph import GraphNode
from headrace.schedule.needs import Needs
from headrace.schedule.network import Network
from headrace.schedule.partition_states import PartitionStates


def unprompted(
    node: GraphNode, target: Target, now: int, network: Network, needs: Needs, partition_states: PartitionStates
) -> Iterable[str]:
    """Partitions that no input announced: those of an asset that follows no input, and those that were asked for by name,
    so that it can be said what they wait for. What time alone brings is brought once, to be remembered by the partition states."""
    if node.is_source or node.partition.by_delivery:
        return ()
    announced = network.paced(node)
    if node.partition.grain is None:
        return () if node.partition.key is None else _listed(node, target, announced=announced or bool(node.inputs))
    first = target.first or (None if announced else partition_states.expanded.get(node.name, node.start))
    last = target.last or (None if announced else _newest_ended(node, now))
    if first is None or last is None:
        return ()
    if target == Target(node.name):
        partition_states.expanded[node.name] = last
    return [key for key in _between(node, first, last) if needs.expected(node, key)]


def _listed(node: GraphNode, target: Target, *, announced: bool) -> Iterable[str]:
    listed = node.partition.values or ()
    if target.first is not None and target.first == target.last:
        return [key for key in listed if key == target.first]
    return () if announced else listed


def _between(node: GraphNode, first: str, last: str) -> Iterable[str]:
    """The keys from one to another, with all listed keys of each interval; one that was named with its key is itself."""
    grain = node.partition.grain
    assert grain is not None
    if first == last and SEPARATOR in first:
        return [first]
    span = keys_between(first.partition(SEPARATOR)[0], last.partition(SEPARATOR)[0], grain, node.timezone)
    if node.partition.key is None:
        return span
    return (join(moment, data) for moment in span for data in node.partition.values or ())


def _newest_ended(node: GraphNode, now: int) -> str:
    """The newest partition of a node whose interval has ended."""
    grain = node.partition.grain
    assert grain is not None
    current = key_at_us(now, grain, node.timezone)
    return current if bounds_us(current, grain, node.timezone)[1] <= now else previous_key(current, grain, node.timezone)
