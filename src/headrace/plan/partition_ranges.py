"""Sets of partitions as ranges, and the partition mapping for ranges.

The cost grows with the number of ranges, not of partitions.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from headrace.model.errors import UsageError
from headrace.model.nodes import Grain, InputMode, InputSpec, PartitionSpec, Place, Value
from headrace.model.partitions import SEPARATOR, WHOLE, delivery_key, dependents
from headrace.plan.backfills import BackfillSpan
from headrace.scheduler import GraphNode
from headrace.scheduler.ranges import PartitionSet, key_of_number, number_of

# Sets of one node's partitions as ranges, and the operations on them.

Edges: TypeAlias = tuple[int, ...]
"""Numbers at which membership changes: a number is in the set if an odd count of edges is less than
or equal to it."""
ALL_NUMBERS: Edges = (-(1 << 62), 1 << 62)


ANY_KEY = "*"
"""Stands for the data key of an interval whose keys aren't known yet."""


class Extent(Value):
    """Partitions of one node.

    `runs` maps the data key (empty without one) to the numbers of intervals or deliveries; `named`
    holds partitions without a number.
    """

    runs: Mapping[str, Edges] = {}
    named: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.named) + sum(map(count_numbers, self.runs.values()))

    def __bool__(self) -> bool:
        return bool(self.named or self.runs)

    def __or__(self, other: Extent) -> Extent:
        keys = self.runs.keys() | other.runs.keys()
        return extent_of(
            {key: union(self.runs.get(key, ()), other.runs.get(key, ())) for key in keys},
            self.named | other.named,
        )

    def __and__(self, other: Extent) -> Extent:
        keys = self.runs.keys() & other.runs.keys()
        return extent_of(
            {key: intersection(self.runs[key], other.runs[key]) for key in keys},
            self.named & other.named,
        )

    def __sub__(self, other: Extent) -> Extent:
        runs = {key: difference(edges, other.runs.get(key, ())) for key, edges in self.runs.items()}
        return extent_of(runs, self.named - other.named)

    @property
    def times(self) -> Edges:
        """The intervals with any data key."""
        return union(*self.runs.values())


NO_PARTITIONS = Extent()


def extent_of(runs: Mapping[str, Edges], named: Iterable[str] = ()) -> Extent:
    """Return an extent without empty parts."""
    return Extent(runs={key: edges for key, edges in runs.items() if edges}, named=frozenset(named))


def extent_of_keys(node: GraphNode, keys: Iterable[str]) -> Extent:
    """Return the partitions with these keys."""
    places, numbers, named = (
        PartitionSet(node.partition, node.timezone),
        dict[str, list[int]](),
        [],
    )
    for key in keys:
        number, data = places.place(key)
        if number is None:
            named.append(key)
        else:
            numbers.setdefault(data, []).append(number)
    return extent_of({data: edges_of(results) for data, results in numbers.items()}, named)


def edges_of(numbers: Iterable[int]) -> Edges:
    """Return the set of these numbers."""
    edges: list[int] = []
    for number in sorted(set(numbers)):
        if edges and edges[-1] == number:
            edges[-1] = number + 1
        else:
            edges += (number, number + 1)
    return tuple(edges)


def count_numbers(edges: Edges) -> int:
    """Return the size of a set."""
    return sum(edges[1::2]) - sum(edges[::2])


def ranges(edges: Edges) -> Iterator[tuple[int, int]]:
    """Return each range: its first number and its last."""
    return ((first, beyond - 1) for first, beyond in zip(edges[::2], edges[1::2], strict=True))


def union(*sets: Edges) -> Edges:  # complexipy: ignore (a sweep over all edges)
    """Return the numbers in any of the sets."""
    full = [edges for edges in sets if edges]
    if len(full) < 2:
        return full[0] if full else ()
    steps = sorted(
        (number, 1 - 2 * (place % 2)) for edges in full for place, number in enumerate(edges)
    )
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


def difference(item: Edges, other: Edges) -> Edges:
    """Return the numbers in the first set that aren't in the second."""
    return intersection(item, _complement(other))


def intersection(item: Edges, other: Edges) -> Edges:
    """Return the numbers in both sets."""
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


def _complement(edges: Edges) -> Edges:
    """Return the numbers that aren't in the set."""
    if not edges:
        return ALL_NUMBERS
    return (ALL_NUMBERS[0], *edges, ALL_NUMBERS[1])


class Ordered(NamedTuple):
    """A range as written, with its sort key among those of its node."""

    order: tuple[int, int, str]
    span: BackfillSpan


def spans(
    node: GraphNode, extent: Extent, known: Extent = NO_PARTITIONS
) -> tuple[BackfillSpan, ...]:
    """Return the ranges of an extent in time order.

    Intervals with all keys (the listed ones, or those in `known`) are written without key.
    """
    keyed = node.partition.key is not None and node.partition.grain is not None
    whole = _all_keys(node, extent, known) if keyed else extent.times
    results = [_written_key(node, first, last, None) for first, last in ranges(whole)]
    for data, edges in sorted(extent.runs.items()):
        for first, last in ranges(difference(edges, whole)):
            results += [_written_key(node, n, n, data) for n in range(first, last + 1)]
    results += [
        Ordered((1, 0, key), BackfillSpan(first=key, last=key)) for key in sorted(extent.named)
    ]
    return tuple(item.span for item in sorted(results, key=lambda entry: entry.order))


def _all_keys(node: GraphNode, extent: Extent, known: Extent) -> Edges:
    """Return the intervals that contain every key."""
    listed = node.partition.values
    there = dict.fromkeys(listed, extent.times) if listed is not None else known.runs
    out = [difference(edges, extent.runs.get(data, ())) for data, edges in there.items()]
    return difference(extent.times, union(*out))


def _written_key(node: GraphNode, first: int, last: int, data: str | None) -> Ordered:
    item, other = key_of(node, first, data), key_of(node, last, data)
    return Ordered((0, first, data or ""), BackfillSpan(first=item, last=other))


def key_of(node: GraphNode, number: int, data: str | None = None) -> str:
    """Return the key of an interval or a delivery, with the data key if one is given."""
    grain = node.partition.grain
    if grain is None:
        return delivery_key(number)
    time = key_of_number(number, grain, node.timezone if grain is Grain.HOUR else "")
    return time if data is None else f"{time}{SEPARATOR}{data}"


# The partition mapping for ranges: downstream partitions of given partitions of an input (SEMANTICS
# §2).

_NOWHERE = Place(file="")
REACHES_CACHED = 1 << 17


class NodeInput(Value):
    """One input of one node."""

    output: GraphNode
    spec: InputSpec
    input: GraphNode

    @property
    def reference(self) -> bool:
        """Whether every partition reads the input's newest publication.

        Then single input partitions have no downstream partitions.
        """
        out, into = self.output.partition, self.input.partition
        if out.whole or self._every:
            return False
        if self.spec.mode is InputMode.ALL or into.whole:
            return True
        if out.by_delivery or into.by_delivery:
            return not (out.by_delivery and into.by_delivery)
        return out.grain is not None and into.grain is None

    @property
    def gathers(self) -> bool:
        """Whether the whole input is read, and each publication changes the output."""
        out, into = self.output.partition, self.input.partition
        if out.whole:
            return True
        return (
            out.grain is None
            and not out.by_delivery
            and into.grain is not None
            and self.spec.mode is not InputMode.ALL
        )

    @property
    def required(self) -> bool:
        """Whether a partition waits for partitions of the input."""
        return not (self.reference or self.gathers or self.spec.optional)

    @property
    def _every(self) -> bool:
        """Whether each listed key is computed from the whole input."""
        out, into = self.output.partition, self.input.partition
        plain = self.spec.mode is InputMode.REQUIRED and not self.spec.optional
        cut = out.grain is not None or not (into.whole or into.by_delivery)
        return out.values is not None and not cut and plain


def downstream_partitions(read: NodeInput, chosen: Extent, known: Extent) -> Extent:
    """Return the output's partitions that read one of `chosen`; empty for a reference.

    `known` are the known partitions of the output, whose keys count where none are listed.
    """
    out = read.output.partition
    if not chosen or read.reference:
        return NO_PARTITIONS
    if out.whole:
        return extent_of({}, (WHOLE,))
    if out.by_delivery:
        later = 1 if read.spec.mode is InputMode.PREVIOUS else 0
        return extent_of({"": tuple(number + later for number in chosen.runs.get("", ()))})
    if out.grain is None:
        return _by_key(read, chosen, known)
    return _in_time(read, chosen, known)


def _by_key(read: NodeInput, chosen: Extent, known: Extent) -> Extent:
    """Return them for an output partitioned by key alone."""
    out, into = read.output.partition, read.input.partition
    if out.key == into.key and ANY_KEY not in chosen.runs:
        return extent_of({}, chosen.named if into.grain is None else chosen.runs)
    return extent_of({}, out.values if out.values is not None else known.named)


def _in_time(read: NodeInput, chosen: Extent, known: Extent) -> Extent:
    out, into = read.output.partition, read.input.partition
    if out.key is None:
        return extent_of({"": downstream_intervals(read, chosen.times)})
    if out.key == into.key:
        everywhere = downstream_intervals(read, chosen.runs.get(ANY_KEY, ()))
        runs = {
            data: downstream_intervals(read, edges)
            for data, edges in chosen.runs.items()
            if data != ANY_KEY
        }
        keys = known.runs.keys() | runs.keys() if everywhere else runs.keys()
        return extent_of({data: union(runs.get(data, ()), everywhere) for data in keys})
    listed = out.values if out.values is not None else tuple(known.runs)
    return extent_of(dict.fromkeys(listed, downstream_intervals(read, chosen.times)))


def downstream_intervals(read: NodeInput, edges: Edges) -> Edges:
    """Return the output's intervals that read one of the input's intervals.

    Consecutive inputs have consecutive outputs, so only the ends of ranges are mapped.
    """
    out, into = read.output, read.input
    plain = read.spec.mode is not InputMode.PREVIOUS and read.spec.lookback is None
    if plain and out.partition.grain is into.partition.grain and out.timezone == into.timezone:
        return edges
    results = []
    for first, last in ranges(edges):
        item, other = _first(read, first, last, 1), _first(read, last, first, -1)
        if item is not None and other is not None:
            results.append((item[0], other[1] + 1))
    return union(*results)


EMPTY_MAX = 400
"""Maximum number of consecutive intervals that nothing reads."""


def _first(read: NodeInput, start: int, end: int, step: int) -> tuple[int, int] | None:
    """Return the outputs of the first interval with any, on the way from `start` to `end`."""
    for number in range(start, end + step, step)[:EMPTY_MAX]:
        results = _downstream_bounds(
            number,
            read.input.partition.time_grain,
            read.input.timezone,
            read.output.partition.time_grain,
            read.output.timezone,
            read.spec.mode,
            read.spec.lookback,
        )
        if results is not None:
            return results
    return None


@functools.lru_cache(maxsize=REACHES_CACHED)
def _downstream_bounds(
    number: int,
    into: Grain,
    into_zone: str,
    out: Grain,
    out_zone: str,
    mode: InputMode,
    lookback: str | None,
) -> tuple[int, int] | None:
    """Return the first and the last interval of the output that read one of the input's."""
    spec = InputSpec(node="", mode=mode, lookback=lookback, place=_NOWHERE)
    try:
        key = key_of_number(number, into, into_zone if into is Grain.HOUR else "")
        keys = dependents(
            key, PartitionSpec(grain=out), out_zone, PartitionSpec(grain=into), into_zone, spec
        )
    except (
        UsageError,
        ValueError,
        OverflowError,
    ):  # a day that the zone skipped, or before the calendar begins
        return None
    numbers = [number_of(key, out, out_zone if out is Grain.HOUR else "") for key in (keys or ())]
    there = [number for number in numbers if number is not None]
    return (there[0], there[-1]) if there else None
