"""`--from` and `--to`: one range for nodes that may be cut in different ways."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model.errors import UsageError
from headrace.model.intervals import GRAINS, bounds_us, parse_key
from headrace.model.nodes import Grain, Value
from headrace.model.required import SEPARATOR
from headrace.plan.extents import Edges, Extent, common, made
from headrace.plan.timeline import number_at
from headrace.schedule import GraphNode

_FAR = 1 << 61
DELIVERY_DIGITS = 12


class PartitionLimits(Value):
    """The partitions of one node that lie in a range."""

    times: Edges | None = None
    """Intervals by their numbers; None: all."""
    data: str | None = None
    """The one data's key that is meant; None: all."""
    keys: tuple[str | None, str | None] = (None, None)
    """Of what is cut by a key alone: the first and the last, in the order of text."""

    def within(self, extent: Extent) -> Extent:
        """What of an extent is meant."""
        runs = {data: edges for data, edges in extent.runs.items() if self.data is None or data == self.data}
        if self.times is not None:
            runs = {data: common(edges, self.times) for data, edges in runs.items()}
        first, last = self.keys
        named = (key for key in extent.named if (first is None or key >= first) and (last is None or key <= last))
        return made(runs, named)


ALL = PartitionLimits()


class ParsedInterval(Value):
    """An interval that was typed."""

    key: str
    grain: Grain
    zone: str
    """Of hours, whose keys mean one instant everywhere; longer intervals lie in each node's own zone."""

    def bounds(self, node: GraphNode) -> tuple[int, int]:
        """Where it begins and ends for a node, in microseconds."""
        return bounds_us(self.key, self.grain, self.zone if self.grain is Grain.HOUR else node.timezone)


def limits_of(nodes: Sequence[GraphNode], first: str | None, last: str | None) -> dict[str, PartitionLimits]:
    """What a range means for each node: keys in the grain of any of them. Of a node with longer intervals all are meant that the range
    touches; one that isn't cut is meant as a whole. UsageError for keys that none of them has, and for a range the wrong way round."""
    if first is None and last is None:
        return {node.name: ALL for node in nodes}
    cut = [node for node in nodes if node.partition.grain is not None]
    if not cut:
        return {node.name: _by_key(node, first, last) for node in nodes}
    interval, other = _moment(cut, first), _moment(cut, last)
    data = _data_key(first, last, keyed=any(node.partition.key is not None for node in cut))
    return {node.name: _in_time(node, interval, other, data) if node.partition.grain is not None else ALL for node in nodes}


def _moment(cut: Sequence[GraphNode], typed: str | None) -> ParsedInterval | None:
    """What was typed; its grain is that of the nodes that have such keys. UsageError where none has."""
    if typed is None:
        return None
    text = typed.partition(SEPARATOR)[0] if any(node.partition.key is not None for node in cut) else typed
    refused: UsageError | None = None
    for node in sorted(cut, key=_grain):
        try:
            return ParsedInterval(key=parse_key(text, _cut(node), node.timezone), grain=_cut(node), zone=node.timezone)
        except UsageError as error:
            refused = refused or error
    longest = max(_grain(node) for node in cut)
    for grain in GRAINS[longest + 1 :]:  # of days, a month means all its days
        try:
            return ParsedInterval(key=parse_key(text, grain, cut[0].timezone), grain=grain, zone=cut[0].timezone)
        except UsageError:
            continue
    assert refused is not None
    raise refused


def _in_time(node: GraphNode, interval: ParsedInterval | None, other: ParsedInterval | None, data: str | None) -> PartitionLimits:
    first = -_FAR if interval is None else number_at(node, interval.bounds(node)[0])
    last = _FAR if other is None else number_at(node, other.bounds(node)[1] - 1)
    if first > last:
        assert interval is not None
        assert other is not None
        raise UsageError(f"--to {other.key} comes before --from {interval.key}", hint="both are included; swap them")
    return PartitionLimits(times=(first, last + 1), data=data if node.partition.key is not None else None)


def _data_key(first: str | None, last: str | None, *, keyed: bool) -> str | None:
    """The data's key of `2013-02-11/EMEA`: one for the whole range."""
    named = {text.partition(SEPARATOR)[2] for text in (first, last) if keyed and text is not None and SEPARATOR in text}
    if len(named) > 1:
        said = ", ".join(sorted(named))[:80]
        raise UsageError(f"--from and --to name two keys: {said}", hint="leave them away, or plan one after the other")
    return named.pop() if named else None


def _by_key(node: GraphNode, first: str | None, last: str | None) -> PartitionLimits:
    """A range of what isn't cut by time: of keys, of deliveries by their numbers, or of nothing."""
    if not node.partition.by_delivery:
        if first is not None and last is not None and last < first:
            raise UsageError(f"--to {last[:40]} comes before --from {first[:40]}", hint="both are included; swap them")
        return PartitionLimits(keys=(first, last)) if node.partition.key is not None else ALL
    item, other = _number(node, first, 0), _number(node, last, _FAR)
    if other < item:
        raise UsageError(f"--to {last} comes before --from {first}", hint="both are included; swap them")
    return PartitionLimits(times=(item, other + 1))


def _number(node: GraphNode, text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) <= DELIVERY_DIGITS):
        raise UsageError(f"{node.name}@{text[:40]} names no delivery", hint=f"{node.name}@1 is the first one")
    return int(text)


def _cut(node: GraphNode) -> Grain:
    assert node.partition.grain is not None
    return node.partition.grain


def _grain(node: GraphNode) -> int:
    return GRAINS.index(_cut(node))
