"""What ended an incident, in a sentence, and the spans in which it was open.

The sentence is worded once, when the incident is resolved, and stored in its timeline. Mail,
digest, pages and API show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import filterfalse
from typing import NamedTuple

import msgspec

from headrace.incidents import commands
from headrace.incidents.commands import DECLARING, ENDING, MERGED, RecordedAction
from headrace.incidents.diagnosis.evidence import Evidence
from headrace.incidents.diagnosis.wording import listed
from headrace.model.causes import HEADRACE, CauseKind
from headrace.model.intervals import bounds_us
from headrace.model.partitions import SEPARATOR, partition_argument
from headrace.security.audit import Action
from headrace.slo.blockage import Blockage, Blocked, promised_by
from headrace.slo.consumer_states import ConsumerState, ConsumerStatus
from headrace.slo.declared_promises import WHOLE
from headrace.slo.evaluation import Evaluation, clause
from headrace.slo.obligations import EvaluationContext
from headrace.slo.times import arrived, dated
from headrace.store.queries import attempts, deliveries, scheduling
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents as stored
from headrace.store.queries.incidents import BEGINS, RESOLVED, Happened, Incident, display_id
from headrace.store.transaction import Transaction

NOTHING_LEFT = "Nothing of it is left."
NAMED_MAX = 5
"""At most this many consumers that wait for something else are named."""
COMMANDS_MAX = 3
CHECKED_AGAIN = "check_again:"
"""Prefix of the act of a timeline line about a repeated check.

The node whose rows changed since follows the prefix.
"""
_BY_ITSELF = {
    CauseKind.SOURCE_UNAVAILABLE: "it can be read again",
    CauseKind.ACCESS_DENIED: "access is granted again",
    CauseKind.DESTINATION_UNAVAILABLE: "it can be written again",
    CauseKind.RUNTIME_DOWN: "Headrace runs again",
    CauseKind.APPROVAL_PENDING: "it was decided",
    CauseKind.SLOW_RUN: "no run was slow again within a day",
    CauseKind.DEADLINE_INFEASIBLE: "usual arrivals and durations end before the deadline again",
}
"""What ended incidents of these kinds if no command did."""

_OF_WORKERS = (CauseKind.WORKER_LOST, CauseKind.RESOURCE_EXHAUSTED, CauseKind.SLOW_RUN)
"""Kinds that other rows of an input don't end."""


class Ending(NamedTuple):
    """What ended an incident, and how the affected consumers are served.

    `sentence` has no capital and no full stop. `acted_us` is when somebody ended the incident, in
    microseconds; 0 if no command did.
    """

    sentence: str
    acted_us: int


def ending(
    tx: Transaction,
    context: EvaluationContext,
    incident: Incident,
    evaluation: Evaluation,
    now: int,
) -> Ending:
    """Return the ending of an incident that is resolved now."""
    lines = _since_opened(stored.timeline_of(tx, incident.id))
    done = [
        it for it in commands.actions_since(tx, context, incident, lines) if it.action in ENDING
    ]
    delivered = list(_delivery_text(tx, context, incident))
    if not done and not delivered:
        done = list(_action_on_inputs(tx, context, incident, lines))
    acted_us = max((it.at for it in done), default=0)
    if merged := _after_prefix(lines, MERGED):
        return Ending(f"it is part of {display_id(int(merged[-1]))}", acted_us)
    action_clauses = [commands.actions_clause(done, COMMANDS_MAX)] if done else []
    parts = [
        *_removed(context, incident),
        *action_clauses,
        *delivered,
        *_promised_anew(context, incident, done, now),
    ]
    if not parts:
        parts = list(_by_itself(tx, context, incident, now)) or ["nothing of it is left"]
    waived = {name for it in done if it.action == Action.OBLIGATION_WAIVED for name, _ in it.places}
    parts += _served_text(tx, context, incident, evaluation, waived, now)
    return Ending("; ".join(parts), acted_us)


def _after_prefix(lines: Iterable[Happened], prefix: str) -> list[str]:
    """Return what follows a prefix in the acts of timeline lines."""
    acts = [line.act for line in lines if line.act is not None]
    return [act.removeprefix(prefix) for act in acts if act.startswith(prefix)]


def ended(state: str, timeline: Sequence[str]) -> str | None:
    """Return the sentence about how a resolved incident ended; None if it isn't resolved."""
    if state != "resolved":
        return None
    lines = [line.removeprefix(RESOLVED) for line in timeline if line.startswith(RESOLVED)]
    return f"{lines[-1][0].upper()}{lines[-1][1:]}." if lines else NOTHING_LEFT


def ending_of(tx: Transaction, incident: Incident) -> str:
    """Return the sentence about how a resolved incident ended."""
    lines = stored.state_changes_of(tx, incident.id)
    return ended("resolved", [line.what for line in lines]) or ""


class Period(NamedTuple):
    """A span in which an incident was open; `ended` is the sentence about what ended it."""

    opened_at: int
    resolved_at: int | None
    ended: str


def periods(tx: Transaction, incident: Incident) -> list[Period]:
    """Return the spans in which an incident was open, oldest first."""
    results: list[Period] = []
    for line in stored.state_changes_of(tx, incident.id):
        is_open = bool(results) and results[-1].resolved_at is None
        if line.what.startswith(BEGINS) and not is_open:
            results.append(Period(line.at, None, ""))
        elif line.what.startswith(RESOLVED) and is_open:
            sentence = ended("resolved", [line.what]) or ""
            results[-1] = Period(results[-1].opened_at, line.at, sentence)
    if not results:  # its timeline was deleted
        results = [Period(incident.opened_at, None, "")]
    results[0] = results[0]._replace(opened_at=incident.opened_at)
    if results[-1].resolved_at is None and incident.resolved_at is not None:
        results[-1] = Period(results[-1].opened_at, incident.resolved_at, ending_of(tx, incident))
    return results


def closed_us(tx: Transaction, number: int) -> int:
    """Return how long a reopened incident was over between its periods, in microseconds."""
    incident = stored.get(tx, number)
    spans = [] if incident is None else periods(tx, incident)
    if incident is None or len(spans) < 2:
        return 0
    begins = [*(span.opened_at for span in spans[:-1]), as_opened_last(tx, incident).began_at]
    return sum(
        max(0, again - (span.resolved_at or again))
        for span, again in zip(spans[:-1], begins[1:], strict=True)
    )


def opened_last_at(tx: Transaction, incident: Incident) -> int:
    """Return when an incident was last opened or reopened."""
    lines = _since_opened(stored.state_changes_of(tx, incident.id))
    return lines[0].at if lines and lines[0].what.startswith(BEGINS) else incident.opened_at


def as_opened_last(tx: Transaction, incident: Incident) -> Incident:
    """Return a reopened incident with the start and the partitions of its current period.

    An incident that was opened once is unchanged.
    """
    opened = opened_last_at(tx, incident)
    if opened == incident.opened_at:
        return incident
    places = set(stored.partitions_of(tx, incident.id))
    results = [
        msgspec.msgpack.decode(it, type=Evidence)
        for it in stored_evidence.contents_since(tx, incident.id, opened)
    ]
    own_evidence = [it for it in results if (it.node, it.partition) in places]
    began = min(
        (it.at_us if it.began_us is None else it.began_us for it in own_evidence), default=opened
    )
    keys = {it.partition for it in own_evidence}
    partitions = (
        tuple(key for key in incident.affected.partitions if key in keys)
        or incident.affected.partitions
    )
    affected = msgspec.structs.replace(incident.affected, partitions=partitions)
    return msgspec.structs.replace(
        incident, began_at=min(began, opened), opened_at=opened, affected=affected
    )


def _since_opened(lines: Sequence[Happened]) -> Sequence[Happened]:
    """Return the timeline since the incident was last opened."""
    begins = max(
        (place for place, line in enumerate(lines) if line.what.startswith(BEGINS)), default=0
    )
    return lines[begins:]


def _action_on_inputs(
    tx: Transaction, context: EvaluationContext, incident: Incident, lines: Sequence[Happened]
) -> Iterator[RecordedAction]:
    """Yield the command that published other rows of an input between a failure and its repair.

    Nodes against which the partition is checked count as inputs.
    """
    node = context.declared.nodes.get(incident.node)
    if node is None or CauseKind(incident.kind) in _OF_WORKERS:
        return
    read = {it.node for it in node.inputs}.union(_after_prefix(lines, CHECKED_AGAIN))
    if not read:
        return
    keys = {key for name, key in stored.partitions_of(tx, incident.id) if name == node.name}
    for key in sorted(keys):
        span = _from_failure_to_success(tx, node.name, key or WHOLE)
        if span is None:
            continue
        action = commands.gave_other_rows(tx, context, read, *span)
        if action is not None:
            yield action
            return


def _from_failure_to_success(tx: Transaction, node: str, key: str) -> tuple[int, int] | None:
    """Return the starts of a partition's last failed and last published attempt, if it has both."""
    tried = attempts.of_partition(tx, node, key)
    published = next((it for it in tried if it.published_at is not None), None)
    failed = next((it for it in tried if it.state in ("failed", "rejected", "held")), None)
    if published is None or published.published_at is None:
        return None
    if failed is None or failed.started_at is None:
        return None
    return failed.started_at, published.started_at or published.published_at


def _removed(context: EvaluationContext, incident: Incident) -> Iterator[str]:
    """Yield clauses about the node and the consumers that are no longer declared."""
    declared = {
        *context.declared.nodes,
        *context.declared.exports,
        *context.declared.views,
        *_consumers(context),
    }
    if incident.node != HEADRACE and incident.node not in declared:
        yield f"no longer declared: {incident.node}"
    removed_consumers = [
        name for name in incident.affected.consumers if name not in _consumers(context)
    ]
    if removed_consumers:
        yield f"no longer declared: {listed(removed_consumers, NAMED_MAX)}"


def _delivery_text(
    tx: Transaction, context: EvaluationContext, incident: Incident
) -> Iterator[str]:
    """Yield the clause about deliveries of the incident's partitions since it was last opened."""
    node = context.declared.nodes.get(incident.node)
    if node is None or not node.is_source:
        return
    arrivals = deliveries.since(
        tx, incident.node, incident.affected.partitions or (WHOLE,), opened_last_at(tx, incident)
    )
    if not arrivals:
        return
    last = arrivals[-1]
    again = " again" if any(it.again for it in arrivals) else ""
    several = len({it.arrived_at for it in arrivals}) > 1
    the_last = ", the last" if several else ""
    zone = context.declared.timezone
    when = arrived(last.claimed_at, last.arrived_at, last.observed_at, zone)
    keys = dict.fromkeys(it.partition for it in arrivals)
    places = listed([partition_argument(incident.node, key) for key in keys], NAMED_MAX)
    yield f"delivered{again}{the_last} {when}: {places}"


def _by_itself(
    tx: Transaction, context: EvaluationContext, incident: Incident, now: int
) -> Iterator[str]:
    """Yield the clause about what ended it if no command and no delivery did."""
    kind = CauseKind(incident.kind)
    if kind is CauseKind.RESOURCE_EXHAUSTED and incident.node == HEADRACE:
        yield "the lake can be written again"
    elif kind is CauseKind.PAUSED:
        over = scheduling.last_pause_end(tx, incident.node, now)
        yield (
            "the pause was"
            f" over{f' at {dated(over, context.declared.timezone)}' if over is not None else ''}"
        )
    elif (
        kind is CauseKind.DESTINATION_UNAVAILABLE
        and (other := _still_away(tx, incident)) is not None
    ):
        yield f"it can't be written for another reason now, {other.label}"
    elif kind in _BY_ITSELF:
        yield _BY_ITSELF[kind]
    else:
        yield from _published_since(tx, context, incident)


def _published_since(
    tx: Transaction, context: EvaluationContext, incident: Incident
) -> Iterator[str]:
    """Yield the newest attempt of the incident's last partition, if it published meanwhile."""
    for node, key in stored.partitions_of(tx, incident.id)[-1:]:
        for attempt in attempts.of_partition(tx, node, key or WHOLE, limit=1):
            if attempt.published_at is not None and attempt.published_at >= incident.opened_at:
                place = node if key in ("", WHOLE) else f"{node}@{key}"
                at = dated(attempt.published_at, context.declared.timezone)
                yield f"attempt {attempt.id} published {place} at {at}"


def _still_away(tx: Transaction, incident: Incident) -> Incident | None:
    """Return the incident that keeps a target from being written after this one's cause is gone."""
    others = (
        it
        for it in stored.open_incidents(tx)
        if it.id != incident.id and (it.kind, it.node) == (incident.kind, incident.node)
    )
    return next(
        (it for it in others if set(it.affected.partitions) & set(incident.affected.partitions)),
        None,
    )


def _promised_anew(
    context: EvaluationContext, incident: Incident, done: Sequence[RecordedAction], now: int
) -> Iterator[str]:
    """Yield that a late delivery is still missing, if only its declaration was changed."""
    node = context.declared.nodes.get(incident.node)
    if node is None or CauseKind(incident.kind) not in (
        CauseKind.LATE_SOURCE,
        CauseKind.MISSING_SOURCE,
    ):
        return
    if not any(it.action in DECLARING for it in done):
        return
    for key in incident.affected.partitions:
        if context.facts.partition_state(node.name, key) is None:
            by = promised_by(node, key)
            text = (
                f": it is promised by {dated(by, context.declared.timezone)} now"
                if by is not None and by > now
                else ""
            )
            yield f"{node.name}@{key} isn't there yet{text}"
            return


def _served_text(
    tx: Transaction,
    context: EvaluationContext,
    incident: Incident,
    evaluation: Evaluation,
    waived: set[str],
    now: int,
) -> Iterator[str]:
    """Yield how the affected consumers are served."""
    affected = [name for name in incident.affected.consumers if name in _consumers(context)]
    others = list(filterfalse(_never_due, evaluation.unserved(affected)))
    if others:
        yield f"for another cause {listed([*map(clause, others)], NAMED_MAX)}"
    late = {each.name for each in others}
    left = [name for name in affected if name not in waived | late]
    blockage = Blockage(context, now)
    waiting = {
        name: result
        for name in left
        if (result := _not_there(tx, context, incident, evaluation, name, blockage, now))
    }
    if waiting:
        yield f"not there yet, nor due: {listed(list(waiting.values()), NAMED_MAX)}"
    if len(waiting) < len(left):
        rest = waiting or (waived | late) & set(affected)
        yield (
            f"all {'others ' if rest else ''}whom it affected are"
            f" served{_by_exception(incident, evaluation, left)}"
        )


def _by_exception(incident: Incident, evaluation: Evaluation, consumers: Iterable[str]) -> str:
    """Return a clause about exceptions that the consumers rely on, and who accepted them."""
    places = {(incident.node, key) for key in incident.affected.partitions or (WHOLE,)}
    result = (evaluation.consumer(name) for name in consumers)
    people = {
        it.by
        for status in result
        if status is not None
        for it in status.exceptions
        if (it.node, it.partition) in places
    }
    return f", by exception (accepted by {', '.join(sorted(people))})" if people else ""


def _not_there(
    tx: Transaction,
    context: EvaluationContext,
    incident: Incident,
    evaluation: Evaluation,
    name: str,
    blockage: Blockage,
    now: int,
) -> str:
    """Return a consumer's first ended interval that the incident affects and that is still missing.

    It isn't late yet: `report 2025-01-09 (due Fri 2025-01-10 06:00)`. The name alone is returned if
    nothing of the consumer has ever been due.
    """
    terms = next(it for it in context.declared.consumers if it.consumer == name)
    status = evaluation.consumer(name)
    spans = _spans(context, incident)
    for owed in () if status is None else status.obligations:
        if owed.settled or owed.due_at_us <= now:
            continue
        began_us, ended_us = bounds_us(owed.interval, terms.per, terms.timezone)
        if ended_us > now or not _overlaps(spans, began_us, ended_us):
            continue
        due = dated(owed.due_at_us, context.declared.timezone)
        others = _holding(tx, incident, blockage.of(terms, owed.interval))
        return f"{name} {owed.interval} (due {due}{_held_by(others)})"
    return name if status is not None and _never_due(status) else ""


def _never_due(status: ConsumerStatus) -> bool:
    return status.state is ConsumerState.NEVER and status.never_since_us is None


def _overlaps(spans: Sequence[tuple[int, int]], began_us: int, ended_us: int) -> bool:
    """Return whether an interval overlaps one of these spans; without spans, each does."""
    return not spans or any(first < ended_us and began_us < last for first, last in spans)


def _held_by(others: Sequence[str]) -> str:
    """Return a clause about the incidents that hold an interval back."""
    if not others:
        return ""
    return f"; {' and '.join(others)} {'hold' if len(others) > 1 else 'holds'} it back"


def _holding(tx: Transaction, incident: Incident, blocked: Sequence[Blocked]) -> list[str]:
    """Return the other open incidents that hold an interval back, such as `INC-2`, `INC-3`."""
    places = {(it.node, "" if it.partition == WHOLE else it.partition) for it in blocked}
    others = [it for it in stored.open_incidents(tx) if it.id != incident.id] if places else []
    return [it.label for it in others if not places.isdisjoint(stored.partitions_of(tx, it.id))]


def _spans(context: EvaluationContext, incident: Incident) -> list[tuple[int, int]]:
    """Return the spans of the incident's partitions; none if they aren't partitioned by time."""
    node = context.declared.nodes.get(incident.node) or context.declared.exports.get(incident.node)
    if node is None or node.partition.grain is None:
        return []
    moments = {key.partition(SEPARATOR)[0] for key in incident.affected.partitions} - {WHOLE, ""}
    return [bounds_us(key, node.partition.grain, node.timezone) for key in sorted(moments)]


def _consumers(context: EvaluationContext) -> set[str]:
    return {consumer.consumer for consumer in context.declared.consumers}
