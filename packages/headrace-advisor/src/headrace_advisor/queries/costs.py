"""What attempts took and read, what is stored, and which incidents attempts are evidence of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headrace.store.queries.costs import AttemptWork, work_of
from headrace.store.transaction import Transaction


class AttemptCost(NamedTuple):
    """An attempt that ended in a window: how long it held a slot, and what it read.

    `backfill` is the plan of its run, None for other runs. `at` is in microseconds.
    """

    epoch: int
    n: int
    node: str
    kind: str
    state: str
    at: int
    run: int
    backfill: int | None
    slot_us: int
    bytes_read: int

    @property
    def id(self) -> str:
        """The attempt's id, `epoch.n`."""
        return f"{self.epoch}.{self.n}"


def attempts(tx: Transaction, from_us: int, until_us: int) -> Iterator[AttemptCost]:
    """Yield the attempts that ended in a window, exports included, in order."""
    rows = tx.execute(
        "select a.epoch, a.n, a.node, a.kind, a.state, a.finished_at, a.run_id, r.plan_id,"
        " a.measures from attempt a join run r on r.id = a.run_id where a.finished_at > :since and"
        " a.finished_at <= :until order by a.epoch, a.n",
        {"since": from_us, "until": until_us},
    )
    for epoch, n, node, kind, state, at, run, plan, content in rows.fetchall():
        work = AttemptWork(0, 0) if content is None else work_of(content)
        yield AttemptCost(epoch, n, node, kind, state, at, run, plan, *work)


class StoredPartitions(NamedTuple):
    """A node's current partitions: their number, and the bytes of all together."""

    partitions: int
    bytes: int


def stored_partitions(tx: Transaction) -> dict[str, StoredPartitions]:
    """Return what each node has stored; rows that were removed or erased whole don't count."""
    rows = tx.execute(
        "select node, count(*), sum(bytes) from publication where ended_snapshot is null and"
        " rows > 0 group by node"
    )
    return {str(row[0]): StoredPartitions(int(row[1]), int(row[2])) for row in rows.fetchall()}


def first_published_at(tx: Transaction) -> int | None:
    """Return the time of the first stored publication, in microseconds."""
    row = tx.execute("select min(published_at) from publication").fetchone()
    return None if row is None or row[0] is None else int(row[0])


def explained(tx: Transaction, from_us: int) -> dict[str, int]:
    """Return attempt → the first incident that it is evidence of, for evidence since a time."""
    rows = tx.execute(
        "select attempt, min(incident_id) from evidence where incident_id is not null and attempt"
        " is not null and at > ? group by attempt",
        (from_us,),
    )
    return {str(attempt): int(number) for attempt, number in rows.fetchall()}
