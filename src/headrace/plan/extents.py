"""Sets of one node's partitions as ranges, and what sets are computed with: a cost by ranges, never by partitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from headrace.model.nodes import Grain, Value
from headrace.model.required import SEPARATOR, delivery_key
from headrace.plan.backfills import BackfillSpan
from headrace.schedule import GraphNode
from headrace.schedule.ranges import TerminalPartitions, written

Edges: TypeAlias = tuple[int, ...]
"""Numbers at which membership changes: where an odd count of them lies at or below a number, it is in."""
EVERYTHING: Edges = (-(1 << 62), 1 << 62)


ANY_KEY = "*"
"""In place of a data's key: an interval of which it isn't known yet which keys it has."""


class Extent(Value):
    """Partitions of one node. `runs`: the data's key (empty where data isn't cut that way) → intervals, or deliveries, by their
    numbers; `named`: what has no number."""

    runs: Mapping[str, Edges] = {}
    named: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.named) + sum(map(size, self.runs.values()))

    def __bool__(self) -> bool:
        return bool(self.named or self.runs)

    def __or__(self, other: Extent) -> Extent:
        keys = self.runs.keys() | other.runs.keys()
        return made({key: union(self.runs.get(key, ()), other.runs.get(key, ())) for key in keys}, self.named | other.named)

    def __and__(self, other: Extent) -> Extent:
        keys = self.runs.keys() & other.runs.keys()
        return made({key: common(self.runs[key], other.runs[key]) for key in keys}, self.named & other.named)

    def __sub__(self, other: Extent) -> Extent:
        runs = {key: minus(edges, other.runs.get(key, ())) for key, edges in self.runs.items()}
        return made(runs, self.named - other.named)

    @property
    def times(self) -> Edges:
        """The intervals of which there is any data's key."""
        return union(*self.runs.values())


NOTHING = Extent()


def made(runs: Mapping[str, Edges], named: Iterable[str] = ()) -> Extent:
    """An extent without empty parts."""
    return Extent(runs={key: edges for key, edges in runs.items() if edges}, named=frozenset(named))


def of_keys(node: GraphNode, keys: Iterable[str]) -> Extent:
    """The partitions with these keys."""
    places, numbers, named = TerminalPartitions(node.partition, node.timezone), dict[str, list[int]](), []
    for key in keys:
        number, data = places.place(key)
        if number is None:
            named.append(key)
        else:
            numbers.setdefault(data, []).append(number)
    return made({data: edges_of(results) for data, results in numbers.items()}, named)


def edges_of(numbers: Iterable[int]) -> Edges:
    """The set of these numbers."""
    edges: list[int] = []
    for number in sorted(set(numbers)):
        if edges and edges[-1] == number:
            edges[-1] = number + 1
        else:
            edges += (number, number + 1)
    return tuple(edges)


def size(edges: Edges) -> int:
    """How many numbers a set has."""
    return sum(edges[1::2]) - sum(edges[::2])


def ranges(edges: Edges) -> Iterator[tuple[int, int]]:
    """Each run: its first number and its last."""
    return ((first, beyond - 1) for first, beyond in zip(edges[::2], edges[1::2], strict=True))


def holds(edges: Edges, number: int) -> bool:
    """Whether a number is in."""
    return any(first <= number <= last for first, last in ranges(edges))


def union(*sets: Edges) -> Edges:
    """What is in any of them."""
    full = [edges for edges in sets if edges]
    if len(full) < 2:
        return full[0] if full else ()
    steps = sorted((number, 1 - 2 * (place % 2)) for edges in full for place, number in enumerate(edges))
    results: list[int] = []
    depth = 0
    for number, step in steps:
        before, depth = depth, depth + step
        if (before == 0) != (depth == 0):
            if results and results[-1] == number:
                results.pop()
            else:
                results.append(number)
    return tuple(results)


def minus(item: Edges, other: Edges) -> Edges:
    """What is in the first and not in the second."""
    return common(item, _beside(other))


def common(item: Edges, other: Edges) -> Edges:
    """What is in both."""
    results: list[int] = []
    i = j = 0
    while i < len(item) and j < len(other):
        first, beyond = max(item[i], other[j]), min(item[i + 1], other[j + 1])
        if first < beyond:
            results += (first, beyond)
        if item[i + 1] <= other[j + 1]:
            i += 2
        else:
            j += 2
    return tuple(results)


def _beside(edges: Edges) -> Edges:
    """What isn't in."""
    if not edges:
        return EVERYTHING
    return (EVERYTHING[0], *edges, EVERYTHING[1])


class Ordered(NamedTuple):
    """A range as it is written, with what sorts it among those of its node."""

    order: tuple[int, int, str]
    span: BackfillSpan


def spans(node: GraphNode, extent: Extent, known: Extent = NOTHING) -> tuple[BackfillSpan, ...]:
    """The ranges of an extent in the order of time. Intervals of which all keys are in, the listed ones or those that are `known`, are
    written without key."""
    keyed = node.partition.key is not None and node.partition.grain is not None
    whole = _all_keys(node, extent, known) if keyed else ()
    results = [_written(node, first, last, None) for first, last in ranges(whole)]
    for data, edges in sorted(extent.runs.items()):
        for first, last in ranges(minus(edges, whole)):
            results += [_written(node, n, n, data) for n in range(first, last + 1)] if keyed else [_written(node, first, last, None)]
    results += [Ordered((1, 0, key), BackfillSpan(first=key, last=key)) for key in sorted(extent.named)]
    return tuple(item.span for item in sorted(results, key=lambda one: one.order))


def _all_keys(node: GraphNode, extent: Extent, known: Extent) -> Edges:
    """The intervals of which every key is in."""
    listed = node.partition.values
    there = dict.fromkeys(listed, extent.times) if listed is not None else known.runs
    out = [minus(edges, extent.runs.get(data, ())) for data, edges in there.items()]
    return minus(extent.times, union(*out))


def _written(node: GraphNode, first: int, last: int, data: str | None) -> Ordered:
    item, other = key_of(node, first, data), key_of(node, last, data)
    return Ordered((0, first, data or ""), BackfillSpan(first=item, last=other))


def key_of(node: GraphNode, number: int, data: str | None = None) -> str:
    """The key of an interval, or of a delivery, with the data's key where one is given."""
    grain = node.partition.grain
    if grain is None:
        return delivery_key(number)
    time = written(number, grain, node.timezone if grain is Grain.HOUR else "")
    return time if data is None else f"{time}{SEPARATOR}{data}"
