"""What is made of an incident's partitions, and what an open backfill computes of it and hasn't
published yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from headrace.model.commands import place
from headrace.model.intervals import key_at_us
from headrace.model.ordering import end_of, order_of
from headrace.observe.availability.tainted import needed
from headrace.observe.declared_promises import WHOLE, Node, began
from headrace.observe.obligations import EvaluationContext
from headrace.plan.backfills import Backfill, BackfillSpan
from headrace.store.database import Transaction
from headrace.store.queries import incidents, plans, publications
from headrace.store.queries.incidents import Incident

NEWEST = 50
"""How many of an incident's partitions, the newest, are asked what is made of them at most: a backfill
publishes the newest last."""


def rebuilding(tx: Transaction, context: EvaluationContext, incident: Incident) -> str:
    """A clause about the first partition that a backfill which is under way, or paused, computes of
    an incident and hasn't published since it began; empty for none."""
    for plan in plans.opened(tx):
        backfill = msgspec.msgpack.decode(plan.content, type=Backfill)
        since = plan.started_at or plan.created_at
        for name, key in _computed(tx, context, incident, {each.node: each.spans for each in backfill.chosen}):
            seen = publications.current(tx, name, key)
            if seen is None or seen.published_at < since:
                return f"backfill {plan.id} computes {place(name, key)}, and hasn't published it yet"
    return ""


def _computed(
    tx: Transaction, context: EvaluationContext, incident: Incident, spans: dict[str, tuple[BackfillSpan, ...]]
) -> Iterator[tuple[str, str]]:
    """(node, partition) in these ranges where the incident was seen, and of what is made of it over
    the same time."""
    own = [(name, key or WHOLE) for name, key in incidents.partitions_of(tx, incident.id)]
    for name, key in own:
        node = context.declared.nodes.get(name)
        if node is not None and _within(node, key, spans.get(name, ())):
            yield name, key
    for name in incident.affected.assets:
        node = context.declared.nodes.get(name)
        if node is not None and name in spans:
            for key in dict.fromkeys(_same_time(context, node, own[-NEWEST:])):
                if _within(node, key, spans[name]):
                    yield name, key


def _same_time(context: EvaluationContext, node: Node, places: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The partition of a node in which each of these places begins, where time alone says which."""
    grain = node.partition.grain
    for name, key in places:
        other = context.declared.nodes.get(name)
        if grain is None and node.partition.key is None:
            yield WHOLE
        elif other is not None and other.partition == node.partition:
            yield key
        elif grain is not None and node.partition.key is None and other is not None and other.partition.grain is not None:
            start = began(key, other.partition.grain, other.timezone)
            if start is not None:
                yield key_at_us(start, grain, node.timezone)


def _within(node: Node, key: str, spans: Iterable[BackfillSpan]) -> bool:
    """Whether a partition lies in one of these ranges."""
    spec, zone = node.partition, node.timezone
    at = order_of(key, spec, zone)
    return any(order_of(span.first, spec, zone) <= at <= end_of(span.last, spec, zone) for span in spans)


def is_made_of(context: EvaluationContext, name: str, key: str, source: str, keys: Collection[str]) -> bool:
    """Whether a partition is made of some of these partitions of a source or an asset, itself or by others."""
    waiting, seen = [(name, key)], {(name, key)}  # two ways often lead to the same partition
    while waiting:
        name, key = waiting.pop()
        if name == source:
            if key == WHOLE or key in keys:
                return True
            continue
        node = context.declared.nodes.get(name)
        if node is None:
            continue
        for spec in node.inputs:
            read = needed(context, node, spec, key)
            above = {(spec.node, item) for item in ((WHOLE,) if read is None else read)} - seen
            seen |= above
            waiting += above
    return False
