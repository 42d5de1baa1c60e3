"""What is expected on the coming days: deadlines, deliveries, runs by trigger, and days off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from headrace.extension import SEE, Asset, ProjectSession, Source, command
from headrace.model import Consumer, Grain
from headrace.model.intervals import (
    HOUR_US,
    bounds_us,
    day_start_us,
    key_at_us,
    local_date,
    next_key,
    previous_key,
)
from headrace.model.times import days_off
from headrace.project.snapshots import ProjectSnapshot, project_state
from headrace.scheduler.gates import next_firing
from headrace.scheduler.graph import NodeTrigger
from headrace.slo.blockage import promised_by
from headrace.slo.declared_promises import Node
from headrace.store.queries import deliveries as stored_deliveries
from headrace.store.queries import scheduling
from headrace_ui.responses.calendar import (
    CalendarPauseRow,
    CalendarResponse,
    CalendarRow,
    DaysOffRow,
)
from headrace_ui.services.nodes import delivery_state
from headrace_ui.services.today import Deadlines
from headrace_ui.views.upcoming import upcoming

PREDICTED_US = 48 * HOUR_US
"""How far ahead deadlines have a predicted time."""
RUNS_MAX = 1_440
"""The number of runs of an asset in the calendar: one a minute of a day, the soonest first."""
EARLIER_MAX = 400
"""The number of intervals before now whose deliveries may still be expected."""
ROWS_MAX = 5_000
_STATES = ("at_risk", "due", "met", "waived")
"""Of deadlines ahead, the most urgent first."""
_DAY = timedelta(days=1)


class CalendarQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The number of local days, today included."""

    days: Annotated[int, Meta(ge=1, le=31)] = 14


@command("calendar", SEE, lists=True, http="GET /calendar calendar")
def calendar(session: ProjectSession, query: CalendarQuery) -> CalendarResponse:
    """Return what is expected from now until the end of the last day.

    Empty before the first apply.
    """
    now_us = session.clock.now_us()
    today = local_date(now_us, session.timezone)
    dates = [today + n * _DAY for n in range(query.days)]
    until_us = day_start_us(dates[-1] + _DAY, session.timezone) - 1
    response = CalendarResponse(
        now=session.now(),
        timezone=session.timezone,
        dates=[day.isoformat() for day in dates],
        rows=[],
        days_off=[],
        pauses=[],
        limited=False,
    )
    if session.store is None or session.compiled is None:
        return response
    with project_state(session, now_us) as snapshot:
        ahead = _Ahead(session, snapshot, now_us, until_us)
        rows = _by_day([*ahead.deadlines(), *ahead.deliveries(), *ahead.runs()])
    return msgspec.structs.replace(
        response,
        rows=rows[:ROWS_MAX],
        days_off=_days_off(session, dates),
        pauses=[
            CalendarPauseRow(node=name, until=None if end is None else session.instant(end))
            for name, end in sorted(ahead.pauses.items())
            if session.shows(name)
        ],
        limited=len(rows) > ROWS_MAX,
    )


class _Expected(NamedTuple):
    kind: str
    node: str
    owner: str
    at: datetime
    interval: str | None = None
    ends_at: datetime | None = None
    state: str | None = None
    predicted_at: datetime | None = None


class _Ahead:
    """What is expected after now and until a time."""

    def __init__(
        self, session: ProjectSession, snapshot: ProjectSnapshot, now_us: int, until_us: int
    ) -> None:
        self._session, self._snapshot = session, snapshot
        self._now, self._until = now_us, until_us
        self._project = session.project()
        self.pauses = {
            pause.node: pause.until for pause in scheduling.pauses_in_force(snapshot.tx, now_us)
        }
        self._nodes = [
            node for node in session.declared_promises.nodes.values() if session.shows(node.name)
        ]

    def deadlines(self) -> Iterator[_Expected]:
        """Yield the deadlines of consumers; the next ones with the time that is predicted."""
        session, context = self._session, self._snapshot.context
        soon = min(self._until, self._now + PREDICTED_US)
        near = Deadlines(session, self._snapshot, self._now, soon)
        terms = {each.consumer: each for each in context.declared.consumers}
        evaluation = self._snapshot.evaluation(session, (self._now, self._now))
        for status in evaluation.status.consumers:
            if not session.shows(status.name):
                continue
            name, of_name = status.name, terms[status.name]
            expected = partial(_Expected, "deadline", name, of_name.owner)
            for row in near.of(status):
                ends = self._end(row.interval, of_name.per, of_name.timezone)
                yield expected(row.due_at, row.interval, ends, row.state, row.predicted_at)
            for each in upcoming(
                of_name, context, status.obligations, max(soon, self._now), self._until
            ):
                at, state = session.instant(each.due_at_us), delivery_state(each, self._now)
                ends = self._end(each.interval, of_name.per, of_name.timezone)
                yield expected(at, each.interval, ends, state)

    def deliveries(self) -> Iterator[_Expected]:
        """Yield the deliveries that owners of sources promised and that aren't there yet."""
        for node in self._nodes:
            if node.expect_by is None:
                continue
            owner, arrived = self._project.sources[node.name].owner, self._arrived(node)
            for interval, at_us in _promised(node, self._now, self._until):
                if interval not in arrived:
                    at, grain = self._session.instant(at_us), node.partition.grain
                    ends = None if grain is None else self._end(interval, grain, node.timezone)
                    yield _Expected("delivery", node.name, owner, at, interval, ends)

    def _end(self, interval: str, grain: Grain, timezone: str) -> datetime:
        return self._session.instant(bounds_us(interval, grain, timezone)[1])

    def _arrived(self, node: Node) -> set[str]:
        outcomes = stored_deliveries.arrivals(self._snapshot.tx, node.name, limit=EARLIER_MAX)
        return {each.partition for each in outcomes if each.state not in ("held", "rejected")}

    def runs(self) -> Iterator[_Expected]:
        """Yield the runs of assets by cron or at intervals; none while an asset is paused."""
        for node in self._nodes:
            begin = self.pauses.get(node.name, self._now)
            if node.trigger is None or begin is None:
                continue
            owner = self._project.assets[node.name].owner
            for at_us in islice(_firings(node.trigger, begin, self._until), RUNS_MAX):
                yield _Expected("run", node.name, owner, self._session.instant(at_us))


def _firings(trigger: NodeTrigger, after_us: int, until_us: int) -> Iterator[int]:
    at = next_firing(trigger, after_us)
    while at is not None and at <= until_us:
        yield at
        at = next_firing(trigger, at)


def _promised(node: Node, now_us: int, until_us: int) -> Iterator[tuple[str, int]]:
    """Yield the intervals that are due after now, and when: the end and the declared time after."""
    grain, zone = node.partition.grain, node.timezone
    if grain is None or node.partition.by_delivery:
        return
    interval = key_at_us(now_us, grain, zone)
    for _ in range(EARLIER_MAX):
        before = previous_key(interval, grain, zone)
        at = promised_by(node, before)
        if at is None or at <= now_us:
            break
        interval = before
    while (at := promised_by(node, interval)) is not None and at <= until_us:
        if at > now_us and not node.no_data.covers(interval):
            yield interval, at
        interval = next_key(interval, grain, zone)


def _by_day(expected: Iterable[_Expected]) -> list[CalendarRow]:
    """Return one row for each kind, node and local day, the soonest first."""
    groups: dict[tuple[str, str, date], list[_Expected]] = {}
    for each in expected:
        groups.setdefault((each.kind, each.node, each.at.date()), []).append(each)
    rows = [_row(sorted(group, key=lambda each: each.at)) for group in groups.values()]
    return sorted(rows, key=lambda row: (row.first_at, row.kind, row.node))


def _row(group: Sequence[_Expected]) -> CalendarRow:
    first, last = group[0], group[-1]
    states = {each.state for each in group}
    return CalendarRow(
        date=first.at.date().isoformat(),
        kind=first.kind,
        node=first.node,
        owner=first.owner,
        first_at=first.at,
        last_at=last.at,
        times=len(group),
        interval=first.interval,
        ends_at=first.ends_at,
        state=next((state for state in _STATES if state in states), first.state),
        predicted_at=first.predicted_at,
    )


def _days_off(session: ProjectSession, dates: Sequence[date]) -> list[DaysOffRow]:
    """Return the calendars that visible nodes and consumers name, with their days off."""
    project = session.project()
    names: dict[str, int] = {}
    nodes: list[Source | Asset | Consumer] = [
        *project.sources.values(),
        *project.assets.values(),
        *project.consumers.values(),
    ]
    for node in nodes:
        if node.calendar is not None and session.shows(node.name):
            names[node.calendar] = names.get(node.calendar, 0) + 1
    rows = []
    for name, count in sorted(names.items()):
        off = days_off(project, name)
        days = [day.isoformat() for day in dates if off.holds(day)]
        rows.append(DaysOffRow(calendar=name, dates=days, nodes=count))
    return rows
