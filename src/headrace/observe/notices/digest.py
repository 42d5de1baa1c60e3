"""The day's digest: what has changed since the last one, and why; on a day without a change, nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from statistics import median

from headrace.model import Project
from headrace.model.intervals import interval_of, key_of_date
from headrace.model.nodes import Grain
from headrace.model.quiet import time_of_day
from headrace.model.zones import HOUR_US, from_us, local_us
from headrace.observe.notices.recipients import Recipient, Recipients
from headrace.observe.notices.wording import Words, clause, listed
from headrace.observe.watched import Watched
from headrace.store.database import Transaction
from headrace.store.queries import incidents, notices, publications
from headrace.store.queries.incidents import Incident
from headrace.store.queries.notices import Queued

CHANGED = 0.2
"""A day with so much more or less than the day before is worth a line."""
AS_EVER = 0.1
"""So near to what is usual on its weekday, it is that."""
WEEKS = 4
DAY_US = 24 * HOUR_US
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def digests(tx: Transaction, project: Project, declared: Watched, *, late: Mapping[str, int], now: int) -> Iterator[Queued]:
    """The digests that are due. One that has nothing to say is written down as dropped, so that it isn't made again."""
    people, words, timezone = Recipients(project), Words(project, now), declared.timezone
    for name, owner in project.owners.items():
        to = people.of(name)
        if owner.digest is None or to is None or to.name != name:
            continue
        at = _boundary(owner.digest, now, timezone)
        subject = f"digest/{from_us(at, timezone):%Y-%m-%d}"
        known = notices.subjects(tx, "digest", subject)
        if all((name, channel) in known for channel in owner.contact):
            continue
        lines = list(_lines(tx, project, declared, to, late, at))
        page = words.page(f"what has changed until {from_us(at, timezone):%A %H:%M}", lines)
        for channel in owner.contact:
            why = people.wrong(channel, cause=False) if lines else "nothing has changed"
            yield Queued(
                incident=None, kind="digest", subject=subject, recipient=name, channel=channel, title=page.title, body=page.body,
                not_before=to.not_before(now, timezone, urgent=False), state="waiting" if why is None else "dropped", error=why,
            )  # fmt: skip


def _boundary(clock: str, now: int, timezone: str) -> int:
    """When the newest digest was due."""
    today = from_us(now, timezone).date()
    at = local_us(today, time_of_day(clock), timezone)
    return at if at <= now else local_us(today - timedelta(days=1), time_of_day(clock), timezone)


def _lines(tx: Transaction, project: Project, declared: Watched, to: Recipient, late: Mapping[str, int], at: int) -> Iterator[str]:
    since = at - DAY_US
    mine = {name for name, one in project.consumers.items() if one.owner == to.name}
    concerns = [one for one in incidents.open_ones(tx) if _concerns(one, to.name, mine)]
    for one in (one for one in concerns if since < one.opened_at):
        yield f"new: {one.shown} {one.node}: {clause(one)}"
    for one in (one for one in incidents.resolved_since(tx, since) if _concerns(one, to.name, mine)):
        yield f"over: {one.shown} {one.node}: {clause(one)}"
    changed = [name for name, began in late.items() if name in mine and since < began]
    if changed:
        yield f"late since: {listed(changed)}"
    yield from _throughput(tx, project, declared, to, mine)
    older = [one.shown for one in concerns if one.opened_at <= since]
    if older:
        yield f"open still: {listed(older)}"


def _concerns(one: Incident, owner: str, consumers: set[str]) -> bool:
    return one.owner == owner or not consumers.isdisjoint(one.affected.consumers)


def _throughput(tx: Transaction, project: Project, declared: Watched, to: Recipient, consumers: set[str]) -> Iterator[str]:
    """Sources of theirs whose newest day has much more or less than the day before, and whether its weekday explains that."""
    read = {name for consumer in consumers for name in _sources(declared, project.consumers[consumer].reads)}
    for name, source in project.sources.items():
        if source.partition.grain is Grain.DAY and not source.partition.key and (source.owner == to.name or name in read):
            said = _compared(tx, name, source.timezone or project.settings.timezone)
            if said is not None:
                yield said


def _sources(declared: Watched, names: Sequence[str]) -> set[str]:
    """The sources that some nodes are made of."""
    waiting, seen = list(names), set[str]()
    while waiting:
        node = declared.nodes.get(waiting.pop())
        if node is not None and node.name not in seen:
            seen.add(node.name)
            waiting += [spec.node for spec in node.inputs]
    return {name for name in seen if declared.nodes[name].is_source}


def _compared(tx: Transaction, name: str, timezone: str) -> str | None:
    newest = publications.newest(tx, name)
    if newest is None:
        return None
    day = interval_of(newest.partition, Grain.DAY, timezone).start.date()

    def rows(back: int) -> int | None:
        found = publications.current(tx, name, key_of_date(day - timedelta(days=back), Grain.DAY))
        return None if found is None else found.rows

    before = rows(1)
    if not before or abs(newest.rows - before) < CHANGED * before:
        return None
    change = (newest.rows - before) / before
    said = f"{name}: {abs(change):.0%} {'fewer' if change < 0 else 'more'} rows on {newest.partition} than the day before"
    usual = [count for week in range(1, WEEKS + 1) if (count := rows(7 * week)) is not None]
    if len(usual) < 2:
        return f"{said}; too few weeks are known to say whether that is usual"
    middle = median(usual)
    weekday = _DAYS[day.weekday()]
    if abs(newest.rows - middle) <= AS_EVER * middle:
        return f"{said}: {weekday}, as every {weekday}"
    return f"{said}; {weekday}s have {round(middle):,} as a rule, this one {newest.rows:,}"
