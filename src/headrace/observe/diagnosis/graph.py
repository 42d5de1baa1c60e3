"""What is made of what, as attribution needs it: nodes with their inputs, the columns that reach from one to another, and owners."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property

import msgspec

from headrace.model import InputMode, InputSpec, PartitionSpec, Place, UsageError
from headrace.model.required import dependents
from headrace.observe.declared_promises import DeclaredPromises, Node, Terms
from headrace.observe.diagnosis.columns import Flow, flow_of
from headrace.plan.bodies import ColumnLineage
from headrace.plan.joining import joined_by

KEYS_MAX = 400
"""What reaches more partitions than this is taken to reach all."""


class CauseNode(msgspec.Struct, frozen=True, gc=False):
    """A source, an asset, or a consumer; `inputs` are final."""

    name: str
    inputs: tuple[InputSpec, ...] = ()
    is_source: bool = False
    partition: PartitionSpec = PartitionSpec()
    timezone: str = "UTC"
    owner: str = ""


def lines_unknown(_: str) -> ColumnLineage | None:
    """Of a graph whose columns aren't known: everything of an input reaches everything."""
    return None


class CauseGraph:
    """Nodes in topological order. `lines` gives what the columns of one node come from, and is asked only for nodes that lie between
    a cause and a symptom, once; None where that isn't known. Keep a graph as long as the project that it is of is applied."""

    def __init__(self, nodes: Iterable[CauseNode], lines: Callable[[str], ColumnLineage | None] = lines_unknown) -> None:
        self.nodes: dict[str, CauseNode] = {node.name: node for node in nodes}
        self._names = list(self.nodes)
        self._rank = {name: number for number, name in enumerate(self._names)}
        self._inputs = [tuple(self._rank[i.node] for i in node.inputs if i.node in self._rank) for node in self.nodes.values()]
        self._plain = {name: tuple(self._is_plain(node, spec) for spec in node.inputs) for name, node in self.nodes.items()}
        self._sources = self._found_sources()
        self._lines, self._flows = lines, dict[str, Flow]()
        self._bits: dict[str, dict[str, int]] = {}

    def _is_plain(self, node: CauseNode, spec: InputSpec) -> bool:
        """Whether each partition is made of the same one of the input."""
        read = self.nodes.get(spec.node)
        same = read is not None and read.partition == node.partition and read.timezone == node.timezone
        return same and spec.mode is InputMode.REQUIRED and spec.lookback is None

    def _found_sources(self) -> list[int]:
        """Of each node, as bits, the sources that it is made of."""
        results: list[int] = []
        for number, node in enumerate(self.nodes.values()):
            mask = 1 << number if node.is_source else 0
            for above in self._inputs[number]:
                mask |= results[above] if above < number else 0
            results.append(mask)
        return results

    def rank(self, node: str) -> int:
        """Its place in topological order. KeyError for one that isn't in the graph."""
        return self._rank[node]

    def owner(self, node: str) -> str:
        """Whose it is; empty where that isn't known."""
        cause_node = self.nodes.get(node)
        return "" if cause_node is None else cause_node.owner

    def is_source(self, node: str) -> bool:
        """Whether its data comes from outside."""
        cause_node = self.nodes.get(node)
        return cause_node is not None and cause_node.is_source

    def joins(self, node: str) -> bool:
        """Whether it is made of several others."""
        return len(self._inputs[self._rank[node]]) > 1 if node in self._rank else False

    def joined_by(self, node: str, columns: Collection[str]) -> bool:
        """Whether something that is made of a node is joined by one of these columns of it, under
        whatever name they get there. False where no columns are known."""
        return joined_by(node, columns, lambda name: self.readers([name]), self._lines)

    def readers(self, names: Collection[str]) -> list[str]:
        """The nodes that are made of one of these."""
        return sorted({reader for name in names for reader in self._readers.get(name, ())}, key=self._rank.__getitem__)

    @cached_property
    def _readers(self) -> dict[str, list[str]]:
        results: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for spec in node.inputs:
                results.setdefault(spec.node, []).append(node.name)
        return results

    def common_sources(self, nodes: Iterable[str]) -> list[str]:
        """The sources that all of these nodes are made of."""
        mask = -1
        for name in nodes:
            mask &= self._sources[self._rank[name]]
        results = []
        while mask > 0:
            lowest = mask & -mask
            results.append(self._names[lowest.bit_length() - 1])
            mask ^= lowest
        return results

    def between(self, nodes: Iterable[str]) -> list[str]:
        """These nodes and all that lies above one of them and may lie below another, in topological order."""
        ranks = [self._rank[name] for name in nodes if name in self._rank]
        if not ranks:
            return []
        first, last = min(ranks), max(ranks)
        marked = bytearray(last + 1)
        for rank in ranks:
            marked[rank] = 1
        for rank in range(last, first, -1):
            if marked[rank]:
                for above in self._inputs[rank]:
                    marked[above] = 1
        return [self._names[rank] for rank in range(first, last + 1) if marked[rank]]

    def bits(self, node: str, columns: Iterable[str]) -> int:
        """Columns of a node as bits."""
        known, mask = self._bits.setdefault(node, {}), 0
        for column in columns:
            mask |= 1 << known.setdefault(column.lower(), len(known))
        return mask

    def flow(self, node: str) -> Flow:
        """How columns of its inputs reach its own."""
        if node not in self._flows:
            reads = [spec.node for spec in self.nodes[node].inputs]
            self._flows[node] = flow_of(self._lines(node), reads, lambda of, column: self.bits(of, (column,)), node)
        return self._flows[node]

    def onto(self, node: str, at: int, keys: frozenset[str] | None) -> frozenset[str] | None:
        """The partitions of a node that are made of some of its input number `at`; None: all, or it can't be said."""
        if keys is None or self._plain[node][at]:
            return keys
        reader, spec = self.nodes[node], self.nodes[node].inputs[at]
        read, results = self.nodes[spec.node], set[str]()
        for key in keys:
            try:
                made = dependents(key, reader.partition, reader.timezone, read.partition, read.timezone, spec)
            except (UsageError, ValueError):
                return None  # a key of another grain, from before the declaration changed
            if made is None or reader.partition.whole:
                return None
            results.update(made)
        return frozenset(results) if len(results) <= KEYS_MAX else None


def graph_of(
    declared_promises: DeclaredPromises, owners: Mapping[str, str], lines: Callable[[str], ColumnLineage | None] = lines_unknown
) -> CauseGraph:
    """The graph of an applied project: its nodes, then its consumers, which read at their own pace."""
    nodes = [
        CauseNode(node.name, node.inputs, node.is_source, node.partition, node.timezone, owners.get(node.name, ""))
        for node in declared_promises.nodes.values()
    ]
    readers = [
        _reader(consumer, declared_promises.exports.get(consumer.consumer))
        for consumer in declared_promises.consumers
        if consumer.consumer not in declared_promises.nodes
    ]
    return CauseGraph((*nodes, *readers), lines)


def _reader(terms: Terms, export: Node | None) -> CauseNode:
    if export is not None:
        return CauseNode(export.name, export.inputs, partition=export.partition, timezone=export.timezone, owner=terms.owner)
    inputs = tuple(InputSpec(node=read, place=Place(file="")) for read in terms.reads)
    return CauseNode(terms.consumer, inputs, partition=PartitionSpec(grain=terms.per), timezone=terms.timezone, owner=terms.owner)
