"""MySQL and MariaDB as a source: a real MariaDB, and refusals that are spoken byte by byte."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from connect_workbench import Taken, Workbench
from mariadb_server import MariaDatabase
from remote_contract import CANARY, Remote, RemoteBench, RemoteContract, Row

from headrace.connect.connectors import Unavailable
from headrace.connect.deliveries import UnreadableFile
from headrace.model import Grain, PartitionSpec, Place, Source
from headrace.model.texts import plain
from headrace_databases.statements import SourceRows

pymysql = pytest.importorskip("pymysql")

PLACE = Place(file="sources/x.yaml")
ORDERS = Source(
    name="orders",
    owner="o",
    place=PLACE,
    timezone="UTC",
    connector={"connection": "far", "table": "shop.orders", "cursor": "id"},
)
Say = Callable[[int, str], int]


def _packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


GREETING = (
    b"\x0a8.0.36\0\1\0\0\0"
    b"saltsalt"
    b"\0"
    b"\xff\xf7\x2d\x02\0\xff\xdf\x15" + bytes(10) + b"saltsaltsalt\0mysql_native_password\0"
)


@pytest.fixture
def say() -> Iterator[Say]:
    """A server that greets, and answers who signs in with an error. Its port."""
    listeners = []

    def made(code: int, message: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.sendall(_packet(0, GREETING))
                    client.recv(65536)
                    client.sendall(
                        _packet(
                            2, b"\xff" + code.to_bytes(2, "little") + b"#28000" + message.encode()
                        )
                    )

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1])

    yield made
    for listener in listeners:
        listener.close()


class _Given(Remote):
    source = ORDERS  # type: ignore[assignment]

    def __init__(self, url: str) -> None:
        self.connection = {"url": url, "password": "${REMOTE_SECRET}"}

    fill = forbid = go_away = break_off = hang = spoil = come_back = None  # type: ignore[assignment]


def _far(bench: Workbench, url: str, source: Source = ORDERS) -> RemoteBench:
    given = _Given(url)
    given.source = source  # type: ignore[misc]
    return RemoteBench(bench, given)


@pytest.mark.parametrize(
    ("code", "meaning", "transient"),
    [
        (1045, "access_denied", False),
        (1044, "access_denied", False),
        (1049, "configuration_error", False),
        (1040, "source_unavailable", True),
    ],
)
def test_what_a_server_says_is_understood(
    bench: Workbench,
    say: Say,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    meaning: str,
    transient: bool,
) -> None:
    """Would catch: a wrong password tried for hours, or a full server taken for one; and a password
    that is repeated.
    """
    monkeypatch.setenv("REMOTE_SECRET", CANARY)
    far = _far(bench, f"mysql://loader@127.0.0.1:{say(code, 'no, loader')}/shop")
    with pytest.raises(Unavailable) as caught:
        far.observe()
    assert (caught.value.code, caught.value.transient) == (meaning, transient)
    assert "no, loader" in str(caught.value) and CANARY not in str(caught.value)


def test_nobody_there(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a traceback for a server that is down."""
    monkeypatch.setenv("REMOTE_SECRET", CANARY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unavailable) as caught:
        _far(bench, f"mysql://loader@127.0.0.1:{port}/shop").observe()
    assert (caught.value.code, caught.value.transient) == ("source_unavailable", True)


def test_statements_are_quoted_for_mysql() -> None:
    """Would catch: double quotes, which are texts in MySQL, and a `%` that the driver takes for a
    mark."""
    from headrace_databases.engines.mysql import MysqlSource

    engine = MysqlSource.__new__(MysqlSource)
    source = msgspec.structs.replace(
        ORDERS,
        connector=ORDERS.connector | {"table": "shop.or`d%s"},
        partition=PartitionSpec(grain=Grain.DAY, column="at"),
    )
    sql, values = SourceRows(source, engine).of("2024-01-31")
    assert (
        sql == "select * from `shop`.`or``d%%s` where `at` >= %(partition_start)s and `at` <"
        " %(partition_end)s"
    )
    assert [str(value) for value in values.values()] == ["2024-01-31", "2024-02-01"]


class MariaRemote(Remote):
    """A table that a user of its own reads. Each change of it is real."""

    def __init__(self, database: MariaDatabase) -> None:
        self.database, self.user = database, f"reader_{database.name}"
        database.execute(
            f"create user {self.user} identified by '{CANARY}'",
            f"grant select, execute on {database.name}.* to {self.user}",
            "create function broken() returns int begin signal sqlstate '70100' set mysql_errno ="
            " 1317; return 1; end",
        )
        self.come_back()

    source = msgspec.structs.replace(ORDERS, connector={"connection": "far", "table": "orders"})  # type: ignore[assignment]

    @property
    def connection(self) -> dict[str, Any]:  # type: ignore[override]
        where = f"{self.database.host}:${{REMOTE_PORT}}/{self.database.name}"
        return {"url": f"mysql://{self.user}@{where}", "password": "${REMOTE_SECRET}"}

    def fill(self, rows: Sequence[Row]) -> None:
        names = list(rows[0]) if rows else ["id", "amount", "who"]
        number = not rows or isinstance(rows[0].get("id"), int)
        kinds = {"id": "bigint" if number else "longtext"}
        columns = ", ".join(f"{name} {kinds.get(name, 'longtext')}" for name in names)
        values = [
            "("
            + ", ".join(pymysql.converters.escape_item(v, "utf8mb4") for v in row.values())
            + ")"
            for row in rows
        ]
        self.database.execute("drop table if exists orders", f"create table orders ({columns})")
        if values:
            self.database.execute(f"insert into orders values {', '.join(values)}")

    def forbid(self) -> None:
        self.database.execute(f"set password for {self.user} = password('another')")

    def go_away(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ["REMOTE_PORT"] = str(free.getsockname()[1])

    def break_off(self) -> None:
        self._instead("id, amount, who from whole where id < 5 or broken() = 1")

    def hang(self) -> None:
        self._instead("id, amount, who from whole where id < 5 or sleep(300) = 1")

    def spoil(self) -> None:
        digits = "cast('12345678901234567890123456789012345.1' as decimal(65, 30))"
        self._instead(f"id, {digits} as amount, who from whole")

    def _instead(self, rows: str) -> None:
        self.database.execute(
            "rename table orders to whole", f"create view orders as select {rows}"
        )

    def come_back(self) -> None:
        os.environ["REMOTE_PORT"] = str(self.database.port)
        self.database.end_others()
        self.database.execute(f"set password for {self.user} = password('{CANARY}')")
        if self.database.rows("show full tables where table_type = 'VIEW'"):
            self.database.execute("drop view orders", "rename table whole to orders")


class TestMariadbTables(RemoteContract):
    """A table that is read whole."""

    @pytest.fixture
    def remote(
        self, mariadb: MariaDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[MariaRemote]:
        monkeypatch.setenv("REMOTE_PORT", "")
        result = MariaRemote(mariadb)
        yield result
        mariadb.execute(f"drop user {result.user}")


class Shop:
    """Statements on the database, and what Headrace reads of it."""

    def __init__(self, bench: Workbench, database: MariaDatabase) -> None:
        self.bench, self.run, self.rows = bench, database.execute, database.rows
        self._connection = {"url": database.url, "password": database.password}

    def far(
        self, partition: PartitionSpec | None = None, zone: str = "UTC", **connector: Any
    ) -> RemoteBench:
        far = _far(
            self.bench,
            "",
            msgspec.structs.replace(
                ORDERS,
                timezone=zone,
                connector={"connection": "far", **connector},
                partition=partition or PartitionSpec(),
            ),
        )
        far.remote.connection = self._connection
        return far


@pytest.fixture
def shop(bench: Workbench, mariadb: MariaDatabase) -> Shop:
    return Shop(bench, mariadb)


TYPES = [
    ("float", "123456.789", "FLOAT", struct.unpack("f", struct.pack("f", 123456.789))[0]),
    ("float", "16777217", "FLOAT", 16777216.0),
    ("double", "0.1", "DOUBLE", 0.1),
    ("double", "123456789.123456789", "DOUBLE", 123456789.123456789),
    ("decimal(12,2)", "-1234567890.12", "DECIMAL(12,2)", Decimal("-1234567890.12")),
    ("decimal(38,0)", "'-" + "9" * 38 + "'", "DECIMAL(38,0)", Decimal("-" + "9" * 38)),
    ("decimal(65,30)", "1.5", "DECIMAL(38,30)", Decimal("1.5")),
    ("bigint unsigned", str(2**64 - 1), "UBIGINT", 2**64 - 1),
    ("bigint", str(-(2**63)), "BIGINT", -(2**63)),
    ("int unsigned", str(2**32 - 1), "BIGINT", 2**32 - 1),
    ("tinyint(1)", "5", "INTEGER", 5),
    ("year", "1901", "INTEGER", 1901),
    ("bit(9)", "b'101000001'", "BLOB", b"\x01\x41"),
    ("time", "'9:05:00'", "VARCHAR", "09:05:00"),
    ("time", "'-1:30:00'", "VARCHAR", "-01:30:00"),
    ("time(6)", "'-838:59:58.999999'", "VARCHAR", "-838:59:58.999999"),
    ("time", "'25:30:00'", "VARCHAR", "25:30:00"),
    ("date", "'0001-01-01'", "DATE", date(1, 1, 1)),
    ("datetime(6)", "'2024-02-29 23:59:59.123456'", "TIMESTAMP", "2024-02-29 23:59:59.123456"),
    ("char(5)", "' é☃ '", "VARCHAR", " é☃"),
    ("varchar(9) character set latin1", "' é '", "VARCHAR", " é "),
    ("varchar(9) character set binary", "'ab'", "BLOB", b"ab"),
    ("text", "'a\\0b'", "VARCHAR", "a\0b"),
    ("binary(4)", "'ab'", "BLOB", b"ab\0\0"),
    ("blob", "0x00ff", "BLOB", b"\x00\xff"),
    ("enum('a','b c')", "'b c'", "VARCHAR", "b c"),
    ("set('a','b','c')", "'a,c'", "VARCHAR", "a,c"),
    ("json", "'{\"a\": [1, null]}'", "VARCHAR", '{"a": [1, null]}'),
]


def test_values_are_those_of_the_server(shop: Shop) -> None:
    """Would catch: a FLOAT of six digits, a TIME as a timedelta's text, bytes as text and text as
    bytes, a sign or digits lost."""
    columns = ", ".join(f"c{n} {item[0]}" for n, item in enumerate(TYPES))
    shop.run(
        f"create table t (id int primary key, {columns})",
        f"insert into t values (1, {', '.join(item[1] for item in TYPES)})",
        f"insert into t values (2{', null' * len(TYPES)})",
    )
    taken = shop.far(table="t").take()
    assert isinstance(taken, Taken), taken
    assert list(taken.types().values())[1:] == [item[2] for item in TYPES]
    full, empty = sorted(taken.rows)
    for value, item in zip(full[1:], TYPES, strict=True):
        assert item[3] in (value, str(value)), item
    assert empty[1:] == (None,) * len(TYPES)


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("date", "'0000-00-00'", "`0000-00-00` isn't a date"),
        ("date", "'2024-00-10'", "`2024-00-10` isn't a date"),
        ("datetime", "'0000-00-00 00:00:00'", "`0000-00-00 00:00:00` isn't a date"),
        ("timestamp", "'0000-00-00 00:00:00'", "`0000-00-00 00:00:00` isn't a date"),
        ("decimal(65,30)", "123456789", "at most 8 digits before the point and 30 after it"),
    ],
)
def test_a_value_that_no_column_holds_is_refused(
    shop: Shop, kind: str, value: str, shown: str
) -> None:
    """Would catch: a zero date that becomes NULL or 1970, and the names of Python's types."""
    shop.run(
        f"create table t (id int, x {kind} null default null)",
        f"insert into t values (1, null), (2, {value})",
    )
    outcome = shop.far(table="t").take()
    assert isinstance(outcome, UnreadableFile), outcome
    assert outcome.reason.startswith("row 2, column x: `") and shown in plain(outcome.reason)


def test_an_instant_is_the_same_in_any_zone(shop: Shop) -> None:
    """Would catch: the hour that comes twice, of which both halves become the first."""
    moments = [f"2013-11-03 0{hour}:30:00.250000" for hour in range(4, 8)]
    shop.run(
        "create table t (id int, at timestamp(6) null)",
        "insert into t values " + ", ".join(f"({n}, '{at}')" for n, at in enumerate(moments)),
    )
    days = PartitionSpec(grain=Grain.DAY, column="at")
    far = shop.far(days, "America/New_York", table="t")
    (found,) = far.observe(wanted=["2013-11-03"])
    taken = far.fetch(found)
    assert isinstance(taken, Taken)
    assert [f"{at.astimezone(UTC):%F %T.%f}" for at in taken.column("at")] == moments


def test_increments_join_without_a_gap_and_without_a_row_twice(shop: Shop) -> None:
    """Would catch: rows that arrive between look and fetch read twice, or never."""
    shop.run("create table t (id bigint unsigned)", "insert into t values (1), (2)")
    far = shop.far(PartitionSpec(by_delivery=True), table="t", cursor="id")
    (first,) = far.observe()
    shop.run(f"insert into t values (3), ({2**64 - 1})")
    taken = far.fetch(first)
    assert isinstance(taken, Taken) and sorted(taken.column("id")) == [1, 2]
    (second,) = far.observe({"*": (first.path, first.version)})
    taken = far.fetch(second)
    assert isinstance(taken, Taken) and sorted(taken.column("id")) == [3, 2**64 - 1]
    assert far.observe({"*": (second.path, second.version)}) == ()
