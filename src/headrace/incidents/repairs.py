"""Repairs: what Headrace does by itself, what backfills compute, and how long repairs took."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from headrace.incidents.diagnosis.evidence import NO_WORKER, Evidence, Family
from headrace.incidents.diagnosis.wording import listed
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.intervals import key_at_us
from headrace.model.partitions import end_of, order_of, partition_argument
from headrace.plan.backfills import Backfill, BackfillSpan
from headrace.slo.declared_promises import WHOLE, Node, began
from headrace.slo.obligations import EvaluationContext
from headrace.slo.unsound import needed
from headrace.store.queries import (
    attempts,
    backfill_plans,
    incidents,
    partition_states,
    publications,
    scheduling,
)
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import Happened, Incident
from headrace.store.transaction import Transaction

# The timeline of an incident records what Headrace does about the cause by itself, each action
# once: it reruns lost work, tries work that was too large in halves, and waits for missing data.
# The limits are those of `scheduler.attempts`; the timeline says when one is reached.

ACTS_MAX = 40
"""At most this many actions per evaluation are recorded one by one."""
PAUSED_NAMED_MAX = 5
WAITING = {
    CauseKind.LATE_SOURCE: (
        "wait",
        "Headrace waits for it: what needs it runs as soon as it is there",
    ),
    CauseKind.MISSING_SOURCE: (
        "wait",
        "Headrace goes on looking: what needs it runs as soon as it is there",
    ),
    CauseKind.SOURCE_UNAVAILABLE: (
        "poll",
        (
            "Headrace looks again with each pass: what arrived meanwhile is ingested as soon as it"
            " answers"
        ),
    ),
    CauseKind.DESTINATION_UNAVAILABLE: (
        "poll",
        "Headrace goes on trying: what couldn't be written is as soon as it can be",
    ),
    CauseKind.RESTATEMENT: (
        "rebuild",
        "Headrace re-ingests it, and recomputes what reads it, as far as `restate_within` lets it",
    ),
    CauseKind.RUNTIME_DOWN: ("catch_up", "Headrace catches up on what fell due meanwhile"),
}
_WHOLE_RESTATED = (
    "rebuild",
    (
        "Headrace re-ingests it, and recomputes the unpartitioned assets that read it; partitions"
        " computed before stay as they are, unless their asset declares `on_reference_change:"
        " rebuild`"
    ),
)
_TRIED = (Family.LOST, Family.RESOURCES)


def note_self_healing(tx: Transaction, nodes: Mapping[str, Node], seen: Iterable[Evidence]) -> None:
    """Record what Headrace does by itself about open incidents and new evidence (`seen`)."""
    for incident in stored.open_incidents(tx):
        act = None if incident.detail == NO_WORKER else _waiting(nodes, incident)
        if act is not None and not stored.acted(tx, incident.id, act[0]):
            text = f"{act[1]}{except_paused(tx, incident, incident.updated_at)}"
            stored.happened(
                tx, incident.id, [Happened(incident.updated_at, text, HEADRACE, act[0])]
            )
    tried = sorted(
        (evidence for evidence in seen if evidence.family in _TRIED),
        key=lambda item: (item.at_us, item.id),
    )
    for evidence in tried[:ACTS_MAX]:
        number = stored.of_evidence(tx, evidence.id)
        if number is not None:
            stored.happened(tx, number, _tried(tx, evidence))


def except_paused(tx: Transaction, incident: Incident, now: int) -> str:
    """Return a clause about paused nodes, such as `, but for clean, which is paused`.

    Headrace doesn't repair these by itself.
    """
    if incident.kind == CauseKind.PAUSED:
        return ""
    concerned = {incident.node, *incident.affected.assets, *incident.affected.consumers}
    names = [pause.node for pause in scheduling.pauses_in_force(tx, now) if pause.node in concerned]
    if not names:
        return ""
    verb = "is" if len(names) == 1 else "are"
    return f", but for {listed(names, PAUSED_NAMED_MAX)}, which {verb} paused"


def _waiting(nodes: Mapping[str, Node], incident: Incident) -> tuple[str, str] | None:
    restated = nodes.get(incident.node) if incident.kind == CauseKind.RESTATEMENT else None
    return (
        _WHOLE_RESTATED
        if restated is not None and restated.partition.whole
        else WAITING.get(CauseKind(incident.kind))
    )


def _tried(tx: Transaction, evidence: Evidence) -> Iterator[Happened]:
    """Yield what followed an attempt that lost its worker or lacked resources."""
    kind, _, of = evidence.id.partition(":")
    epoch, _, n = of.partition("@")[0].partition(".")
    attempt = (
        attempts.get(tx, int(epoch), int(n))
        if kind == "attempt" and epoch.isdecimal() and n.isdecimal()
        else None
    )
    if attempt is None:
        return
    key = evidence.partition or "*"
    place = f"{evidence.node}@{evidence.partition}" if evidence.partition else evidence.node
    why = "lost its worker" if evidence.family is Family.LOST else "lacked resources"
    partition = partition_states.get(tx, evidence.node, key)
    newest = next(iter(attempts.of_partition(tx, evidence.node, key, limit=1)), None)
    if (attempt.error or {}).get("code") == CauseKind.POISON_DELIVERY:
        text = (
            f"attempt {attempt.id} at {place} took more memory than it may: what was delivered is"
            " kept, and not read any more"
        )
        yield Happened(evidence.at_us, text, HEADRACE, "keep_only")
    elif (
        partition is not None
        and partition.state == "failed"
        and newest is not None
        and newest.id == attempt.id
    ):
        text = (
            f"attempt {attempt.id} at {place} {why} too: Headrace runs it again only if its inputs"
            " or its declaration change, or if somebody requests it"
        )
        yield Happened(evidence.at_us, text, HEADRACE, "give_up")
    elif len(attempt.partitions) > 1 and evidence.family is Family.RESOURCES:
        text = (
            f"attempt {attempt.id} {why} with {len(attempt.partitions)} partitions at once: tried"
            " again in smaller batches"
        )
        yield Happened(evidence.at_us, text, HEADRACE, "smaller_batches")
    else:
        yield Happened(
            evidence.at_us,
            f"attempt {attempt.id} at {place} {why}: run again by another",
            HEADRACE,
            "run_again",
        )


# Whether an open backfill computes something derived from an incident's partitions and hasn't
# published it yet.

NEWEST = 50
"""At most this many of an incident's newest partitions are searched for derived data.

A backfill publishes the newest last.
"""


def rebuilding_clause(tx: Transaction, context: EvaluationContext, incident: Incident) -> str:
    """Return a clause about the first partition that an open backfill hasn't published yet.

    Only partitions of the incident, or derived from them, count. The clause is empty if there is
    none.
    """
    for plan in backfill_plans.open_backfills(tx):
        backfill = msgspec.msgpack.decode(plan.content, type=Backfill)
        since = plan.started_at or plan.created_at
        for name, key in _computed(
            tx, context, incident, {each.node: each.spans for each in backfill.chosen}
        ):
            seen = publications.current(tx, name, key)
            if seen is None or seen.published_at < since:
                return (
                    f"backfill {plan.id} computes {partition_argument(name, key)}, and hasn't"
                    " published it yet"
                )
    return ""


def _computed(
    tx: Transaction,
    context: EvaluationContext,
    incident: Incident,
    spans: dict[str, tuple[BackfillSpan, ...]],
) -> Iterator[tuple[str, str]]:
    """Yield the incident's partitions in these spans, and derived partitions of the same time."""
    own_partitions = [
        (name, key or WHOLE) for name, key in incidents.partitions_of(tx, incident.id)
    ]
    for name, key in own_partitions:
        node = context.declared.nodes.get(name)
        if node is not None and _within(node, key, spans.get(name, ())):
            yield name, key
    newest = own_partitions[-NEWEST:]
    for name in incident.affected.assets:
        node = context.declared.nodes.get(name)
        if node is None or name not in spans:
            continue
        derived_keys = dict.fromkeys(_same_time(context, node, newest))
        yield from ((name, key) for key in derived_keys if _within(node, key, spans[name]))


def _same_time(
    context: EvaluationContext, node: Node, places: Iterable[tuple[str, str]]
) -> Iterator[str]:
    """Yield the partitions of a node in which these places begin, if time alone decides that."""
    grain = node.partition.grain
    for name, key in places:
        other = context.declared.nodes.get(name)
        if grain is None and node.partition.key is None:
            yield WHOLE
        elif other is not None and other.partition == node.partition:
            yield key
        elif (
            grain is not None
            and node.partition.key is None
            and other is not None
            and other.partition.grain is not None
        ):
            start = began(key, other.partition.grain, other.timezone)
            if start is not None:
                yield key_at_us(start, grain, node.timezone)


def _within(node: Node, key: str, spans: Iterable[BackfillSpan]) -> bool:
    """Return whether a partition is in one of these spans."""
    spec, zone = node.partition, node.timezone
    at = order_of(key, spec, zone)
    return any(
        order_of(span.first, spec, zone) <= at <= end_of(span.last, spec, zone) for span in spans
    )


def is_made_of(
    context: EvaluationContext, name: str, key: str, source: str, keys: Collection[str]
) -> bool:
    """Return whether a partition is derived from these partitions of a node, directly or not."""
    waiting, seen = [(name, key)], {(name, key)}  # several paths often lead to the same partition
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


# How long it took to notice causes, and to serve the affected consumers again.

REPORTED = "reported"
"""The kind of a cause that a person reported."""


class Occurred(msgspec.Struct, frozen=True):
    """An incident of the window. Times are in microseconds; `restored_us` None: still open."""

    number: int
    kind: str
    node: str
    owner: str
    began_us: int
    opened_us: int
    restored_us: int | None
    recurrence_of: int | None
    closed_us: int = 0
    """How long it was over before it opened again."""

    @property
    def detect_us(self) -> int:
        """Microseconds from the beginning until the incident was opened."""
        return max(0, self.opened_us - self.began_us)

    def restore_us(self, now_us: int) -> int:
        """Return the microseconds until all were served again, or until now, while it was open."""
        until = now_us if self.restored_us is None else self.restored_us
        return max(0, until - self.began_us - self.closed_us)


class RepairTimes(msgspec.Struct, frozen=True):
    """Repair times of all incidents of a window; None if there was none."""

    incidents: int
    open: int
    found_by_people: int
    recurrences: int
    detect_median_us: int | None
    detect_worst_us: int | None
    restore_median_us: int | None
    restore_worst_us: int | None


def repair_times(occurred: Sequence[Occurred], now_us: int) -> RepairTimes:
    """Return the repair times.

    Medians of an even number take the larger of the two in the middle, towards the bad side.
    """
    detect = sorted(item.detect_us for item in occurred)
    restore = sorted(item.restore_us(now_us) for item in occurred)
    return RepairTimes(
        incidents=len(occurred),
        open=sum(item.restored_us is None for item in occurred),
        found_by_people=sum(item.kind == REPORTED for item in occurred),
        recurrences=sum(item.recurrence_of is not None for item in occurred),
        detect_median_us=_median(detect),
        detect_worst_us=detect[-1] if detect else None,
        restore_median_us=_median(restore),
        restore_worst_us=restore[-1] if restore else None,
    )


def _median(ordered: Sequence[int]) -> int | None:
    return ordered[len(ordered) // 2] if ordered else None
