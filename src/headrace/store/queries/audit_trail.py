"""Reading the audit trail, and what `db check` compares with it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from headrace.store import migrations, postgresql_dialect
from headrace.store.transaction import Dialect, Transaction

# Entries as they are stored, newest first.


def entries(tx: Transaction, *, since_us: int | None) -> Iterator[tuple[int, str, str]]:
    """(seq, event as canonical JSON, hash), newest first, of those written at or after
    `since_us`.
    """
    rows = tx.execute(
        "select seq, event, hash from audit where at >= ? order by seq desc",
        (0 if since_us is None else since_us,),
    )
    return ((seq, event, digest) for seq, event, digest in rows)


def newest(tx: Transaction, limit: int) -> list[str]:
    """Return the newest events as canonical JSON, newest first."""
    rows = tx.execute("select event from audit order by seq desc limit ?", (limit,))
    return [event for (event,) in rows]


def entry(tx: Transaction, seq: int) -> tuple[int, str, str] | None:
    """One entry by its number."""
    row = tx.execute("select seq, event, hash from audit where seq = ?", (seq,)).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def seq_of(tx: Transaction, digest: str) -> int | None:
    """Which entry has this hash."""
    row = tx.execute("select seq from audit where hash = ?", (digest,)).fetchone()
    return None if row is None else int(row[0])


def last_seq(tx: Transaction) -> int:
    """The number of the newest entry, 0 for none."""
    return int(tx.execute("select coalesce(max(seq), 0) from audit").fetchone()[0])


def commands(
    tx: Transaction, after: int, actions: Sequence[str], limit: int
) -> list[tuple[int, int, str]]:
    """(seq, at, event as canonical JSON) of the entries with these actions after one,
    oldest first.
    """
    begins = [f'{{"action":"{action}"%' for action in actions]
    which = " or ".join("event like ?" for _ in begins)
    rows = tx.execute(
        f"select seq, at, event from audit where seq > ? and ({which}) order by seq limit ?",
        (after, *begins, limit),
    )
    return [(int(seq), int(at), str(event)) for seq, at, event in rows]


class _Removal(msgspec.Struct):
    """What an entry about erased or removed rows says: how many, by attempt (`EPOCH.N`)."""

    attempts: dict[str, int] = {}


class _RemovalEvent(msgspec.Struct):
    after: _Removal | None = None


class _Node(msgspec.Struct):
    id: str


class _PrunedData(msgspec.Struct):
    """What an entry about removed data says of `[retention] pruned`, if that ended it."""

    pruned: str | None = None


class _PrunedEvent(msgspec.Struct):
    object: _Node
    after: _PrunedData


def removed_rows(tx: Transaction, since_us: int) -> dict[str, int]:
    """Return the published rows that were erased or removed since a time, by attempt (`EPOCH.N`).

    Their publications have these rows no more; what the attempt staged still counts them.
    """
    results = Counter[str]()
    before, last = _entries_before(tx, since_us), last_seq(tx)
    for _, _, text in commands(tx, before, ("rows.erased", "data.retired"), last):
        event = msgspec.json.decode(text, type=_RemovalEvent)
        results.update(event.after.attempts if event.after is not None else {})
    return dict(results)


def pruned_since(tx: Transaction, since_us: int) -> set[str]:
    """Return the nodes of which `[retention] pruned` has removed data since a time."""
    entries_after = commands(tx, _entries_before(tx, since_us), ("data.retired",), last_seq(tx))
    events = [msgspec.json.decode(text, type=_PrunedEvent) for _, _, text in entries_after]
    return {event.object.id for event in events if event.after.pruned is not None}


def commands_between(
    tx: Transaction, first_us: int, last_us: int, actions: Sequence[str], limit: int
) -> list[tuple[int, int, str]]:
    """(seq, at, event as canonical JSON) of the newest entries with these actions between two
    times, oldest first.
    """
    numbers = range(1, last_seq(tx) + 1)
    first, end = (
        bisect_left(numbers, first_us, key=partial(_at, tx)),
        bisect_right(numbers, last_us, key=partial(_at, tx)),
    )
    begins = [f'{{"action":"{action}"%' for action in actions]
    which = " or ".join("event like ?" for _ in begins)
    rows = tx.execute(
        f"select seq, at, event from audit where seq > ? and seq <= ? and ({which}) order by seq"
        " desc limit ?",
        (first, end, *begins, limit),
    )
    return [(int(seq), int(at), str(event)) for seq, at, event in rows][::-1]


def count_since(
    tx: Transaction, action: str, actor: tuple[str, str], since_us: int, limit: int
) -> int:
    """The entries since a time with this action of an actor (type and id without a display name),
    at most `limit`."""
    before = _entries_before(tx, since_us)
    kind, name = actor
    begins = f'{{"action":"{action}","actor":{{"display":"","id":"{name}","type":"{kind}"'
    row = tx.execute(
        "select count(*) from (select 1 from audit where seq > ? and substr(event, 1, ?) = ?"
        " limit ?) as found",
        (before, len(begins), begins, limit),
    ).fetchone()
    return int(row[0])


def _entries_before(tx: Transaction, since_us: int) -> int:
    """Return how many entries were written before a time."""
    numbers = range(1, last_seq(tx) + 1)
    return bisect_left(numbers, since_us, key=partial(_at, tx))


def _at(tx: Transaction, seq: int) -> int:
    """When an entry was written: never before the one with the number before."""
    return int(tx.execute("select at from audit where seq = ?", (seq,)).fetchone()[0])


def command(tx: Transaction, seq: int) -> tuple[int, int, str] | None:
    """(seq, at, event as canonical JSON) of one entry."""
    row = tx.execute("select seq, at, event from audit where seq = ?", (seq,)).fetchone()
    return None if row is None else (int(row[0]), int(row[1]), str(row[2]))


# What the state holds that the audit trail must mention.

TRIGGERS = ("audit_in_order", "audit_no_update", "audit_no_delete")
"""They refuse every change of the trail but an entry after its last. In PostgreSQL the second says
what the third does in SQLite."""

_TRIGGER = re.compile(r"create trigger (\w+)")
_FUNCTION = re.compile(r"function (\w+)\(\) returns trigger.*?\$\$(.*)\$\$", re.DOTALL)
_KINDS = {"audit_in_order": 1 | 2 | 4, "audit_no_update": 2 | 8 | 16 | 32}
"""What `pg_trigger.tgtype` must be: for each row before an insert; before each delete, update or
truncation."""


def published_by_attempt(tx: Transaction) -> Iterator[tuple[str, int, int]]:
    """(attempt as `epoch.n`, the backfill that it is of or 0, rows) of each attempt that has
    publications.
    """
    rows = tx.execute(
        "select p.epoch, p.n, coalesce(max(r.plan_id), 0), sum(p.rows) from publication p"
        " left join attempt a on a.epoch = p.epoch and a.n = p.n left join run r on r.id = a.run_id"
        " group by p.epoch, p.n order by p.epoch, p.n"
    ).fetchall()
    return ((f"{epoch}.{n}", int(plan), int(count)) for epoch, n, plan, count in rows)


def applied_versions(tx: Transaction) -> list[tuple[str, str]]:
    """Number and hash of each version that was applied."""
    return [
        (str(number), str(digest))
        for number, digest in tx.execute("select id, hash from version order by id").fetchall()
    ]


def decisions(tx: Transaction) -> Iterator[tuple[str, str, int]]:
    """(action, what it was done to, when) of what people decided."""
    for action, sql in _DECISIONS.items():
        for item, other, at in tx.execute(sql).fetchall():
            yield action, f"{item}@{other}", int(at)


_DECISIONS = {
    "partition.withdrawn": "select node, partition, at from withdrawal order by at",
    "quarantine.accepted": "select node, partition, at from accepted order by at",
    "obligation.waived": (
        "select consumer, interval, waived_at from obligation where waived_at is not null order by"
        " waived_at"
    ),
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
    expected = TRIGGERS[:2] if tx.dialect is Dialect.POSTGRESQL else TRIGGERS
    return [name for name in expected if name not in there]


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
    functions = [
        match
        for text in postgresql_dialect.FUNCTIONS
        if (match := _FUNCTION.search(text)) is not None
    ]
    written = {function[1]: _plain(function[2]) for function in functions}
    rows = tx.execute(
        "select tgname, proname, prosrc, tgtype, tgqual is null from pg_trigger join pg_proc p on"
        " p.oid = tgfoid where tgrelid = 'audit'::regclass and tgenabled in ('O', 'A')"
    ).fetchall()
    return {
        name
        for name, function, source, kind, always in rows
        if always and written.get(function) == _plain(source) and kind == _KINDS.get(name)
    }


def _plain(text: str) -> str:
    """Without comments and what is only layout."""
    return " ".join(re.sub(r"--[^\n]*", "", text).lower().split()).rstrip("; ")


# What else `db check` reads from the state.

DAMAGE_SHOWN_MAX = 20


def database_damage(tx: Transaction) -> Iterator[str]:
    """What the database itself finds wrong. PostgreSQL checks its pages when they are read: every
    table is."""
    if tx.dialect is Dialect.SQLITE:
        for (message,) in tx.execute(f"pragma integrity_check({DAMAGE_SHOWN_MAX})").fetchall():
            if message != "ok":
                yield str(message)
        for table, rowid, parent, _ in tx.execute("pragma foreign_key_check").fetchall()[
            :DAMAGE_SHOWN_MAX
        ]:
            yield f"row {rowid} of {table} refers to nothing in {parent}"
        return
    rows = tx.execute(
        "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables where"
        " schemaname = any(current_schemas(false))"
    ).fetchall()
    for (table,) in rows:
        tx.execute(
            f"select count(*) from (select t.*, row_number() over () from {table} t) as everything"
        ).fetchone()


def page_checksums(tx: Transaction) -> bool | None:
    """Whether PostgreSQL finds damaged pages by their checksums; None for SQLite, which
    has none."""
    if tx.dialect is Dialect.SQLITE:
        return None
    return bool(tx.execute("show data_checksums").fetchone()[0] == "on")


class PublishedRows(NamedTuple):
    """What a partition's publication recorded of its rows."""

    partition: str
    rows: int
    snapshot: int
    content_hash: str | None


def published_rows(tx: Transaction) -> dict[str, list[PublishedRows]]:
    """Return what readers see in the lake, by node: publications of files and exports have a
    manifest."""
    rows = tx.execute(
        "select node, partition, rows, snapshot, content_hash from publication where"
        " ended_snapshot is null and manifest is null order by node, partition"
    ).fetchall()
    results: dict[str, list[PublishedRows]] = {}
    for node, *recorded in rows:
        results.setdefault(node, []).append(PublishedRows(*recorded))
    return results


def visible_partition(tx: Transaction, node: str, key: str | None) -> str | None:
    """The partition that readers see under this key of a node, or None."""
    row = tx.execute(
        "select partition from publication where node = ? and partition = ? and ended_snapshot is"
        " null",
        (node, key or ""),
    ).fetchone()
    return None if row is None else str(row[0])
