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
    found = status(session, [f"consumer:{name}"]) if session.compiled is None else of_consumers(session, session.compiled, {name})
    row = next(one for one in found.consumers if one.name == name)
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
    return [one for one in reach.distances(name, reach.above) if one != name]


def _deliveries(session: ProjectSession, name: str, before: str | None, limit: int, ledgers: int) -> tuple[list[ServedInterval], bool]:
    if session.store is None or session.compiled is None:
        return [], False
    compiled, now_us = session.compiled, session.clock.now_us()
    window = (window_began(WINDOW, now_us, session.timezone), now_us)
    with standing(session, now_us) as found:
        terms = next(one for one in found.context.declared.consumers if one.consumer == name)
        delivered = found.evaluation(session, window).deliveries(name)
        newest = [one for one in reversed(delivered) if before is None or one.interval < before]
        page, books = newest[:limit], Ledgers(session, found.tx, compiled, found.context, now_us)
        rows = [_row(session, one, books.of_consumer(terms, one.interval) if n < ledgers else None, now_us) for n, one in enumerate(page)]
    return rows, len(newest) > len(page)


def _row(session: ProjectSession, one: Obligation, ledger: LedgerRow | None, now_us: int) -> ServedInterval:
    end = one.met_at_us if one.met_at_us is not None else now_us if now_us > one.due_at_us and not one.waived else None
    return ServedInterval(
        interval=one.interval,
        due_at=session.instant(one.due_at_us),
        met_at=None if one.met_at_us is None else session.instant(one.met_at_us),
        state=_state(one, now_us),
        late_seconds=None if end is None else (end - one.due_at_us) / 1_000_000,
        ledger=ledger,
    )


def _state(one: Obligation, now_us: int) -> str:
    if one.met_at_us is not None:
        return "met" if one.met_at_us <= one.due_at_us else "late"
    return "waived" if one.waived else "missing" if now_us > one.due_at_us else "due"
