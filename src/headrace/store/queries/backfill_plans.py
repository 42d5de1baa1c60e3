"""Backfills: their plans, states, staged partitions and published partitions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from headrace.store.queries import leader_writes, publications
from headrace.store.transaction import Transaction


class PlanRecord(msgspec.Struct, frozen=True):
    """A stored plan. Times are integer microseconds.

    `content` is msgpack of `plan.backfills.Backfill`; `request`, `estimate` and `outcome` are JSON.
    """

    id: int
    state: str
    actor: str
    reason: str
    request: str
    version: int
    content: bytes
    estimate: str | None
    needs: str | None
    steps_done: int
    outcome: str | None
    created_at: int
    started_at: int | None
    finished_at: int | None


_COLUMNS = ", ".join(PlanRecord.__struct_fields__)


def add(  # noqa: PLR0913 - what is kept of a plan
    tx: Transaction,
    *,
    state: str,
    actor: str,
    reason: str,
    request: str,
    version: int,
    content: bytes,
    estimate: str | None,
    needs: str | None,
    now: int,
) -> int:
    """Insert a plan and return its id."""
    return tx.insert(
        "insert into plan (state, actor, reason, request, version, content, estimate, needs,"
        " created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (state, actor, reason, request, version, content, estimate, needs, now),
    )


def get(tx: Transaction, plan: int) -> PlanRecord | None:
    """Return a plan by its id, or None."""
    row = tx.execute(f"select {_COLUMNS} from plan where id = ?", (plan,)).fetchone()
    return None if row is None else PlanRecord(*row)


def of_plan_id(tx: Transaction, plan_id: str) -> int | None:
    """Return the newest backfill with this `plan_id`, or None.

    The caller must validate `plan_id`, because it is part of a LIKE pattern.
    """
    row = tx.execute(
        "select max(id) from plan where request like ?", (f'%"plan_id":"{plan_id}"%',)
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def awaiting(tx: Transaction, since: int) -> list[PlanRecord]:
    """Return the plans stored after a time that wait for an approval, oldest first.

    A plan of an earlier version than the applied one is void.
    """
    return [
        PlanRecord(*row)
        for row in tx.execute(
            f"select {_COLUMNS} from plan where state = 'awaiting_approval' and created_at >"
            f" :since and {NOT_VOID} order by id",
            {"since": since},
        ).fetchall()
    ]


NOT_VOID = "version >= coalesce((select max(id) from version), version)"
"""The condition that no later version was applied after a plan was stored."""


def newest(tx: Transaction, limit: int) -> list[PlanRecord]:
    """Return the newest plans, newest first."""
    return [
        PlanRecord(*row)
        for row in tx.execute(
            f"select {_COLUMNS} from plan order by id desc limit ?", (limit,)
        ).fetchall()
    ]


def timed(tx: Transaction, limit: int) -> list[tuple[str, int, int]]:
    """Return (estimate, start, end) of the newest successful plans with an estimate."""
    rows = tx.execute(
        "select estimate, started_at, finished_at from plan where state = 'succeeded' and estimate"
        " is not null and started_at is not null and finished_at is not null order by id desc"
        " limit ?",
        (limit,),
    ).fetchall()
    return [(str(estimate), int(started), int(finished)) for estimate, started, finished in rows]


def open_backfills(tx: Transaction) -> list[PlanRecord]:
    """Return the backfills in progress, including paused ones, oldest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from plan where state in ('running', 'paused') order by id"
    ).fetchall()
    return [PlanRecord(*row) for row in rows]


def move(tx: Transaction, plan: int, state: str, now: int) -> None:
    """Set a plan's state."""
    started = ", started_at = coalesce(started_at, :now)" if state == "running" else ""
    finished = (
        ", finished_at = :now"
        if state in ("succeeded", "partial", "failed", "cancelled")
        else ", finished_at = null"
    )
    tx.execute(
        f"update plan set state = :state{started}{finished} where id = :plan",
        {"state": state, "plan": plan, "now": now},
    )


def record_outcome(tx: Transaction, plan: int, outcome: str, steps_done: int) -> None:
    """Store a plan's results so far."""
    tx.execute(
        "update plan set outcome = ?, steps_done = ? where id = ?", (outcome, steps_done, plan)
    )


class OverlayRow(msgspec.Struct, frozen=True, gc=False):
    """A plan's result for one partition.

    `changed` is JSON of `runtime.messages.RowChangeCounts`; if the partition couldn't be computed,
    of some wrong rows.
    """

    plan_id: int
    node: str
    partition: str
    epoch: int
    n: int
    state: str
    rows: int = 0
    bytes: int = 0
    content_hash: str | None = None
    verdict: str | None = None
    reason: str | None = None
    changed: str | None = None


_OVERLAY = ", ".join(OverlayRow.__struct_fields__)
_IS_PUBLISHED = (
    "exists (select 1 from attempt a where a.epoch = o.epoch and a.n = o.n and a.state ="
    " 'published')"
)
"""Whether a result `o` is published: all results of an attempt are published at once."""


class PublishedPartition(NamedTuple):
    """A new publication; `identical` if readers saw the same content before."""

    node: str
    partition: str
    id: int
    identical: bool


def stage(tx: Transaction, rows: Iterable[OverlayRow]) -> None:
    """Insert results of partitions, replacing earlier ones."""
    tx.executemany(
        f"insert into overlay ({_OVERLAY}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict"
        " (plan_id, node, partition) do update set epoch = excluded.epoch, n = excluded.n, state ="
        " excluded.state, rows = excluded.rows, bytes = excluded.bytes, content_hash ="
        " excluded.content_hash, verdict = excluded.verdict, reason = excluded.reason, changed ="
        " excluded.changed",
        [msgspec.structs.astuple(row) for row in rows],
    )


def staged(tx: Transaction, plan: int) -> list[OverlayRow]:
    """Return a plan's unpublished results, in no order."""
    return [
        OverlayRow(*row)
        for row in tx.execute(
            f"select {_OVERLAY} from overlay o where plan_id = ? and not {_IS_PUBLISHED}", (plan,)
        ).fetchall()
    ]


def unstage(tx: Transaction, plan: int, partitions: Iterable[tuple[str, str]]) -> None:
    """Discard a plan's results for these partitions (node, key)."""
    tx.executemany(
        "delete from overlay where plan_id = ? and node = ? and partition = ?",
        [(plan, *partition) for partition in partitions],
    )


class OverlayAttempt(msgspec.Struct, frozen=True, gc=False):
    """Data staged by an attempt of a plan.

    `outcome` is msgpack of `runtime.messages.TaskOutcome`; `version` is the version applied then.
    """

    plan_id: int
    epoch: int
    n: int
    node: str
    outcome: bytes
    version: int = 0


def keep_outcomes(tx: Transaction, rows: Iterable[OverlayAttempt]) -> None:
    """Insert the staged data of plans' attempts."""
    tx.executemany(
        "insert into overlay_attempt (plan_id, epoch, n, node, outcome) values (?, ?, ?, ?, ?)",
        [(r.plan_id, r.epoch, r.n, r.node, r.outcome) for r in rows],
    )


def outcomes(tx: Transaction, plan: int | None = None) -> list[OverlayAttempt]:
    """Return the staged data of a plan (None: of all) with at least one partition still in use."""
    rows = tx.execute(
        "select o.plan_id, o.epoch, o.n, o.node, o.outcome, coalesce(a.version, 0) from"
        " overlay_attempt o left join attempt a on a.epoch = o.epoch and a.n = o.n where"
        " (cast(:plan as bigint) is null or o.plan_id = :plan) and exists (select 1 from overlay p"
        " where p.epoch = o.epoch and p.n = o.n and p.plan_id = o.plan_id)",
        {"plan": plan},
    ).fetchall()
    return [
        OverlayAttempt(plan_id, epoch, n, node, bytes(outcome), version)
        for plan_id, epoch, n, node, outcome, version in rows
    ]


def clear(tx: Transaction, plan: int) -> None:
    """Delete a plan's results, which are published or not wanted."""
    _left(tx, "o.plan_id = :plan", plan)
    tx.execute("delete from overlay_attempt where plan_id = ?", (plan,))
    tx.execute("delete from overlay where plan_id = ?", (plan,))


def has_published(tx: Transaction, plan: int) -> bool:
    """Return whether a plan still has results that are published already."""
    row = tx.execute(
        f"select 1 from overlay o where plan_id = ? and {_IS_PUBLISHED} limit 1", (plan,)
    ).fetchone()
    return row is not None


def forget_published(tx: Transaction, plan: int, limit: int | None = None) -> bool:
    """Delete a plan's published results; return whether some are left.

    With a `limit`, no further attempt's results are deleted once there are that many.
    """
    attempts = tx.execute(
        "select o.epoch, o.n, count(*) from overlay o join attempt a on a.epoch = o.epoch and a.n ="
        " o.n where o.plan_id = ? and a.state = 'published' group by o.epoch, o.n order by o.epoch,"
        " o.n",
        (plan,),
    ).fetchall()
    count, spent = 0, []
    for epoch, n, results in attempts:
        if limit is not None and count >= limit:
            break
        spent.append((plan, epoch, n))
        count += results
    tx.executemany("delete from overlay where plan_id = ? and epoch = ? and n = ?", spent)
    tx.executemany("delete from overlay_attempt where plan_id = ? and epoch = ? and n = ?", spent)
    return len(spent) < len(attempts)


def forget_unneeded(tx: Transaction, plan: int) -> None:
    """Delete staged attempts without partitions in use; the next sweep deletes their files."""
    _left(
        tx,
        "o.plan_id = :plan and not exists (select 1 from overlay p where p.plan_id = o.plan_id and"
        " p.epoch = o.epoch and p.n = o.n)",
        plan,
    )
    tx.execute(
        "delete from overlay_attempt where plan_id = :plan and not exists (select 1 from overlay p"
        " where p.plan_id = :plan and p.epoch = overlay_attempt.epoch and p.n = overlay_attempt.n)",
        {"plan": plan},
    )


def newest_snapshot_read(tx: Transaction, plan: int) -> int | None:
    """Return the newest lake snapshot that a plan's staged attempts read, or None."""
    row = tx.execute(
        "select max(a.snapshot_read) from overlay o join attempt a on a.epoch = o.epoch and a.n ="
        " o.n where o.plan_id = ? and o.state = 'staged'",
        (plan,),
    ).fetchone()
    return None if row is None else row[0]


def published_after(tx: Transaction, snapshot: int) -> list[tuple[str, str]]:
    """Return (node, partition) whose visible content changed after a snapshot, oldest first."""
    rows = tx.execute(
        "select node, partition from publication where snapshot > ? and identical = 0 group by"
        " node, partition order by max(id)",
        (snapshot,),
    ).fetchall()
    return [(node, partition) for node, partition in rows]


def withdrawn_after(tx: Transaction, snapshot: int) -> list[tuple[str, str]]:
    """Return (node, partition) withdrawn after a snapshot."""
    rows = tx.execute(
        "select distinct p.node, p.partition from publication p where p.ended_snapshot > ? and not"
        " exists (select 1 from publication n where n.node = p.node and n.partition = p.partition"
        " and n.ended_snapshot is null)",
        (snapshot,),
    ).fetchall()
    return [(node, partition) for node, partition in rows]


def _left(tx: Transaction, which: str, plan: int) -> None:
    """Mark the unpublished staged data of these attempts as never to be published."""
    tx.execute(
        "update attempt set state = 'cancelled', reason = coalesce(reason, 'what it made isn''t"
        " published') where state = 'staged' and exists (select 1 from overlay_attempt o where"
        f" o.epoch = attempt.epoch and o.n = attempt.n and {which})",
        {"plan": plan},
    )


def abandoned(tx: Transaction, before: int) -> list[int]:
    """Return plans that ended before a time and still keep results for a possible continuation."""
    rows = tx.execute(
        "select id from plan where state in ('failed', 'partial') and finished_at < ? and exists"
        " (select 1 from overlay o where o.plan_id = plan.id) order by id",
        (before,),
    ).fetchall()
    return [plan for (plan,) in rows]


def publish_staged(
    tx: Transaction,
    plan: int,
    nodes: Iterable[str],
    *,
    first: int,
    snapshot: int,
    now: int,
    version: int,
) -> list[PublishedPartition]:
    """Publish a plan's staged results of these nodes, in the order of the nodes.

    `first` is the first publication's id, `version` the applied version. A few statements for all
    partitions: the leader writes nothing per partition in this transaction.
    """
    last = first - 1
    for node in nodes:
        of_node = {"plan": plan, "node": node, "snapshot": snapshot, "now": now}
        tx.execute(_END_PUBLICATIONS, of_node)
        tx.execute(_PUBLISH, {**of_node, "last": last, "version": version})
        last = publications.last_id(tx)
    rows = tx.execute(
        "select node, partition, id, identical from publication where id between ? and ? order by"
        " id",
        (first, last),
    ).fetchall()
    if rows:
        leader_writes.show(tx, [(node, partition, number) for node, partition, number, _ in rows])
    return [
        PublishedPartition(node, partition, number, bool(identical))
        for node, partition, number, identical in rows
    ]


_END_PUBLICATIONS = (
    "update publication set ended_snapshot = :snapshot, ended_at = :now where id in (select p.id"
    " from overlay o join publication p on p.node = o.node and p.partition = o.partition and"
    " p.ended_snapshot is null where o.plan_id = :plan and o.node = :node and o.state = 'staged')"
)
"""Ends what a node's staged results replace.

The join finds each partition's visible publication by the index of those. A condition
`partition in (…)` made SQLite read all publications that the partitions ever had.
"""
_PUBLISH = (
    "insert into publication (id, node, partition, epoch, n, snapshot, published_at, rows, bytes,"
    " verdict, content_hash, identical, version) select :last + row_number() over (order by"
    " o.partition), o.node, o.partition, o.epoch, o.n, :snapshot, :now, o.rows, o.bytes,"
    " coalesce(o.verdict, 'unchecked'), o.content_hash, coalesce((select case when"
    " p.ended_snapshot = :snapshot and p.content_hash = o.content_hash then 1 else 0 end from"
    " publication p where p.node = o.node and p.partition = o.partition order by p.published_at"
    " desc, p.id desc limit 1), 0), :version from overlay o where o.plan_id = :plan and o.node ="
    " :node and o.state = 'staged'"
)
"""Publishes the staged results of a node, after the publications that they replace have ended.

A partition's newest publication is the replaced one if it ended in this snapshot. No earlier one
is read.
"""


def mark_published(tx: Transaction, attempts: Iterable[tuple[int, int]], now: int) -> None:
    """Mark the staged data of these attempts (epoch, n) as published."""
    tx.executemany(
        "update attempt set state = 'published', published_at = ? where epoch = ? and n = ? and"
        " state = 'staged'",
        [(now, *attempt) for attempt in attempts],
    )


# Besides the staged partitions, a backfill's runs also publish partitions directly, as any run.


def count_published(tx: Transaction, plan: int, nodes: Collection[str]) -> int:
    """Return the number of partitions of these nodes published by a plan's runs."""
    if not nodes:
        return 0
    marks = ", ".join("?" * len(nodes))
    row = tx.execute(
        "select count(*) from (select distinct p.node, p.partition from run r"
        " join attempt a on a.run_id = r.id join publication p on p.epoch = a.epoch and p.n = a.n"
        f" where r.plan_id = ? and a.node in ({marks})) as made",
        (plan, *nodes),
    ).fetchone()
    return int(row[0])


class Sums(NamedTuple):
    """Number of a node's partitions published by a plan's runs, and their rows."""

    partitions: int
    rows: int


def published_by_node(tx: Transaction, plan: int) -> dict[str, Sums]:
    """Return the sums by node of a plan's runs; each partition counts once, with its last rows."""
    rows = tx.execute(
        "select p.node, count(*), sum(p.rows) from publication p where p.id in ("
        "select max(p.id) from run r join attempt a on a.run_id = r.id"
        " join publication p on p.epoch = a.epoch and p.n = a.n where r.plan_id = ?"
        " group by p.node, p.partition) group by p.node",
        (plan,),
    ).fetchall()
    return {node: Sums(int(partitions), int(count)) for node, partitions, count in rows}


def publications_of(tx: Transaction, plan: int) -> list[tuple[str, str, str]]:
    """Return (node, partition, attempt) of all publications of a plan's runs, visible or not."""
    rows = tx.execute(
        "select p.node, p.partition, p.epoch, p.n from run r join attempt a on a.run_id = r.id"
        " join publication p on p.epoch = a.epoch and p.n = a.n where r.plan_id = ? order by p.id",
        (plan,),
    ).fetchall()
    return [(node, partition, f"{epoch}.{n}") for node, partition, epoch, n in rows]
