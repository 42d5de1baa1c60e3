"""Dependencies between partitions: links of inputs, the network, and consumers' deadlines."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from functools import partial

from headrace.model import Grain, InputMode, InputSpec
from headrace.model.intervals import DAY_US, GRAINS, bounds_us, key_at_us
from headrace.model.partitions import WHOLE, dependents, required, split
from headrace.model.reachability import reachable
from headrace.model.times import DaysOff, Duration, Offset
from headrace.scheduler.graph import ConsumerDeadline, Graph, GraphNode
from headrace.scheduler.partition_states import PartitionStates, bounds

# Upstream partitions of a partition, and downstream partitions of an input's partition (SEMANTICS
# §2, §3).

KEYS_CACHED_MAX = 10_000
"""Number of cached answers per link: computing one takes a thousand times as long as a lookup."""


class InputLink:
    """One input of one node, with the mapping between their partitions.

    `needs(key)` returns the input's partitions that an output partition requires; `touches(key)`
    returns the output partitions that require an input's partition.

    `newest` links have no particular partition to wait for: references, `all`, and outputs that
    read all publications. `promised` lists the sources of an optional input, each with its promised
    time.
    """

    __slots__ = (
        "_every",
        "_known",
        "_output",
        "_partition_states",
        "_promised",
        "_touched",
        "delivers",
        "gathers",
        "input",
        "newest",
        "optional",
        "ordered",
        "same",
        "spec",
        "stales",
    )  # fmt: skip

    def __init__(
        self,
        output: GraphNode,
        spec: InputSpec,
        source: GraphNode,
        partition_states: PartitionStates,
        *,
        followed: bool = False,
        promised: Collection[GraphNode] = (),
    ) -> None:
        """`followed`.

        The output reads only unpartitioned inputs, so they trigger it and aren't references.
        """
        self._output, self.spec, self.input, self._partition_states = (
            output,
            spec,
            source,
            partition_states,
        )
        self.optional = spec.optional
        self._promised = [
            (node, Offset.parse(node.expect_by)) for node in promised if node.expect_by is not None
        ]
        out, into = output.partition, source.partition
        self.same = _same_partition(output, spec, source)
        plain = spec.mode is InputMode.REQUIRED and not spec.optional
        self.delivers = out.by_delivery and into.whole and plain and followed
        """Each publication of the input is a partition of the output."""
        self._every = (
            out.values is not None and out.grain is None and into.whole and plain and followed
        )
        """Each listed key is computed from the whole input."""
        self.newest = not self.same and not self._every and _newest(output, spec, source)
        gathered = out.whole or (
            out.grain is None
            and not out.by_delivery
            and spec.mode is not InputMode.ALL
            and not into.whole
        )
        self.gathers = self.newest and gathered
        """The whole input is required: the output runs once the input is terminal, not once per
        partition."""
        self.stales = self.gathers or not self.newest or output.rebuild_on_reference
        cut = not self.newest and out.grain is not None and into.grain is not None
        self.ordered = (
            cut
            and out.key is None
            and into.key is None
            and Grain.HOUR not in (out.grain, into.grain)
        )
        """Consecutive intervals of the input map to consecutive ones of the output, so two of them
        enclose all between. Hours are excluded, because some have no number."""
        self._known: dict[str, tuple[str, ...]] = {}
        self._touched: dict[str, tuple[str, ...]] = {}

    def needs(self, key: str) -> tuple[str, ...]:
        """Return the input's partitions that must be published before `key` runs.

        None for `newest` links.
        """
        if self.same:
            return (key,)
        if self._every:
            return (WHOLE,)
        if self.newest:
            return self._referred(key)
        if self.input.partition.grows:
            return self._needs(key)
        results = self._known.get(key)
        if results is None:
            results = _cached(self._known, key, self._needs(key))
        return results

    @property
    def reads_newest(self) -> bool:
        """Whether the output reads the input's newest publications, complete or not."""
        return self.newest and not self.gathers

    def touches(self, key: str) -> Iterable[str]:
        """Return the output's partitions that read the input's partition `key`.

        None for a reference.
        """
        if self.same:
            return (key,)
        if self._output.partition.whole:
            return (WHOLE,)
        if self._every:
            return self._output.partition.values or ()
        if self.reads_newest:
            return ()
        if self._output.partition.grows:
            return self._touches(key)
        results = self._touched.get(key)
        if results is None:
            results = _cached(self._touched, key, self._touches(key))
        return results

    def given_up(self, key: str) -> int | None:
        """Return when an output stops waiting for an optional input's partition, in microseconds.

        None if it doesn't wait at all.
        """
        if self.input.partition.grain is None or not self._promised:
            return None
        end = bounds(self.input, key)[1]
        return max(
            by.after_us(end, node.timezone, node.days_off.holds) for node, by in self._promised
        )

    def _needs(self, key: str) -> tuple[str, ...]:
        output, source = self._output, self.input
        seen = partial(self._partition_states.seen, source.name)
        return (
            required(
                output.partition,
                output.timezone,
                key,
                source.partition,
                source.timezone,
                self.spec,
                seen,
            ).keys
            or ()
        )

    def _touches(self, key: str) -> tuple[str, ...]:
        output, source = self._output, self.input
        seen = partial(self._partition_states.seen, output.name)
        return (
            dependents(
                key,
                output.partition,
                output.timezone,
                source.partition,
                source.timezone,
                self.spec,
                seen,
            )
            or ()
        )

    def _referred(self, key: str) -> tuple[str, ...]:
        """Return the partition of a reference partitioned by key without time."""
        out, into = self._output.partition, self.input.partition
        if (
            out.key is None
            or into.key != out.key
            or into.grain is not None
            or self.spec.mode is InputMode.ALL
        ):
            return ()
        return (split(key, out)[1],)


def _same_partition(output: GraphNode, spec: InputSpec, source: GraphNode) -> bool:
    """Return whether each partition needs exactly the input's partition of the same name."""
    out, into = output.partition, source.partition
    if out.whole and into.whole:
        return True
    if spec.mode is not InputMode.REQUIRED or spec.lookback is not None or out.whole or into.whole:
        return False
    if out.by_delivery or into.by_delivery:
        return out.by_delivery and into.by_delivery
    return (
        out.grain == into.grain
        and out.key == into.key
        and (output.timezone == source.timezone or out.grain is None)
    )


def _newest(output: GraphNode, spec: InputSpec, source: GraphNode) -> bool:
    out, into = output.partition, source.partition
    if spec.mode is InputMode.ALL or into.whole or out.whole:
        return True
    if out.by_delivery or into.by_delivery:
        return not (out.by_delivery and into.by_delivery)
    if out.grain is None:
        return into.grain is not None
    return into.grain is None


def _cached(
    known: dict[str, tuple[str, ...]], key: str, results: tuple[str, ...]
) -> tuple[str, ...]:
    if len(known) >= KEYS_CACHED_MAX:
        known.clear()
    known[key] = results
    return results


# The graph's links in both directions, and facts that follow from the graph alone.


class Network:
    """The links of a graph in both directions."""

    def __init__(self, graph: Graph, partition_states: PartitionStates) -> None:
        self.nodes = partition_states.nodes
        self.order = tuple(self.nodes)
        self.rank = {name: i for i, name in enumerate(self.order)}
        self.links: dict[str, tuple[InputLink, ...]] = {}
        self.required: dict[str, tuple[InputLink, ...]] = {}
        """Node → its links that are neither references nor optional: they determine which of its
        partitions there are."""
        self.children: dict[str, list[tuple[GraphNode, InputLink]]] = {
            n.name: [] for n in graph.nodes
        }
        self.followers: dict[str, list[str]] = {n.name: [] for n in graph.nodes}
        self.heirs: dict[str, list[GraphNode]] = {n.name: [] for n in graph.nodes}
        """Nodes with a growing set of keys that inherit a node's keys. A new key there is expected
        here as well, so a fan-in doesn't collect the keys of an interval before all of them have
        arrived."""
        self.gathers: dict[str, frozenset[str]] = {}
        """Nodes that read all publications of partitioned inputs → their ancestors: such a node
        runs when those are terminal, not once per partition."""
        self.free: set[str] = set()
        """Nodes that may have intervals with nothing due, by their own calendar or those of their
        inputs."""
        self.coarse: set[str] = set()
        """Nodes that need only longer intervals: time alone makes their partitions expected."""
        self._ancestors: dict[str, set[str]] = {}
        for node in graph.nodes:
            self._link(node, partition_states)
            self._classify(node)

    def _link(self, node: GraphNode, partition_states: PartitionStates) -> None:
        """Add the links of a node in both directions."""
        followed = not self.paced(node)
        links = tuple(
            InputLink(
                node,
                spec,
                self.nodes[spec.node],
                partition_states,
                followed=followed,
                promised=self._promised(spec),
            )
            for spec in node.inputs
        )
        self.links[node.name] = links
        self.required[node.name] = tuple(
            link for link in links if not link.newest and not link.optional
        )
        for link in links:
            self.children[link.input.name].append((node, link))
        for spec in node.inputs:
            if _inherits(node, spec, self.nodes[spec.node]):
                self.heirs[spec.node].append(node)
        for name in dict.fromkeys((*node.depends, *self.checked_against(node))):
            self.followers[name].append(node.name)

    def _classify(self, node: GraphNode) -> None:
        """Add a linked node to the kinds that the scheduler treats in their own way."""
        if any(
            link.gathers or (node.settled and link.newest and link.input.name in self.gathers)
            for link in self.links[node.name]
        ):
            self.gathers[node.name] = frozenset(self.ancestors(node))
        paced = [link.input.partition.grain for link in self.required[node.name]]
        if paced and all(_longer(grain, node.partition.grain) for grain in paced):
            self.coarse.add(node.name)
        if not node.days_off.none or any(spec.node in self.free for spec in node.inputs):
            self.free.add(node.name)

    def checked_against(self, node: GraphNode) -> tuple[str, ...]:
        """Return the nodes in the graph that a node's checks read."""
        return tuple(name for name in node.checked_against if name in self.nodes)

    def paced(self, node: GraphNode) -> bool:
        """Return whether a node requires a partitioned input, which determines its partitions."""
        return any(
            self._paces(node, spec)
            for spec in node.inputs
            if spec.mode is not InputMode.ALL and not spec.optional
        )

    def _paces(self, node: GraphNode, spec: InputSpec) -> bool:
        cut = self.nodes[spec.node].partition
        return not cut.whole if node.partition.grain is None else cut.grain is not None

    def ancestors(self, node: GraphNode) -> set[str]:
        """Return all nodes upstream of a node."""
        if node.name not in self._ancestors:
            above = reachable([node.name], lambda name: self.nodes[name].parents)
            self._ancestors[node.name] = above.keys() - {node.name}
        return self._ancestors[node.name]

    def _promised(self, spec: InputSpec) -> list[GraphNode]:
        """Return the sources upstream of an optional input."""
        if not spec.optional:
            return []
        results = {spec.node} | self.ancestors(self.nodes[spec.node])
        return [self.nodes[name] for name in sorted(results) if self.nodes[name].is_source]


def _longer(grain: Grain | None, other: Grain | None) -> bool:
    return grain is not None and other is not None and GRAINS.index(grain) > GRAINS.index(other)


def _inherits(node: GraphNode, spec: InputSpec, source: GraphNode) -> bool:
    """Return whether each key of an input's interval is a key of the node's interval as well."""
    out, into = node.partition, source.partition
    required = spec.mode is InputMode.REQUIRED and not spec.optional
    return (
        required
        and out.key is not None
        and out.values is None
        and (out.grain, out.key) == (into.grain, into.key)
        and node.timezone == source.timezone
    )


# Consumers' deadlines at each node: the latest time by which a partition has to begin. Whether a
# deadline will be met is answered by `PartitionForecaster` in `headrace.scheduler.forecast`;
# other packages make one over `network_of(graph)`.

DEADLINES_CACHED_MAX = 1 << 14


def network_of(graph: Graph) -> Network:
    """Return the links of a graph, for forecasts without a core."""
    return Network(graph, PartitionStates({node.name: node for node in graph.nodes}))


def latest_safe_start(node: GraphNode, key: str, now: int) -> int | None:
    """Return the latest start for a partition so that every consumer's interval is on time.

    It assumes the usual duration of later nodes, and is in microseconds; None without a deadline.
    An unpartitioned node counts for the newest interval that has ended.
    """
    return min((_latest(promise, node, key, now) for promise in node.promises), default=None)


def urgency(node: GraphNode, key: str, now: int) -> int:
    """Return the latest safe start of a ready partition, in microseconds, as its rank.

    Without a deadline, it is the end of the day (UTC) after the one on which it became ready, so
    that it doesn't wait forever behind partitions with deadlines.
    """
    latest = latest_safe_start(node, key, now)
    return latest if latest is not None else (now // DAY_US + 2) * DAY_US


def _latest(promise: ConsumerDeadline, node: GraphNode, key: str, now: int) -> int:
    grain, zone = promise.grain, promise.timezone
    last = (
        bounds(node, key)[1] - 1
        if node.partition.grain is not None
        else _newest_end(grain, zone, now) - 1
    )
    return (
        _due(grain, zone, promise.due, promise.max_age, promise.days_off, last) - promise.after_us
    )


def _newest_end(grain: Grain, timezone: str, now: int) -> int:
    """Return when the newest ended interval ended, in microseconds."""
    return bounds_us(key_at_us(now, grain, timezone), grain, timezone)[0]


@functools.lru_cache(maxsize=DEADLINES_CACHED_MAX)
def _due(
    grain: Grain, timezone: str, due: str, max_age: str | None, off: DaysOff, last: int
) -> int:
    """Return when the interval that contains `last` is due, in microseconds.

    With `max_age`, this is when the previous interval becomes too old.
    """
    began, ended = bounds_us(key_at_us(last, grain, timezone), grain, timezone)
    if max_age is not None:
        return Duration.parse(max_age).after_us(began, timezone)
    return Offset.parse(due).after_us(ended, timezone, off.holds)
