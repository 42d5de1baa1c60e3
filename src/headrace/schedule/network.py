"""The graph's links both ways, and what follows from the graph alone."""

from __future__ import annotations

from headrace.model import Grain, InputMode, InputSpec
from headrace.model.intervals import GRAINS
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.partition_states import PartitionStates
from headrace.schedule.readiness import InputLink


class Network:
    """Who reads whom."""

    def __init__(self, graph: Graph, partition_states: PartitionStates) -> None:
        self.nodes = partition_states.nodes
        self.order = tuple(self.nodes)
        self.rank = {name: i for i, name in enumerate(self.order)}
        self.links: dict[str, tuple[InputLink, ...]] = {}
        self.children: dict[str, list[tuple[GraphNode, InputLink]]] = {n.name: [] for n in graph.nodes}
        self.followers: dict[str, list[str]] = {n.name: [] for n in graph.nodes}
        self.heirs: dict[str, list[GraphNode]] = {n.name: [] for n in graph.nodes}
        """Nodes whose keys grow with a node's: a key that is heard of there is expected here, so that nothing gathers the keys of an
        interval before all of them have come through."""
        self.gathers: dict[str, frozenset[str]] = {}
        """Nodes that read all that is published of partitioned inputs → their ancestors: they run when those are at rest, not
        once a partition."""
        self.free: set[str] = set()
        """Nodes for whose intervals nothing may be due, by a calendar of their own or of what they read."""
        self.coarse: set[str] = set()
        """Nodes that need only longer intervals: nothing but time says when one of theirs has come."""
        self._ancestors: dict[str, set[str]] = {}
        for node in graph.nodes:
            self._link(node, partition_states)

    def _link(self, node: GraphNode, partition_states: PartitionStates) -> None:
        followed = not self.paced(node)
        links = tuple(
            InputLink(node, spec, self.nodes[spec.node], partition_states, followed=followed, promised=self._promised(spec))
            for spec in node.inputs
        )
        self.links[node.name] = links
        for link in links:
            self.children[link.input.name].append((node, link))
        for spec in node.inputs:
            if _inherits(node, spec, self.nodes[spec.node]):
                self.heirs[spec.node].append(node)
        for name in dict.fromkeys((*node.depends, *self.checked_against(node))):
            self.followers[name].append(node.name)
        if any(link.gathers or (node.settled and link.newest and link.input.name in self.gathers) for link in links):
            self.gathers[node.name] = frozenset(self.ancestors(node))
        paced = [link.input.partition.grain for link in links if not link.newest and not link.optional]
        if paced and all(_longer(grain, node.partition.grain) for grain in paced):
            self.coarse.add(node.name)
        if not node.days_off.none or any(spec.node in self.free for spec in node.inputs):
            self.free.add(node.name)

    def checked_against(self, node: GraphNode) -> tuple[str, ...]:
        """What a node's checks read, as far as it is in the graph."""
        return tuple(name for name in node.checked_against if name in self.nodes)

    def paced(self, node: GraphNode) -> bool:
        """Whether something that is cut is required of an input: that is what the node's partitions come from."""
        return any(self._paces(node, spec) for spec in node.inputs if spec.mode is not InputMode.ALL and not spec.optional)

    def _paces(self, node: GraphNode, spec: InputSpec) -> bool:
        cut = self.nodes[spec.node].partition
        return not cut.whole and (not cut.by_delivery or node.partition.grain is None)

    def ancestors(self, node: GraphNode) -> set[str]:
        """All nodes that a node comes after."""
        pending = [node]
        while pending:  # not by recursion: a chain may be longer than the stack
            graph_node = pending[-1]
            if graph_node.name not in self._ancestors:
                before = [self.nodes[name] for name in (*(spec.node for spec in graph_node.inputs), *graph_node.depends)]
                unknown = [other for other in before if other.name not in self._ancestors]
                if unknown:
                    pending += unknown
                    continue
                self._ancestors[graph_node.name] = {name for other in before for name in (other.name, *self._ancestors[other.name])}
            pending.pop()
        return self._ancestors[node.name]

    def _promised(self, spec: InputSpec) -> list[GraphNode]:
        """The sources that an optional input comes from."""
        if not spec.optional:
            return []
        results = {spec.node} | self.ancestors(self.nodes[spec.node])
        return [self.nodes[name] for name in sorted(results) if self.nodes[name].is_source]


def _longer(grain: Grain | None, other: Grain | None) -> bool:
    return grain is not None and other is not None and GRAINS.index(grain) > GRAINS.index(other)


def _inherits(node: GraphNode, spec: InputSpec, source: GraphNode) -> bool:
    """Whether each key of an input's interval is one of the same interval of the node, too."""
    out, into = node.partition, source.partition
    required = spec.mode is InputMode.REQUIRED and not spec.optional
    return (
        required
        and out.key is not None
        and out.values is None
        and (out.grain, out.key) == (into.grain, into.key)
        and node.timezone == source.timezone
    )
