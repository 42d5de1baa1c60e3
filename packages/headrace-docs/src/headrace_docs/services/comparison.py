"""`docs diff`: what changed between two versions or times, who decided it, and did it help."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from statistics import median
from typing import Annotated, Any, NamedTuple

from headrace.extension import (
    SEE,
    Argument,
    Duration,
    IncidentRow,
    Option,
    ProjectSession,
    UsageError,
    VersionRow,
    command,
    incidents,
    local_instant_us,
    project_state,
    versions,
)
from headrace_docs.responses.comparison import FigureChange, PeriodRow, ProjectComparison, SpreadRow
from headrace_docs.services.describe import WINDOW, applied_changes

DAYS_LEAST = 5
"""Days that each period needs before anything is said to be better or worse."""
_ATTEMPTS = (
    "select node, state, coalesce(started_at, finished_at), finished_at from attempt where"
    " finished_at > :since and finished_at <= :until"
)
_CHECKS = "select node, at from check_result where failing > 0 and at > :since and at <= :until"
_FAULTS = frozenset({"failed", "lost", "held", "rejected"})
_HOUR_US = 3_600_000_000


class Period(NamedTuple):
    """A period in microseconds since 1970 UTC, and the point that it was typed as."""

    point: str
    since_us: int
    until_us: int
    version: VersionRow


class DailyFigure(NamedTuple):
    """A figure by day, as a share or a count, and all of it in words."""

    text: str
    values: Sequence[float]


@command("docs diff", SEE, lists=True)
def compared_periods(
    session: ProjectSession,
    before: Annotated[str, Argument("BEFORE", help="a version's number, a date or a time")],
    after: Annotated[str, Argument("AFTER", help="a later one, or now")] = "now",
    *,
    window: Annotated[
        str, Option("--window", metavar="D", help="which time before a date counts (30d)")
    ] = WINDOW,
    reader: str = "",
) -> ProjectComparison:
    """Return two periods side by side, from what was applied and what ran.

    The period of a version is the time in which it was applied, of a date or time the window before
    it. Raise UsageError for a point that isn't one, or for points in the wrong order.
    """
    applied = versions(session)
    first = _period(session, before, window, applied)
    second = _period(session, after, window, applied)
    if second.until_us <= first.until_us:
        raise UsageError(
            f"{after[:40]} isn't later than {before[:40]}", hint="type the earlier point first"
        )
    second = second._replace(since_us=max(second.since_us, first.until_us))
    known = incidents(session, every=True)
    figures = [_figures(session, period, known) for period in (first, second)]
    old, new = (_files(period.version) for period in (first, second))
    between = [
        row for row in applied if first.version.version < row.version <= second.version.version
    ]
    limited = session.visible is not None
    return ProjectComparison(
        project=session.settings.name,
        env=session.env,
        at=session.now(),
        reader=reader or session.identity.who,
        before=_row(session, first),
        after=_row(session, second),
        added=[] if limited else sorted(new.keys() - old.keys()),
        changed=[] if limited else sorted(p for p in new.keys() & old.keys() if new[p] != old[p]),
        removed=[] if limited else sorted(old.keys() - new.keys()),
        decisions=None if limited else list(applied_changes(applied, between)),
        figures=[compared(name, *(each[name] for each in figures)) for name in FIGURES],
    )


# Periods


def _us(row: VersionRow) -> int:
    return int(row.at.timestamp() * 1_000_000)


def _period(
    session: ProjectSession, point: str, window: str, applied: Sequence[VersionRow]
) -> Period:
    """Return the period of a point; `applied` are the versions, newest first."""
    now_us = session.clock.now_us()
    if point.isdecimal():
        return _period_of_version(point, applied, now_us)
    until_us = now_us if point == "now" else local_instant_us(point, session.timezone)
    if until_us > now_us:
        raise UsageError(f"{point[:40]} is in the future", hint="name a time until now")
    version = next((row for row in applied if _us(row) <= until_us), None)
    if version is None:
        hint = "headrace versions lists when which version was applied"
        raise UsageError(f"nothing was applied before {point[:40]}", hint=hint)
    since_us = Duration.parse(window).before_us(until_us, session.timezone)
    return Period(point, max(since_us, _us(applied[-1])), until_us, version)


def _period_of_version(point: str, applied: Sequence[VersionRow], now_us: int) -> Period:
    at = next((at for at, row in enumerate(applied) if str(row.version) == point), None)
    if at is None:
        raise UsageError(f"there is no version {point[:40]}", hint="headrace versions")
    until_us = _us(applied[at - 1]) if at else now_us
    return Period(f"version {point}", _us(applied[at]), until_us, applied[at])


def _row(session: ProjectSession, period: Period) -> PeriodRow:
    return PeriodRow(
        point=period.point,
        since=session.instant(period.since_us),
        until=session.instant(period.until_us),
        version=period.version.version,
    )


def _files(version: VersionRow) -> dict[str, str]:
    return {file.path: file.sha256 for file in version.files}


# Figures by day

FIGURES: Mapping[str, tuple[str, int]] = {
    "promises kept": ("share", 1),
    "failed, held or rejected attempts": ("number", -1),
    "checks that found something": ("number", -1),
    "incidents opened": ("number", -1),
    "hours of work": ("hours", -1),
}
"""Figure → its unit, and 1 where more is better, -1 where less is."""


def _figures(
    session: ProjectSession, period: Period, known: Sequence[IncidentRow]
) -> dict[str, DailyFigure]:
    """Return the figures of a period, of what the session shows."""
    if session.store is None or session.compiled is None:
        return dict.fromkeys(FIGURES, DailyFigure("nothing ran", ()))
    with project_state(session, session.clock.now_us()) as snapshot:
        attempts = _visible(session, snapshot, _ATTEMPTS, period)
        checks = _visible(session, snapshot, _CHECKS, period)
        duties = _duties(session, snapshot, period)
    opened = [
        row.opened_at
        for row in known
        if period.since_us < int(row.opened_at.timestamp() * 1e6) <= period.until_us
    ]
    days = _whole_days(session.instant(period.since_us), session.instant(period.until_us))
    faults = [session.instant(row[3]) for row in attempts if row[1] in _FAULTS]
    ended = [(session.instant(row[3]), (row[3] - row[2]) / _HOUR_US) for row in attempts]
    return {
        "promises kept": _promises(duties),
        "failed, held or rejected attempts": _counted(faults, days),
        "checks that found something": _counted([session.instant(row[1]) for row in checks], days),
        "incidents opened": _counted(opened, days),
        "hours of work": _summed(ended, days, "{:,.2f}"),
    }


def _visible(session: ProjectSession, snapshot: Any, query: str, period: Period) -> list[Any]:
    """Return the rows of a query in a period, of nodes that the session shows."""
    bounds = {"since": period.since_us, "until": period.until_us}
    return [row for row in snapshot.tx.execute(query, bounds) if session.shows(row[0])]


def _duties(session: ProjectSession, snapshot: Any, period: Period) -> list[tuple[date, bool]]:
    """Return of each promise that fell due in a period its day, and whether it was kept."""
    assert session.compiled is not None
    names = {name for name in session.compiled.project.consumers if session.shows(name)}
    bounds = (period.since_us, period.until_us)
    return [
        (session.instant(duty.due_us).date(), duty.met_in_time)
        for past in snapshot.evaluation(session, bounds).pasts(names)
        for duty in past.promised(*bounds)
    ]


def _whole_days(since: datetime, until: datetime) -> list[date]:
    """Return the days that are in a period from their beginning to their end."""
    begins_whole = since.time() == time.min
    first = since.date() if begins_whole else since.date() + timedelta(days=1)
    return [first + timedelta(days=at) for at in range((until.date() - first).days)]


def _counted(times: Sequence[datetime], days: Sequence[date]) -> DailyFigure:
    return _summed([(at, 1) for at in times], days, "{:,.0f}")


def _summed(
    values: Sequence[tuple[datetime, float]], days: Sequence[date], form: str
) -> DailyFigure:
    """Return a figure that is summed up; by day, it has the whole days of a period only."""
    by_day: dict[date, float] = defaultdict(float)
    for at, value in values:
        by_day[at.date()] += value
    return DailyFigure(form.format(sum(by_day.values())), [by_day[day] for day in days])


def _promises(duties: Sequence[tuple[date, bool]]) -> DailyFigure:
    if not duties:
        return DailyFigure("nothing was due", ())
    due = Counter(day for day, _ in duties)
    met = Counter(day for day, in_time in duties if in_time)
    text = f"{sum(met.values()):,} of {len(duties):,}"
    return DailyFigure(text, [met[day] / due[day] for day in sorted(due)])


def compared(name: str, before: DailyFigure, after: DailyFigure) -> FigureChange:
    """Return a figure of two periods, with whether it got better."""
    unit, better = FIGURES[name]
    old, new = _spread(before), _spread(after)
    return FigureChange(
        figure=name, unit=unit, before=old, after=new, verdict=_verdict(old, new, better)
    )


def _spread(figure: DailyFigure) -> SpreadRow:
    values = figure.values
    return SpreadRow(
        text=figure.text,
        days=len(values),
        median=round(median(values), 4) if values else None,
        low=round(min(values), 4) if values else None,
        high=round(max(values), 4) if values else None,
    )


def _verdict(before: SpreadRow, after: SpreadRow, better: int) -> str:
    if min(before.days, after.days) < DAYS_LEAST or after.median is None:
        return "too few days"
    assert before.low is not None
    assert before.high is not None
    if before.low <= after.median <= before.high:
        return "within the spread"
    return "better" if (after.median > before.high) == (better > 0) else "worse"
