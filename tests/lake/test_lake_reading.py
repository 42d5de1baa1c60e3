"""Published rows as people and programs get them."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakelab import Lake

from headrace.lake import catalog, reading
from headrace.lake.reading import DataFormat, JsonRows, read, write
from headrace.lake.sqltext import literal
from headrace.lake.tables import FileRef
from headrace.model.errors import LakeError, OutOfMemory

VALUES = """SELECT 9007199254740993 AS big, 1.10::DECIMAL(38,20) AS d, DATE '2024-01-31' AS day, TIMESTAMP '2024-01-31 10:00:00.5' AS at,
    TIMESTAMPTZ '2024-01-31 10:00:00+00' AS instant, TIME '10:00:00' AS clock, INTERVAL 14 MONTH AS length, 'nan'::DOUBLE AS nan,
    '-inf'::FLOAT AS low, 1.5::DOUBLE
    AS f,
    '\\x00\\xFF'::BLOB AS raw, 'f84931d7-269c-4000-8735-feaf32d30497'::UUID AS id, true AS yes,
    NULL::VARCHAR AS nothing, '' AS empty, '{"a": 1}'::JSON AS j,
    {'d': 2.50::DECIMAL(5,2), 'on': DATE '2024-01-31', 'l': [1.5::DOUBLE, 'inf'::DOUBLE]} AS s, MAP {1: 'one'} AS m,
    '12024-01-01'::DATE AS far,
    '2024-01-01 00:00:00.123456789'::TIMESTAMP_NS AS ns"""


def _read(lake: Lake, name: str = "t", **options: object) -> JsonRows:
    return read(lake.data_folder, catalog.files(lake.tx, name, None), lake.table(name), **options)  # type: ignore[arg-type]


def test_values_are_json_without_loss(lake: Lake) -> None:
    lake.publish("t", "k", VALUES)
    (row,) = _read(lake, timezone="America/New_York").rows
    assert json.loads(json.dumps(row, allow_nan=False)) == {
        "big": 9007199254740993,
        "d": "1.10000000000000000000",
        "day": "2024-01-31",
        "at": "2024-01-31T10:00:00.5",
        "instant": "2024-01-31T05:00:00-05:00",
        "clock": "10:00:00",
        "length": "1 year 2 months",
        "nan": "NaN",
        "low": "-Infinity",
        "f": 1.5,
        "raw": "AP8=",
        "id": "f84931d7-269c-4000-8735-feaf32d30497",
        "yes": True,
        "nothing": None,
        "empty": "",
        "j": '{"a": 1}',
        "s": {"d": "2.50", "on": "2024-01-31", "l": [1.5, "Infinity"]},
        "m": {"1": "one"},
        "far": "12024-01-01",
        "ns": "2024-01-01T00:00:00.123456789",
    }


def test_nested_times_are_json_without_loss(lake: Lake) -> None:
    """Would catch: nanoseconds that are cut inside a list, and a month of 30 days."""
    ns = "'2024-01-01 00:00:00.123456789'::TIMESTAMP_NS"
    query = f"SELECT [{ns}, NULL] AS l, {{'a': {ns}, 'b': [{{'c': {ns}}}]}} AS s, MAP {{{ns}: 1.5::DECIMAL(3,2)}} AS m, NULL::TIMESTAMP_NS[] AS n"
    lake.publish("t", "k", query)
    (row,) = _read(lake).rows
    text = "2024-01-01T00:00:00.123456789"
    assert json.loads(json.dumps(row)) == {
        "l": [text, None],
        "s": {"a": text, "b": [{"c": text}]},
        "m": {text: "1.50"},
        "n": None,
    }


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
def test_infinite_times_inside_lists_are_no_day_of_the_year_9999(lake: Lake, kind: str) -> None:
    """Would catch: `infinity` in a list read as 9999-12-31, which is another value."""
    last = f"'9999-12-31 00:00:00'::{kind}"
    lake.publish("t", "k", f"SELECT ['infinity'::{kind}, '-infinity'::{kind}, {last}, NULL] AS l")
    (row,) = _read(lake).rows
    up, down, day, nothing = json.loads(json.dumps(row))["l"]
    assert (up, down, day[:10], nothing) == ("infinity", "-infinity", "9999-12-31", None)


OLD = {
    "America/New_York": ("1883-11-18T12:00:00-05:00", "1883-11-18T16:00:00+00:00"),
    "Africa/Monrovia": ("1972-01-08T12:00:00+00:00", "1970-06-01T11:00:00+00:00"),
    "Europe/Dublin": ("1916-10-02T12:00:00+00:00", "1910-01-01T00:00:00+00:00"),
}
"""Zone → the first regular noon and, in UTC, a moment at whose offset there were seconds."""


@pytest.mark.parametrize("zone", OLD)
def test_a_moment_is_read_as_the_same_one(lake: Lake, zone: str) -> None:
    """DuckDB leaves the seconds of an offset away: New York's noon in 1883 was two seconds off."""
    lake.publish("t", "k", f"SELECT unnest({list(OLD[zone])}::TIMESTAMPTZ[]) AS seen")
    rows = _read(lake, timezone=zone).rows
    assert {row["seen"] for row in rows} == set(OLD[zone])


@pytest.mark.parametrize("zone", OLD)
def test_a_moment_is_the_same_one_in_a_csv(lake: Lake, zone: str) -> None:
    """Would catch: an offset that is cut in a CSV, by which its moment is another one."""
    lake.publish("t", "k", f"SELECT unnest({list(OLD[zone])}::TIMESTAMPTZ[]) AS seen, 1 AS n")
    out, files = io.BytesIO(), catalog.files(lake.tx, "t", None)
    write(lake.data_folder, files, lake.table("t"), out, data_format=DataFormat.CSV, timezone=zone)
    header, *lines = out.getvalue().decode().splitlines()
    read_back = {datetime.fromisoformat(line.partition(",")[0]) for line in lines}
    assert (header, read_back) == ("seen,n", set(map(datetime.fromisoformat, OLD[zone])))


@pytest.mark.parametrize("zone", OLD)
def test_a_moment_inside_others_is_the_same_one_in_a_csv(lake: Lake, zone: str) -> None:
    """Would catch: an offset that is cut in a list, a STRUCT or a map, as it was before 1972."""
    at = f"list_transform({list(OLD[zone])}, lambda v: v::TIMESTAMPTZ)"
    query = f"""SELECT {at} AS l, [{{'a b': {at}[1], 'n': [{at}, NULL]}}, NULL] AS s,
        MAP {{{at}[1]: {{'m': MAP {{'k': {at}[2]}}}}}} AS m,
        NULL::STRUCT(a TIMESTAMPTZ)[] AS n, NULL::MAP(TIMESTAMPTZ, INTEGER) AS o,
        NULL::STRUCT(a TIMESTAMPTZ) AS p, {{'a': NULL::MAP(INTEGER, TIMESTAMPTZ)}} AS q"""
    lake.publish("t", "k", query)
    out, files = io.BytesIO(), catalog.files(lake.tx, "t", None)
    table = lake.table("t")
    write(lake.data_folder, files, table, out, data_format=DataFormat.CSV, timezone=zone)
    columns = ", ".join(
        f"a.{c.name}::{c.type} IS NOT DISTINCT FROM b.{c.name}"
        for c in table.columns
        if c.name != "_partition"
    )
    row = next(csv.DictReader(io.StringIO(out.getvalue().decode())))
    texts = ", ".join(f"nullif({literal(text)}, '') AS {name}" for name, text in row.items())
    session = duckdb.connect()
    session.execute(f"SET timezone = '{zone}'")
    same = session.execute(
        f"SELECT {columns} FROM (SELECT {texts}) AS a, ({query}) AS b"
    ).fetchone()
    assert same == (True,) * 7


def test_a_time_before_the_year_1_stays_as_it_is_written(lake: Lake) -> None:
    """Would catch: `0044-03-15T(BC) 10:00:00`."""
    lake.publish("t", "k", "SELECT TIMESTAMP '0044-03-15 (BC) 10:00:00' AS at")
    (row,) = _read(lake).rows
    assert row["at"] == "0044-03-15 (BC) 10:00:00"


def test_the_system_column_is_hidden_unless_asked_for(lake: Lake) -> None:
    lake.publish("t", "k", "SELECT 1 AS id")
    assert _read(lake).rows == ({"id": 1},)
    assert _read(lake, columns=["_partition", "id"]).rows == ({"_partition": "k", "id": 1},)


def test_rows_come_in_partition_order_limited_and_counted(lake: Lake) -> None:
    for key, first in (("2024-03", 200), ("2024-01", 0), ("2024-02", 100)):
        lake.publish("t", key, f"SELECT range AS id FROM range({first}, {first + 3})")
    result = _read(lake, limit=5)
    assert ([row["id"] for row in result.rows], result.total) == ([0, 1, 2, 100, 101], 9)


def test_columns_are_chosen_in_the_order_asked(lake: Lake) -> None:
    lake.publish("t", "k", "SELECT 1 AS a, 2 AS b, 3 AS c")
    assert [list(row) for row in _read(lake, columns=["C", "a"]).rows] == [["c", "a"]]
    with pytest.raises(LakeError, match="no column `z`") as refused:
        _read(lake, columns=["z"])
    assert "a, b, c" in refused.value.hint


def test_a_table_without_files_has_columns_and_no_rows(lake: Lake) -> None:
    lake.publish("t", "k", "SELECT 1 AS a")
    lake.withdraw("t", "k")
    result = _read(lake)
    assert ([column.name for column in result.columns], result.rows, result.total) == (["a"], (), 0)


@pytest.mark.parametrize("data_format", list(DataFormat))
def test_all_rows_are_written_in_each_format(lake: Lake, data_format: DataFormat) -> None:
    for key, first in (("b", 3), ("a", 0)):
        lake.publish(
            "t",
            key,
            "SELECT range AS id, (range * 1.1)::DECIMAL(9,2) AS d, DATE '2024-01-01' +"
            f" range::INTEGER AS day, 'x,\"' || range AS note FROM range({first}, {first + 3})",
        )
    out = io.BytesIO()
    write(
        lake.data_folder,
        catalog.files(lake.tx, "t", None),
        lake.table("t"),
        out,
        data_format=data_format,
    )
    out.seek(0)
    if data_format is DataFormat.CSV:
        lines = out.read().decode().splitlines()
        assert lines[:3] == [
            "id,d,day,note",
            '0,0.00,2024-01-01,"x,""0"',
            '1,1.10,2024-01-02,"x,""1"',
        ]
        assert len(lines) == 7
        return
    table = (
        pq.read_table(out)
        if data_format is DataFormat.PARQUET
        else pa.ipc.open_stream(out).read_all()
    )
    assert table.column_names == ["id", "d", "day", "note"]
    assert table.to_pylist()[4] == {
        "id": 4,
        "d": Decimal("4.40"),
        "day": date(2024, 1, 1) + timedelta(4),
        "note": 'x,"4',
    }
    assert list((lake.data_folder / ".temporary").iterdir()) == [lake.session.temporary_folder], (
        "what was written on the way is gone"
    )


def test_a_published_file_that_is_gone_is_said(lake: Lake) -> None:
    lake.publish("t", "k", "SELECT 1 AS a")
    with pytest.raises(LakeError, match="can't be read"):
        read(lake.data_folder, [FileRef("main/t/gone.parquet")], lake.table("t"))


def test_a_published_file_with_other_bytes_is_said(lake: Lake) -> None:
    """Would catch: a crash of Headrace where bytes of a page's header or of packed values were
    overwritten."""
    lake.publish("t", "k", "SELECT range AS id, 'branch ' || (range % 7) AS b FROM range(5000)")
    (path,) = lake.data_folder.glob("main/t/*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(LakeError, match="can't be read") as result:
        _read(lake)
    assert "db check --deep" in (result.value.hint or "")


def test_a_lack_of_memory_is_told_in_words(lake: Lake) -> None:
    """Would catch: a traceback of DuckDB's, or a query that is said to be wrong."""
    for raising in (
        reading._reading(lake.data_folder, [], "UTC", {}),
        reading.in_plain_words(),
    ):
        with pytest.raises(OutOfMemory, match="no memory left") as raised, raising:
            raise duckdb.OutOfMemoryException("failed to allocate data of size 2.0 GiB")
        assert "fewer columns or rows" in raised.value.hint
