"""MySQL as a source. What a server says is spoken here byte by byte; rows need a real one:
HEADRACE_TEST_MYSQL=mysql://user:password@host/database.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest
from connect_workbench import Taken, Workbench
from remote_contract import CANARY, Remote, RemoteBench

from headrace.connect.connectors import Unavailable
from headrace.connect.databases import SourceRows
from headrace.model import Grain, PartitionSpec, Place, Source

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
    from headrace.connect.engines.mysql import MysqlSource

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


@pytest.mark.skipif(
    "HEADRACE_TEST_MYSQL" not in os.environ,
    reason="no MySQL server: set HEADRACE_TEST_MYSQL to the URL of an empty database",
)
def test_rows_of_a_real_server(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: what only a real server does: types, sign, character sets, a cursor that holds
    all rows."""
    from headrace.connect.engines.engine import address_of

    monkeypatch.setenv("WHOLE", os.environ["HEADRACE_TEST_MYSQL"])
    far = _far(bench, "${WHOLE}")
    far.remote.connection = {"url": "${WHOLE}"}
    address = address_of(far.remote.connection, far.secrets)
    setup = pymysql.connect(
        host=address.host,
        port=address.port or 3306,
        user=address.user,
        password=address.password,
        database=address.database,
        autocommit=True,
    )
    with setup.cursor() as cursor:
        cursor.execute("drop table if exists orders")
        cursor.execute(
            "create table orders (id bigint unsigned primary key, amount decimal(12,2), who"
            " varchar(50) character set utf8mb4, at datetime(6), raw blob)"
        )
        cursor.execute(
            "insert into orders values (1, -1.50, 'é☃', '2024-02-29 23:59:59.123456', 0x00ff),"
            " (18446744073709551615, 2, null, null, null)"
        )
    far.remote.source = msgspec.structs.replace(  # type: ignore[misc]
        ORDERS,
        connector={"connection": "far", "table": "orders", "cursor": "id"},
        partition=PartitionSpec(by_delivery=True),
    )
    (result,) = far.observe()
    taken = far.fetch(result)
    assert isinstance(taken, Taken)
    assert taken.types() == {
        "id": "UBIGINT",
        "amount": "DECIMAL(12,2)",
        "who": "VARCHAR",
        "at": "TIMESTAMP",
        "raw": "BLOB",
    }
    assert sorted(map(str, taken.column("amount"))) == ["-1.50", "2.00"] and sorted(
        taken.column("id")
    ) == [1, 2**64 - 1]
    assert far.observe({"*": (result.path, result.version)}) == ()
