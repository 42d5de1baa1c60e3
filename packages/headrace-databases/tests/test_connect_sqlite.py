"""SQLite as a source, on real files."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from connect_workbench import Taken, Workbench
from remote_contract import Remote, RemoteBench, RemoteContract, Row

from headrace.connect.connectors import Unavailable
from headrace.connect.deliveries import CannotRead, UnreadableFile
from headrace.model import Grain, PartitionSpec, Place, Source
from headrace.model.texts import plain

PLACE = Place(file="sources/x.yaml")
PAGE_BYTES = 512


class SqliteRemote(Remote):
    """A table of a file. There are so many rows in its small pages that one of them can
    be broken.
    """

    page_size = 100

    def __init__(self, path: Path) -> None:
        self.path, self.away = path, path.with_suffix(".away")
        self.connector: dict[str, Any] = {"connection": "far", "table": "rows"}
        self.partition = PartitionSpec()
        self.good = b""

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
        return {"type": "sqlite", "path": str(self.path)}

    def fill(self, rows: Sequence[Row]) -> None:
        self.come_back()
        names = list(rows[0]) if rows else ["id", "amount", "who"]
        id_type = "integer" if not rows or isinstance(rows[0].get("id"), int) else "text"
        columns = ", ".join(f"{name} {id_type if name == 'id' else 'text'}" for name in names)
        self._run("drop table if exists rows", f"create table rows ({columns})")
        with sqlite3.connect(self.path) as connection:
            marks = ", ".join("?" * len(names))
            connection.executemany(
                f"insert into rows values ({marks})", [tuple(row.values()) for row in rows]
            )
        connection.close()

    def forbid(self) -> None:
        self.path.chmod(0)
        if os.access(self.path, os.R_OK):
            pytest.skip("root may read every file")

    def go_away(self) -> None:
        self.path.rename(self.away)

    def break_off(self) -> None:
        self.good = self.path.read_bytes()
        broken = bytearray(self.good)
        for page in range(8, len(broken) // PAGE_BYTES, 3):
            broken[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = b"\xaa" * PAGE_BYTES
        self.path.write_bytes(broken)

    def hang(self) -> None:
        endless = (
            "with recursive n(x) as (select 1 union all select x + 1 from n) select x, '', '' from"
            " n where x < 0"
        )
        self._run(
            "alter table rows rename to whole",
            f"create view rows as select * from whole union all select * from ({endless})",
        )

    def spoil(self) -> None:
        self.good = self.path.read_bytes()
        self.path.write_bytes(
            b"this is no database at all, but long enough to have a header of one hundred bytes"
            * 20
        )

    def come_back(self) -> None:
        if self.away.exists():
            self.away.rename(self.path)
        if self.good:
            self.path.write_bytes(self.good)
            self.good = b""
        if self._rows("select name from sqlite_master where name = 'whole'"):
            self._run("drop view rows", "alter table whole rename to rows")

    def _run(self, *statements: str) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute(f"pragma page_size = {PAGE_BYTES}")
        for statement in statements:
            connection.execute(statement)
        connection.close()

    def _rows(self, sql: str) -> list[Any]:
        connection = sqlite3.connect(self.path)
        result = connection.execute(sql).fetchall()
        connection.close()
        return result


@pytest.fixture
def remote(tmp_path: Path) -> SqliteRemote:
    return SqliteRemote(tmp_path / "erp.db")


class TestSqliteTables(RemoteContract):
    """A table that is read whole."""


class TestSqliteCursors(RemoteContract):
    """A table that is read by a cursor."""

    @pytest.fixture
    def remote(self, remote: SqliteRemote) -> SqliteRemote:
        remote.connector, remote.partition = (
            {"connection": "far", "table": "rows", "cursor": "id"},
            PartitionSpec(by_delivery=True),
        )
        return remote

    def test_no_rows(self, far: RemoteBench) -> None:
        """Would catch: a delivery of nothing at every look."""
        far.remote.fill([])
        assert far.observe() == ()


class _Given:
    def __init__(self, source: Source, connection: dict[str, Any]) -> None:
        self.source, self.connection = source, connection


Far = Callable[..., RemoteBench]


@pytest.fixture
def erp(tmp_path: Path) -> sqlite3.Connection:
    """A file `erp.db` in the project."""
    return sqlite3.connect(tmp_path / "erp.db", isolation_level=None)


@pytest.fixture
def far(bench: Workbench) -> Far:
    """A source that reads from `erp.db`."""

    def made(
        partition: PartitionSpec | None = None,
        zone: str = "UTC",
        url: str = "sqlite:erp.db",
        **connector: Any,
    ) -> RemoteBench:
        source = Source(
            name="orders",
            owner="o",
            place=PLACE,
            timezone=zone,
            connector={"connection": "far", **connector},
        )
        if partition is not None:
            source = msgspec.structs.replace(source, partition=partition)
        return RemoteBench(bench, _Given(source, {"url": url}))  # type: ignore[arg-type]

    return made


TYPES: dict[str, tuple[Any, str, str]] = {
    "i integer": (7, "BIGINT", "7"),
    "big bigint": (2**63 - 1, "BIGINT", str(2**63 - 1)),
    "d decimal(12,2)": (0.1 + 0.2, "DECIMAL(12,2)", "0.30"),
    "e numeric(9)": ("12", "DECIMAL(9,0)", "12"),
    "r real": (0.1, "DOUBLE", "0.1"),
    "t varchar(20)": ("it's\n", "VARCHAR", "it's\n"),
    "da date": ("2024-02-29", "DATE", "2024-02-29"),
    "ts datetime": ("2024-02-29 23:59:59.5", "TIMESTAMP", "2024-02-29 23:59:59.500000"),
    "tz timestamp": ("2024-02-29T23:59:59+05:30", "TIMESTAMP", "2024-02-29 18:29:59"),
    "b boolean": (1, "BOOLEAN", "True"),
    "bl blob": (b"\x00\xff", "BLOB", "b'\\x00\\xff'"),
    "j json": ('{"a": 1}', "VARCHAR", '{"a": 1}'),
    "n": (5, "BIGINT", "5"),
}


def test_types_are_kept(erp: sqlite3.Connection, far: Far) -> None:
    """Would catch: money as floating point, dates as text, 0 and 1 as numbers."""
    erp.execute(f"create table t ({', '.join(TYPES)})")
    marks = ", ".join("?" * len(TYPES))
    erp.execute(f"insert into t values ({marks})", [value for value, _, _ in TYPES.values()])
    erp.execute(f"insert into t values ({marks})", [None] * len(TYPES))
    taken = far(table="t").take()
    assert isinstance(taken, Taken), taken
    assert list(taken.types().values()) == [kind for _, kind, _ in TYPES.values()]
    full = next(row for row in taken.rows if row[0] is not None)
    assert list(map(str, full)) == [text for _, _, text in TYPES.values()]


def test_a_queries_expressions_have_the_types_of_their_values(
    erp: sqlite3.Connection, far: Far
) -> None:
    """Would catch: a count that is text because nobody declared it."""
    erp.execute("create table t (day date, x decimal(9,2))")
    erp.execute("insert into t values ('2024-01-01', 1.5), ('2024-01-01', 2.25)")
    taken = far(
        query="select day, count(*) as n, avg(x) as mean, 'a' as kind from t group by day"
    ).take()
    assert isinstance(taken, Taken)
    assert taken.types() == {"day": "DATE", "n": "BIGINT", "mean": "DOUBLE", "kind": "VARCHAR"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("decimal(18,2)", 12345678901234.56, "12345678901234.56"),
        ("decimal(18,2)", -9007199254740.99, "-9007199254740.99"),
        ("decimal(9,2)", 0.1 + 0.2, "0.30"),
        ("decimal(30,20)", 0.1, "0.10000000000000000000"),
        ("decimal(38,20)", 123456789012345678, "123456789012345678.00000000000000000000"),
        ("numeric(12)", 1e11, "100000000000"),
        ("decimal(9,2)", -0.0, "0.00"),
    ],
)
def test_a_decimal_keeps_its_digits(
    erp: sqlite3.Connection, far: Far, kind: str, value: Any, expected: str
) -> None:
    """Would catch: a float cut to 15 digits: .56 that becomes .60."""
    erp.execute(f"create table t (x {kind})")
    erp.execute("insert into t values (?)", [value])
    taken = far(table="t").take()
    assert isinstance(taken, Taken), taken
    assert f"{taken.column('x')[0]:f}" == expected


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("integer", "many"),
        ("date", "31.12.2024"),
        ("decimal(5,2)", 1.005),
        ("decimal(18,2)", 12345678901234.565),
        ("decimal(18,2)", 1000000000000000.5),
        ("datetime", "2024-01-01 10:00:00.1234567"),
        ("", b"\xff"),
        ("boolean", 2),
        ("text", b"\xff"),
        ("text", b"four"),
        ("blob", "four"),
        ("integer", 4.95),
        ("smallint", -0.9),
        ("bigint", 9.3e18),
        ("decimal(9,2)", "1_0"),
        ("datetime", "2024-01-01 10:00:00,1234567"),
        ("date", 2451545),
        ("datetime", 1704067200),
        ("boolean", "yes"),
    ],
)
def test_a_value_that_isnt_what_its_column_says_is_refused(
    erp: sqlite3.Connection, far: Far, declared: str, value: Any
) -> None:
    """Would catch: SQLite's loose types that turn a column into something else, or into NULL."""
    erp.execute(f"create table t (x {declared})")
    erp.executemany("insert into t values (?)", [("" if not declared else None,), (value,)])
    bench = far(table="t")
    outcome = bench.take()
    assert isinstance(outcome, UnreadableFile), outcome
    assert outcome.reason.startswith("row 2, column x: `") and "` isn't" in outcome.reason
    assert bench.left() == []


def test_a_decimal_that_a_double_does_not_hold_is_refused(
    erp: sqlite3.Connection, far: Far
) -> None:
    """Would catch: a cent that SQLite has lost, published as if it were known."""
    erp.execute("create table t (x decimal(18,2))")
    erp.execute("insert into t values ('98765432109876.54')")
    outcome = far(table="t").take()
    assert isinstance(outcome, UnreadableFile), outcome
    assert plain(outcome.reason) == (
        "row 1, column x: `98765432109876.55` isn't a number of which a double, as SQLite stores"
        " it, holds 2 decimals; cast it, or leave it out, in a `query`"
    )
    for query in ("select cast(x as real) as x from t", "select cast(x as text) as x from t"):
        assert isinstance(far(query=query).take(), Taken)


@pytest.mark.parametrize(
    ("kind", "first", "late", "holds"),
    [
        ("int", 1, 4.95, "a whole number of 64 bits"),
        ("", 1, 4.95, "a whole number of 64 bits"),
        ("", 1, "many", "a whole number of 64 bits"),
        ("", 0.5, 2**53 + 1, "a number that DOUBLE holds exactly"),
        ("", "a", b"a", "text"),
        ("", b"a", "a", "bytes"),
    ],
)
@pytest.mark.parametrize(
    ("partition", "connector"),
    [
        (None, {"table": "t"}),
        (None, {"query": "select id, at, x as e from t"}),
        (PartitionSpec(grain=Grain.DAY, column="at"), {"table": "t"}),
        (PartitionSpec(by_delivery=True), {"table": "t", "cursor": "id"}),
    ],
)
def test_a_late_value_of_another_kind_is_refused(
    erp: sqlite3.Connection,
    far: Far,
    kind: str,
    first: Any,
    late: Any,
    holds: str,
    partition: PartitionSpec | None,
    connector: dict[str, Any],
) -> None:
    """Would catch: 4.95 cut to 4, without a word, after 10,000 whole numbers."""
    erp.execute(f"create table t (id integer primary key, at date, x {kind})")
    values = [first] * 10_000 + [late]
    erp.execute("begin")
    erp.executemany("insert into t values (?, '2024-01-01', ?)", enumerate(values))
    erp.execute("commit")
    bench = far(partition, **connector)
    (found,) = bench.observe(wanted=["2024-01-01"] if partition and partition.column else ["*"])
    outcome = bench.fetch(found)
    assert isinstance(outcome, UnreadableFile), outcome
    assert outcome.reason.startswith("row 10,001, column ")
    assert f"` isn't {holds}; cast it" in outcome.reason


KINDS = (
    *("int", "smallint", "bigint", "integer not null", "", "numeric", "real", "text", "blob"),
    *("decimal(9,2)", "decimal(38,2)", "boolean", "date", "datetime", "varchar(9)", "money"),
)
_READ_AS: dict[type, Callable[[Any], Any]] = {
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    bool: bool,
    str: str,
}
"""What a stored value is, if a column reads it as a value of another type."""


def _same(stored: Any, read: Any) -> bool:
    if isinstance(read, Decimal):
        return Decimal(repr(stored)) == read
    if type(read) in _READ_AS and not isinstance(stored, bytes):
        return bool(_READ_AS[type(read)](stored) == read)
    numbers = isinstance(stored, int | float) and isinstance(read, int | float)
    return bool(stored == read) and (numbers or type(stored) is type(read))


def test_what_a_table_holds_is_published_as_it_is_or_refused(
    erp: sqlite3.Connection, far: Far
) -> None:
    """Compares random values in columns of each declared type with Python's own reader."""
    erp.execute("pragma synchronous = off")
    draw = random.Random(4)
    pool = (0, 1, -7, 2**53 + 1, -(2**63), 2**63 - 1, 0.0, 4.95, -0.9, 4.0, 1e17, 9.3e18, 1e300)
    pool += ("", "many", "4.95", "007", "1_0", "2024-02-29", "2024-02-29 10:00:00", b"4", b"\xff")
    kept = 0
    for n, kind in enumerate(KINDS * 8):
        erp.execute(f"create table t{n} (id integer primary key, x {kind})")
        values = draw.choices(draw.sample(pool, draw.choice((1, 1, 2, 3))), k=draw.choice((1, 4)))
        erp.executemany(f"insert into t{n} (x) values (?)", [(value,) for value in values])
        stored = erp.execute(f"select x from t{n} order by id").fetchall()
        taken = far(table=f"t{n}").take()
        if isinstance(taken, UnreadableFile):
            continue
        assert isinstance(taken, Taken), taken
        read = [
            value for _, value in sorted(zip(taken.column("id"), taken.column("x"), strict=True))
        ]
        assert all(map(_same, [value for (value,) in stored], read)), (kind, stored, read)
        kept += 1
    assert len(KINDS) < kept < len(KINDS) * 7


@pytest.mark.parametrize(
    ("zone", "values"),
    [
        (
            "America/New_York",
            [
                "2013-03-09 23:59:59",
                "2013-03-10 00:00:00",
                "2013-03-10 23:59:59.9",
                "2013-03-11 00:00:00",
            ],
        ),
        ("America/New_York", ["2013-03-09", "2013-03-10", "2013-03-10", "2013-03-11"]),
        ("America/New_York", [1362891599, 1362891600, 1362974399.5, 1362974400]),
    ],
)
def test_intervals_of_text_and_of_seconds(
    erp: sqlite3.Connection, far: Far, zone: str, values: list[Any]
) -> None:
    """Would catch: text that is compared with numbers (always greater), and a day of 23 hours that
    has 24."""
    erp.execute("create table t (n integer, at)")
    erp.executemany("insert into t values (?, ?)", enumerate(values))
    bench = far(PartitionSpec(grain=Grain.DAY, column="at"), zone, table="t")
    (result,) = bench.observe(wanted=["2013-03-10"])
    taken = bench.fetch(result)
    assert isinstance(taken, Taken) and sorted(row[0] for row in taken.rows) == [1, 2]


@pytest.mark.parametrize("form", ["{} {}:59:59", "{}T{}:59:59", "{}T{}:00", "{} {}:00:00.5"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_hours_of_text(erp: sqlite3.Connection, far: Far, form: str, zone: str) -> None:
    """Would catch: `2024-01-01T10:30`, which as text comes after `2024-01-01 11:00`."""
    erp.execute("create table t (n integer, at)")
    values = [(n, form.format("2024-01-01", f"{n:02}")) for n in range(9, 13)]
    erp.executemany("insert into t values (?, ?)", values)
    bench = far(PartitionSpec(grain=Grain.HOUR, column="at"), zone, table="t")
    offset = "+00:00" if zone == "UTC" else "+05:30"
    (result,) = bench.observe(wanted=[f"2024-01-01T10:00{offset}"])
    taken = bench.fetch(result)
    assert isinstance(taken, Taken) and [row[0] for row in taken.rows] == [10]


@pytest.mark.parametrize(
    ("grain", "key", "values"),
    [
        (Grain.DAY, "2024-01-01", [1704067200, "2024-01-01 00:00:00"]),
        (Grain.DAY, "2024-01-01", ["2024-01-01", 1704067200.5]),
        (Grain.HOUR, "2024-01-01T00:00+00:00", ["2024-01-01 00:10:00", "2024-01-01T00:20:00"]),
    ],
)
def test_intervals_of_mixed_values_are_refused(
    erp: sqlite3.Connection, far: Far, grain: Grain, key: str, values: list[Any]
) -> None:
    """Would catch: rows that no interval has, as their column's first row has another form."""
    erp.execute("create table t (n integer, at)")
    erp.executemany("insert into t values (?, ?)", enumerate(values))
    bench = far(PartitionSpec(grain=grain, column="at"), table="t")
    with pytest.raises(Unavailable, match=r"holds .* and .*: rows would be in no interval"):
        bench.observe(wanted=[key])


def test_changed_rows_make_another_version(erp: sqlite3.Connection, far: Far) -> None:
    """Would catch: a correction in the database that nobody ever reads."""
    erp.execute("create table t (n integer, at date, changed text)")
    erp.executemany(
        "insert into t values (?, ?, ?)",
        [(n, f"2024-01-0{1 + n % 3}", f"2024-02-0{n} 00:00:00") for n in range(1, 10)],
    )
    bench = far(PartitionSpec(grain=Grain.DAY, column="at"), table="t", cursor="changed")
    wanted = ["2024-01-01", "2024-01-03", "2024-01-09"]
    first = {item.partition: item for item in bench.observe(wanted=wanted)}
    assert [msgspec.json.decode(item.version) for item in first.values()] == [
        ["2024-02-09 00:00:00", 3],
        ["2024-02-08 00:00:00", 3],
        [None, 0],
    ]
    known = {key: (item.path, item.version) for key, item in first.items()}
    assert bench.observe(known, wanted) == ()
    erp.execute("update t set changed = '2024-03-01' where at = '2024-01-03'")
    assert [item.partition for item in bench.observe(known, wanted)] == ["2024-01-03"]


def test_increments_join_without_a_gap_and_without_a_row_twice(
    erp: sqlite3.Connection, far: Far
) -> None:
    """Would catch: rows that arrive between look and fetch read twice, or never."""
    erp.execute("create table t (n integer)")
    erp.executemany("insert into t values (?)", [(n,) for n in range(5)])
    bench = far(PartitionSpec(by_delivery=True), table="t", cursor="n")
    (first,) = bench.observe()
    erp.executemany("insert into t values (?)", [(n,) for n in range(5, 8)])
    (second,) = bench.observe({"*": (first.path, first.version)})
    assert [sorted(row[0] for row in bench.fetch(item).rows) for item in (first, second)] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7],
    ]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "query",
    [
        "select * from nowhere",
        "select load_extension('x')",
        "select writefile('x', 'y')",
        "select * from pragma_database_list",
    ],
)
def test_what_cant_work_is_a_mistake_in_the_declaration(
    erp: sqlite3.Connection, far: Far, query: str
) -> None:
    """Would catch: a query that reaches out of the file, or is tried again for hours."""
    erp.execute("create table t (n integer)")
    with pytest.raises(Unavailable) as caught:
        far(query=query).take()
    assert (caught.value.code, caught.value.transient) == ("configuration_error", False)


def test_a_database_that_is_written_is_waited_for(
    erp: sqlite3.Connection, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a lock held for a moment that is taken for a mistake in the declaration."""
    monkeypatch.setattr("headrace_databases.engines.sqlite.BUSY_SECONDS", 0.05)
    erp.execute("create table t (n integer)")
    erp.execute("begin exclusive")
    with pytest.raises(Unavailable) as caught:
        far(table="t").observe()
    assert (caught.value.code, caught.value.transient) == ("source_unavailable", True)
    erp.execute("commit")
    assert len(far(table="t").observe()) == 1


def test_reading_changes_nothing(erp: sqlite3.Connection, far: Far, tmp_path: Path) -> None:
    """Would catch: a journal, a view or a byte that a source leaves in somebody else's file."""
    erp.execute("create table t (n integer)")
    erp.close()
    before = (tmp_path / "erp.db").read_bytes()
    far(table="t").take()
    assert (tmp_path / "erp.db").read_bytes() == before
    assert [path.name for path in tmp_path.glob("erp.db*")] == ["erp.db"]


@pytest.mark.parametrize("name", ["state.db", "copy.db", "link.db"])
def test_the_projects_own_state_is_refused(far: Far, tmp_path: Path, name: str) -> None:
    """Would catch: `sqlite:.headrace/state.db` as a source, under whatever name."""
    from headrace.store.engines.sqlite import APPLICATION_ID

    state = tmp_path / ".headrace" / "state.db"
    connection = sqlite3.connect(state)
    connection.execute(f"pragma application_id = {APPLICATION_ID}")
    connection.execute("create table t (n integer)")
    connection.close()
    (tmp_path / "copy.db").write_bytes(state.read_bytes())
    (tmp_path / "link.db").symlink_to(state)
    url = "sqlite:.headrace/state.db" if name == "state.db" else f"sqlite:{name}"
    with pytest.raises(Unavailable, match="own state"):
        far(url=url, table="t").observe()


def test_where_a_file_is(erp: sqlite3.Connection, far: Far, tmp_path: Path) -> None:
    """Would catch: slashes that are counted otherwise than people do."""
    erp.execute("create table t (n integer)")
    for url in (
        "sqlite:erp.db",
        "sqlite:///erp.db",
        f"sqlite:{tmp_path}/erp.db",
        f"sqlite:///{tmp_path}/erp.db",
    ):
        assert len(far(url=url, table="t").observe()) == 1


def test_a_failed_copy_leaves_no_file(tmp_path: Path) -> None:
    """Would catch: half a Parquet file that the next one trips over."""
    from headrace_databases.engines.parquet_files import ValueColumn, rows_to_parquet

    with pytest.raises(CannotRead):
        rows_to_parquet([ValueColumn("a", pa.int64())], [[(1,)], [("x",)]], tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []
