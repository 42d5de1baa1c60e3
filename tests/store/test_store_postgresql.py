"""What only the state in PostgreSQL has: parameters, addresses, connections that are lost, a driver
that is missing.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgres_cluster import Database, private_cluster

from headrace.model import LeaseLost, Settings, StoreError
from headrace.store import Lease, Store, postgresql_dialect
from headrace.store.address import PostgresqlAddress, address
from headrace.store.migrations import known, statements
from headrace.store.postgresql_dialect import translated

Opened = Callable[..., Store]


@pytest.fixture
def state_settings(postgresql: Database, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("STORE_URL", postgresql.url)
    return Settings(name="test", store_url=postgresql.url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select ?, :a_1, '?', ':b'", "select %s, %(a_1)s, '?', ':b'"),
        (
            "select x::text, 10 % 3, '%' -- :no ?\n, :y",
            "select x::text, 10 %% 3, '%%' -- :no ?\n, %(y)s",
        ),
        (
            "select \":q?\" /* ? :c */ from t where a = 'it''s :d' and b = ?",
            "select \":q?\" /* ? :c */ from t where a = 'it''s :d' and b = %s",
        ),
    ],
)
def test_only_parameters_are_translated(text: str, expected: str) -> None:
    assert translated(text) == expected


def test_every_migration_has_a_meaning_in_postgresql() -> None:
    """A trigger without a translation would be left out silently."""
    for migration in known():
        for statement in statements(migration.text):
            postgresql_dialect.postgresql_ddl(statement)
    with pytest.raises(StoreError, match="isn't written"):
        postgresql_dialect.postgresql_ddl(
            "create trigger unheard_of before update on t begin select 1; end;"
        )


def test_values_come_back_as_they_went_in(store: Store) -> None:
    """Text of any kind, whole numbers of 64 bits, sums, flags and bytes; text sorts by
    its bytes.
    """

    @given(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
        st.integers(-(2**63), 2**63 - 1),
    )
    def check(text: str, number: int) -> None:
        tx.execute("delete from meta where key like 'v%'")
        tx.execute("insert into meta (key, value) values (?, ?)", ("v" + text, text))
        assert tx.execute(
            "select value from meta where key = :key", {"key": "v" + text}
        ).fetchone() == (text,)
        tx.execute("delete from look")
        tx.execute("insert into look (source, at, found) values ('s', ?, ?)", (number, True))
        assert tx.execute(
            "select at, found, sum(found) from look group by at, found"
        ).fetchone() == (number, 1, 1)

    with store.write(None) as tx:
        check()
    with store.write(None) as tx:
        tx.executemany(
            "insert into look (source, at, found) values (?, 1, 0)",
            [(name,) for name in ("b", "B", "a-2", "a1", "é")],
        )
        ordered = [
            row[0]
            for row in tx.execute("select source from look where at = 1 order by source").fetchall()
            if row[0] != "s"
        ]
    assert ordered == sorted(ordered) == ["B", "a-2", "a1", "b", "é"]


def test_a_lost_connection_is_told_and_the_next_transaction_connects_again(
    store: Store, postgresql: Database
) -> None:
    lease = Lease.take(store, "one")
    assert lease is not None
    with pytest.raises(StoreError, match=r"ended the connection|was lost"):
        _write_while_the_server_ends_it(store, lease.epoch, postgresql)
    with store.write(lease.epoch) as tx:
        assert tx.execute("select count(*) from meta where key in ('a', 'b')").fetchone() == (0,)
    lease.release()


def _write_while_the_server_ends_it(store: Store, epoch: int, postgresql: Database) -> None:
    with store.write(epoch) as tx:
        tx.execute("insert into meta (key, value) values ('a', '1')")
        postgresql.execute(_END_ALL)
        tx.execute("insert into meta (key, value) values ('b', '1')")


_END_ALL = (
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headrace' and"
    " datname = current_database()"
)


def test_a_server_that_crashed_is_told_and_a_lease_is_given_back_without_a_word(
    tmp_path: Path,
) -> None:
    with private_cluster() as cluster, cluster.fresh() as database:
        store = Store.open(tmp_path, Settings(name="t", store_url=database.url), create=True)
        lease = Lease.take(store, "one")
        assert lease is not None
        cluster.crash()
        for _ in range(2):
            with pytest.raises(StoreError, match=r"ended the connection|lost"), store.read() as tx:
                tx.execute("select 1")
        lease.release()
        store.close()


def test_writers_follow_one_another(store: Store, opened: Opened) -> None:
    """Two that read a number and write the next one would both write the same."""
    with store.write(None) as tx:
        tx.execute("insert into meta (key, value) values ('n', '0')")

    def count() -> None:
        own = opened()
        for _ in range(25):
            with own.write(None) as tx:
                (value,) = tx.execute("select value from meta where key = 'n'").fetchone()
                tx.execute("update meta set value = ? where key = 'n'", (str(int(value) + 1),))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as tx:
        assert tx.execute("select value from meta where key = 'n'").fetchone() == ("100",)


def test_a_leader_that_was_replaced_while_it_waited_cannot_commit(
    store: Store, opened: Opened
) -> None:
    lease = Lease.take(store, "one")
    assert lease is not None
    lease.release()
    assert Lease.take(opened(), "two") is not None
    with pytest.raises(LeaseLost, match="epoch 2"), store.write(lease.epoch):
        pass


@pytest.mark.parametrize(
    "url",
    ["{0}wrong@127.0.0.1:{1}/x", "{0}{2}@127.0.0.1:{1}/no_such_database", "{0}{2}@127.0.0.1:1/x"],
)
def test_what_is_wrong_is_said_without_the_password(
    postgresql: Database, tmp_path: Path, url: str
) -> None:
    filled = url.format(
        f"postgresql://{postgresql.user}:", postgresql.port, "s3cret%2Fp%40ss%3Aw0rd%2541"
    )
    with pytest.raises(StoreError) as caught:
        Store.open(tmp_path, Settings(name="t", store_url=filled))
    said = f"{caught.value} {caught.value.hint}"
    assert caught.value.hint and "s3cret" not in said and "wrong" not in said


def test_secrets_are_resolved_in_parts_so_that_no_sign_breaks_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PW", "a@b/c:d%41?x=y")
    where = address(Path("/p"), Settings(name="t", store_url="postgresql://u:${PW}@h:1/d"))
    assert isinstance(where, PostgresqlAddress)
    assert where.parameters == {
        "user": "u",
        "password": "a@b/c:d%41?x=y",
        "host": "h",
        "port": "1",
        "dbname": "d",
    }
    assert "a@b" not in where.label


def test_a_connection_names_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "x")
    said = {
        "w": {"host": "h", "port": 5, "user": "u", "database": "d", "password": "secret://env/PW"}
    }
    where = address(
        Path("/p"), Settings(name="t", store_connection="w", connections=said, environment="dev")
    )
    assert isinstance(where, PostgresqlAddress)
    assert where.parameters == {
        "host": "h",
        "port": "5",
        "user": "u",
        "dbname": "d",
        "password": "x",
    }
    assert (where.schema, where.lake_schema) == ("headrace_dev", "headrace_dev_lake")
    with pytest.raises(StoreError, match="connection names"):
        address(Path("/p"), Settings(name="t", store_connection="none"))


def test_somebody_elses_schema_is_not_written_to(postgresql: Database, opened: Opened) -> None:
    postgresql.execute("create schema headrace", "create table headrace.theirs (id integer)")
    for create in (True, False):
        with pytest.raises(StoreError, match="aren't Headrace's"):
            opened(create=create)
    assert postgresql.rows("select tablename from pg_tables where schemaname = 'headrace'") == [
        ("theirs",)
    ]


def test_a_schema_of_any_name_is_one_name(postgresql: Database, tmp_path: Path) -> None:
    name = "it's; a \"schema\\ %s"
    with (
        Store.open(
            tmp_path, Settings(name="t", store_url=postgresql.url, store_schema=name), create=True
        ) as store,
        store.write(None) as tx,
    ):
        tx.execute("insert into meta (key, value) values ('a', '1')")
    assert postgresql.rows("select 1 from pg_namespace where nspname = %s", (name,)) == [(1,)]


def test_without_the_driver_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\nfrom pathlib import Path; from headrace.model"
        " import Settings, StoreError; from headrace.store import Store\ntry:"
        " Store.open(Path(sys.argv[1]), Settings(name='t', store_url='postgresql://h/d'))\nexcept"
        " StoreError as error: print(error.hint)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert "pip install 'headrace[postgresql]'" in said


def test_the_driver_is_not_loaded_for_sqlite() -> None:
    code = "import sys; from headrace.store import Store; print('psycopg' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "False\n"
    )


def test_a_reader_that_only_may_read_reads(
    store: Store, postgresql: Database, tmp_path: Path
) -> None:
    postgresql.execute(
        "drop role if exists reader",
        "create role reader login password 'r'",
        "grant usage on schema headrace to reader",
        "grant select on all tables in schema headrace to reader",
    )
    url = postgresql.url.replace(postgresql.url.split("//")[1].split("@")[0], "reader:r")
    with Store.open(tmp_path, Settings(name="t", store_url=url)) as theirs:
        with theirs.read() as tx:
            assert tx.execute("select epoch from lease").fetchone() == (0,)
        with pytest.raises(StoreError, match="doesn't allow"), theirs.write(None):
            pass
    postgresql.execute("drop owned by reader", "drop role reader")


def test_other_errors_stay_what_they_are(store: Store) -> None:
    """A statement that is wrong is a fault of ours, and no matter for the user."""
    with pytest.raises(psycopg.errors.UndefinedTable), store.read() as tx:
        tx.execute("select * from no_such_table")


def test_what_is_sent_ahead_is_told_by_the_commit_and_in_a_savepoint_at_once(store: Store) -> None:
    """Would catch: a failed statement of many that nobody waited for, and a commit without it; a
    savepoint whose error ends the turn.
    """
    insert = "insert into meta (key, value) values (?, ?)"
    # which of them tells isn't ours to say
    with pytest.raises(psycopg.errors.UniqueViolation), store.write(None) as tx:  # noqa: PT012
        tx.executemany(insert, [("a", "1"), ("b", "1")])
        tx.executemany(insert, [("c", "1"), ("a", "2")])
        tx.executemany(insert, [("d", "1")])
    # whoever swallows an error is told at the end: nothing is committed, and the event log can't be
    # written
    # see above
    with (  # noqa: PT012
        pytest.raises(psycopg.errors.InFailedSqlTransaction),
        store.write(None) as tx,
    ):
        assert tx.execute("select key from meta where key in ('a', 'b', 'c', 'd')").fetchall() == []
        tx.executemany(insert, [("a", "1"), ("b", "1")])
        assert tx.execute("select count(*) from meta where key in ('a', 'b')").fetchone() == (2,)
        tx.execute("savepoint s")
        with pytest.raises(psycopg.errors.UniqueViolation):
            tx.executemany(insert, [("c", "1"), ("a", "2")])
        tx.execute("rollback to savepoint s")
        tx.execute("release savepoint s")
        tx.executemany(insert, [("d", "1"), ("e", "1")])
        with pytest.raises(psycopg.errors.SyntaxError):
            tx.execute("insert in meta")
    with store.read() as tx:
        assert (
            tx.execute("select key from meta where key in ('a', 'b', 'c', 'd', 'e')").fetchall()
            == []
        ), "its error was told, and swallowed"
    with store.write(None) as tx:
        tx.executemany(insert, [("a", "1"), ("b", "1")])
    with store.read() as tx:
        assert len(tx.execute("select key from meta where key in ('a', 'b')").fetchall()) == 2
