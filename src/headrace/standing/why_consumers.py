"""Why a consumer waits: its interval, its state, and the incident that explains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from headrace.ledger.segments import SegmentKind
from headrace.model.causes import HEADRACE
from headrace.model.intervals import to_us
from headrace.plan import Compiled
from headrace.project.session import ProjectSession
from headrace.project.snapshots import ProjectSnapshot
from headrace.responses.interventions import SegmentRow, WhyResponse
from headrace.slo.blockage import Blockage
from headrace.slo.consumer_states import AtRisk, ConsumerState, ConsumerStatus
from headrace.slo.declared_promises import WHOLE, Terms
from headrace.slo.evaluation import WAITING
from headrace.slo.obligations import EvaluationContext, covered, needed, obligations
from headrace.slo.times import time_text
from headrace.standing.delay_ledger import Ledgers, owner_of
from headrace.standing.waits import Waits
from headrace.standing.why_verdicts import next_of, verdict_of, why_response, with_ledger
from headrace.store import Transaction
from headrace.store.queries import incidents
from headrace.store.queries.incidents import Incident

OTHERS_MAX = 3
"""Maximum number of other incidents that are named."""
_EXPLAINED = ("late", "never", "wrong")
"""States whose verdict names the incident that explains them."""


class ConsumerExplanation:
    """Answers why one consumer waits, at one point in time."""

    def __init__(
        self,
        session: ProjectSession,
        compiled: Compiled,
        snapshot: ProjectSnapshot,
        name: str,
        now_us: int,
    ) -> None:
        self._session, self._compiled, self._now = session, compiled, now_us
        self._tx, self._context = snapshot.tx, snapshot.context
        self._waits = Waits(session, snapshot.tx, compiled, snapshot.context, now_us, name)
        self._ledgers = Ledgers(session, snapshot.tx, compiled, snapshot.context, now_us)
        declared = session.declared_promises.consumers
        self._terms = next(terms for terms in declared if terms.consumer == name)
        self._evaluation = snapshot.evaluation(session, (now_us, now_us))
        status = self._evaluation.consumer(name)
        assert status is not None
        self._status: ConsumerStatus = status
        self._is_wrong = status.state is ConsumerState.WRONG
        self._wrong = self._evaluation.wrong_intervals(status) if self._is_wrong else []

    def of(self, key: str | None) -> WhyResponse:
        """Return what an interval waits for; without one, what the oldest unmet one waits for."""
        response = self._waiting(key)
        interval, ledger = response.interval, None
        if interval is not None:
            never = self._ledgers.never_promised(self._terms, interval)
            if never is not None:
                verdict = f"{never}; {response.verdict}" if response.waiting_for else never
                return msgspec.structs.replace(response, verdict=verdict)
            ledger = self._ledgers.of_consumer(self._terms, interval)
        last = self._ledgers.newest_met(self._terms) if ledger is None and key is None else None
        response = with_ledger(response, ledger, last)
        ended = None if ledger is None else self._ledgers.ended(self._terms, ledger)
        if ended is not None:
            response = msgspec.structs.replace(response, verdict=self._ended(ended, key))
        else:
            response = self._with_incident(response, self._causes(key))
        return self._and_waits(response, self._late_besides(key))

    def _waiting(self, key: str | None) -> WhyResponse:
        """Return what an interval waits for; of the wrong intervals the oldest is explained."""
        status, name = self._status, self._terms.consumer
        interval = key or next(iter(self._wrong), None) or self._interval()
        if interval is None:
            return why_response(
                self._session, name, None, status.state, status.reason, [], status.next
            )
        rows = [
            row
            for node, item in _required(self._context, self._terms, interval, self._waits)
            for row in self._waits.of(node, item)
        ]
        subject = f"{name} {interval}"
        if not rows:
            is_wrong = interval in self._wrong
            verdict = (
                f"{subject} is wrong: {status.reason}"
                if is_wrong
                else f"{subject} waits for nothing: {status.reason}"
            )
            return why_response(
                self._session, name, interval, status.state, verdict, rows, status.next
            )
        verdict = verdict_of(subject, rows)
        if self._is_wrong:
            verdict = f"{status.reason}; {verdict}"
        command = next_of(rows) or status.next
        return why_response(self._session, name, interval, status.state, verdict, rows, command)

    def _interval(self) -> str | None:
        """Return the oldest unmet due interval, else the next unmet, else the newest one."""
        results = obligations(self._terms, self._context, self._now)
        due = Blockage(self._context, self._now).unserved(self._terms, results)
        unmet = [obligation for obligation in results if not obligation.settled]
        chosen = (due or unmet or results[-1:])[:1]
        return chosen[0].interval if chosen else None

    def _late_besides(self, key: str | None) -> str | None:
        """Return the interval for which a wrong consumer is late as well; None with a `key`."""
        if key is None and self._wrong and ConsumerState.LATE in self._status.states:
            return self._interval()
        return None

    def _causes(self, key: str | None) -> Sequence[Incident]:
        """Return the incidents that hold the consumer back, unless one interval is asked for."""
        if key is None and self._status.state in (ConsumerState.LATE, ConsumerState.NEVER):
            return self._evaluation.causes([self._status])
        return []

    def _ended(self, ended: str, key: str | None) -> str:
        """Return the verdict about a wait that is over; first since when the consumer is wrong."""
        since_us = self._status.since_us
        if not self._is_wrong or since_us is None or key not in (None, *self._wrong):
            return ended
        return f"{self._wrong_since(since_us)} {ended}"

    def _with_incident(self, response: WhyResponse, causes: Sequence[Incident]) -> WhyResponse:
        """Return the response with the consumer's state, its start, and the incident behind it.

        Only an open incident counts.
        """
        status = self._status
        cause = _cause(self._tx, self._compiled, response.segments)
        other = cause is not None and status.incident not in (None, cause.incident)
        if status.state is ConsumerState.AT_RISK:
            if other or not _is_of(response, status.deadline):
                return self._at_risk(response, cause)
        elif str(status.state) not in _EXPLAINED:
            return response
        if not response.open or cause is None or status.since_us is None:
            return response
        if self._is_wrong and status.incident != cause.incident:
            return self._wrong_and_waits(response, cause, status.since_us)
        text = self._because(response, cause, status.since_us)
        if cause.is_over and status.state in WAITING and other:
            # the longest cause is repaired here, but another one isn't
            text = f"{text} Now it waits for {status.reason}."
            command = f"headrace incident {status.incident}"
            return msgspec.structs.replace(response, verdict=text, next=command)
        command = f"headrace incident {cause.incident}"
        verdict = f"{text}{_others(causes, cause.incident)}"
        return msgspec.structs.replace(response, verdict=verdict, next=command)

    def _wrong_and_waits(self, response: WhyResponse, cause: _Cause, since_us: int) -> WhyResponse:
        """Return the response for a published interval that is wrong for another reason."""
        text = f"{self._wrong_since(since_us)} {response.interval} waits because of {cause.text}."
        command = self._status.next or response.next
        return msgspec.structs.replace(response, verdict=text, next=command)

    def _because(self, response: WhyResponse, cause: _Cause, since_us: int) -> str:
        """Return the consumer's state since when, and the incident, in one or two sentences."""
        status, zone = self._status, self._session.timezone
        since = time_text(since_us, self._now, zone)
        state = f"{status.name} is {str(status.state).replace('_', ' ')} since {since}"
        began = time_text(cause.began_us, self._now, zone)
        if status.state in WAITING and cause.began_us > since_us and began != since:
            # the cause of the lateness is over
            return f"{state}. {response.interval} waits since {began} because of {cause.text}."
        return f"{state} because of {cause.text}."

    def _at_risk(self, response: WhyResponse, cause: _Cause | None) -> WhyResponse:
        """Return the response for a consumer at risk for another reason than the interval's."""
        status = self._status
        since = ""
        if status.since_us is not None:
            since = f" since {time_text(status.since_us, self._now, self._session.timezone)}"
        text = f"{status.name} is at risk{since}: {status.reason}."
        besides = response.verdict
        if cause is not None and response.open:
            besides = f"{response.interval} waits because of {cause.text}."
        verdict = text if status.reason in besides else f"{text} {besides}"
        return msgspec.structs.replace(response, verdict=verdict, next=status.next or response.next)

    def _and_waits(self, response: WhyResponse, late: str | None) -> WhyResponse:
        """Return the response for a wrong interval, with the interval that is late besides."""
        if late is None or late == response.interval:
            return response
        waiting = self._ledgers.of_consumer(self._terms, late)
        if waiting is None or not waiting.open or self._status.since_us is None:
            return response
        cause = _cause(self._tx, self._compiled, waiting.segments)
        if cause is None:
            return response
        wrong = self._wrong_since(self._status.since_us)
        verdict = f"{wrong} {waiting.interval} waits because of {cause.text}."
        return msgspec.structs.replace(response, verdict=verdict)

    def _wrong_since(self, since_us: int) -> str:
        since = time_text(since_us, self._now, self._session.timezone)
        return f"{self._status.name} is wrong since {since}: {self._status.reason}."


def _others(causes: Sequence[Incident], named: str) -> str:
    """Return a sentence on other incidents than the `named` one that hold the consumer back.

    They are counted as `status` counts them.
    """
    causes = [cause for cause in causes if cause.label != named]
    if not causes:
        return ""
    names = ", ".join(
        f"{cause.label} ({cause.node}: {cause.summary})" for cause in causes[:OTHERS_MAX]
    )
    more = f" and {len(causes) - OTHERS_MAX} more" if len(causes) > OTHERS_MAX else ""
    return f" {names}{more} {'holds' if len(causes) == 1 else 'hold'} it back, too."


def _is_of(response: WhyResponse, deadline: AtRisk | None) -> bool:
    """Whether the explained interval is the one whose deadline is at risk."""
    return deadline is not None and deadline.interval == response.interval


class _Cause(NamedTuple):
    """The open incident with the largest part of a wait.

    It holds a clause, when the incident's part begins (µs), and whether the wait now has another
    cause.
    """

    incident: str
    text: str
    began_us: int
    is_over: bool


def _cause(
    tx: Transaction, compiled: Compiled, segments: Sequence[SegmentRow] | None
) -> _Cause | None:
    held = _explained(tx, segments) if segments else []
    if not segments or not held:
        return None
    longest = max(held, key=lambda row: row.seconds)
    incident_id = longest.incident or ""
    of_it = [row for row in held if row.incident == incident_id]
    began_us = to_us(min(row.from_ for row in segments if row.incident == incident_id))
    last = {row.incident for row in held if row.to == segments[-1].to}
    return _Cause(
        incident_id,
        _clause(tx, compiled, longest, of_it[-1]),
        began_us,
        is_over=incident_id not in last,
    )


def _explained(tx: Transaction, segments: Sequence[SegmentRow]) -> list[SegmentRow]:
    """Return the segments of open incidents, without attempts that another one followed."""
    lasting = {incident.label for incident in incidents.open_incidents(tx)}
    return [
        segment
        for segment in segments
        if segment.incident in lasting
        and (segment.kind != SegmentKind.RETRY or segment.to == segments[-1].to)
    ]


def _clause(tx: Transaction, compiled: Compiled, longest: SegmentRow, newest: SegmentRow) -> str:
    """Return the incident, its node, what it obstructs, and who answers for it.

    The newest segment says what it obstructs: earlier obstacles may be over.
    """
    label = longest.incident or ""
    incident = incidents.get(tx, int(label.removeprefix("INC-")))
    owner = incident.owner if incident is not None else owner_of(compiled, longest.node)
    whose = f", which {owner} answers for" if owner else ""
    what, besides, more = newest.note.partition("; ")
    at = f"{newest.node} {newest.partition}".removesuffix(f" {WHOLE}")
    if incident is not None and incident.node not in (newest.node, HEADRACE):
        at = f"{incident.node} (seen at {at})"
    return f"{label}: {what} at {at}{whose}{besides}{more}"


def _required(
    context: EvaluationContext, terms: Terms, interval: str, waits: Waits
) -> list[tuple[str, str]]:
    """Return the missing partitions that an interval requires."""
    results = []
    for node in context.awaited(terms):
        if node.name not in waits.nodes or covered(node, terms, interval, context) is not None:
            continue
        for key in needed(node, terms, interval, context) or (WHOLE,):
            facts = context.facts.partition_state(node.name, key)
            if facts is None or not facts.published or key == WHOLE:
                results.append((node.name, key))
    return results
