"""How a stored table differs from the replayed one: rows that are missing, added or changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from state_kinds import ONLY_POSTGRESQL, ONLY_SQLITE

from headrace.lake import catalog
from headrace.model import StoreError
from headrace.store import Store, Transaction
from headrace.store.event_log import comparing, replaying
from headrace.store.event_log.comparing import ComparedTable, LogDifference
from headrace.store.event_recording import LEFT_OUT, UNRECORDED, stand_in
from headrace.store.queries import availability
from headrace.store.queries.telemetry import LineageCursor, save_lineage_cursor

LONG = "x" * 64


@pytest.fixture
def state(store: Store) -> Store:
    """Three firings, the position of lineage (recorded as a hash), and equal rows without a key."""
    with store.write(None) as tx:
        tx.execute("insert into firing (node, at) values ('a', 1), ('c', 3), ('e', 5)")
        save_lineage_cursor(tx, LineageCursor(1, error=LONG))
        tx.execute(
            "insert into version (id, hash, manifest, compiled, applied_at, actor) values (1, 'h',"
            " '{}', ?, 1, 'ann')",
            (b"",),
        )
        availability.record_weakenings(tx, 1, [("n", "due", "7", "8")] * 3, "ann", 5)
        tx.execute(
            "insert into delivery (id, source, partition, path, size_bytes, modified_us,"
            " claimed_at, observed_at, arrived_at, state) values (1, 's', 'p', 'f', 1, 2, 3,"
            " 4, 5, 'held')"
        )
    return store


@pytest.fixture
def expected(state: Store, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The replayed tables."""
    with state.read() as tx:
        log = replaying.read(tx)
        replay = replaying.replay(
            tx, log, tmp_path, tmp_path / "replayed.db", catalog.create_tables
        )
    assert not replay.misfits
    yield replay.connection
    replay.close()


def _differences(
    state: Store, expected: sqlite3.Connection, table: str, *changes: str
) -> list[LogDifference]:
    """The differences of a table after changes that aren't recorded."""
    with state.write(None) as tx:
        for change in changes:
            tx.unrecorded(change)
    with state.read() as tx:
        return list(comparing.compared(tx, expected, _table(tx, expected, table)))


def _table(tx: Transaction, expected: sqlite3.Connection, name: str) -> ComparedTable:
    return next(item for item in comparing.tables(tx, expected, {}) if item.name == name)


def test_tables_are_compared_by_their_keys(state: Store, expected: sqlite3.Connection) -> None:
    """Would catch: a table that is never compared, or by columns that differ anyway."""
    with state.write(None) as tx:
        tx.unrecorded("create table unheard_of (a integer)")
    with state.read() as tx:
        tables = {
            item.name: item for item in comparing.tables(tx, expected, {"weakened": ("node",)})
        }
        assert tables["firing"].key == ("node",)
        assert list(tables["firing"].types) == ["node", "at"]
        assert tables["attempt"].key == ("epoch", "n")
        assert tables["weakened"].key == ("node",)
        assert len(_table(tx, expected, "weakened").key) == 7
        assert not {"unheard_of", *UNRECORDED} & tables.keys()
        assert not tables["audit"].types.keys() & LEFT_OUT["audit"]
        assert comparing.count(tx, "firing") == 3
        assert not [name for name in comparing.missing_tables(tx, expected) if "duck" not in name]


def test_a_missing_table_is_named(state: Store, expected: sqlite3.Connection) -> None:
    """Would catch: a table whose loss nobody notices because it can't be compared."""
    with state.write(None) as tx:
        tx.unrecorded("drop table firing")
    with state.read() as tx:
        names = comparing.missing_tables(tx, expected)
        assert "firing" in names and names == sorted(names) and "run" not in names
        assert "firing" not in {item.name for item in comparing.tables(tx, expected, {})}


def test_rows_that_are_missing_or_added_are_whole_differences(
    state: Store, expected: sqlite3.Connection
) -> None:
    """Would catch: a missing row for which all rows after it differ; the stored row in the place of
    the expected one."""
    differences = _differences(
        state,
        expected,
        "firing",
        "delete from firing where node in ('a', 'e')",
        "insert into firing (node, at) values ('b', 2), ('f', 6)",
    )

    def row(node: str, at: int) -> dict[str, object]:
        return {"node": node, "at": at}

    def missing(node: str, at: int) -> LogDifference:
        return LogDifference(
            "firing", {"node": node}, None, None, row(node, at), row(node, at), True
        )

    def added(node: str, at: int) -> LogDifference:
        return LogDifference(
            "firing", {"node": node}, None, row(node, at), None, row(node, at), True
        )

    assert differences == [missing("a", 1), added("b", 2), missing("e", 5), added("f", 6)]


def test_a_changed_field_is_named_with_both_values(
    state: Store, expected: sqlite3.Connection
) -> None:
    """Would catch: the two values in exchange; equal fields beside it."""
    (difference,) = _differences(
        state, expected, "firing", "update firing set at = 9 where node = 'c'"
    )
    assert difference == LogDifference(
        "firing", {"node": "c"}, "at", 9, 3, {"node": "c", "at": 3}, True
    )


def test_no_value_is_another_one_than_0_or_an_empty_text(
    state: Store, expected: sqlite3.Connection
) -> None:
    """Would catch: a value that was deleted and counts as the same."""
    found = _differences(state, expected, "delivery", "update delivery set reason = ''")
    assert [(item.field, item.stored, item.expected) for item in found] == [("reason", "", None)]
    found = _differences(
        state, expected, "delivery", "update delivery set reason = null, sha256 = '1'"
    )
    assert [(item.field, item.stored, item.expected) for item in found] == [("sha256", "1", None)]


def test_a_value_that_is_only_known_by_its_hash_cant_be_repaired(
    state: Store, expected: sqlite3.Connection
) -> None:
    """Would catch: a repair that writes the hash where the value was; a hash that never matches."""
    assert _differences(state, expected, "told_lineage") == []
    with state.read() as tx:
        (content,) = tx.execute("select content from told_lineage").fetchone()
    (difference,) = _differences(
        state, expected, "told_lineage", "update told_lineage set content = 'short'"
    )
    hashed = stand_in(content)
    assert (difference.field, difference.stored, difference.expected, difference.repairable) == (
        "content",
        "short",
        hashed,
        False,
    )
    (difference,) = _differences(state, expected, "told_lineage", "delete from told_lineage")
    assert (difference.field, difference.row, difference.repairable) == (
        None,
        {"id": 1, "content": hashed},
        False,
    )


def test_equal_rows_without_a_key_are_counted(state: Store, expected: sqlite3.Connection) -> None:
    """Would catch: a row that occurs three times and is compared once."""
    assert _differences(state, expected, "weakened") == []
    once = (
        "insert into weakened (version, node, what, was, becomes, actor, at) values (1, 'n', 'due',"
        " '7', '8', 'ann', 5)"
    )
    (added,) = _differences(state, expected, "weakened", once)
    assert (added.field, added.expected, added.stored["becomes"]) == (None, None, "8")
    missing = _differences(state, expected, "weakened", "delete from weakened", once)
    assert [(item.field, item.stored) for item in missing] == [(None, None)] * 2


def test_rows_of_one_key_are_paired_with_equal_ones_first(
    state: Store, expected: sqlite3.Connection
) -> None:
    """Would catch: one changed row of three for which all three differ."""
    with state.write(None) as tx:
        tx.unrecorded("delete from weakened")
        for becomes in ("9", "8", "8"):
            tx.unrecorded(
                "insert into weakened (version, node, what, was, becomes, actor, at) values (1, 'n',"
                " 'due', '7', ?, 'ann', 5)",
                (becomes,),
            )
    with state.read() as tx:
        table = _table(tx, expected, "weakened")._replace(key=("node",))
        (difference,) = comparing.compared(tx, expected, table)
    assert (difference.field, difference.stored, difference.expected) == ("becomes", "9", "8")
    assert difference.key == {"node": "n"}


def test_keys_of_each_kind_are_in_one_order(state: Store, expected: sqlite3.Connection) -> None:
    """Would catch: two databases that sort a key otherwise, so that every row of a table differs."""
    rows: list[tuple[str | None, bytes]] = [
        (None, b"\2"),
        ("B", b"\0"),
        ("a", b"\xff"),
        ("", b"\1"),
        ("é", b""),
        ("a-1", b"\1"),
        ("a1", b"\1\1"),
    ]
    expected.execute("create table many (name text, bytes blob, number integer)")
    with state.write(None) as tx:
        blob = "bytea" if tx.dialect == "postgresql" else "blob"
        tx.unrecorded(f"create table many (name text, bytes {blob}, number integer)")
        for number, row in enumerate(rows):
            expected.execute("insert into many values (?, ?, ?)", (*row, number))
        for number, row in reversed(list(enumerate(rows))):
            tx.unrecorded("insert into many values (?, ?, ?)", (*row, number))
    with state.read() as tx:
        for key in (("name", "bytes"), ("bytes", "name"), ("number",)):
            table = _table(tx, expected, "many")._replace(key=key)
            assert list(comparing.compared(tx, expected, table)) == []


@ONLY_SQLITE
def test_values_of_all_types_in_one_key_are_in_sqlites_order(
    state: Store, expected: sqlite3.Connection
) -> None:
    """Would catch: a deleted row for which the rows after it count as added."""
    values = [None, -1, 2.5, 9, "", "9", "a", b"", b"1"]
    make = "create table mixed (value)"
    expected.execute(make)
    expected.executemany("insert into mixed values (?)", [(value,) for value in values])
    with state.write(None) as tx:
        tx.unrecorded(make)
    for missing in values:
        with state.write(None) as tx:
            tx.unrecorded("delete from mixed")
            for value in values:
                if value is not missing:
                    tx.unrecorded("insert into mixed values (?)", (value,))
        with state.read() as tx:
            table = _table(tx, expected, "mixed")
            (difference,) = comparing.compared(tx, expected, table)
        assert (difference.field, difference.stored, difference.row) == (
            None,
            None,
            {"value": missing},
        )


def test_nul_in_a_text_is_the_same_in_both_databases(
    state: Store, expected: sqlite3.Connection
) -> None:
    """Would catch: a message with NUL, which PostgreSQL can't store, as damage."""
    expected.execute("insert into firing values (?, 7)", ("x\0y",))
    with state.write(None) as tx:
        tx.unrecorded("insert into firing (node, at) values (?, 7)", ("x\0y",))
    assert _differences(state, expected, "firing") == []


@ONLY_POSTGRESQL
def test_a_table_that_cant_be_read_doesnt_end_the_transaction(state: Store) -> None:
    """Would catch: a `db check` that stops at the first damaged table."""
    with state.read() as tx:
        with (
            pytest.raises(StoreError, match=r"it can't be read \(.*unheard_of"),
            comparing.apart(tx),
        ):
            tx.execute("select * from unheard_of")
        with comparing.apart(tx):
            assert comparing.count(tx, "firing") == 3
        assert comparing.count(tx, "firing") == 3
