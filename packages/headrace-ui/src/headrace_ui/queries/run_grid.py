"""Queries for the grid of runs: the attempts at one node, and the nodes worth a closer look.

Each query uses an index and has a limit, or reads only runs that began since a time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from headrace.store.queries.attempts import PARTITIONS_INDEXED
from headrace.store.queries.runs import ATTEMPTS_SEARCHED
from headrace.store.transaction import Transaction

NODE_MAX = 2_000
"""At most this number of a node's attempts is read, those at the newest partitions."""
SEVERAL_MAX = 100
"""At most this number of a node's newest attempts at several partitions is read."""

_COLUMNS = "a.epoch, a.n, a.run_id, a.partitions, a.state, a.queued_at"
_START = f"substr(a.partitions, 1, {PARTITIONS_INDEXED})"


class GridAttempt(NamedTuple):
    """An attempt at partitions of a node. `partitions` is a JSON list, times are microseconds."""

    epoch: int
    n: int
    run_id: int
    partitions: str
    state: str
    queued_at: int


class OfRuns(msgspec.Struct, frozen=True):
    """Whose attempts: of runs of this kind and actor; None and None: of all."""

    kind: str | None = None
    actor: str | None = None

    @property
    def all(self) -> bool:
        """Whether it leaves out no run."""
        return self.kind is None and self.actor is None

    @property
    def condition(self) -> str:
        """The condition for an attempt `a`, beginning with `and`; empty if it leaves out none."""
        bounds = [f"r.{name} = :{name}" for name in ("kind", "actor") if getattr(self, name)]
        if not bounds:
            return ""
        run = " and ".join(["r.id = a.run_id", *bounds])
        return f" and exists (select 1 from run r where {run})"


def at_intervals(
    tx: Transaction, node: str, first: str, last: str, runs: OfRuns
) -> list[GridAttempt]:
    """Return the attempts at a node's partitions from the key `first` to those of `last`.

    Beyond NODE_MAX only those at the newest partitions.
    """
    parameters = {
        "node": node,
        "first": f'["{first}',
        "beyond": f'["{last}~',
        "limit": NODE_MAX,
        **msgspec.structs.asdict(runs),
    }
    rows = tx.execute(
        f"select {_COLUMNS} from attempt a where a.node = :node and {_START} >= :first and"
        f" {_START} < :beyond{runs.condition} order by {_START} desc, a.epoch desc, a.n desc limit"
        " :limit",
        parameters,
    ).fetchall()
    rows += tx.execute(
        f"select {_COLUMNS} from attempt a where a.node = :node and a.partitions like '%,%' and"
        f" {_START} < :first{runs.condition} order by a.epoch desc, a.n desc limit :several",
        {**parameters, "several": SEVERAL_MAX},
    ).fetchall()
    return [GridAttempt(*row) for row in rows]


def between(
    tx: Transaction, node: str, from_us: int, to_us: int, runs: OfRuns
) -> list[GridAttempt]:
    """Return the newest attempts at a node that were queued between two times."""
    rows = tx.execute(
        f"select {_COLUMNS} from (select * from attempt where node = :node order by epoch desc, n"
        " desc limit :limit) a where a.queued_at >= :from_us and a.queued_at <"
        f" :to_us{runs.condition}",
        {
            "node": node,
            "from_us": from_us,
            "to_us": to_us,
            "limit": NODE_MAX,
            **msgspec.structs.asdict(runs),
        },
    ).fetchall()
    return [GridAttempt(*row) for row in rows]


def newest(tx: Transaction) -> list[tuple[str, str, int]]:
    """Return (node, partitions as JSON, µs of queueing) of the NODE_MAX newest attempts."""
    rows = tx.execute(
        "select node, partitions, queued_at from attempt order by epoch desc, n desc limit ?",
        (NODE_MAX,),
    )
    return [(node, partitions, queued_at) for node, partitions, queued_at in rows]


# Nodes that may have an attempt of the wanted kind; the attempts themselves decide.


def unpublished_nodes(tx: Transaction, since_us: int) -> set[str]:
    """Return the nodes with a partition that isn't published, or with attempts of a backfill.

    A backfill's failures leave the state of a partition as it was. Of backfills, those count that
    began since then.
    """
    rows = tx.execute(
        "select distinct node from partition where state <> 'published' union select distinct"
        " a.node from run r join attempt a on a.run_id = r.id where r.plan_id is not null and"
        " r.started_at >= :since and a.state <> 'published'",
        {"since": since_us},
    )
    return {str(node) for (node,) in rows}


def nodes_under_way(tx: Transaction) -> set[str]:
    """Return the nodes with a queued or running attempt."""
    rows = tx.execute("select distinct node from attempt where state in ('queued', 'running')")
    return {str(node) for (node,) in rows}


def nodes_in_states(tx: Transaction, states: Collection[str]) -> set[str]:
    """Return the nodes with one of the newest ATTEMPTS_SEARCHED attempts in one of these states."""
    marks = ", ".join("?" * len(states))
    rows = tx.execute(
        "select distinct node from (select node, state from attempt order by epoch desc, n desc"
        f" limit ?) as newest where state in ({marks})",
        (ATTEMPTS_SEARCHED, *states),
    )
    return {str(node) for (node,) in rows}


def nodes_of_runs(tx: Transaction, runs: OfRuns, since_us: int) -> set[str]:
    """Return the nodes that runs attempted which began since a time.

    Of their attempts, those of the newest runs are read, at most ATTEMPTS_SEARCHED.
    """
    rows = tx.execute(
        "select distinct node from (select a.node from run r join attempt a on a.run_id = r.id"
        " where r.started_at >= :since and (cast(:kind as text) is null or r.kind = :kind) and"
        " (cast(:actor as text) is null or r.actor = :actor) order by r.id desc limit :limit)"
        " as newest",
        {"since": since_us, "limit": ATTEMPTS_SEARCHED, **msgspec.structs.asdict(runs)},
    )
    return {str(node) for (node,) in rows}
