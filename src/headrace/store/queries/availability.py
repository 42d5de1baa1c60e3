"""What says how consumers were served over a window: obligations, promises, looks that didn't happen, what was taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from headrace.store.database import Transaction
from headrace.store.queries.obligations import StoredObligation
from headrace.store.queries.promises import Promise

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
