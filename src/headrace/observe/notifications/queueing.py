"""What is to be told is queued at the end of each judgement; it is sent by another process (`run.notifications`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from headrace.model import Project
from headrace.model.zones import HOUR_US
from headrace.observe.diagnosis.causes import DATA_CAUSES, CauseKind
from headrace.observe.evaluation import Evaluation
from headrace.observe.incidents import endings
from headrace.observe.notifications.deciding import (
    OVER,
    NotificationChanges,
    NotificationFacts,
    came_and_went,
    decide,
    still_told,
)
from headrace.observe.notifications.digest import Unserved, digests
from headrace.observe.notifications.recipients import Recipients
from headrace.observe.notifications.wording import RepairOf
from headrace.observe.obligations import EvaluationContext
from headrace.observe.states import AtRisk, ConsumerState, ConsumerStatus
from headrace.store.database import Transaction
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents, notifications
from headrace.store.queries.incidents import Incident
from headrace.store.queries.notifications import PriorNotification

_OF_ROWS = DATA_CAUSES | {CauseKind.CODE_ERROR}
"""Causes that are seen in what was delivered or computed: as a warning they hold nothing up."""
OVER_US = 24 * HOUR_US
"""So long after its end it is looked whether people were told that an incident is over."""


AHEAD_US = 7 * 24 * HOUR_US
"""Owners whose nearest deadline is further away than this read of an incident in their digest."""


class Deadlines(NamedTuple):
    """The consumers that will be late, and those that are, since when; those with time left: what is
    due next of them, and when; and those that were never served although their first deadline has
    passed, since when."""

    risks: Mapping[str, AtRisk]
    late: Mapping[str, int]
    distant: Mapping[str, int] = MappingProxyType({})
    never: Mapping[str, int] = MappingProxyType({})
    withdrawn: Mapping[str, str] = MappingProxyType({})
    """Of a late consumer: what it waits for that was withdrawn, and why and by whom."""
    wrong: Mapping[str, tuple[int, str]] = MappingProxyType({})
    """The consumers that are wrong without an incident, because rows were withdrawn: since when, and by what."""
    wrong_known: Mapping[str, tuple[int, int]] = MappingProxyType({})
    """The consumers that an incident makes wrong: its number, and since when."""


def queue(
    tx: Transaction, project: Project, context: EvaluationContext, evaluation: Evaluation, now: int, repair: RepairOf
) -> None:  # fmt: skip
    """Queue what people aren't told of yet. Where nobody can be written to, nothing is asked."""
    if not Recipients(project).anybody:
        return
    deadlines = _deadlines(evaluation, now)
    tell(tx, project, deadlines, now, repair)
    unserved = Unserved(deadlines.late, deadlines.never)
    notifications.put(tx, digests(tx, project, context.declared, unserved, now), now)


def tell(tx: Transaction, project: Project, deadlines: Deadlines, now: int, repair: RepairOf) -> None:
    """Queue what is new of incidents and of deadlines. `repair` is asked only about incidents of which a message is written."""
    open_ones = incidents.open_ones(tx)
    results = [*open_ones, *incidents.resolved_since(tx, now - OVER_US)]
    warnings = frozenset(
        incident.id for incident in open_ones if incident.kind in _OF_ROWS and stored_evidence.only_warned(tx, incident.id)
    )
    known = {name for incident in open_ones if incident.id not in warnings for name in incident.affected.consumers}
    about = notifications.about(tx, [incident.id for incident in results])
    whole = {incident.id: incident for incident in results}
    matters = NotificationFacts(
        now=now, incidents=[endings.as_opened_last(tx, incident) for incident in results], told=about, risks=deadlines.risks,
        repair=lambda incident: repair(whole[incident.id]),
        ended={incident.id: endings.of(tx, incident) for incident in results if _untold(incident, about[incident.id])},
        late={name: since for name, since in deadlines.late.items() if name not in known},
        distant=deadlines.distant, withdrawn=deadlines.withdrawn, wrong=deadlines.wrong,
        late_known={name: since for name, since in deadlines.late.items() if name in known},
        wrong_known=deadlines.wrong_known,
        warnings=warnings,
        counts={name: notifications.count_since(tx, name, now - HOUR_US) for name in project.owners},
    )  # fmt: skip
    _write(tx, decide(project, matters), now)


def _untold(incident: Incident, known: Sequence[PriorNotification]) -> bool:
    """Whether people are still to be told that it is over."""
    return incident.state == "resolved" and (still_told(known) or came_and_went(incident, known))


def _deadlines(evaluation: Evaluation, now: int) -> Deadlines:
    status = evaluation.status.consumers
    near = now + AHEAD_US
    return Deadlines(
        {consumer_status.name: consumer_status.deadline for consumer_status in status if consumer_status.deadline is not None},
        {consumer_status.name: consumer_status.late_since_us for consumer_status in status if consumer_status.late_since_us is not None},
        {consumer_status.name: due for consumer_status in status if (due := _due_next(consumer_status)) is not None and due > near},
        {consumer_status.name: consumer_status.never_since_us for consumer_status in status if consumer_status.never_since_us is not None},
        {consumer_status.name: consumer_status.withdrawn for consumer_status in status if consumer_status.withdrawn},
        {name: (item.since_us, item.said) for name, item in evaluation.wronged.items() if item.incident is None},
        {name: (item.incident, item.since_us) for name, item in evaluation.wronged.items() if item.incident is not None},
    )


def _due_next(status: ConsumerStatus) -> int | None:
    """The nearest deadline of a consumer, which may have passed, in microseconds. None where nothing is due, where readers see wrong
    data already, and where the deadline will be missed by usual durations, however far away it is."""
    missed = status.deadline is not None and status.deadline.predicted_us is not None
    if ConsumerState.WRONG in status.states or missed:
        return None
    return min((each.due_at_us for each in status.obligations if not each.settled), default=None)


def _write(tx: Transaction, decided: NotificationChanges, now: int) -> None:
    for number, page, text in decided.reworded:
        notifications.reword(tx, number, page.title, page.body, text)
    for number in decided.hastened:
        notifications.hasten(tx, number, now)
    for number in decided.dropped:
        notifications.drop(tx, number, OVER)
    notifications.put(tx, decided.queued, now)
