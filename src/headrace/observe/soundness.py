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
    for one in obligations[-INTERVALS_MAX:]:
        for node in context.known_reads(terms):
            keys = needed(node, terms, one.interval, context)
            for key in keys if keys is not None else [None]:
                walk.visit(node, key)
    return sorted(walk.found, key=lambda one: (one.until_us is None, one.until_us or 0, one.node, one.partition))


def unusual(terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext) -> Unusual | None:
    """What is least like the history of that interval, among all that a consumer's newest was made of, of sources first; None where
    nothing is, or only columns that it doesn't use. What was unusual before it, and is looked back at, was told when it was new. What
    somebody accepted, or is made of that, is told of as an exception."""
    every = [one for one in context.facts.unusual() if one.users is None or terms.consumer in one.users]
    if not every or not obligations:
        return None
    walk, interval = _Walk(context, every), obligations[-1].interval
    for node in context.known_reads(terms):
        for key in needed(node, terms, interval, context) or ():
            walk.visit(node, key)
    began = start_us(interval, terms.per, terms.timezone)
    accepted = [one for one in context.facts.exceptions() if _lasts_beyond(context, one, began)]
    return max(
        (one for one in walk.found if _lasts_beyond(context, one, began) and not _is_made_of(context, one, accepted)),
        key=lambda one: (context.node(one.node).is_source, one.strength, one.node, one.partition),
        default=None,
    )


def _is_made_of(context: EvaluationContext, one: Unusual, accepted: Sequence[AcceptedPartition]) -> bool:
    """Whether a partition is one of these that were accepted, or was made of one."""
    if not accepted:
        return False
    walk = _Walk(context, accepted)
    walk.visit(context.node(one.node), one.partition)
    return bool(walk.found)


def _lasts_beyond(context: EvaluationContext, one: AcceptedPartition | Unusual, at_us: int) -> bool:
    node = context.declared.nodes.get(one.node)
    grain = None if node is None else node.partition.grain
    return node is None or grain is None or bounds_us(one.partition.partition(SEPARATOR)[0], grain, node.timezone)[1] > at_us


_Placed = TypeVar("_Placed", AcceptedPartition, Unusual)


class _Walk(Generic[_Placed]):
    def __init__(self, context: EvaluationContext, every: Sequence[_Placed]) -> None:
        self.found: set[_Placed] = set()
        self._context = context
        self._of: dict[str, list[_Placed]] = {}
        for one in every:
            self._of.setdefault(one.node, []).append(one)
        self._seen: set[tuple[str, str | None]] = set()

    def visit(self, node: Node, key: str | None) -> None:
        """A partition (None: all of a node), and all that it was made of."""
        if (node.name, key) in self._seen:
            return
        self._seen.add((node.name, key))
        self.found.update(one for one in self._of.get(node.name, ()) if key is None or one.partition == key)
        for source, one in self._inputs(node, key):
            self.visit(source, one)

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
            yield from ((source, one) for one in (keys if keys is not None else [None]))
