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
    """The state of a consumer: the first of these that holds."""

    UNKNOWN = "unknown"
    NEVER = "never"
    WRONG = "wrong"
    LATE = "late"
    AT_RISK = "at_risk"
    SERVED = "served"
    SUPERSEDED_UPSTREAM = "superseded_upstream"
    """Never the main state, only listed in `states`: a vendor restated an interval too late."""


class ConsumedAsset(msgspec.Struct, frozen=True):
    """The state of one asset that a consumer reads.

    `data_through` is in the asset's own partitions, or in the consumer's intervals if the asset is
    unpartitioned over partitioned inputs.
    """

    asset: str
    state: FreshnessState
    data_through: str | None


class LatestExport(msgspec.Struct, frozen=True):
    """The export of a consumer's newest interval that is due or was exported.

    `state` is `exported`, `superseded` (readers can read newer data than was exported), `running`,
    `waiting`, `failed` or `missing`. `at_us` is the time of the last export.
    """

    state: str
    interval: str | None
    at_us: int | None
    target: str


class AtRisk(msgspec.Struct, frozen=True):
    """The cause that will make a consumer late.

    It holds the interval with its deadline (None if it has none), the node and partition at fault,
    and one clause.
    `predicted_us` is the forecast time at which the interval is met; None if nothing says when.
    """

    interval: str
    due_us: int | None
    node: str
    partition: str
    reason: str
    next: str
    since_us: int | None = None
    """Since when the risk exists; None if unknown."""
    predicted_us: int | None = None
    withdrawn: str = ""
    """Why and by whom the partition was withdrawn; empty if it wasn't."""


class Wronged(msgspec.Struct, frozen=True):
    """Unsound data that a consumer can read: since when, why, and the next command.

    `incident` is None if no incident is the cause.
    """

    since_us: int
    incident: int | None
    clause: str
    next: str | None = None


class ConsumerStatus(msgspec.Struct, frozen=True):
    """The status of one consumer. Times are microseconds of the store's clock.

    `states` lists all states that hold, `due_interval` is the newest interval that is due, and
    `backlog` lists the older ones that aren't met.
    """

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
    """The pause of the consumer itself; the reason mentions pauses of what it reads."""
    obligations: tuple[Obligation, ...] = ()
    """The obligations from which the state was evaluated, oldest first."""
    withdrawn: str = ""
    """Withdrawn data that a late consumer waits for, why and by whom; else empty."""
    late_since_us: int | None = None
    """Since when the consumer is late, whatever else holds.

    None if it isn't late, was never served, or no deadline has passed.
    """
    never_since_us: int | None = None
    """Since when a never served consumer is due.

    None if it was served or no deadline has passed.
    """
    deadline: AtRisk | None = None
    """The deadline at risk; `risk` may also be a lapsing exception or an anomaly."""
    incident: str | None = None
    """The incident that the consumer waits for, or that makes it wrong, such as `INC-1`."""
    exceptions: tuple[AcceptedPartition, ...] = ()
    """The exceptions that its newest intervals rely on, the first to lapse first."""
    missing_besides: int = 0
    """How many intervals are due and neither met nor waived, not counting those in the reason."""
    superseded: tuple[str, ...] = ()
    """Exported intervals that were corrected afterwards and not exported again."""


class Status(msgspec.Struct, frozen=True):
    """The status of all consumers, in the order of declaration, and the counts of asset states.

    `observed_at_us` is the last observation of any source.
    """

    now_us: int
    observed_at_us: int | None
    consumers: tuple[ConsumerStatus, ...]
    assets: AssetStateCounts


def latest_export(terms: Terms, context: EvaluationContext, due: str | None) -> LatestExport | None:
    """Return the export of the newest interval that is due (`due`) or was exported.

    None if the consumer has no export.
    """
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
    facts = context.facts.partition_state(node.name, interval)
    same = newest is not None and newest.partition == interval
    return LatestExport(
        _export_state(facts),
        interval,
        newest.at_us if newest is not None and same else None,
        node.target(interval),
    )


def _export_state(facts: PartitionStateFacts | None) -> str:
    if facts is None:
        return "missing"
    if facts.state == "waiting" and facts.reason:
        return "failed"
    if facts.published and (facts.stale or facts.state == "waiting"):
        return "superseded"
    return "exported" if facts.state == "published" else facts.state


# Exceptions and unusual figures in the data that a consumer reads, including the partitions from
# which that data was made. The walk follows the inputs of the consumer's newest intervals.

EXCEPTION_INTERVALS_MAX = 100
"""The walk covers at most this many of a consumer's newest intervals."""


def exceptions_relied_on(
    terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext
) -> list[AcceptedPartition]:
    """Return the exceptions behind a consumer's newest intervals, the first to lapse first."""
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
        walk.found,
        key=lambda partition: (
            partition.until_us is None,
            partition.until_us or 0,
            partition.node,
            partition.partition,
        ),
    )


def most_unusual(
    terms: Terms, obligations: Sequence[Obligation], context: EvaluationContext
) -> Unusual | None:
    """Return the most anomalous partition behind a consumer's newest interval, sources first.

    None if there is none, or if the consumer doesn't use the anomalous columns. Partitions from
    before the interval, which a lookback reads, are left out: they were reported when they were
    new. Accepted partitions and what is made of them are reported as exceptions instead.
    """
    every = [
        item
        for item in context.facts.unusual()
        if item.users is None or terms.consumer in item.users
    ]
    if not every or not obligations:
        return None
    interval = obligations[-1].interval
    began = start_us(interval, terms.per, terms.timezone)
    accepted = [
        exception
        for exception in context.facts.exceptions()
        if _lasts_beyond(context, exception, began)
    ]
    return max(
        (
            item
            for item in _behind_interval(terms, interval, context, every)
            if _lasts_beyond(context, item, began) and not _is_made_of(context, item, accepted)
        ),
        key=lambda item: (
            context.node(item.node).is_source,
            item.strength,
            item.node,
            item.partition,
        ),
        default=None,
    )


def _behind_interval(
    terms: Terms, interval: str, context: EvaluationContext, every: Sequence[Unusual]
) -> set[Unusual]:
    """Return those of the anomalous partitions that a consumer's interval is made of."""
    walk = _Walk(context, every)
    for node in context.known_reads(terms):
        for key in needed(node, terms, interval, context) or ():
            walk.visit(node, key)
    return walk.found


def _is_made_of(
    context: EvaluationContext, item: Unusual, accepted: Sequence[AcceptedPartition]
) -> bool:
    """Return whether a partition is one of these accepted partitions, or is made of one."""
    if not accepted:
        return False
    walk = _Walk(context, accepted)
    walk.visit(context.node(item.node), item.partition)
    return bool(walk.found)


def _lasts_beyond(
    context: EvaluationContext, item: AcceptedPartition | Unusual, at_us: int
) -> bool:
    node = context.declared.nodes.get(item.node)
    grain = None if node is None else node.partition.grain
    return (
        node is None
        or grain is None
        or bounds_us(item.partition.partition(SEPARATOR)[0], grain, node.timezone)[1] > at_us
    )


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
        """Collect the items of a partition (`key` None: of a whole node) and of all its inputs."""
        if (node.name, key) in self._seen:
            return
        self._seen.add((node.name, key))
        self.found.update(
            item for item in self._of.get(node.name, ()) if key is None or item.partition == key
        )
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
            keys = required(
                node.cut(key), node.timezone, key, source.partition, source.timezone, spec, seen
            ).keys
            yield from ((source, item) for item in (keys if keys is not None else [None]))
