"""What the state holds that the audit trail must tell of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.store import migrations
from headrace.store.database import Transaction
from headrace.store.engines import ddl
from headrace.store.transaction import Dialect

TRIGGERS = ("audit_in_order", "audit_no_update", "audit_no_delete")
"""They refuse every change of the trail but an entry after its last. In PostgreSQL the second says what the third does in SQLite."""

_TRIGGER = re.compile(r"create trigger (\w+)")
_FUNCTION = re.compile(r"function (\w+)\(\) returns trigger.*?\$\$(.*)\$\$", re.DOTALL)
_KINDS = {"audit_in_order": 1 | 2 | 4, "audit_no_update": 2 | 8 | 16 | 32}
"""What `pg_trigger.tgtype` must be: for each row before an insert; before each delete, update or
truncation."""


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
        for item, other, at in tx.execute(sql).fetchall():
            yield action, f"{item}@{other}", int(at)


_DECISIONS = {
    "partition.withdrawn": "select node, partition, at from withdrawal order by at",
    "quarantine.accepted": "select node, partition, at from accepted order by at",
    "obligation.waived": "select consumer, interval, waived_at from obligation where waived_at is not null order by waived_at",
}


def log_begun(tx: Transaction) -> tuple[int, int, str] | None:
    """(entry of the trail, when in microseconds, content) of when the event log began last with
    what the tables held; None for one that has all since the tables were made."""
    sql = "select seq, at, event from audit where event like ? order by seq desc limit 1"
    row = tx.execute(sql, ('{"action":"event_log.begun"%',)).fetchone()
    return None if row is None else (int(row[0]), int(row[1]), str(row[2]))


def dropped_triggers(tx: Transaction) -> list[str]:
    """The triggers that guard the trail and aren't there as the migrations made them: dropped,
    switched off, or emptied."""
    there = _postgresql_triggers(tx) if tx.dialect is Dialect.POSTGRESQL else _sqlite_triggers(tx)
    wanted = TRIGGERS[:2] if tx.dialect is Dialect.POSTGRESQL else TRIGGERS
    return [name for name in wanted if name not in there]


def _sqlite_triggers(tx: Transaction) -> set[str]:
    written = {
        match[1]: _plain(text)
        for migration in migrations.known()
        for text in migrations.statements(migration.text)
        if (match := _TRIGGER.search(text)) is not None
    }
    sql = "select name, sql from sqlite_master where type = 'trigger' and tbl_name = 'audit'"
    rows = tx.execute(sql).fetchall()
    return {name for name, text in rows if written.get(name) == _plain(text)}


def _postgresql_triggers(tx: Transaction) -> set[str]:
    functions = [match for text in ddl.FUNCTIONS if (match := _FUNCTION.search(text)) is not None]
    written = {function[1]: _plain(function[2]) for function in functions}
    rows = tx.execute(
        "select tgname, proname, prosrc, tgtype, tgqual is null from pg_trigger"
        " join pg_proc p on p.oid = tgfoid where tgrelid = 'audit'::regclass and tgenabled in ('O', 'A')"
    ).fetchall()
    return {
        name
        for name, function, source, kind, always in rows
        if always and written.get(function) == _plain(source) and kind == _KINDS.get(name)
    }


def _plain(text: str) -> str:
    """Without comments and what is only layout."""
    return " ".join(re.sub(r"--[^\n]*", "", text).lower().split()).rstrip("; ")
