"""The graph that attribution walks: nodes, inputs, owners, and the reach of columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import msgspec

from headrace.incidents.diagnosis.candidates import CauseCandidate
from headrace.model import InputMode, InputSpec, PartitionSpec, Place, UsageError
from headrace.model.causes import CauseKind
from headrace.model.partitions import dependents
from headrace.plan.schemas import ColumnLineage, is_join_key
from headrace.slo.declared_promises import DeclaredPromises, Node, Terms
from headrace.sql.values import Edge

# How columns of a node's inputs reach its own, as bits, so that whole projects can be followed at
# once.

ALL = -1
"""All columns, as bits."""
_STAR = "*"
Bit = Callable[[str, str], int]
"""(node, column) → its bit."""


@dataclass
class _Input:
    """One input: what each column reaches, what any reaches, and the columns that select rows."""

    reaches: dict[int, int] = field(default_factory=dict)
    any: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Flow:
    """The flow from columns of inputs to a node's own columns.

    An input that the lineage doesn't name (read through a view, or unknown) reaches all columns.
    """

    inputs: dict[str, _Input]

    def through(self, node: str, columns: int) -> int:
        """Return the node's own columns that some of an input's columns reach."""
        result = self.inputs.get(node.lower())
        if result is None or not columns:
            return ALL if columns else 0
        if columns & result.rows:
            return ALL
        reached = result.any
        for bit, own_columns in result.reaches.items():
            if columns & bit:
                reached |= own_columns
        return reached

    def origins(self, own_columns: int) -> set[str]:
        """Return the inputs, in lower case, of some of a node's own columns; empty if unknown."""
        return {
            name
            for name, result in self.inputs.items()
            if result.any & own_columns
            or any(reached & own_columns for reached in result.reaches.values())
        }


def flow_of(lines: ColumnLineage | None, reads: Sequence[str], bit: Bit, node: str) -> Flow:
    """Return the flow of a node by its lineage; without any, everything reaches everything."""
    if lines is None:
        return Flow({})
    canonical = {name.lower(): name for name in reads}
    inputs: dict[str, _Input] = {}
    for column, edges in lines.columns.items():
        own_column = bit(node, column)
        for edge in edges:
            if edge.input in canonical:
                _add(
                    inputs.setdefault(edge.input, _Input()),
                    edge,
                    bit(canonical[edge.input], edge.column),
                    own_column,
                )
    for edge in lines.filters:
        if edge.input in canonical:
            result = inputs.setdefault(edge.input, _Input())
            result.rows |= _selecting_bits(edge, canonical[edge.input], bit)
    return Flow(inputs)


def _selecting_bits(edge: Edge, node: str, bit: Bit) -> int:
    """Return the columns of an input that select rows, as bits."""
    return ALL if edge.column == _STAR else bit(node, edge.column)


def _add(result: _Input, edge: Edge, column: int, own_column: int) -> None:
    if edge.column == _STAR:
        result.any |= own_column
    else:
        result.reaches[column] = result.reaches.get(column, 0) | own_column


KEYS_MAX = 400
"""Whatever reaches more partitions than this counts as reaching all."""


class CauseNode(msgspec.Struct, frozen=True, gc=False):
    """A source, an asset, or a consumer; `inputs` are final."""

    name: str
    inputs: tuple[InputSpec, ...] = ()
    is_source: bool = False
    partition: PartitionSpec = PartitionSpec()
    timezone: str = "UTC"
    owner: str = ""


def unknown_lines(_: str) -> ColumnLineage | None:
    """Return None: for a graph without lineage, in which every column reaches all others."""
    return None


class CauseGraph:
    """Nodes in topological order.

    `lines` returns the column lineage of a node, None if unknown. It is called once per node, only
    for nodes between a cause and a symptom. Create a graph once per applied version.
    """

    def __init__(
        self,
        nodes: Iterable[CauseNode],
        lines: Callable[[str], ColumnLineage | None] = unknown_lines,
    ) -> None:
        self.nodes: dict[str, CauseNode] = {node.name: node for node in nodes}
        self._names = list(self.nodes)
        self._rank = {name: number for number, name in enumerate(self._names)}
        self._inputs = [
            tuple(self._rank[i.node] for i in node.inputs if i.node in self._rank)
            for node in self.nodes.values()
        ]
        self._plain = {
            name: tuple(self._is_plain(node, spec) for spec in node.inputs)
            for name, node in self.nodes.items()
        }
        self._sources = self._found_sources()
        self._lines, self._flows = lines, dict[str, Flow]()
        self._bits: dict[str, dict[str, int]] = {}

    def _is_plain(self, node: CauseNode, spec: InputSpec) -> bool:
        """Return whether each partition reads the same partition of the input."""
        read = self.nodes.get(spec.node)
        same = (
            read is not None and read.partition == node.partition and read.timezone == node.timezone
        )
        return same and spec.mode is InputMode.REQUIRED and spec.lookback is None

    def _found_sources(self) -> list[int]:
        """Return, for each node, its sources as bits."""
        results: list[int] = []
        for number, node in enumerate(self.nodes.values()):
            mask = 1 << number if node.is_source else 0
            for above in self._inputs[number]:
                mask |= results[above] if above < number else 0
            results.append(mask)
        return results

    def rank(self, node: str) -> int:
        """Return the position in topological order. Raises KeyError for an unknown node."""
        return self._rank[node]

    def owner(self, node: str) -> str:
        """Return the owner of a node; empty if unknown."""
        cause_node = self.nodes.get(node)
        return "" if cause_node is None else cause_node.owner

    def is_source(self, node: str) -> bool:
        """Return whether a node's data comes from outside."""
        cause_node = self.nodes.get(node)
        return cause_node is not None and cause_node.is_source

    def joins(self, node: str) -> bool:
        """Return whether a node has several inputs."""
        return len(self._inputs[self._rank[node]]) > 1 if node in self._rank else False

    def joined_by(self, node: str, columns: Collection[str]) -> bool:
        """Return whether a downstream node is joined by one of these columns, under any name.

        False if no columns are known.
        """
        return is_join_key(node, columns, lambda name: self.readers([name]), self._lines)

    def readers(self, names: Collection[str]) -> list[str]:
        """Return the nodes that read any of these nodes."""
        return sorted(
            {reader for name in names for reader in self._readers.get(name, ())},
            key=self._rank.__getitem__,
        )

    @cached_property
    def _readers(self) -> dict[str, list[str]]:
        results: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for spec in node.inputs:
                results.setdefault(spec.node, []).append(node.name)
        return results

    def common_sources(self, nodes: Iterable[str]) -> list[str]:
        """Return the sources that all of these nodes have in common."""
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
        """Return these nodes and what is upstream of any of them, in topological order.

        Nodes before the first of these nodes are left out.
        """
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
        """Return columns of a node as bits."""
        known, mask = self._bits.setdefault(node, {}), 0
        for column in columns:
            mask |= 1 << known.setdefault(column.lower(), len(known))
        return mask

    def flow(self, node: str) -> Flow:
        """Return how columns of a node's inputs reach its own."""
        if node not in self._flows:
            reads = [spec.node for spec in self.nodes[node].inputs]
            self._flows[node] = flow_of(
                self._lines(node), reads, lambda of, column: self.bits(of, (column,)), node
            )
        return self._flows[node]

    def onto(self, node: str, at: int, keys: frozenset[str] | None) -> frozenset[str] | None:
        """Return the partitions of a node made from these partitions of its input number `at`.

        None: all, or unknown.
        """
        if keys is None or self._plain[node][at]:
            return keys
        reader, spec = self.nodes[node], self.nodes[node].inputs[at]
        read, results = self.nodes[spec.node], set[str]()
        for key in keys:
            try:
                dependent_keys = dependents(
                    key, reader.partition, reader.timezone, read.partition, read.timezone, spec
                )
            except (UsageError, ValueError):
                return None  # a key of another grain, from before the declaration changed
            if dependent_keys is None or reader.partition.whole:
                return None
            results.update(dependent_keys)
        return frozenset(results) if len(results) <= KEYS_MAX else None


def graph_of(
    declared_promises: DeclaredPromises,
    owners: Mapping[str, str],
    lines: Callable[[str], ColumnLineage | None] = unknown_lines,
) -> CauseGraph:
    """Return the graph of an applied project: its nodes, then its consumers.

    Consumers have their own partitioning.
    """
    nodes = [
        CauseNode(
            node.name,
            node.inputs,
            node.is_source,
            node.partition,
            node.timezone,
            owners.get(node.name, ""),
        )
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
        return CauseNode(
            export.name,
            export.inputs,
            partition=export.partition,
            timezone=export.timezone,
            owner=terms.owner,
        )
    inputs = tuple(InputSpec(node=read, place=Place(file="")) for read in terms.reads)
    return CauseNode(
        terms.consumer,
        inputs,
        partition=PartitionSpec(grain=terms.per),
        timezone=terms.timezone,
        owner=terms.owner,
    )


# What causes reach, node by node in the direction of the data flow: along which columns, in which
# partitions, over how many steps.

ABOVE_MAX = 12
"""At most this many upstream causes per node are considered, in the order of the sources."""
OF_ROWS = frozenset(
    {
        CauseKind.VOLUME_ANOMALY,
        CauseKind.DUPLICATE_ROWS,
        CauseKind.STALE_DATA,
        CauseKind.RESTATEMENT,
        CauseKind.FORMAT_CHANGE,
    }
)
"""Kinds about rows: missing, repeated, stale or misread rows affect all columns."""


class CauseReach(NamedTuple):
    """How a cause reaches a node.

    `columns` are bits (0 if only rows may be missing); `partitions` None: all.
    """

    columns: int
    partitions: frozenset[str] | None
    hops: int

    def covers(self, partition: str) -> bool:
        """Return whether a partition is reached; evidence without a partition always may be."""
        return self.partitions is None or partition in ("", "*") or partition in self.partitions


Above = dict[CauseCandidate, CauseReach]


def reach_at_own_node(graph: CauseGraph, cause: CauseCandidate) -> CauseReach:
    """Return what a cause reaches at its own node."""
    whole = cause.kind in OF_ROWS or not cause.columns
    return CauseReach(
        ALL if whole else graph.bits(cause.node, cause.columns), cause.partitions or None, 0
    )


def reach_of_inputs(graph: CauseGraph, node: str, above: Mapping[str, Above]) -> Above:
    """Return what reaches a node through its inputs.

    A published cause ends where none of its columns continues.
    """
    reaches: Above = {}
    for at, spec in enumerate(graph.nodes[node].inputs):
        for cause, reach in above.get(spec.node, {}).items():
            through = _through_input(graph, node, at, cause, reach)
            if through is None:
                continue
            known = reaches.get(cause)
            if known is not None:
                reaches[cause] = _both(known, through)
            elif len(reaches) < ABOVE_MAX:
                reaches[cause] = through
    return reaches


def _through_input(
    graph: CauseGraph, node: str, at: int, cause: CauseCandidate, reach: CauseReach
) -> CauseReach | None:
    """Return how a cause reaches a node through its input number `at`; None if it doesn't."""
    columns = reach.columns
    if columns != ALL:
        columns = graph.flow(node).through(graph.nodes[node].inputs[at].node, columns)
    if not columns and not cause.is_held:
        return None
    keys = graph.onto(node, at, reach.partitions)
    if keys is not None and not keys:
        return None
    return CauseReach(columns, keys, reach.hops + 1)


def _both(known: CauseReach, other: CauseReach) -> CauseReach:
    """Return the union of what is reached over two inputs."""
    keys = other.partitions
    if keys is not known.partitions:
        keys = None if keys is None or known.partitions is None else keys | known.partitions
    return CauseReach(other.columns | known.columns, keys, min(other.hops, known.hops))


def made_of(graph: CauseGraph, node: str, columns: Iterable[str]) -> frozenset[str]:
    """Return the assets that use some of a node's columns, directly or not."""
    reached = {node: graph.bits(node, tuple(columns))}
    for name in islice(graph.nodes, graph.rank(node) + 1, None):
        reached_columns = 0
        for spec in graph.nodes[name].inputs:
            if bits := reached.get(spec.node):
                reached_columns |= graph.flow(name).through(spec.node, bits)
        if reached_columns:
            reached[name] = reached_columns
    return frozenset(reached) - {node}
