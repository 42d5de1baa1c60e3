"""What Today draws: how consumers were served on the last days, and which deadlines come next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from headrace.extension import SEE, ProjectSession, command
from headrace.model.intervals import HOUR_US
from headrace.project.snapshots import ProjectSnapshot, project_state
from headrace.slo.at_risk import Risks
from headrace.slo.availability import minutes
from headrace.slo.blockage import Blockage
from headrace.slo.consumer_states import ConsumerStatus
from headrace.slo.declared_promises import Terms
from headrace.slo.obligations import Obligation
from headrace.slo.risk import Obstacle, Outlooks
from headrace.slo.timeline import ServiceHistory
from headrace_ui.queries.failing_nodes import failing_alike
from headrace_ui.responses.history import ConsumerDaysRow, TodayResponse, UpcomingRow
from headrace_ui.services.nodes import delivery_state
from headrace_ui.views.service_days import Day, days_until, service_days
from headrace_ui.views.upcoming import UsualTime, upcoming, usual_time

DEADLINES_MAX = 100
"""The maximum number of deadlines, those that come first."""


class TodayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The number of local days, today included, and of the hours from now on."""

    days: Annotated[int, Meta(ge=1, le=31)] = 14
    hours: Annotated[int, Meta(ge=1, le=48)] = 12


@command("today", SEE, lists=True, http="GET /today today")
def today(session: ProjectSession, query: TodayQuery) -> TodayResponse:
    """Return how each consumer was served on the last days, and the deadlines of the next hours.

    The state of a day is that of `consumer_history`. The risk of a deadline is that of `status`;
    before the interval has ended it is a pause, a partition that somebody has to act on, or a node
    that keeps failing.
    Empty before the first apply.
    """
    now_us = session.clock.now_us()
    days = days_until(now_us, query.days, session.timezone)
    response = TodayResponse(
        now=session.now(),
        timezone=session.timezone,
        dates=[day.date.isoformat() for day in days],
        consumers=[],
        hours=query.hours,
        deadlines=[],
        limited=False,
    )
    if session.store is None or session.compiled is None or not days:
        return response
    with project_state(session, now_us) as snapshot:
        evaluation = snapshot.evaluation(session, (days[0].from_us, now_us))
        consumers = [each for each in evaluation.status.consumers if session.shows(each.name)]
        pasts = {past.consumer: past for past in evaluation.pasts({row.name for row in consumers})}
        deadlines = Deadlines(session, snapshot, now_us, now_us + query.hours * HOUR_US)
        rows = [row for status in consumers for row in deadlines.of(status)]
    rows.sort(key=lambda row: (row.due_at, row.consumer, row.interval))
    return msgspec.structs.replace(
        response,
        consumers=[_days(pasts[row.name], days) for row in consumers],
        deadlines=rows[:DEADLINES_MAX],
        limited=len(rows) > DEADLINES_MAX,
    )


def _days(past: ServiceHistory, days: Sequence[Day]) -> ConsumerDaysRow:
    served = service_days(past, days)
    return ConsumerDaysRow(
        consumer=past.consumer,
        states=[day.state for day in served],
        lost_minutes=[minutes(day.lost_us) for day in served],
    )


class _Missed(NamedTuple):
    """Why a deadline will be missed, and when it will be met at the earliest (None: unknown)."""

    reason: str
    predicted_us: int | None


class Deadlines:
    """The deadlines of consumers between two times."""

    def __init__(
        self, session: ProjectSession, snapshot: ProjectSnapshot, now_us: int, until_us: int
    ) -> None:
        self._session, self._context = session, snapshot.context
        self._now, self._until = now_us, until_us
        self._outlooks = Outlooks(snapshot.context, now_us)
        self._blockage = Blockage(snapshot.context, now_us)
        self._failing = failing_alike(snapshot.tx, session.version or 0)
        self._terms = {terms.consumer: terms for terms in snapshot.context.declared.consumers}

    def of(self, status: ConsumerStatus) -> list[UpcomingRow]:
        """Return the deadlines of one consumer."""
        terms = self._terms[status.name]
        known = status.obligations
        return [
            self._row(terms, obligation, known)
            for obligation in upcoming(terms, self._context, known, self._now, self._until)
        ]

    def _row(
        self, terms: Terms, obligation: Obligation, known: Sequence[Obligation]
    ) -> UpcomingRow:
        session = self._session
        risk, usual = None, None
        if not obligation.settled:
            risk, usual = self._outlook(terms, obligation, known)
        predicted = usual.at_us if usual else risk.predicted_us if risk else None
        met = obligation.met_at_us
        return UpcomingRow(
            consumer=terms.consumer,
            owner=terms.owner,
            interval=obligation.interval,
            due_at=session.instant(obligation.due_at_us),
            state="at_risk" if risk else delivery_state(obligation, self._now),
            met_at=None if met is None else session.instant(met),
            predicted_at=None if predicted is None else session.instant(predicted),
            earliest_at=None if usual is None else session.instant(usual.low_us),
            latest_at=None if usual is None else session.instant(usual.high_us),
            deliveries=0 if usual is None else usual.deliveries,
            reason="" if risk is None else risk.reason,
        )

    def _outlook(
        self, terms: Terms, obligation: Obligation, known: Sequence[Obligation]
    ) -> tuple[_Missed | None, UsualTime | None]:
        """Return why a deadline will be missed, else when it is usually met.

        Why is what `status` would say if this were the consumer's next deadline. No delivery is
        late before its interval has ended, but other obstacles are known by then.
        """
        risk = Risks(
            terms, self._context, self._now, self._outlooks, self._blockage, [obligation]
        ).deadline()
        if risk is not None:
            return _Missed(risk.reason, risk.predicted_us), None
        obstacle = self._outlooks.obstacle(terms, obligation)
        if obstacle is not None and _makes_late(obstacle, obligation):
            return _Missed(obstacle.clause, obstacle.at_us), None
        above = {node.name for node in self._context.declared.upstream(terms.reads)}
        if failing := sorted(above.intersection(self._failing)):
            return _Missed(f"{failing[0]} keeps failing", None), None
        usual = usual_time(terms, obligation.interval, known, self._now)
        return None, None if usual is None else _not_before(usual, obstacle)


def _makes_late(obstacle: Obstacle, obligation: Obligation) -> bool:
    return obstacle.at_us is None or obstacle.at_us > obligation.due_at_us


def _not_before(usual: UsualTime, obstacle: Obstacle | None) -> UsualTime:
    """Return the usual time, but none of it before a pause lets the interval be met."""
    if obstacle is None or obstacle.at_us is None:
        return usual
    first = obstacle.at_us
    return UsualTime(
        max(usual.at_us, first),
        max(usual.low_us, first),
        max(usual.high_us, first),
        usual.deliveries,
    )
