"""While nobody looked: what fell due meanwhile, and what had arrived and waited."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction

GAPS_MAX = 1_000


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Nobody looked at a source from `from_at` to `until_at`, microseconds."""

    source: str
    from_at: int
    until_at: int


def gaps(tx: Transaction, after: int) -> list[Gap]:
    """The gaps that ended after a time, in order."""
    rows = tx.execute(
        "select source, from_at, until_at from look_gap where until_at > ? order by until_at, source limit ?", (after, GAPS_MAX)
    )
    return [Gap(*row) for row in rows]


def missed_due(tx: Transaction, consumer: str, gap: Gap) -> int | None:
    """The first deadline within a gap that wasn't met before the gap's end; None where there is none."""
    row = tx.execute(
        "select min(due_at) from obligation where consumer = :consumer and due_at > :from and due_at <= :until"
        " and waived_at is null and (met_at is null or met_at >= :until)",
        {"consumer": consumer, "from": gap.from_at, "until": gap.until_at},
    ).fetchone()
    return None if row[0] is None else int(row[0])


def waited(tx: Transaction, gap: Gap, due: int) -> bool:
    """Whether something that was found at a gap's end lay there before a deadline."""
    row = tx.execute(
        "select 1 from delivery where source = :source and observed_at >= :until and claimed_at < :due limit 1",
        {"source": gap.source, "until": gap.until_at, "due": due},
    ).fetchone()
    return row is not None
