"""States of consumers as values, with their exports and exceptions (SEMANTICS §7).

`status` computes these values; every view renders them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar

import msgspec

from headrace.model.intervals import bounds_us, start_us
from headrace.model.partitions import SEPARATOR, required
from headrace.slo.declared_promises import WHOLE, Node, Terms
from headrace.slo.facts import AcceptedPartition, PartitionStateFacts, Pausing, Unusual
from headrace.slo.freshness import AssetStateCounts, FreshnessState
from headrace.slo.obligations import EvaluationContext, Obligation, needed


class ConsumerState(enum.StrEnum):
    """How a consumer is served; the first that holds, in this order."""

    UNKNOWN = "unknown"
    NEVER = "never"
    WRONG = "wrong"
    LATE = "late"
    AT_RISK = "at_risk"
    SERVED = "served"
    SUPERSEDED_UPSTREAM = "superseded_upstream"
    """Never how it is served, only among what holds besides: a vendor restated an interval too late."""


class ConsumedAsset(msgspec.Struct, frozen=True):
    """How one asset that a consumer reads stands; `data_through` in the asset's own partitions, or the consumer's
    intervals where it has none but follows inputs that have."""

    asset: str
    state: FreshnessState
    data_through: str | None


class LatestExport(msgspec.Struct, frozen=True):
    """The export of a consumer's newest interval that is due or was exported: `exported`, `superseded` (what was exported isn't what
    can be read any more), `running`, `waiting`, `failed` or `missing`. `at_us` is when it was last exported."""

    state: str
    interval: str | None
    at_us: int | None
    target: str


class AtRisk(msgspec.Struct, frozen=True):
    """What will make a consumer late: an interval, when it is due, the node and partition that will cause it, and one clause about it.
    `predicted_us` is when it will be met, None where nothing says when."""

    interval: str
    due_us: int
    node: str
    partition: str
    reason: str
    next: str
    since_us: int | None = None
    """Since when it is so; None where that isn't known."""
    predicted_us: int | None = None
    withdrawn: str = ""
    """Why, and by whom, the partition was withdrawn; empty where it wasn't."""


class Wronged(msgspec.Struct, frozen=True):
    """What a consumer can read isn't sound: since when, by which incident (None: not told), in one
    clause, and what to type next."""

    since_us: int
    incident: int | None
    said: str
    next: str | None = None


class ConsumerStatus(msgspec.Struct, frozen=True):
    """One consumer. `states` lists all that hold, `due_interval` is the newest that is due, `backlog` the older ones
    that aren't met. Times are microseconds of the store's clock."""

    name: str
    owner: str
    state: ConsumerState
    states: tuple[ConsumerState, ...]
    since_us: int | None
    due_interval: str | None
    data_through: str | None
    backlog: tuple[str, ...]
    reads: tuple[ConsumedAsset, ...]
    reason: str
    next: str | None
    export: LatestExport | None = None
    risk: AtRisk | None = None
    paused: Pausing | None = None
    """Whether the consumer itself is paused; what it reads is told of by the reason."""
    obligations: tuple[Obligation, ...] = ()
    """Those that its state was judged by, oldest first."""
    withdrawn: str = ""
    """What was withdrawn that one that is late waits for, and why and by whom; empty for another cause."""
    late_since_us: int | None = None
    """Since when it is late, whatever else holds; None where it isn't, was never served, or before a deadline has passed."""
    never_since_us: int | None = None
    """Since when one that was never served is due; None where it was, or before a deadline has passed."""
    deadline: AtRisk | None = None
    """What will make it late; of what is at risk, only deadlines."""
    incident: str | None = None
    """The incident that it waits for, or that makes it wrong: `INC-1`."""
    exceptions: tuple[AcceptedPartition, ...] = ()
    """What of its newest intervals was published by exception, the one that lapses first coming first."""
    missing_besides: int = 0
    """How many intervals are due and neither met nor waived, besides those that the reason is about."""
    superseded: tuple[str, ...] = ()
    """Exported intervals that were corrected afterwards, and weren't exported again."""


class Status(msgspec.Struct, frozen=True):
    """All consumers, in the order of declaration, and the assets. `observed_at_us` is the last look at any source."""

    now_us: int
    observed_at_us: int | None
    consumers: tuple[ConsumerStatus, ...]
    assets: AssetStateCounts


# The export of the newest interval that is due or was exported.


def latest_export(terms: Terms, context: EvaluationContext, due: str | None) -> LatestExport | None:
    """Of the newest interval that is due (`due`) or was exported; None where nothing is exported."""
    node = context.declared.exports.get(terms.consumer)
    if node is None:
        return None
    newest = context.facts.newest(node.name)
    interval = newest.partition if newest is not None else None
    if node.partition.whole:
        interval = WHOLE
    elif due is not None and (interval is None or due > interval):
        interval = due
    if interval is None:
        return LatestExport("missing", None, None, node.exported_to)
    facts = context.facts.standing(node.name, interval)
    same = newest is not None and newest.partition == interval
    return LatestExport(_export_state(facts), interval, newest.at_us if newest is not None and same else None, node.target(interval))


def _export_state(facts: PartitionStateFacts | None) -> str:
    if facts is None:
        return "missing"
    if facts.state == "waiting" and facts.reason:
        return "failed"
    if facts.published and (facts.stale or facts.state == "waiting"):
        return "superseded"
    return "exported" if facts.state == "published" else facts.state


# What of the data that a consumer reads was published as an exception or with an unusual figure,
# or was made from such a partition. The walk follows the inputs of the consumer's newest
# intervals.

EXCEPTION_INTERVALS_MAX = 100
"""So many of a consumer's newest intervals are looked at."""


def exceptions_relied_on(terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext) -> list[AcceptedPartition]:
    """The exceptions that a consumer's newest intervals stand on, each once, the one that lapses first coming first."""
    every = context.facts.exceptions()
    if not every:
        return []
    walk = _Walk(context, every)
    for obligation in obligations[-EXCEPTION_INTERVALS_MAX:]:
        for node in context.known_reads(terms):
            keys = needed(node, terms, obligation.interval, context)
            for key in keys if keys is not None else [None]:
                walk.visit(node, key)
    return sorted(
        walk.found, key=lambda partition: (partition.until_us is None, partition.until_us or 0, partition.node, partition.partition)
    )


def most_unusual(terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext) -> Unusual | None:
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
