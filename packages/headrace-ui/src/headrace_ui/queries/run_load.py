"""Queries about what ran beside a run, and what ended it."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.queries.ledger import AROUND_MAX
from headrace.store.transaction import Transaction

LOAD_MAX = 20_000
"""At most this number of attempts is read of each selection."""
LAST_MAX = 500
"""Among this number of attempts that ended last, one at a visible node is searched for."""


class LoadRow(NamedTuple):
    """When an attempt was ready, began and ended, in microseconds; None: it hasn't yet."""

    epoch: int
    n: int
    node: str
    run_id: int
    queued_at: int
    started_at: int | None
    finished_at: int | None


_COLUMNS = "epoch, n, node, run_id, queued_at, started_at, finished_at"


def during(tx: Transaction, run_id: int, from_us: int, to_us: int) -> list[LoadRow]:
    """Return attempts of all runs that were ready or ran between two times.

    They are those that ended then, and those with numbers near the run's own, at most LOAD_MAX of
    each.
    """
    rows = set(
        tx.execute(
            f"select {_COLUMNS} from attempt where finished_at >= :from_us and finished_at <="
            " :to_us order by finished_at desc limit :limit",
            {"from_us": from_us, "to_us": to_us, "limit": LOAD_MAX},
        )
    )
    for epoch, first, last in spans_of_run(tx, run_id):
        rows |= set(
            tx.execute(
                f"select {_COLUMNS} from attempt where epoch = :epoch and n >= :first and n <="
                " :last and queued_at < :to_us and (finished_at is null or finished_at > :from_us)"
                " order by n desc limit :limit",
                {
                    "epoch": epoch,
                    "first": first - AROUND_MAX,
                    "last": last + AROUND_MAX,
                    "from_us": from_us,
                    "to_us": to_us,
                    "limit": LOAD_MAX,
                },
            )
        )
    return sorted(LoadRow(*row) for row in rows)


def spans_of_run(tx: Transaction, run_id: int) -> list[tuple[int, int, int]]:
    """Return (epoch, first n, last n) of a run's attempts."""
    rows = tx.execute(
        "select epoch, min(n), max(n) from attempt where run_id = ? group by epoch order by epoch",
        (run_id,),
    )
    return [(epoch, first, last) for epoch, first, last in rows]


class LastAttempt(NamedTuple):
    """An attempt that ended. `partitions` is a JSON list, times are microseconds."""

    epoch: int
    n: int
    node: str
    partitions: str
    finished_at: int
    published_at: int | None


def last_ended(tx: Transaction, run_id: int) -> list[LastAttempt]:
    """Return the attempts of a run that ended last, the last one first."""
    rows = tx.execute(
        "select epoch, n, node, partitions, finished_at, published_at from attempt where run_id = ?"
        " and finished_at is not null order by finished_at desc, epoch desc, n desc limit ?",
        (run_id, LAST_MAX),
    )
    return [LastAttempt(*row) for row in rows]


def nodes_of_run(tx: Transaction, run_id: int) -> set[str]:
    """Return the nodes that a run attempted."""
    rows = tx.execute("select distinct node from attempt where run_id = ?", (run_id,))
    return {str(node) for (node,) in rows}
