"""When deliveries arrived, and whether one did."""

from __future__ import annotations

from headrace.store.database import Transaction


def there(tx: Transaction, source: str, interval: str) -> bool:
    """Whether anything was delivered for an interval; of a source that is cut by a key as well, for any key of it."""
    row = tx.execute(
        "select 1 from delivery where source = :source and partition = :interval"
        " union all select 1 from delivery where source = :source and partition >= :first and partition < :beyond limit 1",
        {"source": source, "interval": interval, "first": f"{interval}/", "beyond": f"{interval}0"},
    ).fetchone()
    return row is not None


def first_applied(tx: Transaction) -> int | None:
    """When something was applied for the first time, microseconds; None if nothing ever was."""
    row = tx.execute("select min(applied_at) from version").fetchone()
    return None if row[0] is None else int(row[0])


def declared_by(tx: Transaction, source: str) -> int | None:
    """When a source was surely declared, microseconds: somebody had looked at it, or had found a delivery of
    it. None where nobody ever did. Of a source without deliveries the first looks are forgotten with time."""
    row = tx.execute(
        "select min(at) from (select min(at) as at from look where source = :source"
        " union all select min(observed_at) from delivery where source = :source) as known",
        {"source": source},
    ).fetchone()
    return None if row[0] is None else int(row[0])


def first_arrivals(tx: Transaction, source: str, limit: int) -> list[tuple[str, int, int]]:
    """(partition, when its first delivery arrived, when a look found one) of a source's newest partitions."""
    rows = tx.execute(
        "select partition, min(arrived_at), min(observed_at) from delivery where source = :source"
        " group by partition order by partition desc limit :limit",
        {"source": source, "limit": limit},
    )
    return [(str(row[0]), int(row[1]), int(row[2])) for row in rows]


def observed_between(tx: Transaction, source: str, after_us: int, until_us: int) -> bool | None:
    """Whether a source was observed after a time and no later than another; None where observations from before aren't kept."""
    row = tx.execute(
        "select min(at), max(case when at > :after then at end) from look where source = :source and at <= :until",
        {"source": source, "after": after_us, "until": until_us},
    ).fetchone()
    first, last = (None, None) if row is None else row
    return True if last is not None else None if first is None else False


def ends_of_gaps(tx: Transaction, source: str) -> set[int]:
    """When somebody looked at a source again after nobody had for too long: what was first seen then
    may have come at any time before. Microseconds."""
    rows = tx.execute("select until_at from look_gap where source = :source", {"source": source})
    return {int(at) for (at,) in rows}
