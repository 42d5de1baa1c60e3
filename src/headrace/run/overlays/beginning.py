"""What a plan's core starts from: production as it stands, without the partitions that the plan makes and hasn't made yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from headrace.schedule import AttemptId, Graph, GraphNode, Loaded, PartitionState, SchedulerCheckpoint
from headrace.schedule.events import KeptNode, SavedPartition
from headrace.schedule.ranges import IntegerSet, TerminalPartitions


class UnsuccessfulPartition(NamedTuple):
    """A partition that the plan tried to make, and how that ended: `held`, `rejected` or `failed`. `sample` is JSON of some rows that
    broke a check; `attempt` is None where none was made."""

    node: str
    key: str
    state: PartitionState
    reason: str
    attempt: AttemptId | None = None
    sample: str | None = None


def graph_below(graph: Graph, wanted: Collection[str]) -> Graph:
    """The nodes that are made, and all that they come from. Nothing is triggered in a plan, nothing due, nothing too late for it:
    somebody has asked."""
    needed = set(wanted)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= {spec.node for spec in node.inputs} | set(node.depends)
    made = set(wanted)
    kept = (
        replace(node, checked_against=tuple(name for name in node.checked_against if name in made))
        for node in graph.nodes
        if node.name in needed
    )  # what the plan doesn't make, it is checked against as readers see it
    return Graph(
        tuple(replace(node, trigger=None, promises=(), restate_within=None, tells=False) for node in kept), graph.pools, by_node=True
    )


def known_keys(checkpoint: SchedulerCheckpoint, node: GraphNode) -> Iterator[str]:
    """All partitions of a node that production has heard of: costs as much as there are."""
    if node.name in checkpoint.nodes:
        yield from _resting(node, checkpoint.nodes[node.name])
    yield from (tracked.key for tracked in checkpoint.tracked_partitions if tracked.node == node.name)


def loaded(graph: Graph, checkpoint: SchedulerCheckpoint, wanted: Mapping[str, Collection[str]], staged: Mapping[str, Collection[str]],
           ended: Iterable[UnsuccessfulPartition]) -> Loaded:  # fmt: skip
    """The event that a plan's core starts from. Of the partitions that are `wanted`, those that are `staged` are at rest, those that
    `ended` stand as they ended, and the others wait; whatever else production knows is as it is there."""
    nodes = {node.name: node for node in graph.nodes}
    stopped = {(partition.node, partition.key): partition for partition in ended}
    tracked_partitions = [
        _sound(tracked)
        for tracked in checkpoint.tracked_partitions
        if tracked.node in nodes and tracked.key not in wanted.get(tracked.node, ())
    ]
    for name, keys in wanted.items():
        done = staged.get(name, ())
        tracked_partitions += [_tracked(name, key, stopped.get((name, key))) for key in keys if key not in done]
    at_rest = {name: checkpoint.nodes[name] for name in nodes if name in checkpoint.nodes}
    for name, keys in wanted.items():
        at_rest[name] = _without(nodes[name], at_rest.get(name), keys, staged.get(name, ()))
    return Loaded(graph, checkpoint=replace(checkpoint, nodes=at_rest, tracked_partitions=tuple(tracked_partitions), complete=True))


def _sound(tracked: SavedPartition) -> SavedPartition:
    """A partition that isn't the plan's: nothing of production's is tried again here."""
    return replace(tracked, failures=0, not_before=None)


def _tracked(name: str, key: str, ended: UnsuccessfulPartition | None) -> SavedPartition:
    state, reason = (ended.state, ended.reason) if ended is not None else (PartitionState.WAITING, "")
    return SavedPartition(name, key, state, False, False, False, False, 0, None, reason, 0)


def _without(node: GraphNode, kept_node: KeptNode | None, keys: Iterable[str], staged: Iterable[str]) -> KeptNode:
    kept_node = kept_node or KeptNode(runs={}, named=(), oldest=None, newest=None, publication=0, expanded="")
    resting = _resting(node, kept_node)
    for key in keys:
        resting.discard(key)
    for key in staged:
        resting.add(key)
    return replace(kept_node, runs={data: tuple(runs.edges) for data, runs in resting.runs.items()}, named=tuple(resting.named))


def _resting(node: GraphNode, kept_node: KeptNode) -> TerminalPartitions:
    resting = TerminalPartitions(node.partition, node.timezone)
    resting.runs = {data: IntegerSet(edges) for data, edges in kept_node.runs.items()}
    resting.named = dict.fromkeys(kept_node.named)
    return resting
