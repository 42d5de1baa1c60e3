"""Service of consumers over a window: availability, classic uptime, weakened promises."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from headrace.store.queries.ingestion import OBSERVATIONS_KEPT
from headrace.store.queries.obligations import Promise, StoredObligation
from headrace.store.transaction import Transaction, json_list

# Obligations, promises, missing observations and withdrawals of a window.

_OBLIGATION = "consumer, interval, due_at, promise_id, met_at, waived_at"


class Withdrawal(msgspec.Struct, frozen=True):
    """Period in which a partition wasn't readable, from `at` until `until_at` (None: still)."""

    node: str
    partition: str
    at: int
    until_at: int | None


def note_gap(
    tx: Transaction, source: str, now: int, known_until: Callable[[Sequence[int]], int]
) -> None:
    """Record a gap in a source's observations, before the observation at `now` is recorded."""
    rows = tx.execute(
        "select at from look where source = ? order by at desc limit ?", (source, OBSERVATIONS_KEPT)
    ).fetchall()
    if not rows:
        return
    until = known_until([at for (at,) in rows])
    if until + 1 < now:
        tx.execute(
            "insert into look_gap (source, from_at, until_at) values (?, ?, ?) on conflict do"
            " nothing",
            (source, until + 1, now),
        )


def observation_gaps(tx: Transaction, from_us: int) -> dict[str, list[tuple[int, int]]]:
    """Return gaps in observations that end after `from_us`, by source."""
    results: dict[str, list[tuple[int, int]]] = {}
    for source, began, ended in tx.execute(
        "select source, from_at, until_at from look_gap where until_at > ?", (from_us,)
    ):
        results.setdefault(source, []).append((began, ended))
    return results


def all_promises(tx: Transaction) -> dict[str, list[Promise]]:
    """Return all promises by consumer, oldest first, including removed consumers."""
    results: dict[str, list[Promise]] = {}
    for row in tx.execute(
        "select id, consumer, terms, from_at, until_at, begins_at from promise order by from_at, id"
    ):
        results.setdefault(row[1], []).append(
            Promise(row[0], row[1], msgspec.json.decode(row[2]), *row[3:])
        )
    return results


def first_due(tx: Transaction, since: Mapping[str, int]) -> dict[str, int | None]:
    """Return each consumer's first deadline at or after a time; None if nothing was due yet."""
    rows = tx.execute(
        "select c.value, (select min(due_at) from obligation where consumer = c.value and due_at >="
        " cast(s.value as bigint)) from json_each(:consumers) c join json_each(:since) s on s.key ="
        " c.key",
        {"consumers": json_list(since), "since": json_list(since.values())},
    )
    return dict(rows.fetchall())


def obligations_over(
    tx: Transaction, consumers: Sequence[str], from_us: int, before: int
) -> dict[str, list[StoredObligation]]:
    """Return the obligations that determine each consumer's service since a time, by deadline.

    They were due, met or waived since then, are still open, or were due when the `before` newest
    earlier ones were.
    """
    each = (
        f"select {_OBLIGATION} from json_each(:consumers) cross join obligation o where o.consumer"
        " = value and"
    )
    rows = tx.execute(
        f"{each} due_at >= :since union {each} met_at >= :since union {each} waived_at >= :since"
        f" union {each} met_at is null and waived_at is null union {each} due_at < :since and"
        " o.due_at >= coalesce((select i.due_at from obligation i where i.consumer = value and"
        " i.due_at < :since order by i.due_at desc limit 1 offset :others), 0) order by due_at,"
        " interval",
        {"consumers": json_list(consumers), "since": from_us, "others": before - 1},
    )
    results: dict[str, list[StoredObligation]] = {consumer: [] for consumer in consumers}
    for row in rows:
        results[row[0]].append(StoredObligation(*row))
    return results


def withdrawals_of(tx: Transaction, nodes: Collection[str], from_us: int) -> list[Withdrawal]:
    """Return the withdrawals of nodes that lasted after `from_us`."""
    rows = tx.execute(
        "select w.node, w.partition, w.at, (select min(p.published_at) from publication p where"
        " p.node = w.node and p.partition = w.partition and p.published_at >= w.at) from withdrawal"
        " w order by w.at"
    )
    withdrawals = [Withdrawal(*row) for row in rows]
    return [
        withdrawal
        for withdrawal in withdrawals
        if withdrawal.node in nodes
        and (withdrawal.until_at is None or withdrawal.until_at > from_us)
    ]


def first_publication(tx: Transaction, nodes: Sequence[str]) -> dict[str, int | None]:
    """Return the time of each node's first publication; None without any."""
    rows = tx.execute(
        "select value, (select published_at from publication where node = value order by id limit"
        " 1) from json_each(?)",
        (json_list(nodes),),
    )
    return dict(rows.fetchall())


def last_end(tx: Transaction, node: str) -> int | None:
    """Return when a node's last publication ended; None while one is visible."""
    if (
        tx.execute(
            "select 1 from publication where node = ? and ended_snapshot is null limit 1", (node,)
        ).fetchone()
        is not None
    ):
        return None
    row = tx.execute("select max(ended_at) from publication where node = ?", (node,)).fetchone()
    return None if row[0] is None else int(row[0])


def empty_keys(tx: Transaction, node: str, first: str, last: str) -> set[str]:
    """Return published partitions without rows, from `first` to `last` (both included)."""
    rows = tx.execute(
        "select partition from publication where node = ? and ended_snapshot is null and partition"
        " between ? and ? and rows = 0",
        (node, first, last),
    )
    return {key for (key,) in rows}


def publication_times(tx: Transaction, node: str, from_us: int) -> list[tuple[int, int]]:
    """Return when readers could read each publication of a node, and when it was published.

    These two times are the same. Those since `from_us` and the last one before, oldest first.
    """
    row = tx.execute(
        "select max(published_at) from publication where node = ? and published_at < ?",
        (node, from_us),
    ).fetchone()
    rows: Iterable[tuple[int]] = tx.execute(
        "select distinct published_at from publication where node = ? and published_at >= ? order"
        " by published_at",
        (node, from_us if row[0] is None else row[0]),
    ).fetchall()
    return [(at, at) for (at,) in rows]


def exported_times(tx: Transaction, node: str, export: str, from_us: int) -> list[tuple[int, int]]:
    """Return when publications of a node reached a consumer, and when they were published.

    They reach it by `export`; identical content doesn't need another one. Those since `from_us` and
    the last one before, oldest first. The very first publication counts at once: from then on the
    consumer lacks something.
    """
    exports = tx.execute(
        "select p.published_at, a.snapshot_read from publication p join attempt a on a.epoch ="
        " p.epoch and a.n = p.n where p.node = :export and p.published_at >= coalesce((select"
        " max(published_at) from publication where node = :export and published_at < :since), 0)"
        " order by p.published_at",
        {"export": export, "since": from_us},
    ).fetchall()
    rows: Iterable[tuple[int, int, int]] = tx.execute(
        "select published_at, snapshot, identical from publication where node = :node and snapshot"
        " >= coalesce((select max(snapshot) from publication where node = :node and snapshot <="
        " :read), 0) order by snapshot",
        {"node": node, "read": exports[0][1] if exports else 0},
    ).fetchall()
    times: list[tuple[int, int]] = []
    exported: int | None = None
    for at, snapshot, identical in rows:
        if exported is None or not identical:
            exported = next((done for done, read in exports if read >= snapshot), None)
        if exported is not None:
            times.append((max(at, exported), at))
        elif not times:
            times.append((at, at))
    return times


# Gaps in a source's observations: deliveries that waited, deadlines that passed, and the usual
# interval of observations.

FOUND_MAX = 1_000


class Waited(msgspec.Struct, frozen=True, gc=False):
    """A delivery that arrived before the observation that found it. Times are microseconds."""

    partition: str
    arrived_at: int
    observed_at: int


class Due(msgspec.Struct, frozen=True, gc=False):
    """An obligation that wasn't met by its deadline."""

    interval: str
    due_at: int


class PastObservation(msgspec.Struct, frozen=True, gc=False):
    """An observation of a source; `failed` if the source couldn't be read."""

    at: int
    failed: bool


def waited_deliveries(tx: Transaction, source: str, after: int) -> list[Waited]:
    """Return deliveries found after a time that had arrived earlier, by time of observation."""
    rows = tx.execute(
        "select partition, arrived_at, observed_at from delivery where source = ? and observed_at >"
        " ? and arrived_at < observed_at order by observed_at, id limit ?",
        (source, after, FOUND_MAX),
    )
    return [Waited(*row) for row in rows]


def missed_deadlines(tx: Transaction, consumer: str, from_us: int, until_us: int) -> list[Due]:
    """Return the deadlines of a period that weren't met before its end, in order."""
    rows = tx.execute(
        "select interval, due_at from obligation where consumer = :consumer and due_at > :from and"
        " due_at <= :until and waived_at is null and (met_at is null or met_at >= :until) order by"
        " due_at limit :limit",
        {"consumer": consumer, "from": from_us, "until": until_us, "limit": FOUND_MAX},
    )
    return [Due(*row) for row in rows]


def observations_before(tx: Transaction, source: str, at: int) -> list[PastObservation]:
    """Return the stored observations of a source before a time, newest first."""
    rows = tx.execute(
        "select at, error is not null from look where source = ? and at < ? order by at desc",
        (source, at),
    )
    return [PastObservation(when, bool(failed)) for when, failed in rows]


def long_observation_gaps(tx: Transaction, source: str, at: int) -> list[tuple[int, int]]:
    """Return (from, until) of gaps in a source's observations before a time.

    They stay stored after the observations around them are deleted.
    """
    rows = tx.execute(
        "select from_at, until_at from look_gap where source = ? and until_at < ? order by until_at"
        " desc",
        (source, at),
    )
    return [(began, ended) for began, ended in rows]


def last_activity(tx: Transaction, sources: list[str], at: int) -> int:
    """Return Headrace's last activity before a time: an observation or the end of an attempt.

    Returns the time itself if an attempt was running.
    """
    busy = tx.execute(
        "select 1 from attempt where finished_at >= :at and dispatched_at < :at and state <> 'lost'"
        " union all select 1 from attempt where state = 'running' and dispatched_at < :at limit 1",
        {"at": at},
    ).fetchone()
    if busy is not None:
        return at
    ended = tx.execute(
        "select finished_at from attempt where finished_at < ? and state <> 'lost' order by"
        " finished_at desc limit 1",
        (at,),
    ).fetchone()
    signs = [0, *(ended or ())]
    for source in sources:
        signs += tx.execute(
            "select max(at) from look where source = ? and at < ?", (source, at)
        ).fetchone()
    return max(int(sign) for sign in signs if sign is not None)


# Classic uptime: started runs, and those without a failure. A `tick` or `run` that finds nothing
# due starts nothing and doesn't count.

GOOD = (
    "coalesce(r.good, case when r.cancelled_at is null and (r.state = 'succeeded' or (r.state in"
    " ('failed', 'partial') and not exists (select 1 from attempt a where a.run_id = r.id and"
    " a.state in ('failed', 'rejected', 'lost')))) then 1 else 0 end)"
)
"""Condition for a successful run.

Cancelled and lost runs aren't successful. An incomplete run is successful if none of its attempts
failed, was rejected or was lost.
"""
STATE = "case when r.cancelled_at is null then r.state else 'cancelled' end"


class Started(NamedTuple):
    """Number of runs started in a window, and of those that succeeded.

    Held work never started. Running runs, and runs with nothing due, don't count.
    """

    runs: int
    succeeded: int


class RunCounts(msgspec.Struct, frozen=True):
    """The runs of one kind and state that started in the window.

    `succeeded` is the number that other orchestrators would call successful.
    """

    kind: str
    state: str
    runs: int
    succeeded: int


def runs_started(tx: Transaction, from_us: int, until_us: int) -> Started:
    """Return the started and successful runs of a window."""
    counts = runs_by_state(tx, from_us, until_us)
    return Started(
        sum(run_counts.runs for run_counts in counts), sum(item.succeeded for item in counts)
    )


def runs_by_state(tx: Transaction, from_us: int, until_us: int) -> list[RunCounts]:
    """Return the runs of a window by kind and state; deleted runs count by whole days."""
    rows = tx.execute(
        f"select kind, state, sum(runs), sum(good) from (select r.kind as kind, {STATE} as state, 1"
        f" as runs, {GOOD} as good from run r where r.started_at > :since and r.started_at <="
        " :until and r.state <> 'running' union all select kind, state, runs, succeeded from"
        " run_day where day >= :first and day <= :last) counted where state <> 'nothing_due' group"
        " by kind, state order by kind, state",
        {"since": from_us, "until": until_us, "first": _day(from_us), "last": _day(until_us)},
    )
    return [
        RunCounts(kind, state, int(count), int(good))
        for kind, state, count, good in rows.fetchall()
    ]


def keep_run_outcome(tx: Transaction, epoch: int, n: int) -> None:
    """Record whether an attempt's run had no failure, before the attempt is deleted."""
    tx.execute(
        f"update run as r set good = {GOOD} where r.good is null and r.state <> 'running'"
        " and r.id = (select run_id from attempt where epoch = ? and n = ?)",
        (epoch, n),
    )


def summarise_run(tx: Transaction, number: int) -> None:
    """Add a run to its day's totals, before it is deleted."""
    row = tx.execute(
        f"select r.started_at, r.kind, {STATE}, {GOOD} from run r where r.id = ?", (number,)
    ).fetchone()
    if row is not None:
        tx.execute(
            "insert into run_day (day, kind, state, runs, succeeded) values (?, ?, ?, 1, ?) on"
            " conflict (day, kind, state) do update set runs = run_day.runs + 1, succeeded ="
            " run_day.succeeded + excluded.succeeded",
            (_day(row[0]), row[1], row[2], row[3]),
        )


def _day(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).date().isoformat()


# Weakened promises of each version, compared with the previous version.


class Weakening(NamedTuple):
    """One weakened promise of a node or consumer, before and after, with actor and time."""

    version: int
    node: str
    what: str
    was: str
    becomes: str
    actor: str
    at: int


def record_weakenings(
    tx: Transaction, version: int, rows: Iterable[tuple[str, str, str, str]], actor: str, at: int
) -> None:
    """Insert weakened promises (node, what, was, becomes) of a version that is being applied."""
    tx.executemany(
        "insert into weakened (version, node, what, was, becomes, actor, at) values (?, ?, ?, ?, ?,"
        " ?, ?)",
        [(version, *row, actor, at) for row in rows],
    )


def weakenings_between(tx: Transaction, from_us: int, until_us: int) -> list[Weakening]:
    """Return the weakened promises of a window, oldest first."""
    rows = tx.execute(
        "select version, node, what, was, becomes, actor, at from weakened where at > ? and at <= ?"
        " order by at, version, node, what",
        (from_us, until_us),
    )
    return [Weakening(*row) for row in rows]


def count_weakenings(tx: Transaction, from_us: int, until_us: int) -> int:
    """Return the number of weakened promises in a window."""
    return int(
        tx.execute(
            "select count(*) from weakened where at > ? and at <= ?", (from_us, until_us)
        ).fetchone()[0]
    )
