"""Which partitions the ranges of a plan are, and whether two plans want the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.model.intervals import keys_between
from headrace.model.ordering import end_of, order_of
from headrace.model.required import SEPARATOR, WHOLE, join
from headrace.plan.backfills import Backfill, BackfillSpan
from headrace.schedule import GraphNode
from headrace.schedule.covering import Covering
from headrace.schedule.partition_states import PartitionRange as Ordered


class PlannedPartitions:
    """The partitions of one node that lie in the ranges of a plan."""

    def __init__(self, node: GraphNode, spans: Iterable[BackfillSpan]) -> None:
        self._node = node
        self._covering = Covering(Ordered(*_ends(node, span)) for span in spans)

    def __contains__(self, key: str) -> bool:
        return self._covering.covers(order_of(key, self._node.partition, self._node.timezone))


def keys_of(node: GraphNode, spans: Sequence[BackfillSpan], known: Iterable[str]) -> Iterator[str]:
    """The partitions in the spans. Where only data says which there are, those that are `known`."""
    spec = node.partition
    if spec.whole:
        yield WHOLE
    elif spec.grain is None or (spec.key is not None and spec.values is None) or any(SEPARATOR in span.first for span in spans):
        held = PlannedPartitions(node, spans)
        named = [span.first for span in spans if span.first == span.last and (spec.grain is None or SEPARATOR in span.first)]
        yield from dict.fromkeys([*named, *(key for key in known if key in held)])
    else:
        for span in spans:
            for moment in keys_between(span.first, span.last, spec.grain, node.timezone):
                yield from (join(moment, data) for data in spec.values) if spec.values is not None else (moment,)


def shared(nodes: Mapping[str, GraphNode], backfill: Backfill, other: Backfill) -> tuple[str, str] | None:
    """A partition that both plans make: its node, and the first of the range that they share; None if there is none."""
    theirs = {chosen.node: chosen.spans for chosen in other.chosen}
    for chosen in backfill.chosen:
        if chosen.node in nodes and chosen.node in theirs:
            result = _first_shared(nodes[chosen.node], chosen.spans, theirs[chosen.node])
            if result is not None:
                return chosen.node, result
    return None


def _first_shared(node: GraphNode, mine: Iterable[BackfillSpan], theirs: Iterable[BackfillSpan]) -> str | None:
    """Where the first ranges begin to meet; each is looked at once."""
    item, other = (sorted((*_ends(node, span), span.first) for span in spans) for spans in (mine, theirs))
    here = there = 0
    while here < len(item) and there < len(other):
        (first, last, begins), (from_, until, there_begins) = item[here], other[there]
        if first <= until and from_ <= last:
            return max(begins, there_begins)
        here, there = (here + 1, there) if last < from_ else (here, there + 1)
    return None


def _ends(node: GraphNode, span: BackfillSpan) -> tuple[str, str]:
    return order_of(span.first, node.partition, node.timezone), end_of(span.last, node.partition, node.timezone)
