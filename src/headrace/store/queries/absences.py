"""While nobody looked: what had arrived and waited, what fell due meanwhile, and how often somebody looks."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction

FOUND_MAX = 1_000


class Waited(msgspec.Struct, frozen=True, gc=False):
    """A delivery that had arrived before the look that found it. Times are microseconds."""

    partition: str
    arrived_at: int
    observed_at: int


class Due(msgspec.Struct, frozen=True, gc=False):
    """An obligation that wasn't met by its deadline."""

    interval: str
    due_at: int


class PastObservation(msgspec.Struct, frozen=True, gc=False):
    """A look at a source; `failed` if the source couldn't be read."""

    at: int
    failed: bool


def waited(tx: Transaction, source: str, after: int) -> list[Waited]:
    """The deliveries that looks after a time found and that had arrived before, in the order of the looks."""
    rows = tx.execute(
        "select partition, arrived_at, observed_at from delivery where source = ? and observed_at > ? and arrived_at < observed_at"
        " order by observed_at, id limit ?",
        (source, after, FOUND_MAX),
    )
    return [Waited(*row) for row in rows]


def missed(tx: Transaction, consumer: str, from_us: int, until_us: int) -> list[Due]:
    """The deadlines within a time that weren't met before its end, in order."""
    rows = tx.execute(
        "select interval, due_at from obligation where consumer = :consumer and due_at > :from and due_at <= :until"
        " and waived_at is null and (met_at is null or met_at >= :until) order by due_at limit :limit",
        {"consumer": consumer, "from": from_us, "until": until_us, "limit": FOUND_MAX},
    )
    return [Due(*row) for row in rows]


def observations_before(tx: Transaction, source: str, at: int) -> list[PastObservation]:
    """The looks at a source before a time, as far as they are kept; the newest first."""
    rows = tx.execute("select at, error is not null from look where source = ? and at < ? order by at desc", (source, at))
    return [PastObservation(when, bool(failed)) for when, failed in rows]


def long_breaks(tx: Transaction, source: str, at: int) -> list[tuple[int, int]]:
    """(from, until) of the times before that in which nobody looked at a source for too long: they are known after the looks
    around them are forgotten."""
    rows = tx.execute("select from_at, until_at from look_gap where source = ? and until_at < ? order by until_at desc", (source, at))
    return [(began, ended) for began, ended in rows]


def last_sign(tx: Transaction, sources: list[str], at: int) -> int:
    """When Headrace did something last before a time: looked at a source, or ended an attempt. The time itself where an attempt
    was under way."""
    busy = tx.execute(
        "select 1 from attempt where finished_at >= :at and dispatched_at < :at and state <> 'lost'"
        " union all select 1 from attempt where state = 'running' and dispatched_at < :at limit 1",
        {"at": at},
    ).fetchone()
    if busy is not None:
        return at
    ended = tx.execute(
        "select finished_at from attempt where finished_at < ? and state <> 'lost' order by finished_at desc limit 1", (at,)
    ).fetchone()
    signs = [0, *(ended or ())]
    for source in sources:
        signs += tx.execute("select max(at) from look where source = ? and at < ?", (source, at)).fetchone()
    return max(int(sign) for sign in signs if sign is not None)
