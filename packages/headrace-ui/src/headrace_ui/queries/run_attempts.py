"""The attempts of a run, for its page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

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


class AttemptFilter(NamedTuple):
    """Which attempts of a run are returned: in this state, at these nodes; None filters nothing.

    `unpublished` are those that failed, were lost, held, rejected or cancelled, or wait for
    something outside.
    """

    state: str | None = None
    nodes: frozenset[str] | None = None
    unpublished: bool = False

    def fits(self, item: NodeAttempts) -> bool:
        """Return whether attempts are in this state and at these nodes."""
        at_node = self.nodes is None or item.node in self.nodes
        return at_node and self.state in (None, item.state)


def of_run(
    tx: Transaction,
    run_id: int,
    after: tuple[int, int],
    limit: int,
    wanted: AttemptFilter,
) -> list[tuple[str, AttemptRecord]]:
    """Return (node, attempt) of a run after `after` (epoch, n), in order."""
    bounds = {
        _UNPUBLISHED: wanted.unpublished,
        "a.state = :state": wanted.state is not None,
        "a.node in (select value from json_each(:nodes))": wanted.nodes is not None,
    }
    only = "".join(f" and {bound}" for bound, applies in bounds.items() if applies)
    rows = tx.execute(
        f"select a.node, {ATTEMPT.removeprefix('select')} a.run_id = :run and (a.epoch > :epoch or"
        f" (a.epoch = :epoch and a.n > :n)){only} order by a.epoch, a.n limit :limit",
        {
            "run": run_id,
            "epoch": after[0],
            "n": after[1],
            "limit": limit,
            "state": wanted.state,
            "nodes": msgspec.json.encode(sorted(wanted.nodes or ())).decode(),
        },
    ).fetchall()
    return [(row[0], AttemptRecord(*row[1:])) for row in rows]


def unpublished_of_run(tx: Transaction, run_id: int) -> list[tuple[str, int]]:
    """Return (node, number of attempts) that are `unpublished`."""
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


class NodeAttempts(NamedTuple):
    """The number of a run's attempts at a node in a stored state."""

    state: str
    node: str
    attempts: int


def counts_of_runs(tx: Transaction, runs: Iterable[int]) -> dict[int, list[NodeAttempts]]:
    """Return run → its attempts by state and node, in the order of the first attempt of each."""
    counted: dict[int, list[NodeAttempts]] = {}
    rows = tx.execute(
        "select run_id, state, node, count(*) from attempt where run_id in (select cast(value as"
        " bigint) from json_each(:runs)) group by run_id, state, node order by min(epoch), min(n)",
        {"runs": msgspec.json.encode(list(runs)).decode()},
    )
    for run, *counts in rows:
        counted.setdefault(run, []).append(NodeAttempts(*counts))
    return counted


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
