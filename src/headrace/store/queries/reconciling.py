"""What the state holds that the audit trail must tell of."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.store.database import Transaction
from headrace.store.transaction import Dialect

TRIGGERS = ("audit_in_order", "audit_no_update", "audit_no_delete")
"""They refuse every change of the trail but an entry after its last. In PostgreSQL the second says what the third does in SQLite."""


def published(tx: Transaction) -> Iterator[tuple[str, int, int]]:
    """(attempt as `epoch.n`, the backfill that it is of or 0, rows) of each attempt that has publications."""
    rows = tx.execute(
        "select p.epoch, p.n, coalesce(max(r.plan_id), 0), sum(p.rows) from publication p"
        " left join attempt a on a.epoch = p.epoch and a.n = p.n left join run r on r.id = a.run_id"
        " group by p.epoch, p.n order by p.epoch, p.n"
    ).fetchall()
    return ((f"{epoch}.{n}", int(plan), int(count)) for epoch, n, plan, count in rows)


def versions(tx: Transaction) -> list[tuple[str, str]]:
    """Number and hash of each version that was applied."""
    return [(str(number), str(digest)) for number, digest in tx.execute("select id, hash from version order by id").fetchall()]


def decisions(tx: Transaction) -> Iterator[tuple[str, str, int]]:
    """(action, what it was done to, when) of what people decided."""
    for action, sql in _DECISIONS.items():
        for one, other, at in tx.execute(sql).fetchall():
            yield action, f"{one}@{other}", int(at)


_DECISIONS = {
    "partition.withdrawn": "select node, partition, at from withdrawal order by at",
    "quarantine.accepted": "select node, partition, at from accepted order by at",
    "obligation.waived": "select consumer, interval, waived_at from obligation where waived_at is not null order by waived_at",
}


def dropped_triggers(tx: Transaction) -> list[str]:
    """The triggers that guard the trail and aren't there, or are switched off."""
    wanted: tuple[str, ...]
    if tx.dialect is Dialect.POSTGRESQL:
        sql = "select tgname from pg_trigger where tgrelid = 'audit'::regclass and tgenabled in ('O', 'A')"
        wanted = TRIGGERS[:2]
    else:
        sql = "select name from sqlite_master where type = 'trigger' and tbl_name = 'audit'"
        wanted = TRIGGERS
    there = {str(name) for (name,) in tx.execute(sql).fetchall()}
    return [name for name in wanted if name not in there]
