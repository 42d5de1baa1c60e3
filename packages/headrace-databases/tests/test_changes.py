"""Changes of a PostgreSQL table, followed on a real server: what is read, when it is confirmed, and
which servers, slots and tables are refused.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pyarrow.parquet as pq
import pytest
from modellab import SETTINGS, Load
from postgres_cluster import Cluster, Database

from headrace.connect.connectors import Unavailable
from headrace.extension import plain
from headrace.extension.sources import (
    Access,
    CannotRead,
    ChangedWhileRead,
    DetectedDelivery,
    Observation,
    PartitionSpec,
    Secrets,
)
from headrace.model import Place, Source
from headrace_databases import following
from headrace_databases.change_rows import is_visible
from headrace_databases.changes import Changes
from headrace_databases.following import Position

Row = dict[str, Any]
TABLE = "create table accounts (id int primary key, amount numeric(12, 2), note text)"
BIG = "(select string_agg(md5(i::text), '') from generate_series(1, 300) i)"
"""A value that is stored out of line."""


class Follower:
    """Observes, fetches and publishes as a leader and its workers do, one delivery at a time."""

    def __init__(self, database: Database, root: Path) -> None:
        self.database, self.root = database, root
        self.declared = {"table": "accounts", "publication": "headrace", "snapshot": "1"}
        self.every: str | None = None
        self.version: str | None = None
        self.published = False
        self.waiting: DetectedDelivery | None = None
        self.rows: list[Row] = []
        self.state: dict[int, Row] = {}

    @property
    def access(self) -> Access:
        return Access(
            source=Source(
                name="account_changes",
                owner="o",
                place=Place(file="sources/x.yaml"),
                timezone="UTC",
                connector={"connection": "core", "changes": self.declared},
                partition=PartitionSpec(by_delivery=True),
                every=self.every,
            ),
            connection={"url": self.database.url_of_socket},
            secrets=Secrets(self.root),
            project=self.root,
            temporary=self.root,
            now_us=time.time_ns() // 1000,
            published=self.published,
        )

    @property
    def position(self) -> Position:
        return msgspec.json.decode(self.version or "", type=Position)

    @property
    def confirmed(self) -> int:
        sql = "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where"
        return int(self.database.rows(f"{sql} slot_name = %s", (self.position.slot,))[0][0])

    def look(self) -> Observation:
        known = {} if self.version is None else {"*": ("core/accounts", self.version)}
        return Changes().observe(self.access, ["*"], known)

    def observe(self) -> DetectedDelivery | None:
        found = self.look().found
        if found:
            self.waiting, self.version, self.published = found[0], found[0].version, False
        return found[0] if found else None

    def fetch(self) -> tuple[list[Row], str]:
        """The rows of the delivery that waits, and the version that they came with."""
        assert self.waiting is not None
        fetched = Changes().fetch(self.access, self.waiting)
        rows = pq.read_table(fetched.path).to_pylist()
        fetched.path.unlink()
        assert fetched.version is not None
        return rows, fetched.version

    def publish(self, rows: list[Row], version: str) -> None:
        self.version, self.published, self.waiting = version, True, None
        self.rows += rows
        fold(self.state, rows)

    def poll(self) -> list[Row]:
        """The rows of the next delivery, published; none without one."""
        if self.observe() is None:
            return []
        rows, version = self.fetch()
        self.publish(rows, version)
        return rows

    def truth(self) -> dict[int, Row]:
        rows = self.database.rows("select id, amount, note from accounts")
        return {id_: {"id": id_, "amount": amount, "note": note} for id_, amount, note in rows}


def fold(state: dict[int, Row], rows: list[Row]) -> None:
    """The present state, by the rule of docs/how-to/change-data.md."""
    for row in rows:
        if row["_op"] == "truncate":
            state.clear()
        if row["_op"] in ("insert", "update", "snapshot"):
            left_out = (row["_unchanged"] or "").split(",")
            before = state.get(row["id"], {})
            state[row["id"]] = {
                name: before[name] if name in left_out else value
                for name, value in row.items()
                if not name.startswith("_")
            }
        elif row["_op"] == "delete":
            del state[row["id"]]


def brief(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row["_op"], row["id"], row["amount"]) for row in rows]


@pytest.fixture
def follower(postgresql: Database, tmp_path: Path) -> Iterator[Follower]:
    postgresql.execute(
        f"alter database {postgresql.name} set synchronous_commit = on",  # a commit is on disk
        TABLE,
        "insert into accounts values (1, 10, 'a'), (2, 20, 'b')",
        "create publication headrace for table accounts",
    )
    yield Follower(postgresql, tmp_path)
    slots = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database ="
    postgresql.execute(f"{slots} current_database()")


def test_a_copy_and_then_the_changes(follower: Follower) -> None:
    """Would catch a change that is missing, that comes twice, or that loses its order or time."""
    assert brief(follower.poll()) == [
        ("truncate", None, None),
        ("snapshot", 1, 10),
        ("snapshot", 2, 20),
    ]
    assert follower.poll() == []
    began = time.time()
    follower.database.execute(
        "update accounts set amount = 11 where id = 1",
        "delete from accounts where id = 2",
        "insert into accounts values (3, 30, 'c')",
        "update accounts set id = 4 where id = 3",
    )
    rows = follower.poll()
    assert brief(rows) == [
        ("update", 1, 11),
        ("delete", 2, None),
        ("insert", 3, 30),
        ("delete", 3, None),
        ("insert", 4, 30),
    ]
    assert [row["_seq"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["_lsn"] for row in rows] == sorted(row["_lsn"] for row in rows)
    assert began - 60 < rows[0]["_committed_at"].timestamp() < time.time() + 60
    assert follower.state == follower.truth() and follower.poll() == []


def test_the_slot_moves_only_after_the_publication(follower: Follower) -> None:
    """Would catch a position that is confirmed while its delivery may still be lost."""
    follower.poll()
    follower.poll()
    before = follower.confirmed
    follower.database.execute("insert into accounts values (3, 30, 'c')")
    assert follower.observe() is not None
    first, _ = follower.fetch()
    follower.database.execute("insert into accounts values (4, 40, 'd')")
    assert follower.observe() is None, "the next delivery waits for this one"
    assert follower.confirmed == before
    again = follower.fetch()
    assert again[0] == first, "an attempt that broke off is repeated exactly"
    follower.publish(*again)
    assert brief(follower.poll()) == [("insert", 4, 40)]
    assert follower.confirmed > before


def test_published_changes_are_never_fetched_again(follower: Follower) -> None:
    """Would catch a delivery that is ingested again from a slot that has moved on."""
    follower.poll()
    follower.database.execute("insert into accounts values (3, 30, 'c')")
    found = follower.observe()
    assert found is not None
    rows, version = follower.fetch()
    follower.publish(rows, version)
    follower.waiting = msgspec.structs.replace(found, version=version)
    with pytest.raises(ChangedWhileRead):
        follower.fetch()


def test_truncated_and_filled_again(follower: Follower) -> None:
    """Would catch rows that survive TRUNCATE, which names no row."""
    follower.poll()
    follower.database.execute("truncate accounts", "insert into accounts values (7, 70, 'x')")
    rows = follower.poll()
    assert brief(rows) == [("truncate", None, None), ("insert", 7, 70)]
    assert follower.state == follower.truth()


@pytest.mark.parametrize("full", [False, True])
def test_values_that_an_update_leaves_out(follower: Follower, full: bool) -> None:
    """Would catch a large value that becomes NULL when another column changes."""
    if full:
        follower.database.execute("alter table accounts replica identity full")
    follower.database.execute(f"insert into accounts values (3, 30, {BIG})")
    follower.poll()
    follower.database.execute("update accounts set amount = 31 where id = 3")
    (row,) = follower.poll()
    assert (row["_unchanged"], row["note"] is None) == ((None, False) if full else ("note", True))
    follower.database.execute(
        f"update accounts set note = {BIG} || 'x' where id = 3",
        "update accounts set amount = 32 where id = 3",
    )
    assert [row["_unchanged"] for row in follower.poll()] == [None, None], "known by then"
    assert follower.state == follower.truth()


def test_a_changed_key_of_a_large_value(follower: Follower) -> None:
    """Would catch a row under its new key without the value that the server didn't send."""
    follower.database.execute(f"insert into accounts values (3, 30, {BIG})")
    follower.poll()
    follower.database.execute("update accounts set id = 4 where id = 3")
    follower.observe()
    with pytest.raises(CannotRead, match="replica identity full"):
        follower.fetch()


def test_columns_that_come_go_and_change_within_a_delivery(follower: Follower) -> None:
    """Would catch values under the columns of another change."""
    follower.poll()
    follower.database.execute(
        "insert into accounts values (3, 30, 'c')",
        "alter table accounts add column city text default 'Ulm'",
        "insert into accounts values (4, 40, 'd', 'Kiel')",
        "alter table accounts drop column note",
        "alter table accounts alter column amount type numeric(14, 3)",
        "insert into accounts values (5, 50.125, 'Bonn')",
    )
    rows = [[row[name] for name in ("id", "amount", "note", "city")] for row in follower.poll()]
    assert rows == [
        [3, Decimal(30), "c", None],
        [4, Decimal(40), "d", "Kiel"],
        [5, Decimal("50.125"), None, "Bonn"],
    ]


def test_types_are_those_of_the_copy(follower: Follower) -> None:
    """Would catch a column whose type differs between the copy and the changes."""
    follower.database.execute(
        "drop publication headrace",
        "create domain money_amount as numeric(9, 2)",
        "create type mood as enum ('sad', 'ok')",
        "create table wide (id bigint primary key, a money_amount, b mood, c timestamptz, d date,"
        " e bytea, f int[], g jsonb, h boolean, i uuid, j char(5), k double precision, l numeric,"
        ' m interval, n bigint generated always as (id * 2) stored, "a %""b" text)',
        "create publication headrace for table wide",
    )
    values = (
        "1.50, 'ok', '2026-01-01 00:00+00', '2026-01-02', '\\x00ff', '{1,2}', '{\"a\": 1}', true,"
        " '6ecd8c99-4036-403d-bf84-cf8400f67836', 'ab', 0.1, 1.5, '1 day', default, 'say \"x\"'"
    )
    follower.declared["table"] = "public.wide"
    follower.database.execute(f"insert into wide values (1, {values})")
    _, copied = follower.poll()
    follower.database.execute(f"insert into wide values (2, {values})")
    (changed,) = follower.poll()
    assert list(copied) == list(changed) and "n" not in copied
    for name, value in changed.items():
        if name != "id" and not name.startswith("_"):
            assert (value, type(value)) == (copied[name], type(copied[name])), name
    assert (copied["a"], copied["e"], copied["j"]) == (Decimal("1.50"), b"\x00\xff", "ab")


def test_a_value_that_cant_be_kept_is_named(follower: Follower) -> None:
    """Would catch: the first row and a column of Headrace's own blamed for a date of another row,
    and the advice to write a `query`, which a source with `changes:` doesn't have."""
    follower.poll()
    follower.database.execute(
        "alter table accounts add column born date",
        "insert into accounts values (3, 1, 'c', '2026-01-02'), (4, 1, 'd', '0044-03-15 BC')",
    )
    follower.observe()
    with pytest.raises(CannotRead) as raised:
        follower.fetch()
    assert plain(str(raised.value)) == (
        "row 2, column born: `0044-03-15 BC` isn't a date or time that can be kept (years 1 to"
        " 9999); leave the column out of the publication, then write another value into `snapshot:`"
    )
    follower.version, follower.declared["snapshot"] = None, "2"
    follower.observe()
    with pytest.raises(CannotRead, match=r"row 5, column born"):
        follower.fetch()


def test_only_published_rows_and_columns(follower: Follower) -> None:
    """Would catch a copy of rows or columns whose changes never come."""
    follower.database.execute(
        "drop publication headrace",
        "create publication headrace for table accounts (id, amount) where (id % 2 = 0)",
    )
    assert [(list(row)[5:], row["id"]) for row in follower.poll()[1:]] == [(["id", "amount"], 2)]
    follower.database.execute("insert into accounts values (3, 1, 'x'), (4, 2, 'y')")
    assert brief(follower.poll()) == [("insert", 4, 2)]


def test_other_tables_of_the_publication(follower: Follower) -> None:
    """Would catch another table's rows, and deliveries without rows of this one."""
    follower.database.execute(
        "create table other (id int)", "alter publication headrace add table other"
    )
    follower.poll()
    follower.database.execute("insert into other values (1)")
    assert follower.poll() == []
    follower.database.execute("insert into accounts values (3, 30, 'c')")
    assert brief(follower.poll()) == [("insert", 3, 30)]


def test_nothing_changes_for_an_hour(follower: Follower) -> None:
    """Would catch a slot that keeps the server's log for a table that nobody changes."""
    follower.every = "0s"
    follower.poll()
    follower.database.execute("create table other (id int)", "insert into other values (1)")
    before = follower.confirmed
    rows: list[Row] = []
    while not rows:  # until the server has written its log to the disk
        rows = follower.poll()
    assert [row["_op"] for row in rows] == ["heartbeat"]
    follower.poll()
    assert follower.confirmed > before
    follower.database.execute("insert into accounts values (3, 30, 'c')")
    assert brief(follower.poll()) == [("insert", 3, 30)]


def _slot_again(follower: Follower) -> None:
    name = follower.position.slot
    follower.database.execute(
        f"select pg_drop_replication_slot('{name}')",
        "insert into accounts values (9, 9, 'lost')",
        f"select pg_create_logical_replication_slot('{name}', 'pgoutput')",
    )


def _read_by_somebody(follower: Follower) -> None:
    follower.database.execute(
        "insert into accounts values (9, 9, 'lost')",
        f"select pg_replication_slot_advance('{follower.position.slot}', pg_current_wal_lsn())",
    )


def _forget(**other: Any) -> Callable[[Follower], None]:
    def change(follower: Follower) -> None:
        position = msgspec.structs.replace(follower.position, **other)
        follower.version = msgspec.json.encode(position).decode()

    return change


def _runs(*statements: str) -> Callable[[Follower], None]:
    return lambda follower: follower.database.execute(*statements)


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (_slot_again, "created again or read by somebody else"),
        (_read_by_somebody, "created again or read by somebody else"),
        (
            _runs("select pg_drop_replication_slot(slot_name) from pg_replication_slots where"
                  " database = current_database()"),
            "is gone",
        ),
        (_runs("drop table accounts", TABLE, "alter publication headrace add table accounts"),
         "the table was created again"),
        (
            _runs(
                "alter publication headrace drop table accounts",
                "insert into accounts values (9, 9, 'lost')",
                "alter publication headrace add table accounts",
            ),
            "the publication was changed",
        ),
        (
            _runs(
                "alter publication headrace set (publish = 'insert')",
                "alter publication headrace set (publish = 'insert, update, delete, truncate')",
            ),
            "the publication was changed",
        ),
        (_forget(system="7"), "another server"),
        (_forget(timeline=7), "restored or failed over"),
        (_forget(until=1 << 50), "its log ends before"),
        (_forget(witness=(1 << 40, 7)), "its log has another transaction"),
    ],
)  # fmt: skip
def test_a_gap_is_refused_and_closed_by_another_copy(
    follower: Follower, happens: Callable[[Follower], None], words: str
) -> None:
    """Would catch changes that nobody delivered, under a source that looks fine."""
    follower.poll()
    follower.database.execute("insert into accounts values (3, 30, 'c')")
    follower.poll()
    old = follower.position.slot
    happens(follower)
    with pytest.raises(Unavailable, match=words) as refused:
        follower.poll()
    assert refused.value.code == "configuration_error" and not refused.value.transient
    assert "`snapshot:` (now 1)" in str(refused.value)
    follower.declared["snapshot"] = "2"
    follower.poll()
    follower.database.execute("insert into accounts values (5, 50, 'e')")
    follower.poll()
    assert follower.state == follower.truth()
    slots = follower.database.rows(
        "select slot_name from pg_replication_slots where database = current_database()"
    )
    assert slots == [(follower.position.slot,)] and follower.position.slot != old


def test_a_copy_that_was_never_published_leaves_no_slot(follower: Follower) -> None:
    """Would catch a slot that keeps the server's log for ever: that of the copy before the last."""
    follower.poll()
    for snapshot in ("2", "3"):  # the second copy is rejected
        follower.declared["snapshot"] = snapshot
        assert follower.observe() is not None
        rows, follower.version = follower.fetch()
    follower.publish(rows, follower.version)
    follower.poll()
    slots = follower.database.rows(
        "select slot_name from pg_replication_slots where database = current_database()"
    )
    assert slots == [(follower.position.slot,)]


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("drop publication headrace", "there is no publication headrace"),
        ("drop table accounts", "there is no table accounts"),
        ("alter publication headrace drop table accounts", "doesn't have the table"),
        ("alter publication headrace set (publish = 'insert')", "leaves out operations"),
    ],
)
def test_what_is_missing_is_named_with_its_command(
    follower: Follower, before: str, words: str
) -> None:
    """Would catch a copy whose later changes never come."""
    follower.database.execute(before)
    with pytest.raises(Unavailable, match=words):
        follower.poll()


def test_log_that_the_server_keeps_for_a_stopped_stream(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch a disk that fills, or a slot that is lost, behind a delivery that waits for
    somebody's decision.
    """
    follower.poll()
    follower.database.execute("insert into accounts values (3, 30, 'c')")
    assert follower.observe() is not None
    assert follower.look().notes == ()
    monkeypatch.setattr(following, "RETAINED_BYTES", 16 << 20)
    follower.database.execute("select pg_switch_wal()", "insert into accounts values (4, 40, 'd')")
    follower.database.execute("select pg_switch_wal()", "insert into accounts values (5, 50, 'e')")
    (note,) = follower.look().notes
    assert re.fullmatch(
        rf"the server keeps \d+ MiB of its log for the slot {follower.position.slot}: its newest"
        r" delivery isn't published",
        note.message,
    )
    follower.publish(*follower.fetch())
    (note,) = follower.look().notes
    assert note.message.endswith(f"MiB of its log for the slot {follower.position.slot}")


def test_a_slot_whose_log_is_deleted(own_cluster: Cluster, tmp_path: Path) -> None:
    """Would catch a source that waits for changes that the server no longer has."""
    main = own_cluster.main
    main.execute(
        TABLE,
        "insert into accounts values (1, 10, 'a')",
        "create publication headrace for table accounts",
        "alter system set max_slot_wal_keep_size = '1MB'",
        "select pg_reload_conf()",
    )
    follower = Follower(main, tmp_path)
    follower.poll()
    main.execute("create table other (x text)")
    for _ in range(3):
        main.execute("insert into other values ('x')", "select pg_switch_wal()", "checkpoint")
    with pytest.raises(Unavailable, match="is lost: the server has deleted"):
        follower.poll()


def test_the_server_crashes(own_cluster: Cluster, tmp_path: Path) -> None:
    """Would catch changes that come twice: a crashed server's slot may begin before what it had
    confirmed."""
    main = own_cluster.main
    main.execute(
        "alter database postgres set synchronous_commit = on",
        TABLE,
        "create publication headrace for table accounts",
    )
    follower = Follower(main, tmp_path)
    follower.poll()
    main.execute("insert into accounts values (1, 10, 'a')")
    follower.poll()
    follower.poll()
    own_cluster.restart()
    main.execute("insert into accounts values (2, 20, 'b')")
    assert brief(follower.poll()) == [("insert", 2, 20)]


class RandomLoad:
    """Random transactions of several connections: none waits for another's row for ever."""

    def __init__(self, database: Database, seed: int) -> None:
        self._database, self._seed = database, seed
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(3)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        draw = random.Random(self._seed * 10 + number)
        with psycopg.connect(self._database.url_of_socket) as connection:
            while not self._stop.is_set():
                try:
                    for _ in range(draw.randrange(1, 6)):
                        connection.execute(self._statement(draw).encode())
                    if draw.random() < 0.15:
                        connection.rollback()
                    connection.commit()
                except psycopg.Error:  # a deadlock, or a key that is taken
                    connection.rollback()

    def _statement(self, draw: random.Random) -> str:
        key, amount = draw.randrange(40), draw.randrange(10_000)
        note = BIG if draw.random() < 0.1 else f"'{amount}'"
        weights = {
            f"insert into accounts values ({key}, {amount}, {note}) on conflict (id) do update set"
            " amount = excluded.amount": 40,
            f"update accounts set amount = {amount} where id = {key}": 20,
            f"update accounts set note = {note} where id = {key}": 10,
            f"delete from accounts where id = {key}": 15,
            f"savepoint a; update accounts set amount = -1 where id = {key}; rollback to a": 5,
            f"update accounts set id = {key + 40} where id = {key} and length(note) < 100": 5,
            "truncate accounts": 0.3,
        }
        return draw.choices(list(weights), weights=list(weights.values()))[0]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_under_load_with_kills(follower: Follower, seed: int) -> None:
    """Would catch a change that is lost or doubled where the copy and the changes meet, or where an
    attempt or an observation breaks off. The table is the truth.
    """
    draw = random.Random(seed)
    print("seed", seed)
    kills = 20 if seed < 3 else 200
    with RandomLoad(follower.database, seed):
        while kills:
            fate = draw.random()
            if follower.waiting is None:
                before = follower.version, follower.published
                follower.observe()
                if fate < 0.3 and follower.waiting is not None:  # before it is recorded
                    follower.waiting, (follower.version, follower.published) = None, before
                    kills -= 1
                continue
            rows, version = follower.fetch()
            if fate < 0.4:  # before it is published
                kills -= 1
            else:
                follower.publish(rows, version)
                if draw.random() < 0.05:
                    follower.declared["snapshot"] += "1"
    while follower.waiting is not None or follower.observe() is not None:
        follower.publish(*follower.fetch())
    assert follower.state == follower.truth()
    changes = [(row["_lsn"], row["_seq"], row["_op"]) for row in follower.rows]
    assert len(set(changes)) == len(changes), "no change comes twice"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("changes: {table: accounts}\nconnection: core", None),
        ("changes: {table: a.accounts, snapshot: 2, publication: p}\nconnection: core", None),
        ("changes: {}\nconnection: core", "missing_field"),
        ("changes: {table: a.b.c}\nconnection: core", "wrong_value"),
        ("changes: {table: accounts}\nconnection: till", "wrong_value"),
        ("changes: {table: accounts}", "missing_field"),
        ("changes: {table: accounts, tables: 1}\nconnection: core", "unknown_field"),
        ("changes: {table: accounts}\nconnection: core\npartition: day", "wrong_value"),
    ],
)
def test_declarations(load: Load, fields: str, problem: str | None) -> None:
    """Would catch a declaration that is only refused once it runs."""
    settings = (
        SETTINGS + "[connections.core]\nurl = 'postgresql://u@db/bank'\n[connections.till]\n"
        "url = 'sqlite:till.db'\n"
    )
    source = f"source: orders\nowner: acme\n{fields}\n"
    project, problems = load(**{"headrace.toml": settings, "sources/orders.yaml": source})
    assert [item.code for item in problems] == ([problem] if problem else [])
    if problem is None:
        assert project is not None and project.sources["orders"].partition.by_delivery


def test_what_is_visible_in_a_snapshot() -> None:
    """Would catch a transaction after 2**32 others, whose number begins again."""
    assert [n for n in range(8, 15) if is_visible(n, "10:13:11")] == [8, 9, 10, 12]
    later = 5 << 32
    seen = f"{later + 1}:{later + 4}:{later + 2}"
    assert [n for n in range(6) if is_visible(n, seen)] == [0, 1, 3]
    assert is_visible((1 << 32) - 1, seen)
