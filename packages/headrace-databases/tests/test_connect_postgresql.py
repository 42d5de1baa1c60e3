"""PostgreSQL as a source, on a real server."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from connect_workbench import Taken, Workbench
from postgres_cluster import Database
from remote_contract import CANARY, Remote, RemoteBench, RemoteContract, Row

from headrace.connect.connectors import Unavailable
from headrace.connect.deliveries import UnreadableFile
from headrace.model import Grain, PartitionSpec, Place, Source
from headrace.model.texts import plain

PLACE = Place(file="sources/x.yaml")
TABLE: dict[str, Any] = {"connection": "far", "table": "public.rows"}


class PostgresRemote(Remote):
    """A table of a database, read by a role of its own that has a password. Each change of it is
    real.
    """

    def __init__(self, database: Database) -> None:
        self.database, self.role = database, f"reader_{database.name}"
        self.connector, self.partition = dict(TABLE), PartitionSpec()
        database.execute(
            f"create role {self.role} login password '{CANARY}'",
            f"grant pg_read_all_data to {self.role}",
            f"alter default privileges grant execute on functions to {self.role}",
        )
        self.come_back()

    @property
    def source(self) -> Source:
        return Source(
            name="orders",
            owner="o",
            place=PLACE,
            timezone="UTC",
            connector=self.connector,
            partition=self.partition,
        )

    @property
    def connection(self) -> dict[str, Any]:  # type: ignore[override]
        where = f"{self.database.host}:${{REMOTE_PORT}}/{self.database.name}"
        return {
            "url": f"postgresql://{self.role}@{where}",
            "password": "${REMOTE_SECRET}",
            "connect_timeout": 3,
        }

    def fill(self, rows: Sequence[Row]) -> None:
        names = list(rows[0]) if rows else ["id", "amount", "who"]
        id_type = "bigint" if not rows or isinstance(rows[0].get("id"), int) else "text"
        columns = ", ".join(f"{name} {id_type if name == 'id' else 'text'}" for name in names)
        self.database.execute("drop table if exists rows", f"create table rows ({columns})")
        import psycopg

        with (
            psycopg.connect(self.database.url_of_socket) as connection,
            connection.cursor() as cursor,
        ):
            marks = ", ".join(["%s"] * len(names))
            cursor.executemany(
                f"insert into rows values ({marks})".encode(), [tuple(row.values()) for row in rows]
            )

    def forbid(self) -> None:
        self.database.execute(f"alter role {self.role} password 'another'")

    def go_away(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ["REMOTE_PORT"] = str(free.getsockname()[1])

    def break_off(self) -> None:
        self._instead("pg_terminate_backend(pg_backend_pid())")

    def hang(self) -> None:
        self._instead("pg_sleep(300) is null")

    def spoil(self) -> None:
        self.database.execute(
            "alter table rows rename to whole",
            "create view rows as select id, 'NaN'::numeric(12,2) as amount, who from whole",
        )

    def _instead(self, of_the_fifth: str) -> None:
        """From the fifth row on something happens on the server."""
        self.database.execute(
            "alter table rows rename to whole",
            f"create view rows as select id, amount, who from whole where id < 5 or {of_the_fifth}",
        )

    def come_back(self) -> None:
        os.environ["REMOTE_PORT"] = str(self.database.port)
        self.database.execute(
            f"alter role {self.role} password '{CANARY}'",
            "do $$ begin if exists (select from pg_views where viewname = 'rows' and schemaname ="
            " 'public') then drop view rows; alter table whole rename to rows; end if; end $$",
        )


@pytest.fixture
def remote(postgresql: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresRemote]:
    monkeypatch.setenv("REMOTE_PORT", "")
    result = PostgresRemote(postgresql)
    yield result
    postgresql.execute(f"drop owned by {result.role}", f"drop role {result.role}")


class TestPostgresqlTables(RemoteContract):
    """A table that is read whole."""


class TestPostgresqlCursors(RemoteContract):
    """A table that is read by a cursor."""

    @pytest.fixture
    def remote(self, remote: PostgresRemote) -> PostgresRemote:
        remote.connector, remote.partition = (
            TABLE | {"cursor": "id"},
            PartitionSpec(by_delivery=True),
        )
        return remote

    def test_no_rows(self, far: RemoteBench) -> None:
        """Would catch: a delivery of nothing at every look."""
        far.remote.fill([])
        assert far.observe() == ()


class Bank:
    """Statements on the database, and what Headrace reads of it."""

    def __init__(self, bench: Workbench, database: Database) -> None:
        self.bench, self.database = bench, database

    def run(self, *statements: str) -> None:
        self.database.execute(*statements)

    def far(
        self, partition: PartitionSpec | None = None, zone: str = "UTC", **connector: Any
    ) -> RemoteBench:
        remote = msgspec.structs.replace(
            Source(name="orders", owner="o", place=PLACE, timezone=zone),
            connector={"connection": "far", **connector},
            partition=partition or PartitionSpec(),
        )
        return RemoteBench(self.bench, _Given(remote, {"url": self.database.url_of_socket}))  # type: ignore[arg-type]


class _Given:
    def __init__(self, source: Source, connection: dict[str, Any]) -> None:
        self.source, self.connection = source, connection


@pytest.fixture
def bank(bench: Workbench, postgresql: Database) -> Bank:
    return Bank(bench, postgresql)


TYPES = {
    "b boolean": ("true", "BOOLEAN", True),
    "s smallint": ("-7", "SMALLINT", -7),
    "i int": ("7", "INTEGER", 7),
    "l bigint": ("9223372036854775807", "BIGINT", 2**63 - 1),
    "d numeric(12,2)": ("1234567890.12", "DECIMAL(12,2)", "1234567890.12"),
    "u numeric": (
        "12345678901234567890.0123456789",
        "DECIMAL(38,10)",
        "12345678901234567890.0123456789",
    ),
    "f real": ("0.1", "FLOAT", None),
    "g double precision": ("0.1", "DOUBLE", 0.1),
    "t text": ("E'a,\"b\"\\n\\\\c'", "VARCHAR", 'a,"b"\n\\c'),
    "e text": ("''", "VARCHAR", ""),
    "c char(3)": ("'x'", "VARCHAR", "x"),
    "da date": ("'2024-02-29'", "DATE", "2024-02-29"),
    "ts timestamp": ("'2024-02-29 23:59:59.123456'", "TIMESTAMP", "2024-02-29 23:59:59.123456"),
    "tz timestamptz": ("'2024-02-29 23:59:59.123456+05:30'", "TIMESTAMP WITH TIME ZONE", None),
    "ti time": ("'23:59:59.5'", "TIME", "23:59:59.500000"),
    "iv interval": ("'1 mon -2 days 3 hours'", "VARCHAR", "1 mon -2 days +03:00:00"),
    "by bytea": ("'\\x00ff41'", "BLOB", b"\x00\xffA"),
    "uu uuid": ("'00000000-0000-0000-0000-00000000abcd'", "UUID", None),
    "j jsonb": ("'{\"a\": [1, null]}'", "VARCHAR", '{"a": [1, null]}'),
    "ai int[]": ("'{1,NULL,3}'", "INTEGER[]", [1, None, 3]),
    "at text[]": ("array['a,b', 'c\"d', null]", "VARCHAR[]", ["a,b", 'c"d', None]),
    "k mood": ("'so so'", "VARCHAR", "so so"),
}


def test_types_are_kept(bank: Bank) -> None:
    """Would catch: money as floating point, `{1,2}` as text, an empty text as NULL, a time in the
    server's zone.
    """
    names = [column.split()[0] for column in TYPES]
    values = ", ".join(value for value, _, _ in TYPES.values())
    nulls = ", ".join(["null"] * len(TYPES))
    bank.run(
        "create type mood as enum ('so so')",
        f"create table t ({', '.join(TYPES)})",
        f"insert into t values ({values}), ({nulls})",
    )
    taken = bank.far(table="t").take()
    assert isinstance(taken, Taken), taken
    assert taken.types() == {
        name: kind for name, (_, kind, _) in zip(names, TYPES.values(), strict=True)
    }
    full = next(row for row in taken.rows if row[0] is not None)
    for value, (_, kind, expected) in zip(full, TYPES.values(), strict=True):
        assert expected is None or value == expected or str(value) == expected, (kind, value)
    assert full[names.index("tz")].isoformat() == "2024-02-29T13:29:59.123456-05:00"
    assert [row for row in taken.rows if row[0] is None] == [(None,) * len(TYPES)]


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("date", "'0044-03-15 BC'", "`0044-03-15 BC` isn't a date"),
        ("timestamp", "'0044-03-15 BC'", "`0044-03-15 00:00:00 BC` isn't a date"),
        ("timestamptz", "'0044-03-15 BC'", "BC` isn't a date"),
        ("timestamp", "'294276-01-01'", "`294276-01-01 00:00:00` isn't a date"),
        ("date[]", "'{2024-01-01,0044-03-15 BC}'", "isn't a list of one dimension, each a date"),
        ("date[]", "'{infinity}'", "isn't a list of one dimension, each a date"),
        ("timestamp[]", "'{10000-01-01}'", "isn't a list of one dimension, each a date"),
        ("int[]", "'{{1,2},{3,4}}'", "isn't a list of one dimension"),
        ("text[]", "'{{a},{b}}'", "isn't a list of one dimension"),
        ("numeric(12,2)", "'NaN'", "at most 10 digits before the point and 2 after it"),
        ("numeric(50,10)", "'1e30'", "at most 28 digits before the point and 10 after it"),
        ("numeric", "'Infinity'", "`Infinity` isn't a number"),
        ("numeric", "0.12345678901", "write numeric(p, s)"),
    ],
)
def test_a_value_that_no_column_holds_is_refused(
    bank: Bank, kind: str, value: str, shown: str
) -> None:
    """Would catch: a year BC that becomes AD, two dimensions as a list of texts, `numeric` that
    loses its last digits, and a good row that is blamed."""
    bank.run(
        f"create table t (id int, x {kind})",
        f"insert into t values (1, null), (2, {value}), (3, null)",
    )
    outcome = bank.far(table="t").take()
    assert isinstance(outcome, UnreadableFile), outcome
    assert outcome.reason.startswith("row 2, column x: `") and shown in plain(outcome.reason)


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_a_table_of_one_column(bank: Bank, kind: str) -> None:
    """Would catch: rows that are lost where the only column is NULL, and an infinite date that is
    refused, or taken for the last one."""
    bank.run(f"create table t (x {kind})", "insert into t values (null), ('infinity'), (null)")
    taken = bank.far(table="t").take()
    assert isinstance(taken, Taken), taken
    assert sorted(row[0] is None for row in taken.rows) == [False, True, True]
    (infinite,) = (row[0] for row in taken.rows if row[0] is not None)
    assert infinite.year == 9999, "as Python has it"


DAYS = PartitionSpec(grain=Grain.DAY, column="at")


def test_an_interval_is_that_of_the_sources_zone(bank: Bank) -> None:
    """Would catch: a day that is cut at midnight UTC, a day of 23 hours, and rows of the border
    read twice."""
    bank.run(
        "create table t (n int, at timestamptz)",
        "insert into t values (1, '2013-03-10 04:59:59Z'), (2, '2013-03-10 05:00Z'), (3,"
        " '2013-03-11 03:59:59Z'), (4, '2013-03-11 04:00Z')",
    )
    far = bank.far(DAYS, "America/New_York", table="t")
    result = {
        item.partition: far.fetch(item)
        for item in far.observe(wanted=["2013-03-09", "2013-03-10", "2013-03-11"])
    }
    assert {key: [row[0] for row in taken.rows] for key, taken in result.items()} == {  # type: ignore[union-attr]
        "2013-03-09": [1],
        "2013-03-10": [2, 3],
        "2013-03-11": [4],
    }


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_any_column_of_time_cuts_days(bank: Bank, kind: str) -> None:
    """Would catch: a statement that only one type of column takes."""
    bank.run(
        f"create table t (n int, at {kind})",
        "insert into t select n, timestamp '2024-01-01 00:00' + n * interval '1 day' from"
        " generate_series(0, 3) n",
    )
    far = bank.far(DAYS, table="t")
    (result,) = far.observe(wanted=["2024-01-03"])
    taken = far.fetch(result)
    assert isinstance(taken, Taken) and [row[0] for row in taken.rows] == [2]


@pytest.mark.parametrize(
    ("grain", "keys"),
    [
        (Grain.HOUR, ["2013-11-03T01:00-04:00", "2013-11-03T01:00-05:00"]),
        (Grain.MONTH, ["2013-10", "2013-11"]),
    ],
)
def test_other_grains(bank: Bank, grain: Grain, keys: list[str]) -> None:
    """Would catch: the hour that comes twice read twice, and months that end a day too early."""
    bank.run(
        "create table t (n int, at timestamptz)",
        "insert into t values (0, '2013-11-03 05:30Z'), (1, '2013-11-03 06:30Z'), (2, '2013-11-01"
        " 03:59Z'), (3, '2013-11-01 04:00Z')",
    )
    far = bank.far(
        PartitionSpec(grain=grain, column="at"), "America/New_York", table="t", cursor="n"
    )
    rows = [sorted(row[0] for row in far.fetch(result).rows) for result in far.observe(wanted=keys)]  # type: ignore[union-attr]
    assert rows == ([[0], [1]] if grain is Grain.HOUR else [[2], [0, 1, 3]])


def test_changed_rows_make_another_version(bank: Bank) -> None:
    """Would catch: a correction in the database that nobody ever reads, and an interval that is
    read again for nothing.
    """
    bank.run("create table t (n int, at date, changed timestamptz)")
    bank.run(
        "insert into t select n, date '2024-01-01' + n % 3, timestamptz '2024-02-01 00:00Z' + n *"
        " interval '1 s' from generate_series(1, 9) n"
    )
    far = bank.far(DAYS, table="t", cursor="changed")
    wanted = [f"2024-01-0{day}" for day in (1, 3, 2, 5)]
    first = {item.partition: item for item in far.observe(wanted=wanted)}
    assert {key: msgspec.json.decode(item.version) for key, item in first.items()} == {
        "2024-01-01": ["2024-02-01 00:00:09+00", 3],
        "2024-01-02": ["2024-02-01 00:00:07+00", 3],
        "2024-01-03": ["2024-02-01 00:00:08+00", 3],
        "2024-01-05": [None, 0],
    }
    known = {key: (item.path, item.version) for key, item in first.items()}
    assert far.observe(known, wanted) == ()
    bank.run(
        "update t set changed = '2024-03-01Z' where n = 1",
        "delete from t where n = 2",
        "insert into t values (10, '2024-01-05', null)",
    )
    assert {item.partition for item in far.observe(known, wanted)} == {
        "2024-01-02",
        "2024-01-03",
        "2024-01-05",
    }


def test_a_query_is_asked_for_its_interval(bank: Bank) -> None:
    """Would catch: placeholders pasted as text, a `%` that the driver takes for its own, a comment
    that swallows a parenthesis."""
    bank.run(
        "create table t (n int, at timestamptz, name text)",
        "insert into t values (1, '2024-01-01 12:00Z', '50% x'), (2, '2024-01-02 12:00Z', '50% y')",
    )
    query = (
        "select n, n % 2 as odd, name from t where at >= $partition_start and at < $partition_end"
        " and name like '50%' -- $partition_end; )\n;"
    )
    far = bank.far(PartitionSpec(grain=Grain.DAY), query=query, cursor="n")
    (result,) = far.observe(wanted=["2024-01-02"])
    assert msgspec.json.decode(result.version) == ["2", 1]
    taken = far.fetch(result)
    assert isinstance(taken, Taken) and taken.rows == [(2, 0, "50% y")]


BY_DELIVERY = PartitionSpec(by_delivery=True)


def test_increments_join_without_a_gap_and_without_a_row_twice(bank: Bank) -> None:
    """Would catch: rows that arrive between look and fetch read twice, or never."""
    bank.run(
        "create table t (n bigint, x text)",
        "insert into t select n, 'a' from generate_series(1, 5) n",
    )
    far = bank.far(BY_DELIVERY, table="t", cursor="n")
    (first,) = far.observe()
    bank.run("insert into t select n, 'b' from generate_series(6, 8) n")
    taken = far.fetch(first)
    assert isinstance(taken, Taken) and sorted(row[0] for row in taken.rows) == [1, 2, 3, 4, 5]
    (second,) = far.observe({"*": (first.path, first.version)})
    taken = far.fetch(second)
    assert isinstance(taken, Taken) and sorted(row[0] for row in taken.rows) == [6, 7, 8]
    assert far.observe({"*": (second.path, second.version)}) == ()


HOSTILE = "a\"b%s'; drop table t; --"


def test_hostile_names_are_quoted(bank: Bank) -> None:
    """Would catch: a column's or a table's name that ends its quotes."""
    table, column = (name.replace('"', '""') for name in (HOSTILE[:20], HOSTILE))
    bank.run(
        f'create table "{table}" ("{column}" bigint, "%%" int)',
        f'insert into "{table}" values (1, 2)',
    )
    far = bank.far(BY_DELIVERY, table=HOSTILE[:20], cursor=HOSTILE)
    taken = far.take()
    assert isinstance(taken, Taken) and taken.rows == [(1, 2)] and taken.names == (HOSTILE, "%%")


def test_a_hostile_cursor_is_a_value(bank: Bank) -> None:
    """Would catch: the highest value of a column pasted into the next statement."""
    bank.run("create table t (k text)", "insert into t values ('x''); drop table t; --%s')")
    far = bank.far(BY_DELIVERY, table="t", cursor="k")
    (first,) = far.observe()
    assert far.observe({"*": (first.path, first.version)}) == ()
    assert len(far.fetch(first).rows) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("connector", "code"),
    [
        ({"table": "nowhere"}, "configuration_error"),
        ({"table": "t", "cursor": "nothing"}, "configuration_error"),
        ({"query": "select * form t"}, "configuration_error"),
        ({"query": "select 1/0 as x"}, "configuration_error"),
        ({"query": 'select 1 as a, 2 as "A"'}, "configuration_error"),
        ({"query": "with x as (delete from t returning 1) select * from x"}, "configuration_error"),
        ({"query": "select * from nextval('s')"}, "configuration_error"),
    ],
)
def test_what_cant_work_is_a_mistake_in_the_declaration(
    bank: Bank, connector: dict[str, str], code: str
) -> None:
    """Would catch: a misspelt table tried again for hours, and a query that writes."""
    bank.run("create table t (n int)", "insert into t values (1)", "create sequence s")
    far = bank.far(BY_DELIVERY if "cursor" in connector else None, **connector)
    with pytest.raises(Unavailable) as caught:
        far.take()
    assert (caught.value.code, caught.value.transient) == (code, False)
    assert bank.database.rows("select count(*) from t") == [(1,)]


@pytest.mark.parametrize(
    ("connector", "said"),
    [
        ({"table": "nowhere"}, 'relation "nowhere" does not exist'),
        ({"table": "t", "cursor": "nothing"}, 'column "nothing" does not exist'),
    ],
)
def test_what_is_gone_is_told_without_our_statement(
    bank: Bank, connector: dict[str, str], said: str
) -> None:
    """Would catch: an incident called `relation … does not exist LINE 1: ...end end,`, after a
    statement that nobody wrote."""
    bank.run("create table t (n int)")
    with pytest.raises(Unavailable) as caught:
        bank.far(BY_DELIVERY, **{"cursor": "n", **connector}).observe()
    assert str(caught.value) == said


def test_a_table_that_may_not_be_read_is_access_denied(
    bench: Workbench, remote: PostgresRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a missing GRANT taken for an outage."""
    monkeypatch.setenv("REMOTE_SECRET", CANARY)
    remote.fill([{"id": 1}])
    remote.database.execute(f"revoke pg_read_all_data from {remote.role}")
    with pytest.raises(Unavailable) as caught:
        RemoteBench(bench, remote).observe()
    assert (caught.value.code, caught.value.transient) == ("access_denied", False)


def test_a_password_in_the_url_may_hold_any_sign(
    bench: Workbench, postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: `@`, `/` and `%` of a secret that are taken for parts of the URL."""
    monkeypatch.setenv("PW", postgresql.password)
    monkeypatch.setenv("WHOLE", postgresql.url)
    for url in (
        f"postgresql://{postgresql.user}:${{PW}}@{postgresql.host}:{postgresql.port}/{postgresql.name}",
        "${WHOLE}",
        "secret://env/WHOLE",
    ):
        far = RemoteBench(
            bench,
            _Given(
                Source(
                    name="x",
                    owner="o",
                    place=PLACE,
                    timezone="UTC",
                    connector={"connection": "c", "query": "select 1 as n"},
                ),
                {"url": url},
            ),
        )  # type: ignore[arg-type]
        taken = far.take()
        assert isinstance(taken, Taken) and taken.rows == [(1,)]
        assert postgresql.password not in far.secrets.scrubbed(f"FATAL: {postgresql.password}")


def test_a_long_value_and_many_rows(bank: Bank) -> None:
    """Would catch: a value that is longer than a buffer, and rows that are lost where
    buffers meet.
    """
    bank.run(
        "create table t as select n, repeat(chr(10) || '\"é', n % 50) as x from generate_series(1,"
        " 30000) n",
        "insert into t values (0, repeat('0123456789', 2000000))",
    )
    taken = bank.far(table="t").take()
    assert isinstance(taken, Taken)
    assert sum(row[0] for row in taken.rows) == 30000 * 30001 // 2
    assert max(len(row[1]) for row in taken.rows) == 20_000_000


def test_one_snapshot_is_read(bank: Bank) -> None:
    """Would catch: a look at a table while it is changed that mixes both states: summary and
    columns come from one transaction.
    """
    from headrace_databases.engines.engine import connect_source

    bank.run("create table t (n int)", "insert into t values (1)")
    far = bank.far(table="t")
    with connect_source(far.access) as engine:
        assert engine.rows("select count(*) from t", {}) == [(1,)]
        bank.run("insert into t values (2)")
        target = far.bench.temporary / "x.parquet"
        engine.copy("select * from t", {}, target)
    import pyarrow.parquet as pq

    assert pq.read_metadata(target).num_rows == 1
