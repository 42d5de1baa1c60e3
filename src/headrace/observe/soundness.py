"""What of that which a consumer reads was published as an exception, or made of something that was (SEMANTICS §7). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar

from headrace.model.intervals import bounds_us, start_us
from headrace.model.required import SEPARATOR, required
from headrace.observe.declared_promises import Node, Terms
from headrace.observe.obligations import EvaluationContext, Obligation, needed
from headrace.observe.state_facts import AcceptedPartition, Unusual

INTERVALS_MAX = 100
"""So many of a consumer's newest intervals are looked at."""


def excepted(terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext) -> list[AcceptedPartition]:
    """The exceptions that a consumer's newest intervals stand on, each once, the one that lapses first coming first."""
    every = context.facts.exceptions()
    if not every:
        return []
    walk = _Walk(context, every)
    for obligation in obligations[-INTERVALS_MAX:]:
        for node in context.known_reads(terms):
            keys = needed(node, terms, obligation.interval, context)
            for key in keys if keys is not None else [None]:
                walk.visit(node, key)
    return sorted(
        walk.found, key=lambda partition: (partition.until_us is None, partition.until_us or 0, partition.node, partition.partition)
    )


def unusual(terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext) -> Unusual | None:
    """What is least like the history of that interval, among all that a consumer's newest was made of, of sources first; None where
    nothing is, or only columns that it doesn't use. What was unusual before it, and is looked back at, was told when it was new. What
    somebody accepted, or is made of that, is told of as an exception."""
    every = [item for item in context.facts.unusual() if item.users is None or terms.consumer in item.users]
    if not every or not obligations:
        return None
    walk, interval = _Walk(context, every), obligations[-1].interval
    for node in context.known_reads(terms):
        for key in needed(node, terms, interval, context) or ():
            walk.visit(node, key)
    began = start_us(interval, terms.per, terms.timezone)
    accepted = [exception for exception in context.facts.exceptions() if _lasts_beyond(context, exception, began)]
    return max(
        (item for item in walk.found if _lasts_beyond(context, item, began) and not _is_made_of(context, item, accepted)),
        key=lambda item: (context.node(item.node).is_source, item.strength, item.node, item.partition),
        default=None,
    )


def _is_made_of(context: EvaluationContext, item: Unusual, accepted: Sequence[AcceptedPartition]) -> bool:
    """Whether a partition is one of these that were accepted, or was made of one."""
    if not accepted:
        return False
    walk = _Walk(context, accepted)
    walk.visit(context.node(item.node), item.partition)
    return bool(walk.found)


def _lasts_beyond(context: EvaluationContext, item: AcceptedPartition | Unusual, at_us: int) -> bool:
    node = context.declared.nodes.get(item.node)
    grain = None if node is None else node.partition.grain
    return node is None or grain is None or bounds_us(item.partition.partition(SEPARATOR)[0], grain, node.timezone)[1] > at_us


_Placed = TypeVar("_Placed", AcceptedPartition, Unusual)


class _Walk(Generic[_Placed]):
    def __init__(self, context: EvaluationContext, every: Sequence[_Placed]) -> None:
        self.found: set[_Placed] = set()
        self._context = context
        self._of: dict[str, list[_Placed]] = {}
        for item in every:
            self._of.setdefault(item.node, []).append(item)
        self._seen: set[tuple[str, str | None]] = set()

    def visit(self, node: Node, key: str | None) -> None:
        """A partition (None: all of a node), and all that it was made of."""
        if (node.name, key) in self._seen:
            return
        self._seen.add((node.name, key))
        self.found.update(item for item in self._of.get(node.name, ()) if key is None or item.partition == key)
        for source, item in self._inputs(node, key):
            self.visit(source, item)

    def _inputs(self, node: Node, key: str | None) -> Iterator[tuple[Node, str | None]]:
        nodes = self._context.declared.nodes
        for spec in node.inputs:
            source = nodes.get(spec.node)
            if source is None:
                continue
            if key is None:
                yield source, None
                continue
            seen = partial(self._context.facts.keys, source.name)
            keys = required(node.cut(key), node.timezone, key, source.partition, source.timezone, spec, seen).keys
            yield from ((source, item) for item in (keys if keys is not None else [None]))
