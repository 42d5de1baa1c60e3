"""Statements for many rows in PostgreSQL leave the same tables as one statement per row."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_cluster import Database

from headrace.model import Settings
from headrace.scheduler import AttemptState
from headrace.store import Store, Transaction
from headrace.store.engines import postgresql as engine
from headrace.store.postgresql_batches import arrays_of, batched

ENDS = (
    "update attempt set state = ?, started_at = max(started_at, ? - ?), finished_at = ?, error = ?"
    " where epoch = ? and n = ?"
)
ATTEMPT = "insert into attempt (epoch, n, state) values (?, ?, 'running')"
KEPT = (
    "insert into meta (key, value) values (?, ?) on conflict (key) do update set value ="
    " meta.value || excluded.value"
)


@pytest.fixture
def state_settings(postgresql: Database) -> Settings:
    return Settings(name="test", store_url=postgresql.url)


@pytest.mark.parametrize(
    ("sql", "before", "after"),
    [
        (ATTEMPT, "insert into attempt (epoch, n, state) select v.p0, v.p1, 'running' from", ""),
        (
            ENDS,
            (
                "update attempt set state = v.p0, started_at = max(started_at, v.p1 - v.p2),"
                " finished_at = v.p3, error = v.p4 from"
            ),
            " where epoch = v.p5 and n = v.p6",
        ),
        (
            "delete from reshaping where node = ? and state is null",
            "delete from reshaping using",
            " where node = v.p0 and state is null",
        ),
    ],
)
def test_a_statement_for_each_row_becomes_one(sql: str, before: str, after: str) -> None:
    statement = batched(sql)
    assert statement is not None
    assert (statement.before, statement.after) == (before, after)


@pytest.mark.parametrize(
    "sql",
    [
        "update t set a = ? where a = ?",
        "update t set a = (select max(b) from t) where c = ?",
        "update t set a = ? where b = ? or c = ?",
        "update t set a = ? where b in (?, ?)",
        "update t set a = ? where b >= ?",
        "update t set a = min(?, max(a, ?)) where b = ?",
        "update t set a = :a where b = :b",
        "update t set a = 'is it?' where b = ?",
        "delete from t where a = ? and b < ?",
        "delete from t where a = 1",
        "insert into t (a) values (:a)",
        "insert into t (a, b) values (?, coalesce(?, 1))",
        "insert into t (a, b) values (?, 'it''s')",
        "insert into t (a) values (?) on conflict (b) do update set a = 1",
        "insert into t (a) values (?) on conflict (a) do update set a = ?",
        "insert into t (a) values (?) returning b",
        "insert into t (a) select ?",
    ],
)
def test_what_could_mean_something_else_stays_one_statement_for_each_row(sql: str) -> None:
    """Would catch: a row that is written by the statement and read by a later row of it; a quoted
    question mark; two updates of one row, of which PostgreSQL would do any."""
    assert batched(sql) is None


def test_rows_with_the_same_key_are_sent_one_by_one() -> None:
    for sql, rows in (
        (KEPT, [("a", "1"), ("a", "2")]),
        ("update meta set value = ? where key = ?", [("1", "a"), ("2", "a")]),
    ):
        statement = batched(sql)
        assert statement is not None
        assert arrays_of(statement, rows) is None
        assert arrays_of(statement, rows[:1]) is not None


SCRATCH = (
    "create table headrace.scratch (epoch bigint, n bigint, state text, number bigint, data bytea,"
    " flag boolean, share double precision, started_at bigint default 5, error text)"
)
VALUES = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(
        ["NULL", "null", "{", "}", '"', "\\", ",", "", " ", "\0", "a\nb", "'", "$1", "%s"]
    ),
)


@pytest.mark.long
def test_one_statement_leaves_the_same_rows(
    store: Store, postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: text that ends its place in an array, NULL and 'NULL' that are confused, a
    number, flag or byte that becomes another one."""

    postgresql.execute(SCRATCH)

    @settings(deadline=None, max_examples=50)
    @given(
        st.lists(
            st.tuples(VALUES, st.integers(-(2**63), 2**63 - 1), st.binary(max_size=5)),
            min_size=2,
            max_size=6,
        )
    )
    def check(rows: list[tuple[str | None, int, bytes]]) -> None:
        results = []
        for at_once in (True, False):
            with monkeypatch.context() as patched, store.write(None) as tx:
                if not at_once:
                    patched.setattr(engine, "batched", lambda _: None)
                results.append(_written(tx, rows))
        assert results[0] == results[1]

    check()


def _written(tx: Transaction, rows: list[tuple[str | None, int, bytes]]) -> list[Any]:
    """Write values of each kind in each way; return the rows that are there then."""
    tx.execute("delete from scratch")
    tx.execute("delete from meta where key like 'k%'")
    keys = [(n % 2, n) for n in range(len(rows))]
    tx.executemany(
        "insert into scratch (epoch, n, state, number, data, flag, share) values"
        " (?, ?, 'running', ?, ?, ?, ?)",
        [
            (*key, number, data, number > 0, number / 7)
            for key, (_, number, data) in zip(keys, rows, strict=True)
        ],
    )
    tx.executemany(
        "update scratch set state = ?, started_at = max(started_at, ? - ?), error = ? where"
        " epoch = ? and n = ? and state = 'running'",
        [
            (AttemptState.PUBLISHED, 9, n, text, *key)
            for n, (key, (text, _, _)) in enumerate(zip(keys, rows, strict=True))
        ],
    )
    for _ in range(2):
        tx.executemany(KEPT, [(f"k{n}", text or "") for n, (text, _, _) in enumerate(rows)])
    tx.executemany("delete from scratch where epoch = ? and n = ?", keys[2:4])
    return [
        tx.execute("select * from scratch order by 1, 2").fetchall(),
        tx.execute("select * from meta where key like 'k%' order by 1").fetchall(),
    ]


def test_a_constraint_is_told_as_for_single_rows(store: Store) -> None:
    """Would catch: rows of a statement that are there although one of them was refused."""
    insert = "insert into meta (key, value) values (?, ?)"
    with pytest.raises(psycopg.errors.UniqueViolation), store.write(None) as tx:
        tx.executemany(insert, [("x", "1"), ("y", "1"), ("x", "2")])
    with store.read() as tx:
        assert tx.execute("select 1 from meta where key in ('x', 'y')").fetchall() == []


def test_more_rows_than_one_statement_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BATCH_ROWS", 3)
    with store.write(None) as tx:
        tx.executemany(
            "insert into meta (key, value) values (?, ?)", [(f"n{n}", str(n)) for n in range(8)]
        )
        found = tx.execute("select key from meta where key like 'n_' order by key").fetchall()
    assert found == [(f"n{n}",) for n in range(8)]
