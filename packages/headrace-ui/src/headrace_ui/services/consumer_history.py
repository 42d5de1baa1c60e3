"""How a consumer was served over time: its deliveries, their waits, and the state of each day."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.extension import SEE, ProjectSession, command
from headrace.project.snapshots import project_state
from headrace.project.targets import consumer_of
from headrace.slo.declared_promises import Terms
from headrace.slo.obligations import Obligation
from headrace.standing.delay_ledger import Ledgers
from headrace_ui.responses.history import (
    ConsumerHistoryResponse,
    DelaySegmentRow,
    PastDeliveryRow,
    ServiceDayRow,
)
from headrace_ui.services.nodes import delivery_state, late_seconds
from headrace_ui.views.service_days import ServiceDay, days_until, service_days

DELIVERIES_MAX = 120
"""The maximum number of newest deliveries, each with its delay ledger."""


class ConsumerHistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The number of local days, today included."""

    days: Annotated[int, Meta(ge=1, le=366)] = 90


@command("consumer history", SEE, of="name", http="GET /consumers/{name}/history consumer_history")
def consumer_history(
    session: ProjectSession, name: str, query: ConsumerHistoryQuery
) -> ConsumerHistoryResponse:
    """Return a consumer's deliveries, what their waits were spent on, and the state of each day.

    At most the newest 120 deliveries; empty before the first apply. Raise UnknownName for an
    unknown consumer.
    """
    consumer_of(session.project(), name)
    now_us = session.clock.now_us()
    days = days_until(now_us, query.days, session.timezone)
    response = ConsumerHistoryResponse(
        now=session.now(),
        consumer=name,
        timezone=session.timezone,
        deliveries=[],
        limited=False,
        days=[],
    )
    if session.store is None or session.compiled is None or not days:
        return response
    window = (days[0].from_us, now_us)
    with project_state(session, now_us) as snapshot:
        terms = {each.consumer: each for each in snapshot.context.declared.consumers}.get(name)
        if terms is None:
            return response
        evaluation = snapshot.evaluation(session, window)
        recent = [
            delivery for delivery in evaluation.deliveries(name) if delivery.due_at_us > window[0]
        ]
        [past] = evaluation.pasts({name})
        ledgers = Ledgers(session, snapshot.tx, session.compiled, snapshot.context, now_us)
        return msgspec.structs.replace(
            response,
            deliveries=[
                _delivery(session, ledgers, terms, delivery, now_us)
                for delivery in recent[-DELIVERIES_MAX:]
            ],
            limited=len(recent) > DELIVERIES_MAX,
            days=[_day(day) for day in service_days(past, days)],
        )


def _delivery(
    session: ProjectSession, ledgers: Ledgers, terms: Terms, delivery: Obligation, now_us: int
) -> PastDeliveryRow:
    ledger = ledgers.ledger(terms, delivery.interval)
    parts = {} if ledger is None else ledgers.by_kind_and_owner(ledger)
    met_at = None if delivery.met_at_us is None else session.instant(delivery.met_at_us)
    return PastDeliveryRow(
        interval=delivery.interval,
        due_at=session.instant(delivery.due_at_us),
        met_at=met_at,
        state=delivery_state(delivery, now_us),
        late_seconds=late_seconds(delivery, now_us),
        wait_seconds=None if ledger is None else ledger.wait_us / 1e6,
        segments=[
            DelaySegmentRow(kind=kind, owner=owner, awaits_trigger=awaits, seconds=seconds)
            for (kind, owner, awaits), seconds in parts.items()
        ],
    )


def _day(day: ServiceDay) -> ServiceDayRow:
    return ServiceDayRow(
        date=day.date.isoformat(),
        state=day.state,
        seconds={state: us / 1e6 for state, us in day.times.items()},
    )
