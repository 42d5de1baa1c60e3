"""Entries of the audit trail, and what `audit verify` and `db check` compare with them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from state_kinds import ONLY_POSTGRESQL, ONLY_SQLITE
from stored_rows import attempt, insert, publication

from headrace.store import Store, Transaction
from headrace.store.queries import audit_trail


def _write(tx: Transaction, seq: int, at: int, action: str) -> str:
    """Append an entry, and return its event."""
    event = f'{{"action":"{action}","actor":"ann {seq}"}}'
    insert(tx, "audit", seq=seq, at=at, event=event, prev_hash=f"h{seq - 1}", hash=f"h{seq}")
    return event


def test_entries_are_found_by_number_hash_and_time(store: Store) -> None:
    """An entry at exactly `since` left out; the event of one entry with the hash of another."""
    with store.write(None) as tx:
        assert audit_trail.last_seq(tx) == 0
        assert list(audit_trail.entries(tx, since_us=None)) == []
        rows = [
            (seq, _write(tx, seq, at, "run.started"), f"h{seq}")
            for seq, at in ((1, 0), (2, 20), (3, 20), (4, 30))
        ]
        assert list(audit_trail.entries(tx, since_us=None)) == rows[::-1]
        assert list(audit_trail.entries(tx, since_us=0)) == rows[::-1]
        assert list(audit_trail.entries(tx, since_us=20)) == rows[:0:-1]
        assert list(audit_trail.entries(tx, since_us=21)) == [rows[3]]
        assert audit_trail.entry(tx, 2) == rows[1]
        assert audit_trail.entry(tx, 5) is None
        assert audit_trail.command(tx, 4) == (4, 30, rows[3][1])
        assert audit_trail.command(tx, 5) is None
        assert audit_trail.seq_of(tx, "h3") == 3
        assert audit_trail.seq_of(tx, "h5") is None
        assert audit_trail.last_seq(tx) == 4


def test_commands_are_found_by_action_and_position(store: Store) -> None:
    """An action whose name another begins with; a limit that cuts the wrong end."""
    with store.write(None) as tx:
        assert audit_trail.commands_between(tx, 0, 100, ["run.started"], 5) == []
        actions = ["run.started", "lease.taken", "run.started", "run.started.again", "node.renamed"]
        times = [10, 20, 20, 20, 30]
        written = [
            (seq, at, _write(tx, seq, at, action))
            for seq, (at, action) in enumerate(zip(times, actions, strict=True), start=1)
        ]
        runs = [written[0], written[2]]
        both = ["run.started", "node.renamed"]
        assert audit_trail.commands(tx, 0, ["run.started"], 9) == runs
        assert audit_trail.commands(tx, 0, both, 2) == runs
        assert audit_trail.commands(tx, 1, both, 9) == [written[2], written[4]]
        for first, last, limit, expected in (
            (10, 30, 9, [written[0], written[2], written[4]]),
            (10, 30, 2, [written[2], written[4]]),
            (11, 29, 9, [written[2]]),
            (20, 20, 9, [written[2]]),
            (21, 30, 9, [written[4]]),
            (0, 10, 9, [written[0]]),
            (0, 9, 9, []),
            (31, 99, 9, []),
        ):
            assert audit_trail.commands_between(tx, first, last, both, limit) == expected


def test_removed_rows_are_summed_by_attempt(store: Store) -> None:
    """Would catch: an entry before the window that counts, one that removed nothing of an attempt
    and breaks the others, or a second removal that replaces the first."""
    with store.write(None) as tx:
        for seq, (at, action, after) in enumerate(
            [
                (10, "rows.erased", '{"attempts":{"1.1":5}}'),
                (20, "rows.erased", '{"attempts":{"1.1":2,"1.2":1}}'),
                (30, "data.retired", '{"attempts":{"1.1":3},"node":"orders"}'),
                (30, "data.retired", "null"),
                (30, "history.retired", '{"attempts":7}'),
            ],
            start=1,
        ):
            event = f'{{"action":"{action}","after":{after}}}'
            insert(tx, "audit", seq=seq, at=at, event=event, prev_hash="", hash=f"h{seq}")
        assert audit_trail.removed_rows(tx, 20) == {"1.1": 5, "1.2": 1}
        assert audit_trail.removed_rows(tx, 31) == {}


def test_the_newest_beginning_of_the_event_log_counts(store: Store) -> None:
    with store.write(None) as tx:
        assert audit_trail.log_begun(tx) is None
        _write(tx, 1, 10, "event_log.begun")
        event = _write(tx, 2, 20, "event_log.begun")
        _write(tx, 3, 30, "run.started")
        assert audit_trail.log_begun(tx) == (2, 20, event)


def test_what_the_trail_must_mention(store: Store) -> None:
    """An attempt's rows counted without one of its partitions; a publication without attempt,
    which nobody would look for in the trail; a waiver of an obligation that wasn't waived."""
    with store.write(None) as tx:
        insert(tx, "run", id=1)
        insert(tx, "run", id=2, plan_id=9)
        attempt(tx, 3, epoch=2, run_id=1)
        attempt(tx, 4, epoch=2, run_id=2)
        for number, (epoch, n, rows) in enumerate(
            [(2, 4, 10), (2, 3, 5), (2, 3, 7), (1, 9, 3)], start=1
        ):
            publication(tx, number, f"2025-01-0{number}", epoch=epoch, n=n, rows=rows)
        assert list(audit_trail.published_by_attempt(tx)) == [
            ("1.9", 0, 3),
            ("2.3", 0, 12),
            ("2.4", 9, 10),
        ]
        insert(tx, "version", id=1, hash="h1")
        insert(tx, "version", id=2, hash="h2")
        assert audit_trail.applied_versions(tx) == [("1", "h1"), ("2", "h2")]
        insert(tx, "withdrawal", node="orders", partition="2025-01-01", at=30)
        insert(tx, "withdrawal", node="daily", partition="2025-01-02", at=20)
        insert(
            tx,
            "accepted",
            node="src",
            partition="2025-01-03",
            quarantine_id=1,
            actor="ann",
            reason="",
            at=10,
        )
        insert(tx, "promise", id=1, consumer="report", terms="{}", from_at=1)
        for interval, waived in (("2025-01-04", 40), ("2025-01-05", None)):
            insert(
                tx,
                "obligation",
                consumer="report",
                interval=interval,
                due_at=1,
                promise_id=1,
                waived_at=waived,
            )
        assert list(audit_trail.decisions(tx)) == [
            ("partition.withdrawn", "daily@2025-01-02", 20),
            ("partition.withdrawn", "orders@2025-01-01", 30),
            ("quarantine.accepted", "src@2025-01-03", 10),
            ("obligation.waived", "report@2025-01-04", 40),
        ]


def test_the_lake_must_have_what_readers_see(store: Store) -> None:
    """Rows that are compared with a table of the lake although they are files."""
    with store.write(None) as tx:
        publication(tx, 1, "2025-01-02", rows=5, snapshot=50)
        publication(tx, 2, "2025-01-01", rows=6, snapshot=60)
        publication(tx, 3, "2025-01-03", rows=7, snapshot=70, ended_snapshot=71)
        publication(tx, 4, "2025-01-04", rows=8, snapshot=80, manifest="[]")
        publication(tx, 5, "", rows=9, snapshot=90, node="daily")
        assert audit_trail.published_rows(tx) == {
            "daily": [("", 9, 90, None)],
            "orders": [("2025-01-01", 6, 60, None), ("2025-01-02", 5, 50, None)],
        }
        assert audit_trail.visible_partition(tx, "orders", "2025-01-04") == "2025-01-04"
        assert audit_trail.visible_partition(tx, "orders", "2025-01-03") is None
        assert audit_trail.visible_partition(tx, "daily", None) == ""
        assert audit_trail.visible_partition(tx, "orders", None) is None


# Triggers that guard the trail


def test_the_triggers_of_a_new_state_are_as_written(store: Store) -> None:
    with store.read() as tx:
        assert audit_trail.dropped_triggers(tx) == []


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["drop trigger audit_in_order", "drop trigger audit_no_delete"], [0, 2]),
        (
            [
                "drop trigger audit_no_update",
                "create trigger audit_no_update before update on audit begin select 1; end",
            ],
            [1],
        ),
        (
            [
                "drop trigger audit_no_delete",
                (
                    "CREATE  TRIGGER audit_no_delete -- the same in another layout\nbefore delete on"
                    " audit begin select raise(abort,\n'the audit trail is append-only'); end"
                ),
            ],
            [],
        ),
        (
            ["create trigger more before update on audit begin select 1; end"],
            [],
        ),
    ],
)
def test_changed_triggers_are_found_in_sqlite(
    store: Store, statements: list[str], found: list[int]
) -> None:
    """A trigger with the right name that lets everything through."""
    with store.write(None) as tx:
        for text in statements:
            tx.unrecorded(text)
        assert audit_trail.dropped_triggers(tx) == [audit_trail.TRIGGERS[place] for place in found]


@ONLY_POSTGRESQL
@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["drop trigger audit_in_order on audit", "drop trigger audit_no_update on audit"], [0, 1]),
        (["alter table audit disable trigger audit_no_update"], [1]),
        (["alter table audit enable replica trigger audit_in_order"], [0]),
        (["alter table audit enable always trigger audit_in_order"], []),
        (
            [
                (
                    "create or replace function audit_in_order() returns trigger language plpgsql as"
                    " $$ begin return new; end $$"
                )
            ],
            [0],
        ),
        (
            [
                "drop trigger audit_no_update on audit",
                (
                    "create trigger audit_no_update before update or delete on audit for each"
                    " statement execute function audit_append_only()"
                ),
            ],
            [1],
        ),
        (
            [
                "drop trigger audit_in_order on audit",
                (
                    "create trigger audit_in_order before insert on audit for each row when (new.seq"
                    " < 0) execute function audit_in_order()"
                ),
            ],
            [0],
        ),
    ],
)
def test_changed_triggers_are_found_in_postgresql(
    store: Store, statements: list[str], found: list[int]
) -> None:
    """A trigger that is switched off, guards only some changes, or never applies."""
    with store.write(None) as tx:
        for text in statements:
            tx.unrecorded(text)
        assert audit_trail.dropped_triggers(tx) == [audit_trail.TRIGGERS[place] for place in found]


# Damage of the database


def test_a_sound_database_has_no_damage(store: Store) -> None:
    with store.write(None) as tx:
        _write(tx, 1, 10, "run.started")
    with store.read() as tx:
        assert list(audit_trail.database_damage(tx)) == []


@ONLY_SQLITE
def test_damage_is_named_up_to_a_limit(store: Store) -> None:
    """A row without the row that it refers to, which SQLite checks only when it is written; a list
    of a million such rows."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("pragma ignore_check_constraints = on")
        connection.execute(
            "insert into run (id, kind, request, actor, state, started_at) values (1, 'run', '{}',"
            " 'ann', 'no state', 1)"
        )
        connection.executemany(
            "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at)"
            " values (1, ?, 99, 'orders', 'produce', '[]', 'published', 1)",
            [(n,) for n in range(22)],
        )
    with store.read() as tx:
        damage = list(audit_trail.database_damage(tx))
        assert damage == [
            "CHECK constraint failed in run",
            *(f"row {row} of attempt refers to nothing in run" for row in range(1, 21)),
        ]
