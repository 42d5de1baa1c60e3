"""Who is notified of which incidents and deadlines: once, again after a change, and at the end.

Messages are queued at the end of each evaluation; `integrations.notifications.process`
sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import msgspec

from headrace.incidents import endings
from headrace.incidents.digest import Unserved, WeeklyLines, digests, no_weekly_lines
from headrace.incidents.endings import NOTHING_LEFT
from headrace.incidents.messages import MessageText, Recipient, Recipients, RepairOf, Words
from headrace.model import Project
from headrace.model.causes import DATA_CAUSES, CauseKind
from headrace.model.intervals import HOUR_US
from headrace.model.partitions import WHOLE
from headrace.slo.consumer_states import AtRisk, ConsumerState, ConsumerStatus
from headrace.slo.evaluation import Evaluation
from headrace.slo.obligations import EvaluationContext
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents, notifications
from headrace.store.queries.incident_mutes import mutes
from headrace.store.queries.incidents import Incident
from headrace.store.queries.notifications import PriorNotification, Queued
from headrace.store.transaction import Transaction

_Value = TypeVar("_Value")

# The decision is pure: it takes facts and returns messages to queue, reword or drop. One recipient
# gets at most 20 messages an hour; one more message sums up the rest.

FLOOD_MAX = 20
"""At most this many messages per recipient and hour; one message sums up the rest."""
_WITH_CAUSE = ("opened", "changed", "escalated")
"""Kinds of messages that name an incident's cause."""
AGAIN_US = HOUR_US
"""An incident that reopens within an hour of its last message isn't announced again."""
OVER = "it was over before this was sent"
TOGETHER = "more than are sent one by one"


class NotificationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts for notifications at one time.

    `prior_notifications` are the messages queued before about each incident, `counts` the messages
    that each recipient was sent in the last hour, and `late` the consumers that are late without a
    known cause, and since when.
    """

    now: int
    incidents: Sequence[Incident]
    prior_notifications: Mapping[int, Sequence[PriorNotification]]
    risks: Mapping[str, AtRisk]
    late: Mapping[str, int]
    withdrawn: Mapping[str, str] = {}
    """Late consumer → the withdrawn data that it waits for, why and by whom."""
    wrong: Mapping[str, tuple[int, str]] = {}
    """Consumer that is wrong without an incident → since when, and why."""
    late_known: Mapping[str, int] = {}
    """Late consumer with a known cause → since when."""
    wrong_known: Mapping[str, tuple[int, int]] = {}
    """Consumer that an incident makes wrong → the incident's number, and since when."""
    distant: Mapping[str, int] = {}
    """Consumer whose next deadline is far enough away for the digest → that deadline."""
    warnings: frozenset[int] = frozenset()
    """The incidents that hold nothing back and so make nobody late."""
    muted: Collection[int] = ()
    """The incidents that are muted, or were muted when they were resolved."""
    counts: Mapping[str, int] = {}
    repair: RepairOf
    ended: Mapping[int, str] = {}
    """Resolved incident → what ended it, and how the affected consumers are served."""


class NotificationChanges(msgspec.Struct):
    """Changes to write: new messages, new texts of waiting ones, and messages to drop."""

    queued: list[Queued] = []
    reworded: list[tuple[int, MessageText, str]] = []
    hastened: list[int] = []
    dropped: list[int] = []


def decide(project: Project, matters: NotificationFacts) -> NotificationChanges:
    """Return the messages to queue, reword or drop."""
    return _Deciding(project, matters).decided()


class _Deciding:
    def __init__(self, project: Project, matters: NotificationFacts) -> None:
        self._project, self._matters, self._now = project, matters, matters.now
        self._people = Recipients(project)
        self._words = Words(
            project,
            matters.now,
            matters.repair,
            matters.late_known,
            matters.warnings,
            matters.wrong_known,
        )
        self._zone = project.settings.timezone
        self._counts = dict(matters.counts)
        self._found = NotificationChanges()

    def decided(self) -> NotificationChanges:
        for incident in self._matters.incidents:
            if incident.state == "resolved":
                self._over(incident)
            elif incident.id not in self._matters.muted:
                self._open(incident)
        for name, risk in self._matters.risks.items():
            if name not in self._matters.distant and not self._explained(name):
                self._at_risk(name, risk)
        for name, since in self._matters.late.items():
            self._unexplained(
                name,
                "late",
                since,
                self._words.late(name, since, self._matters.withdrawn.get(name, "")),
            )
        for name, (since, text) in self._matters.wrong.items():
            self._unexplained(name, "wrong", since, self._words.wrong(name, since, text))
        return self._found

    def _explained(self, name: str) -> bool:
        """Return whether a reported incident holds a consumer back."""
        return any(
            incident.state != "resolved" and name in self._threatened(incident)
            for incident in self._matters.incidents
        )

    def _threatened(self, incident: Incident) -> Mapping[str, AtRisk]:
        """Return the consumers that an incident will make late.

        What holds them back is at its partitions, or downstream of its node.
        """
        if incident.id in self._matters.warnings:
            return {}
        own_partitions = incident.affected.partitions
        risks = (
            (name, self._matters.risks[name])
            for name in incident.affected.consumers
            if name in self._matters.risks
        )
        return {
            name: risk
            for name, risk in risks
            if risk.node in incident.affected.assets
            or (
                risk.node == incident.node
                and (not own_partitions or risk.partition in (*own_partitions, WHOLE))
            )
        }

    # Incidents

    def _open(self, incident: Incident) -> None:
        people = self._people.concerned([incident.owner, *self._owners(incident)])
        by_channel = {channel: to for to in reversed(people) for channel in to.owner.contact}
        for channel in dict.fromkeys(channel for to in people for channel in to.owner.contact):
            self._tell(incident, by_channel[channel], channel)  # a shared channel gets one message
        self._escalate(incident, people, by_channel.keys())

    def _tell(self, incident: Incident, to: Recipient, channel: str) -> None:
        """Notify one recipient over one channel."""
        mine = self._prior_notifications(incident, channel)
        subject, text = _subject(incident, mine), _description(incident)
        known = [
            t
            for t in mine
            if t.kind in ("opened", "changed") and t.subject.partition(":")[0] == subject
        ]
        if not known:
            self._announce(incident, to, channel)
            return
        newest = known[-1]
        waiting = newest.state == "waiting"
        if newest.description == text:
            if waiting and to.owner.quiet is not None and self._urgent(incident):
                self._found.hastened.append(newest.id)
        elif waiting:
            again = subject != incident.label
            page = self._words.opened(incident, to, self._threatened(incident), again=again)
            self._found.reworded.append((newest.id, page, text))
        elif newest.state != "dropped":
            page = self._words.changed(incident, to, self._threatened(incident), newest.description)
            self._put(incident, "changed", f"{subject}:{text}", to, channel, page)

    def _announce(self, incident: Incident, to: Recipient, channel: str) -> None:
        """Notify one recipient that an incident was opened or reopened.

        A reopened incident isn't announced within an hour of its last message (`AGAIN_US`).
        """
        before = self._prior_notifications(incident, channel)
        if before and self._now - max(t.created_at for t in before) < AGAIN_US:
            return
        threatened = self._threatened(incident)
        page = self._words.opened(incident, to, threatened, again=bool(before))
        self._put(incident, "opened", _subject(incident, before), to, channel, page)

    def _escalate(
        self, incident: Incident, people: Sequence[Recipient], known: Collection[str]
    ) -> None:
        """Notify the manager of the cause's owner.

        That happens if the incident is open for too long, or if a deadline will be missed.
        """
        first = self._people.of(incident.owner)
        above = None if first is None else self._people.above(first)
        if first is None or above is None or above.name in {to.name for to in people}:
            return
        at = first.escalates_at(incident.opened_at, self._zone)
        if (at is not None and at <= self._now) or self._urgent(incident):
            for channel in above.owner.contact:
                if channel in known:
                    continue
                subject = _subject(incident, self._prior_notifications(incident, channel))
                page = self._words.escalated(incident, above, first, self._threatened(incident))
                self._put(
                    incident,
                    "escalated",
                    subject,
                    above,
                    channel,
                    page,
                )

    def _over(self, incident: Incident) -> None:
        """Notify everybody who was notified of the open incident that it is over.

        A mute doesn't change that: who was told of an incident waits for its end.
        """
        before = self._matters.prior_notifications.get(incident.id, ())
        if came_and_went(incident, before):
            if incident.id not in self._matters.muted:
                self._came_and_went(incident)
            return
        for channel in dict.fromkeys(t.channel for t in before):
            self._over_at(incident, channel)

    def _over_at(self, incident: Incident, channel: str) -> None:
        """Notify the recipient of an open incident over one channel that it is over."""
        mine = self._prior_notifications(incident, channel)
        subject = _subject(incident, mine)
        known = [t for t in mine if t.kind != "resolved" and t.subject.partition(":")[0] == subject]
        to = self._people.of(known[0].recipient) if known else None
        if to is None:
            return
        self._found.dropped += [t.id for t in known if t.state == "waiting"]
        silent = all(t.state in ("waiting", "dropped") for t in known)
        why = OVER if silent else None
        page = self._end_page(incident)
        self._put(incident, "resolved", subject, to, channel, page, why)

    def _end_page(self, incident: Incident) -> MessageText:
        return self._words.resolved(incident, self._matters.ended.get(incident.id, NOTHING_LEFT))

    def _came_and_went(self, incident: Incident) -> None:
        """Notify everybody concerned once, of the incident and its end."""
        page = self._end_page(incident)
        people = self._people.concerned([incident.owner, *self._owners(incident)])
        by_channel = {channel: to for to in reversed(people) for channel in to.owner.contact}
        for channel, to in by_channel.items():
            subject = _subject(incident, self._prior_notifications(incident, channel))
            self._put(incident, "resolved", subject, to, channel, page)

    def _prior_notifications(self, incident: Incident, channel: str) -> list[PriorNotification]:
        return [
            t
            for t in self._matters.prior_notifications.get(incident.id, ())
            if t.channel == channel
        ]

    def _owners(self, incident: Incident) -> Iterator[str]:
        """Yield the owners of affected consumers, except those with a distant deadline."""
        for name in incident.affected.consumers:
            consumer = self._project.consumers.get(name)
            if consumer is not None and name not in self._matters.distant:
                yield consumer.owner

    def _urgent(self, incident: Incident) -> bool:
        """Return whether an affected consumer missed or will miss a deadline."""
        if incident.id in self._matters.warnings:
            return False
        near = self._threatened(incident).keys() - self._matters.distant.keys()
        return bool(
            near or not self._matters.late_known.keys().isdisjoint(incident.affected.consumers)
        )

    # Deadlines without an incident

    def _at_risk(self, name: str, risk: AtRisk) -> None:
        node = self._project.node(risk.node)
        owners = [self._project.consumers[name].owner, *([node.owner] if node is not None else [])]
        for to in self._people.concerned(owners):
            for channel in to.owner.contact:
                self._put(
                    None,
                    "at_risk",
                    f"{name}@{risk.interval}",
                    to,
                    channel,
                    self._words.at_risk(name, risk),
                )

    def _unexplained(self, name: str, kind: str, since: int, page: MessageText) -> None:
        """Notify the owner of a consumer that is late or wrong without an incident."""
        for to in self._people.concerned([self._project.consumers[name].owner]):
            for channel in to.owner.contact:
                self._put(None, kind, f"{name}@{since}", to, channel, page)

    # Messages

    def _put(
        self,
        incident: Incident | None,
        kind: str,
        subject: str,
        to: Recipient,
        channel: str,
        page: MessageText,
        why: str | None = None,
    ) -> None:
        why = why or self._people.wrong(channel, cause=incident is not None)
        if why is None and kind != "resolved" and self._counts.get(to.name, 0) >= FLOOD_MAX:
            self._more(to, channel)
            why = TOGETHER
        elif why is None:
            self._counts[to.name] = self._counts.get(to.name, 0) + 1
        urgent = kind in ("at_risk", "late", "wrong", "escalated") or (
            incident is not None and incident.state != "resolved" and self._urgent(incident)
        )
        self._found.queued.append(
            Queued(
                incident=None if incident is None else incident.id,
                kind=kind,
                subject=subject,
                recipient=to.name,
                channel=channel,
                title=page.title,
                body=page.body,
                description=_description(incident) if incident and kind in _WITH_CAUSE else "",
                not_before=to.not_before(self._now, self._zone, urgent=urgent),
                state="waiting" if why is None else "dropped",
                error=why,
            )
        )

    def _more(self, to: Recipient, channel: str) -> None:
        page = self._words.more(FLOOD_MAX)
        at = to.not_before(self._now, self._zone, urgent=False)
        self._found.queued.append(
            Queued(
                incident=None,
                kind="opened",
                subject=f"more/{self._now // HOUR_US}",
                recipient=to.name,
                channel=channel,
                title=page.title,
                body=page.body,
                not_before=at,
            )
        )


def came_and_went(incident: Incident, notifications: Sequence[PriorNotification]) -> bool:
    """Return whether the observation that found an outage also ended it.

    Nobody was notified while the incident was open, but deadlines were missed nevertheless.
    """
    if incident.kind != CauseKind.RUNTIME_DOWN or incident.resolved_at is None:
        return False
    return all(t.created_at < incident.resolved_at for t in notifications) and not still_told(
        notifications
    )


def still_told(notifications: Sequence[PriorNotification]) -> bool:
    """Return whether recipients of the opening weren't notified of the end."""
    return bool(notifications) and notifications[-1].kind != "resolved"


def _description(incident: Incident) -> str:
    """Return the cause of an incident; a message with another one is reworded or sent again."""
    return f"{incident.kind}@{incident.node}"


def _subject(incident: Incident, mine: Sequence[PriorNotification]) -> str:
    """Return `INC-1`, or `INC-1.2` after its end was notified twice."""
    times = sum(t.kind == "resolved" for t in mine)
    return incident.label if not times else f"{incident.label}.{times}"


# Reads the facts from the store and queues the messages. An owner whose nearest deadline is more
# than seven days away finds an incident in the digest instead.

_OF_ROWS = DATA_CAUSES | {CauseKind.CODE_ERROR}
"""Causes that are visible in delivered or computed data: as a warning they hold nothing back."""
OVER_US = 24 * HOUR_US
"""Resolved incidents are checked for missing end messages for 24 h."""


AHEAD_US = 7 * 24 * HOUR_US
"""Owners whose nearest deadline is more than seven days away get the digest only."""


class Deadlines(NamedTuple):
    """The consumers by deadline: at risk, late, distant, and never served.

    `risks` will be late; `late` are late since the given time; `distant` have their next deadline
    at the given time; `never` were never served and are due since the given time.
    """

    risks: Mapping[str, AtRisk]
    late: Mapping[str, int]
    distant: Mapping[str, int] = MappingProxyType({})
    never: Mapping[str, int] = MappingProxyType({})
    withdrawn: Mapping[str, str] = MappingProxyType({})
    """Late consumer → the withdrawn data that it waits for, why and by whom."""
    wrong: Mapping[str, tuple[int, str]] = MappingProxyType({})
    """Consumer that is wrong without an incident → since when, and why."""
    wrong_known: Mapping[str, tuple[int, int]] = MappingProxyType({})
    """Consumer that an incident makes wrong → the incident's number, and since when."""


def queue(
    tx: Transaction,
    project: Project,
    context: EvaluationContext,
    evaluation: Evaluation,
    now: int,
    repair: RepairOf,
    weekly: WeeklyLines = no_weekly_lines,
) -> None:
    """Queue all messages that haven't been queued; without contacts, do nothing.

    `weekly` gives the lines of the digest's weekly section.
    """
    if not Recipients(project).anybody:
        return
    deadlines = _deadlines(evaluation, now)
    tell(tx, project, deadlines, now, repair)
    unserved = Unserved(deadlines.late, deadlines.never)
    due = digests(tx, project, context.declared, unserved, now, weekly)
    notifications.put(tx, due, now)


def tell(
    tx: Transaction, project: Project, deadlines: Deadlines, now: int, repair: RepairOf
) -> None:
    """Queue messages about incidents and deadlines.

    `repair` is called only for incidents that need a message.
    """
    open_ones = incidents.open_incidents(tx)
    results = [*open_ones, *incidents.resolved_since(tx, now - OVER_US)]
    warnings = frozenset(
        incident.id
        for incident in open_ones
        if incident.kind in _OF_ROWS and stored_evidence.only_warned(tx, incident.id)
    )
    known = {
        name
        for incident in open_ones
        if incident.id not in warnings
        for name in incident.affected.consumers
    }
    about = notifications.about(tx, [incident.id for incident in results])
    whole = {incident.id: incident for incident in results}
    matters = NotificationFacts(
        now=now,
        incidents=[endings.as_opened_last(tx, incident) for incident in results],
        prior_notifications=about,
        risks=deadlines.risks,
        repair=lambda incident: repair(whole[incident.id]),
        ended={
            incident.id: endings.ending_of(tx, incident)
            for incident in results
            if incident.state == "resolved"
            and (still_told(about[incident.id]) or came_and_went(incident, about[incident.id]))
        },
        late={name: since for name, since in deadlines.late.items() if name not in known},
        distant=deadlines.distant,
        withdrawn=deadlines.withdrawn,
        wrong=deadlines.wrong,
        late_known={name: since for name, since in deadlines.late.items() if name in known},
        wrong_known=deadlines.wrong_known,
        warnings=warnings,
        muted=mutes(tx, results, now),
        counts={
            name: notifications.count_since(tx, name, now - HOUR_US) for name in project.owners
        },
    )
    _write(tx, decide(project, matters), now)


def _deadlines(evaluation: Evaluation, now: int) -> Deadlines:
    consumers = evaluation.status.consumers
    near = now + AHEAD_US
    due_next = _by_name(consumers, _due_next)
    return Deadlines(
        risks=_by_name(consumers, lambda status: status.deadline),
        late=_by_name(consumers, lambda status: status.late_since_us),
        distant={name: due for name, due in due_next.items() if due > near},
        never=_by_name(consumers, lambda status: status.never_since_us),
        withdrawn=_by_name(consumers, lambda status: status.withdrawn or None),
        wrong={
            name: (item.since_us, item.clause)
            for name, item in evaluation.wronged.items()
            if item.incident is None
        },
        wrong_known={
            name: (item.incident, item.since_us)
            for name, item in evaluation.wronged.items()
            if item.incident is not None
        },
    )


def _by_name(
    consumers: Iterable[ConsumerStatus], value_of: Callable[[ConsumerStatus], _Value | None]
) -> dict[str, _Value]:
    """Return consumer → a value of its status, for the consumers that have one."""
    values = ((status.name, value_of(status)) for status in consumers)
    return {name: value for name, value in values if value is not None}


def _due_next(status: ConsumerStatus) -> int | None:
    """Return the nearest open deadline of a consumer, which may have passed, in microseconds.

    None if nothing is due, if readers see wrong data already, or if usual durations will miss the
    deadline, however far away it is.
    """
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
