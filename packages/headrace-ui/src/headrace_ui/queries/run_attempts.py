"""The attempts of a run, for its page."""

from __future__ import annotations

import msgspec

from headrace.store.queries.attempts import AT_PARTITIONS, at_partitions
from headrace.store.queries.ledger import ATTEMPT, AttemptRecord
from headrace.store.transaction import Transaction

_NOT_SINCE = (
    "exists (select 1 from json_each(a.partitions) as key where not exists (select 1 from"
    " publication q where q.node = a.node and q.partition = key.value and q.ended_snapshot is null"
    " and q.published_at >= coalesce(a.finished_at, a.queued_at)))"
)
"""Condition that one of an attempt's partitions hasn't been published since."""

# A skipped attempt counts with an error only (a full disk, a throttled server): deliveries of a
# skipped batch are ingested by other attempts. Data staged by a backfill is still on its way.
_UNPUBLISHED = (
    "(a.state in ('failed', 'lost', 'held', 'rejected', 'cancelled') or (a.state = 'skipped' and"
    f" a.error is not null and {_NOT_SINCE}))"
)


def of_run(
    tx: Transaction, run_id: int, after: tuple[int, int], limit: int, *, unpublished: bool = False
) -> list[tuple[str, AttemptRecord]]:
    """Return (node, attempt) of a run after `after` (epoch, n), in order.

    With `unpublished`, only attempts that failed, were lost, held, rejected or cancelled, or wait
    for something outside, are returned.
    """
    only = f" and {_UNPUBLISHED}" if unpublished else ""
    rows = tx.execute(
        f"select a.node, {ATTEMPT.removeprefix('select')} a.run_id = :run and (a.epoch > :epoch or"
        f" (a.epoch = :epoch and a.n > :n)){only} order by a.epoch, a.n limit :limit",
        {"run": run_id, "epoch": after[0], "n": after[1], "limit": limit},
    ).fetchall()
    return [(row[0], AttemptRecord(*row[1:])) for row in rows]


def unpublished_of_run(tx: Transaction, run_id: int) -> list[tuple[str, int]]:
    """Return (node, number of attempts) that `of_run` returns with `unpublished`."""
    rows = tx.execute(
        f"select a.node, count(*) from attempt a where a.run_id = ? and {_UNPUBLISHED} group by"
        " a.node",
        (run_id,),
    ).fetchall()
    return [(str(node), int(count)) for node, count in rows]


def open_of_run(
    tx: Transaction, run_id: int, first: tuple[int, int], last: tuple[int, int]
) -> set[tuple[int, int]]:
    """Return (epoch, n) of a run's attempts from one to another with a partition that wasn't
    published since."""
    rows = tx.execute(
        "select a.epoch, a.n from attempt a where a.run_id = ? and (a.epoch, a.n) >= (?, ?)"
        f" and (a.epoch, a.n) <= (?, ?) and {_UNPUBLISHED} and {_NOT_SINCE}",
        (run_id, *first, *last),
    ).fetchall()
    return {(epoch, n) for epoch, n in rows}


def states_of_run(tx: Transaction, run_id: int) -> dict[str, int]:
    """Return the number of a run's attempts by state."""
    rows = tx.execute(
        "select state, count(*) from attempt where run_id = ? group by state order by state",
        (run_id,),
    ).fetchall()
    return {str(state): int(count) for state, count in rows}


def under_way_of_run(tx: Transaction, run_id: int) -> list[tuple[str, str]]:
    """Return (node, partition) of a run's queued and running attempts, in order."""
    rows = tx.execute(
        "select node, partitions from attempt where run_id = ? and state in ('queued', 'running')"
        " order by epoch, n",
        (run_id,),
    ).fetchall()
    return list(
        dict.fromkeys((node, key) for node, keys in rows for key in msgspec.json.decode(keys))
    )


def tried_before(tx: Transaction, node: str, record: AttemptRecord) -> int | None:
    """Return when the previous attempt at the same partitions in the same run ended, or None."""
    row = tx.execute(
        f"select finished_at from attempt where node = :node and {AT_PARTITIONS} and"
        " (epoch, n) < (:epoch, :n) and run_id = :run and kind = :kind order by epoch desc, n desc"
        " limit 1",
        {
            "node": node,
            **at_partitions(record.partitions),
            "epoch": record.epoch,
            "n": record.n,
            "run": record.run_id,
            "kind": record.kind,
        },
    ).fetchone()
    return None if row is None else row[0]


def attempts_by_state(tx: Transaction, run_id: int) -> list[tuple[str, int]]:
    """Return the number of a run's attempts by stored state, the most frequent first."""
    rows = tx.execute(
        "select state, count(*) as n from attempt where run_id = ? group by state order by n desc,"
        " state",
        (run_id,),
    )
    return [(state, n) for state, n in rows]
