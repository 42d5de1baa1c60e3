"""One consumer: how it is served, and its deliveries over time against the deadline, each with where the time went."""

from __future__ import annotations

from datetime import datetime

from headrace.model import UnknownName
from headrace.model.reporting import did_you_mean
from headrace.observe.obligations import Obligation
from headrace.operations.availability import WINDOW, window_began
from headrace.operations.cursors import cursor, place
from headrace.operations.interventions import LedgerRow
from headrace.operations.ledgers import Ledgers
from headrace.operations.responses import ConsumerRow, Response
from headrace.operations.session import ProjectSession
from headrace.operations.standing import standing
from headrace.operations.status import of_consumers, status


class ServedInterval(Response, frozen=True, kw_only=True):
    """An interval of a consumer: `met` in time, met `late`, `waived`, `missing` after its deadline, or `due` later. `late_seconds` is
    negative where it came before the deadline, and counts until now while it is missing."""

    interval: str
    due_at: datetime
    met_at: datetime | None
    state: str
    late_seconds: float | None
    ledger: LedgerRow | None
    """Null before the interval's end, and where it wasn't asked for."""


class ConsumerResponse(Response, frozen=True, kw_only=True):
    """A consumer; `deliveries` are its newest intervals, newest first, and `next` is the cursor of older ones."""

    now: datetime
    consumer: ConsumerRow
    per: str
    timezone: str
    description: str
    domain: str | None
    importance: str | None
    file: str
    upstream: list[str]
    """Sources and assets that it needs, through others too."""
    deliveries: list[ServedInterval]
    next: str | None


def consumer(session: ProjectSession, name: str, *, before: str | None, limit: int, ledgers: int) -> ConsumerResponse:
    """How a consumer was served; the newest `ledgers` of its intervals with their ledger. UsageError for one that there isn't."""
    project = session.project()
    declared = project.consumers.get(name)
    if declared is None:
        raise UnknownName(f"there is no consumer {name[:60]!r}", hint=did_you_mean(name, project.consumers) or "headrace status")
    response = status(session, [f"consumer:{name}"]) if session.compiled is None else of_consumers(session, session.compiled, {name})
    row = next(consumer for consumer in response.consumers if consumer.name == name)
    page, more = _deliveries(session, name, None if before is None else place(before, str), limit, ledgers)
    return ConsumerResponse(
        now=session.now(),
        consumer=row,
        per=declared.per.value,
        timezone=declared.timezone or project.settings.timezone,
        description=declared.description,
        domain=declared.domain,
        importance=declared.importance,
        file=declared.place.file,
        upstream=_upstream(session, name),
        deliveries=page,
        next=cursor(page[-1].interval) if more else None,
    )


def _upstream(session: ProjectSession, name: str) -> list[str]:
    if session.compiled is None:
        return []
    from headrace.operations.catalog.reach import reach_of

    reach = reach_of(session, session.compiled)
    return [distance for distance in reach.distances(name, reach.above) if distance != name]


def _deliveries(session: ProjectSession, name: str, before: str | None, limit: int, ledgers: int) -> tuple[list[ServedInterval], bool]:
    if session.store is None or session.compiled is None:
        return [], False
    compiled, now_us = session.compiled, session.clock.now_us()
    window = (window_began(WINDOW, now_us, session.timezone), now_us)
    with standing(session, now_us) as snapshot:
        terms = next(consumer for consumer in snapshot.context.declared.consumers if consumer.consumer == name)
        delivered = snapshot.evaluation(session, window).deliveries(name)
        newest = [obligation for obligation in reversed(delivered) if before is None or obligation.interval < before]
        page, books = newest[:limit], Ledgers(session, snapshot.tx, compiled, snapshot.context, now_us)
        rows = [
            _row(session, obligation, books.of_consumer(terms, obligation.interval) if n < ledgers else None, now_us)
            for n, obligation in enumerate(page)
        ]
    return rows, len(newest) > len(page)


def _row(session: ProjectSession, obligation: Obligation, ledger: LedgerRow | None, now_us: int) -> ServedInterval:
    end = (
        obligation.met_at_us
        if obligation.met_at_us is not None
        else now_us
        if now_us > obligation.due_at_us and not obligation.waived
        else None
    )
    return ServedInterval(
        interval=obligation.interval,
        due_at=session.instant(obligation.due_at_us),
        met_at=None if obligation.met_at_us is None else session.instant(obligation.met_at_us),
        state=_state(obligation, now_us),
        late_seconds=None if end is None else (end - obligation.due_at_us) / 1_000_000,
        ledger=ledger,
    )


def _state(obligation: Obligation, now_us: int) -> str:
    if obligation.met_at_us is not None:
        return "met" if obligation.met_at_us <= obligation.due_at_us else "late"
    return "waived" if obligation.waived else "missing" if now_us > obligation.due_at_us else "due"
