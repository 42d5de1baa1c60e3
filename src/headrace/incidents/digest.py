"""The daily digest: what has changed since the last one, and why.

On a day without a change no digest is sent; it is recorded as dropped, so that it isn't built
again. The first digest of a week has a section about the week: what took the time, and advice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from statistics import median
from typing import NamedTuple, TypeAlias

from headrace.incidents import endings
from headrace.incidents.diagnosis.wording import listed
from headrace.incidents.messages import (
    NAMES_TOLD,
    Recipient,
    Recipients,
    Words,
    subject,
    wrapped,
)
from headrace.model import Project
from headrace.model.intervals import from_us, interval_of, key_of_date, local_us
from headrace.model.nodes import Grain
from headrace.model.partitions import command_line
from headrace.model.times import time_of_day
from headrace.slo.declared_promises import DeclaredPromises
from headrace.slo.times import dated
from headrace.store.queries import deliveries, incidents, notifications, publications
from headrace.store.queries.incident_mutes import mutes
from headrace.store.queries.incidents import Incident
from headrace.store.queries.notifications import Queued
from headrace.store.queries.publications import Publication
from headrace.store.transaction import Transaction

CHANGED = 0.2
"""A day whose rows differ by at least this share from the day before gets a line."""
AS_EVER = 0.1
"""Within this share of the median on its weekday, a day is as usual."""
WEEKS = 4
_SUBJECT = "digest/"
"""Prefix of a digest's subject; its local date follows."""
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Unserved(NamedTuple):
    """Late consumers, and consumers never served by their first deadline.

    Values are the start in microseconds.
    """

    late: Mapping[str, int] = {}
    never: Mapping[str, int] = {}


class DigestAudience(NamedTuple):
    """The audience of a digest: the consumers of its recipient, and the owners it stands for.

    The owners are the recipient and vendors that aren't notified themselves.
    """

    owners: frozenset[str]
    consumers: frozenset[str]

    def concerned_by(self, incident: Incident) -> bool:
        """Return whether an incident affects the audience."""
        return incident.owner in self.owners or not self.consumers.isdisjoint(
            incident.affected.consumers
        )


class DigestWindow(NamedTuple):
    """The window of a digest, in microseconds: since the one before was due, until it is due."""

    after: int
    until: int

    def holds(self, at: int) -> bool:
        """Return whether a time is in the window; each time is in exactly one digest's window."""
        return self.after < at <= self.until

    def begins_week(self, timezone: str) -> bool:
        """Return whether the digest is the first one of a week, which begins on Monday."""
        before, until = (from_us(at, timezone).date() for at in self)
        return before.isocalendar()[:2] != until.isocalendar()[:2]


WeeklyLines: TypeAlias = Callable[[DigestAudience, int], Iterable[str]]
"""(audience, when the digest is due in microseconds) → the lines of its weekly section."""


def no_weekly_lines(_audience: DigestAudience, _until: int) -> Iterable[str]:
    """Return no lines: nothing is known to give advice from."""
    return ()


def digests(
    tx: Transaction,
    project: Project,
    declared: DeclaredPromises,
    unserved: Unserved,
    now: int,
    weekly: WeeklyLines = no_weekly_lines,
) -> Iterator[Queued]:
    """Yield the digests that are due; empty ones as dropped, so that they aren't built again.

    The first digest of a week has the lines of `weekly`, too.
    """
    people, timezone = Recipients(project), declared.timezone
    words = Words(project, now, lambda _: None)
    applied = deliveries.first_applied(tx) or 0
    for to, clock in _subscribers(project, people):
        at = _boundary(clock, now, timezone)
        digest_subject = _digest_subject(at, timezone)
        known = notifications.subjects(tx, "digest", digest_subject)
        if at <= applied or all((to.name, channel) in known for channel in to.owner.contact):
            continue
        window = DigestWindow(_since(tx, to.name, clock, at, timezone), at)
        owners = _owners_notified_by(project, people, to.name)
        audience = DigestAudience(owners, _consumers(project, to.name))
        lines = list(_lines(tx, project, declared, audience, unserved, window))
        if window.begins_week(timezone):
            lines += weekly(audience, window.until)
        empty = None if lines else _nothing(window.after, applied, timezone)
        page = words.page(f"what has changed until {from_us(at, timezone):%A %H:%M}", lines)
        for channel in to.owner.contact:
            why = empty or people.wrong(channel, cause=False)
            yield Queued(
                incident=None,
                kind="digest",
                subject=digest_subject,
                recipient=to.name,
                channel=channel,
                title=page.title,
                body=page.body,
                not_before=to.not_before(now, timezone, urgent=False),
                state="waiting" if why is None else "dropped",
                error=why,
            )


def _digest_subject(at: int, timezone: str) -> str:
    """Return the subject that identifies the digest due at a time."""
    return f"{_SUBJECT}{from_us(at, timezone):%Y-%m-%d}"


def _subscribers(project: Project, people: Recipients) -> Iterator[tuple[Recipient, str]]:
    """Yield the owners that get a digest, with its time of day.

    An owner whose messages go to another gets none.
    """
    for name, owner in project.owners.items():
        to = people.of(name)
        if owner.digest is not None and to is not None and to.name == name:
            yield to, owner.digest


def _owners_notified_by(project: Project, people: Recipients, recipient: str) -> frozenset[str]:
    """Return the owners whose messages go to a recipient: itself, and some vendors."""
    recipients = ((owner, people.of(owner)) for owner in project.owners)
    return frozenset(owner for owner, to in recipients if to is not None and to.name == recipient)


def _nothing(since: int, applied: int, timezone: str) -> str:
    """Return why an empty digest isn't sent."""
    if applied <= since:
        return "nothing has changed"
    return f"nothing to report since the project was applied, {dated(applied, timezone)}"


def _since(tx: Transaction, recipient: str, clock: str, at: int, timezone: str) -> int:
    """Return when the digest before the one due at a time was due.

    After days without a run, the next digest covers all of them.
    """
    last = notifications.newest_subject(
        tx, "digest", recipient, before=_digest_subject(at, timezone)
    )
    if last is None:
        return _boundary(clock, at - 1, timezone)
    return local_us(date.fromisoformat(last.removeprefix(_SUBJECT)), time_of_day(clock), timezone)


def _consumers(project: Project, owner: str) -> frozenset[str]:
    return frozenset(
        name for name, consumer in project.consumers.items() if consumer.owner == owner
    )


def _boundary(clock: str, now: int, timezone: str) -> int:
    """Return when the newest digest was due."""
    today = from_us(now, timezone).date()
    at = local_us(today, time_of_day(clock), timezone)
    return at if at <= now else local_us(today - timedelta(days=1), time_of_day(clock), timezone)


def _lines(
    tx: Transaction,
    project: Project,
    declared: DeclaredPromises,
    to: DigestAudience,
    unserved: Unserved,
    window: DigestWindow,
) -> Iterator[str]:
    """Yield the lines about the window; each names its incident, command or attempts.

    Later news are for the next digest, however late this one is built.
    """
    reported = list(_incidents_in_window(tx, to, window))
    muted = mutes(tx, (incident for incident, _ in reported), window.until)
    marks = dict.fromkeys(muted, " (muted)")
    yield from _opened_and_over(reported, window, marks, declared.timezone)
    consumers = (("late since", unserved.late), ("never served, due since", unserved.never))
    for text, since_by_name in consumers:
        for name, since in since_by_name.items():
            if name in to.consumers and window.holds(since):
                at = dated(since, declared.timezone)
                yield f"{text} {at}: {name} ({command_line('why', name)})"
    yield from _throughput(tx, project, declared, to, window)
    older = [
        f"{incident.label}{marks.get(incident.id, '')}"
        for incident, period in reported
        if period.resolved_at is None and not window.holds(period.opened_at)
    ]
    if older:
        yield f"open still: {listed(older, NAMES_TOLD)}"


def _opened_and_over(
    periods: Sequence[tuple[Incident, endings.Period]],
    window: DigestWindow,
    marks: Mapping[int, str],
    timezone: str,
) -> Iterator[str]:
    """Yield the incidents that were opened in the window, then those that ended, newest first.

    What is said of an end was true then, and may not be so when the digest is read.
    """
    for incident, period in periods:
        if period.resolved_at is None and window.holds(period.opened_at):
            begun = "new" if period.opened_at == incident.opened_at else "open again"
            mark = marks.get(incident.id, "")
            yield f"{begun}: {incident.label} {subject(incident)}{mark}"
    for incident, period in sorted(periods, key=lambda each: -(each[1].resolved_at or 0)):
        if period.resolved_at is not None:
            at = dated(period.resolved_at, timezone)
            yield from wrapped(f"over: {incident.label} {subject(incident)}. {at}: {period.ended}")


def _incidents_in_window(
    tx: Transaction, to: DigestAudience, window: DigestWindow
) -> Iterator[tuple[Incident, endings.Period]]:
    """Yield the audience's incidents that were open in the window, as reported at its end.

    Each comes with its last open period. An end after the window is for the next digest.
    """
    known = [*incidents.open_incidents(tx), *incidents.resolved_since(tx, window.after)]
    for incident in sorted(known, key=lambda each: each.id):
        last = _last_period(tx, incident, window)
        if last is None or not to.concerned_by(incident):
            continue
        if last.resolved_at is None or window.holds(last.resolved_at):
            yield incidents.as_reported(tx, incident, window.until), last


def _last_period(
    tx: Transaction, incident: Incident, window: DigestWindow
) -> endings.Period | None:
    """Return an incident's last open period, as known at a window's end; None if none began."""
    begun = [each for each in endings.periods(tx, incident) if each.opened_at <= window.until]
    if not begun:
        return None
    last = begun[-1]
    if last.resolved_at is not None and last.resolved_at > window.until:
        return endings.Period(last.opened_at, None, "")
    return last


def _throughput(
    tx: Transaction,
    project: Project,
    declared: DeclaredPromises,
    to: DigestAudience,
    window: DigestWindow,
) -> Iterator[str]:
    """Yield lines about sources whose newest day has far more or fewer rows than the day before.

    The day must be published within the window. Each line says whether the weekday explains the
    change.
    """
    read = {
        node.name
        for consumer in to.consumers
        for node in declared.upstream(project.consumers[consumer].reads)
    }
    for name, source in project.sources.items():
        if (
            source.partition.grain is Grain.DAY
            and not source.partition.key
            and (source.owner in to.owners or name in read)
        ):
            line = _compared(tx, name, source.timezone or project.settings.timezone, window)
            if line is not None:
                yield line


def _compared(tx: Transaction, name: str, timezone: str, window: DigestWindow) -> str | None:
    newest = publications.newest(tx, name)
    if newest is None or not window.holds(newest.published_at):
        return None
    day = interval_of(newest.partition, Grain.DAY, timezone).start.date()

    def published(back: int) -> Publication | None:
        return publications.current(tx, name, key_of_date(day - timedelta(days=back), Grain.DAY))

    before = published(1)
    if before is None or not before.rows or abs(newest.rows - before.rows) < CHANGED * before.rows:
        return None
    change = (newest.rows - before.rows) / before.rows
    attempts = f"attempts {before.epoch}.{before.n} and {newest.epoch}.{newest.n}"
    text = (
        f"{name}: {abs(change):.0%} {'fewer' if change < 0 else 'more'} rows on {newest.partition}"
        f" than the day before ({before.rows:,} → {newest.rows:,}, {attempts})"
    )
    usual = [
        publication.rows
        for week in range(1, WEEKS + 1)
        if (publication := published(7 * week)) is not None
    ]
    if len(usual) < 2:
        return f"{text}; too few weeks are known to say whether that is usual"
    middle = median(usual)
    weekday = _DAYS[day.weekday()]
    if abs(newest.rows - middle) <= AS_EVER * middle:
        return f"{text}: {weekday}, as the last {len(usual)} {weekday}s ({round(middle):,})"
    return (
        f"{text}; the last {len(usual)} {weekday}s have {round(middle):,} as a rule, this one"
        f" {newest.rows:,}"
    )
