"""How consumers were served over a window: availability, classic uptime, weakened promises."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from headrace.store.queries.obligations import Promise, StoredObligation
from headrace.store.transaction import Transaction

# Obligations, promises, missing observations and withdrawals of a window.

OBSERVATIONS_USED = 20
_OBLIGATION = "consumer, interval, due_at, promise_id, met_at, waived_at"


class Withdrawal(msgspec.Struct, frozen=True):
    """Nothing of a partition could be read from `at` until `until_at` (None: still)."""

    node: str
    partition: str
    at: int
    until_at: int | None


def note_gap(tx: Transaction, source: str, now: int, known_until: Callable[[Sequence[int]], int]) -> None:
    """Before a look at `now` is written down: whether nobody had looked for too long, and since when."""
    rows = tx.execute("select at from look where source = ? order by at desc limit ?", (source, OBSERVATIONS_USED)).fetchall()
    if not rows:
        return
    until = known_until([at for (at,) in rows])
    if until + 1 < now:
        tx.execute("insert into look_gap (source, from_at, until_at) values (?, ?, ?) on conflict do nothing", (source, until + 1, now))


def observation_gaps(tx: Transaction, from_us: int) -> dict[str, list[tuple[int, int]]]:
    """Source → while nobody had looked at it for too long, of what reaches into a window."""
    results: dict[str, list[tuple[int, int]]] = {}
    for source, began, ended in tx.execute("select source, from_at, until_at from look_gap where until_at > ?", (from_us,)):
        results.setdefault(source, []).append((began, ended))
    return results


def all_promises(tx: Transaction) -> dict[str, list[Promise]]:
    """Consumer → what it was promised, oldest first; consumers that were removed as well."""
    results: dict[str, list[Promise]] = {}
    for row in tx.execute("select id, consumer, terms, from_at, until_at, begins_at from promise order by from_at, id"):
        results.setdefault(row[1], []).append(Promise(row[0], row[1], msgspec.json.decode(row[2]), *row[3:]))
    return results


def first_due(tx: Transaction, consumer: str, since: int) -> int | None:
    """The first deadline of a consumer, not before `since`; None if nothing was due yet."""
    row = tx.execute("select min(due_at) from obligation where consumer = ? and due_at >= ?", (consumer, since)).fetchone()
    return None if row[0] is None else int(row[0])


def obligations_over(tx: Transaction, consumer: str, from_us: int, before: int) -> list[StoredObligation]:
    """The obligations that say how a consumer was served since then: due since then, met or waived since then, still open, and so many
    of the newest before; in the order of their deadlines."""
    at = {"consumer": consumer, "since": from_us, "before": before}
    queries = (
        "consumer = :consumer and due_at >= :since",
        "consumer = :consumer and met_at is not null and met_at >= :since",
        "consumer = :consumer and waived_at is not null and waived_at >= :since",
        "consumer = :consumer and met_at is null and waived_at is null",
        "consumer = :consumer and due_at < :since order by due_at desc, interval desc limit :before",
    )
    obligations = {
        row[1]: StoredObligation(*row) for query in queries for row in tx.execute(f"select {_OBLIGATION} from obligation where {query}", at)
    }
    return sorted(obligations.values(), key=lambda obligation: (obligation.due_at, obligation.interval))


def withdrawals_of(tx: Transaction, nodes: Collection[str], from_us: int) -> list[Withdrawal]:
    """What was taken back of some nodes, as far as it reaches into a window."""
    rows = tx.execute(
        "select w.node, w.partition, w.at, (select min(p.published_at) from publication p where p.node = w.node"
        " and p.partition = w.partition and p.published_at >= w.at) from withdrawal w order by w.at"
    )
    withdrawals = [Withdrawal(*row) for row in rows]
    return [
        withdrawal
        for withdrawal in withdrawals
        if withdrawal.node in nodes and (withdrawal.until_at is None or withdrawal.until_at > from_us)
    ]


def first_publication(tx: Transaction, node: str) -> int | None:
    """When anything of a node was published first; None if nothing ever was."""
    row = tx.execute("select published_at from publication where node = ? order by id limit 1", (node,)).fetchone()
    return None if row is None else int(row[0])


def last_end(tx: Transaction, node: str) -> int | None:
    """When the last publication of a node ended of which readers see nothing any more; None while they see something."""
    if tx.execute("select 1 from publication where node = ? and ended_snapshot is null limit 1", (node,)).fetchone() is not None:
        return None
    row = tx.execute("select max(ended_at) from publication where node = ?", (node,)).fetchone()
    return None if row[0] is None else int(row[0])


def empty_keys(tx: Transaction, node: str, first: str, last: str) -> set[str]:
    """The partitions of a node between two keys (both included) that readers see and that have no rows."""
    rows = tx.execute(
        "select partition from publication where node = ? and ended_snapshot is null and partition between ? and ? and rows = 0",
        (node, first, last),
    )
    return {key for (key,) in rows}


def publication_times(tx: Transaction, node: str, from_us: int) -> list[int]:
    """When a node was published: in a window and the last time before it, oldest first."""
    row = tx.execute("select max(published_at) from publication where node = ? and published_at < ?", (node, from_us)).fetchone()
    rows: Iterable[tuple[int]] = tx.execute(
        "select distinct published_at from publication where node = ? and published_at >= ? order by published_at", (node, from_us)
    ).fetchall()
    return [*([row[0]] if row[0] is not None else []), *(at for (at,) in rows)]


# What happened while nobody observed a source: deliveries that waited, deadlines that passed, and
# how often the source is usually observed.

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


def waited_deliveries(tx: Transaction, source: str, after: int) -> list[Waited]:
    """The deliveries that looks after a time found and that had arrived before, in the order of the looks."""
    rows = tx.execute(
        "select partition, arrived_at, observed_at from delivery where source = ? and observed_at > ? and arrived_at < observed_at"
        " order by observed_at, id limit ?",
        (source, after, FOUND_MAX),
    )
    return [Waited(*row) for row in rows]


def missed_deadlines(tx: Transaction, consumer: str, from_us: int, until_us: int) -> list[Due]:
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


def long_observation_gaps(tx: Transaction, source: str, at: int) -> list[tuple[int, int]]:
    """(from, until) of the times before that in which nobody looked at a source for too long: they are known after the looks
    around them are forgotten."""
    rows = tx.execute("select from_at, until_at from look_gap where source = ? and until_at < ? order by until_at desc", (source, at))
    return [(began, ended) for began, ended in rows]


def last_activity(tx: Transaction, sources: list[str], at: int) -> int:
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


# Classic uptime: runs that started, and those of them in which nothing failed. A `tick` or `run`
# that finds nothing due starts nothing and isn't counted.

GOOD = (
    "coalesce(r.good, case when r.cancelled_at is null and (r.state = 'succeeded'"
    " or (r.state in ('failed', 'partial') and not exists (select 1 from attempt a where a.run_id = r.id"
    " and a.state in ('failed', 'rejected', 'lost')))) then 1 else 0 end)"
)
"""A run that was cancelled or lost didn't succeed; of one that came to less than it was asked for, one did in which no attempt failed,
was rejected or lost."""
STATE = "case when r.cancelled_at is null then r.state else 'cancelled' end"


class Started(NamedTuple):
    """How many runs started in a window, and how many of those ended in success. Held work never
    started; what is still going on isn't counted, nor is what had nothing due."""

    runs: int
    succeeded: int


class RunCounts(NamedTuple):
    """Runs of one kind and state (`cancelled` for those taken back)."""

    kind: str
    state: str
    runs: int
    succeeded: int


def runs_started(tx: Transaction, from_us: int, until_us: int) -> Started:
    """The runs of a window."""
    counts = runs_by_state(tx, from_us, until_us)
    return Started(sum(run_counts.runs for run_counts in counts), sum(item.succeeded for item in counts))


def runs_by_state(tx: Transaction, from_us: int, until_us: int) -> list[RunCounts]:
    """The runs of a window by kind and state; those that retention has taken count by whole days."""
    rows = tx.execute(
        "select kind, state, sum(runs), sum(good) from ("
        f"select r.kind as kind, {STATE} as state, 1 as runs, {GOOD} as good"
        " from run r where r.started_at > :since and r.started_at <= :until and r.state <> 'running'"
        " union all select kind, state, runs, succeeded from run_day where day >= :first and day <= :last"
        ") counted where state <> 'nothing_due' group by kind, state order by kind, state",
        {"since": from_us, "until": until_us, "first": _day(from_us), "last": _day(until_us)},
    )
    return [RunCounts(kind, state, int(count), int(good)) for kind, state, count, good in rows.fetchall()]


def keep_run_outcome(tx: Transaction, epoch: int, n: int) -> None:
    """Note of an attempt's run whether nothing in it failed, before the attempt goes."""
    tx.execute(
        f"update run as r set good = {GOOD} where r.good is null and r.state <> 'running'"
        " and r.id = (select run_id from attempt where epoch = ? and n = ?)",
        (epoch, n),
    )


def summarise_run(tx: Transaction, number: int) -> None:
    """Add a run to what is kept of its day, before it goes."""
    row = tx.execute(f"select r.started_at, r.kind, {STATE}, {GOOD} from run r where r.id = ?", (number,)).fetchone()
    if row is not None:
        tx.execute(
            "insert into run_day (day, kind, state, runs, succeeded) values (?, ?, ?, 1, ?) on conflict (day, kind, state) do update"
            " set runs = run_day.runs + 1, succeeded = run_day.succeeded + excluded.succeeded",
            (_day(row[0]), row[1], row[2], row[3]),
        )


def _day(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).date().isoformat()


# Promises that were weakened: what each version promises less than the one before it.


class Weakening(NamedTuple):
    """One promise that is less than it was, of a node or a consumer: both as declared, who applied it, and when."""

    version: int
    node: str
    what: str
    was: str
    becomes: str
    actor: str
    at: int


def record_weakenings(tx: Transaction, version: int, rows: Iterable[tuple[str, str, str, str]], actor: str, at: int) -> None:
    """(node, what, was, becomes) of a version that is being applied."""
    tx.executemany(
        "insert into weakened (version, node, what, was, becomes, actor, at) values (?, ?, ?, ?, ?, ?, ?)",
        [(version, *row, actor, at) for row in rows],
    )


def weakenings_between(tx: Transaction, from_us: int, until_us: int) -> list[Weakening]:
    """What was weakened in a window, oldest first."""
    rows = tx.execute(
        "select version, node, what, was, becomes, actor, at from weakened where at > ? and at <= ? order by at, version, node, what",
        (from_us, until_us),
    )
    return [Weakening(*row) for row in rows]


def count_weakenings(tx: Transaction, from_us: int, until_us: int) -> int:
    """How many promises were weakened in a window."""
    return int(tx.execute("select count(*) from weakened where at > ? and at <= ?", (from_us, until_us)).fetchone()[0])
