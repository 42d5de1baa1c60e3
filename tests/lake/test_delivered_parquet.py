"""Delivered Parquet files that are staged without encoding their values again."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakelab import Lake
from thrift.Thrift import TType

from headrace.lake import catalog, delivered_parquet
from headrace.lake.delivered_parquet import stage_delivered
from headrace.lake.files import verify
from headrace.lake.parquet_footer import ColumnSchema, Unusable
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal
from headrace.lake.staging import stage
from headrace.lake.tables import LakeTable, StagedFile

COLUMNS = {
    "BOOLEAN": "(r % 2) = 0",
    "TINYINT": "(r % 100)::TINYINT",
    "UTINYINT": "(r % 255)::UTINYINT",
    "SMALLINT": "(r % 300 - 100)::SMALLINT",
    "USMALLINT": "(r % 300)::USMALLINT",
    "INTEGER": "(r % 70000 - 35000)::INTEGER",
    "UINTEGER": "(r % 70000)::UINTEGER",
    "BIGINT": "(r * 1000003 % 99999 - 5)::BIGINT",
    "UBIGINT": "(18446744073709551615 - r)::UBIGINT",
    "FLOAT": "(r % 17 / 4 - 2)::FLOAT",
    "DOUBLE": "CASE r % 3 WHEN 0 THEN -0.0 WHEN 1 THEN 0.0 ELSE r / 7 END::DOUBLE",
    "DATE": "DATE '1900-01-01' + (r % 90000)::INTEGER",
    "TIMESTAMP": "TIMESTAMP '1931-03-04 05:06:07' + to_microseconds(r * 12345678901)",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ '1999-03-04 05:06:07+00' + to_microseconds(r * 765)",
    "DECIMAL(4,1)": "(r % 900 / 10 - 20)::DECIMAL(4,1)",
    "DECIMAL(15,2)": "(r % 9000 / 100 - 20)::DECIMAL(15,2)",
    "DECIMAL(38,10)": "(r % 9000 / 100 - 20)::DECIMAL(38,10)",
    "VARCHAR": "chr((r % 300 + 40)::INTEGER) || repeat('é', (r % 400)::INTEGER)",
}


@pytest.fixture(autouse=True)
def _files_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivered_parquet, "BYTES_MIN", 0)
    monkeypatch.setattr(delivered_parquet, "GROUP_ROWS_MIN", 1)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[DuckDBSession]:
    (tmp_path / "lake").mkdir()
    with DuckDBSession(
        tmp_path / "lake", readable=[tmp_path], timezone="America/New_York"
    ) as session:
        yield session


def _deliver(path: Path, select: str, options: str = "COMPRESSION zstd") -> Path:
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet, {options})")
    return path


def _described(path: Path) -> tuple[tuple[str, str], ...]:
    rows = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{path}')").fetchall()
    return tuple((row[0], row[1]) for row in rows)


def _staged(
    session: DuckDBSession, path: Path, key: str = "2026-01-01"
) -> tuple[StagedFile, LakeTable] | None:
    return stage_delivered(session, path, _described(path), target=TargetTable("t"), partition=key)


def _encoded(
    session: DuckDBSession, path: Path, key: str = "2026-01-01"
) -> tuple[StagedFile, LakeTable]:
    return stage(
        session,
        f"SELECT * FROM read_parquet({literal(str(path))})",
        target=TargetTable("t"),
        partition=key,
        hashed=False,
    )


def _same(session: DuckDBSession, path: Path, key: str = "2026-01-01") -> Path:
    """The file and its statistics are those of the values encoded anew; return the file."""
    delivered, encoded = _staged(session, path, key), _encoded(session, path, key)
    assert delivered is not None
    assert delivered[1] == encoded[1]
    for name, expected in encoded[0].statistics.items():
        actual = delivered[0].statistics[name]
        assert (actual.values, actual.nulls) == (expected.values, expected.nulls), name
        assert (actual.minimum, actual.maximum) == (expected.minimum, expected.maximum), name
        assert actual.contains_nan == expected.contains_nan, name
    assert delivered[0].rows == encoded[0].rows
    assert delivered[0].partitions == encoded[0].partitions
    place = verify(session.data_folder, delivered[0])
    assert _rows(place) == _rows(session.data_folder / encoded[0].path)
    return place


def _rows(path: Path) -> list[Any]:
    return duckdb.sql(
        f"SELECT count(*), sum(hash(COLUMNS(*)::VARCHAR)) FROM read_parquet('{path}')"
    ).fetchall()


def _footer_tells_the_values(path: Path) -> None:
    """The statistics of each row group, as pyarrow decodes them, are those of its values."""
    file = pq.ParquetFile(path)
    for number in range(file.metadata.num_row_groups):
        group, rows = file.metadata.row_group(number), file.read_row_group(number)
        assert group.num_rows == rows.num_rows
        for at, name in enumerate(rows.column_names):
            values, known = rows.column(at), group.column(at).statistics
            assert known.null_count == values.null_count, name
            if known.has_min_max:
                present = [value for value in values.to_pylist() if value is not None]
                assert (known.min, known.max) == (min(present), max(present)), name


def test_drawn_files_give_the_same_rows_and_statistics_as_encoding_anew(
    session: DuckDBSession, tmp_path: Path
) -> None:
    """A bound in a wrong encoding, a count or a row group that is taken for another."""
    for number in range(8):
        names = random.sample(sorted(COLUMNS), random.randint(1, len(COLUMNS)))
        nulls = random.choice([0, 3, 1])
        empty = "false" if nulls == 0 else f"r % {nulls} = 0"
        select = ", ".join(
            f'CASE WHEN {empty} THEN NULL ELSE {COLUMNS[name]} END AS "{name} {at}"'
            for at, name in enumerate(names)
        )
        rows = random.choice([1, 2_047, 10_000, 30_001])
        path = tmp_path / f"{number}.parquet"
        query = f"SELECT {select} FROM (SELECT range + {number} AS r FROM range({rows}))"
        if random.random() < 0.5:
            codec = random.choice(["zstd", "snappy", "lz4_raw"])
            _deliver(path, query, f"COMPRESSION {codec}, ROW_GROUP_SIZE 2048")
        else:
            table = duckdb.sql(query).to_arrow_table()
            pq.write_table(
                table,
                path,
                compression=random.choice(["zstd", "snappy"]),
                row_group_size=7_000,
                data_page_version=random.choice(["1.0", "2.0"]),
                use_dictionary=random.random() < 0.5,
                write_page_index=random.random() < 0.5,
                store_schema=random.random() < 0.5,
                coerce_timestamps=random.choice(["us", "ms"]),
                allow_truncated_timestamps=True,
            )
        _footer_tells_the_values(_same(session, path, random.choice(["*", "2026-01-01", "Ü'\"x"])))


def test_the_column_chunks_are_those_of_the_delivery(
    session: DuckDBSession, tmp_path: Path
) -> None:
    """An encoding of the values instead of a copy of the chunks."""
    path = _deliver(tmp_path / "a.parquet", "SELECT range AS x FROM range(50000)")
    place = _same(session, path)
    end = max(
        chunk[0] + chunk[1]
        for chunk in duckdb.sql(
            "SELECT coalesce(dictionary_page_offset, data_page_offset), total_compressed_size"
            f" FROM parquet_metadata('{path}')"
        ).fetchall()
    )
    assert place.read_bytes()[:end] == path.read_bytes()[:end]
    assert not place.stat().st_mode & 0o222


def _altered(path: Path, change: Callable[[bytes], bytes]) -> Path:
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    footer = change(data[-8 - size : -8])
    assert footer != data[-8 - size : -8]
    path.write_bytes(data[: -8 - size] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    return path


def _number(value: int) -> bytes:
    return struct.pack("<q", value)


def test_a_lying_maximum_is_not_published(session: DuckDBSession, tmp_path: Path) -> None:
    """Readers would skip the rows that the footer denies."""
    path = _deliver(tmp_path / "a.parquet", "SELECT (range + 1000)::BIGINT AS x FROM range(7000)")
    _altered(path, lambda footer: footer.replace(_number(7999), _number(1002)))
    assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE x = 7777").fetchall() == [(0,)]
    result = _staged(session, path)
    assert result is not None
    place = session.data_folder / result[0].path
    assert result[0].statistics["x"].maximum == "7999"
    assert duckdb.sql(f"SELECT count(*) FROM '{place}' WHERE x = 7777").fetchall() == [(1,)]
    assert duckdb.sql(f"SELECT max(x) FROM '{place}'").fetchall() == [(7999,)]
    _footer_tells_the_values(place)


def test_a_lying_number_of_nulls_is_not_published(session: DuckDBSession, tmp_path: Path) -> None:
    """`x IS NULL` would find no row in a chunk that claims to have none."""
    path = _deliver(
        tmp_path / "a.parquet",
        "SELECT CASE WHEN range < 61 THEN NULL ELSE 5000 + range END AS x FROM range(900)",
    )
    # Field 3 of the statistics: 61 as a zigzag varint is 122.
    _altered(path, lambda footer: footer.replace(b"\x16\x7a", b"\x16\x00"))
    assert duckdb.sql(f"SELECT stats_null_count FROM parquet_metadata('{path}')").fetchall() == [
        (0,)
    ]
    result = _staged(session, path)
    assert result is not None
    place = session.data_folder / result[0].path
    assert result[0].statistics["x"].nulls == 61
    assert duckdb.sql(f"SELECT count(*) FROM '{place}' WHERE x IS NULL").fetchall() == [(61,)]


def test_a_bloom_filter_and_metadata_are_left_behind(
    session: DuckDBSession, tmp_path: Path
) -> None:
    """A filter that nobody has confirmed, which denies a value that is there."""
    path = _deliver(
        tmp_path / "a.parquet",
        "SELECT (range % 50)::BIGINT * 7 AS x FROM range(20000)",
        "COMPRESSION zstd, KV_METADATA {said: 'by others'}",
    )
    filters = duckdb.sql(f"SELECT any_value(bloom_filter_offset) FROM parquet_metadata('{path}')")
    assert filters.fetchall() != [(None,)]
    place = _same(session, path)
    filters = duckdb.sql(f"SELECT any_value(bloom_filter_offset) FROM parquet_metadata('{place}')")
    assert filters.fetchall() == [(None,)]
    assert duckdb.sql(f"FROM parquet_kv_metadata('{place}')").fetchall() == []


@pytest.mark.parametrize("claimed", [899, 901])
def test_a_lying_number_of_rows_is_refused(
    session: DuckDBSession, tmp_path: Path, claimed: int
) -> None:
    """Readers of the footer would see other rows than readers of the pages."""
    path = _deliver(tmp_path / "a.parquet", "SELECT range AS x FROM range(900)")

    def varint(number: int) -> bytes:
        zigzag = number << 1
        return bytes([zigzag & 0x7F | 0x80, zigzag >> 7])

    _altered(path, lambda footer: footer.replace(varint(900), varint(claimed)))
    assert duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(claimed,)]
    assert _staged(session, path) is None
    assert not list(session.data_folder.rglob("*.parquet"))


def test_damaged_pages_are_left_to_the_reader(session: DuckDBSession, tmp_path: Path) -> None:
    """A file that nobody can read would be published."""
    path = _deliver(tmp_path / "a.parquet", "SELECT 'v' || range % 999 AS x FROM range(90000)")
    data = bytearray(path.read_bytes())
    data[5_000:5_200] = bytes(200)
    path.write_bytes(data)
    assert _staged(session, path) is None
    assert not list(session.data_folder.rglob("*.parquet"))


def test_altered_footers_never_publish_other_values(session: DuckDBSession, tmp_path: Path) -> None:
    """A parser that believes offsets, sizes or types of a hostile footer."""
    path = _deliver(
        tmp_path / "a.parquet",
        "SELECT range AS x, 'v' || range AS y, range / 3 AS z FROM range(5000)",
        "COMPRESSION zstd, ROW_GROUP_SIZE 2048",
    )
    columns, intact = _described(path), path.read_bytes()
    size = int.from_bytes(intact[-8:-4], "little")
    for _ in range(200):
        data = bytearray(intact)
        data[len(data) - 8 - random.randint(1, size)] = random.randint(0, 255)
        path.write_bytes(data)
        result = stage_delivered(session, path, columns, target=TargetTable("t"), partition="*")
        if result is None:
            continue
        place = session.data_folder / result[0].path
        _footer_tells_the_values(place)
        counts = duckdb.sql(
            f"SELECT count(*), count(x), count(y), count(z), count(_partition) FROM '{place}'"
        ).fetchall()
        assert counts[0][0] == counts[0][4] == result[0].rows == 5000


@pytest.mark.parametrize("logical", [(TType.I32, 5), (TType.STRUCT, {8: (TType.I32, 1)})])
def test_a_damaged_logical_type_is_refused(logical: tuple[int, Any]) -> None:
    """Catches: an error of Python about a type in whose place a footer has a number."""
    column = ColumnSchema("x", 6, 0, {10: logical})
    with pytest.raises(Unusable):
        assert not (column.is_text or column.time_unit)


NOT_AS_DELIVERED = {
    "lists": "SELECT [range] AS x FROM range(900)",
    "structs": "SELECT {a: range} AS x FROM range(900)",
    "NaN": "SELECT CASE range WHEN 7 THEN 'nan'::DOUBLE ELSE range END AS x FROM range(900)",
    "infinite dates": "SELECT 'infinity'::DATE AS x FROM range(900)",
    "infinite times": "SELECT '-infinity'::TIMESTAMPTZ AS x FROM range(900)",
    "infinite milliseconds": "SELECT 'infinity'::TIMESTAMP_MS AS x FROM range(900)",
    "bytes": "SELECT 'a'::BLOB AS x FROM range(900)",
    "no rows": "SELECT 1 AS x LIMIT 0",
    "times of a day": "SELECT TIME '10:00:00' AS x FROM range(900)",
}


@pytest.mark.parametrize("name", NOT_AS_DELIVERED)
def test_other_values_are_encoded_anew(session: DuckDBSession, tmp_path: Path, name: str) -> None:
    path = _deliver(tmp_path / "a.parquet", NOT_AS_DELIVERED[name])
    assert _staged(session, path) is None
    assert not list(session.data_folder.rglob("*.parquet"))


@pytest.mark.parametrize("options", ["COMPRESSION gzip", "COMPRESSION uncompressed"])
def test_slow_or_large_codecs_are_encoded_anew(
    session: DuckDBSession, tmp_path: Path, options: str
) -> None:
    path = _deliver(tmp_path / "a.parquet", "SELECT range AS x FROM range(900)", options)
    assert _staged(session, path) is None


def test_times_in_nanoseconds_and_other_names_are_encoded_anew(
    session: DuckDBSession, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": pa.array([1, 2], pa.timestamp("ns"))}), path, compression="zstd")
    assert _staged(session, path) is None
    pq.write_table(
        pa.table({"x": pa.array([1, 2], pa.timestamp("us"))}),
        path,
        compression="zstd",
        use_deprecated_int96_timestamps=True,
    )
    assert _staged(session, path) is None
    pq.write_table(pa.table({"x": [1], "y": [date(2026, 1, 1)]}), path, compression="zstd")
    columns = (("y", "DATE"), ("x", "BIGINT"))
    assert stage_delivered(session, path, columns, target=TargetTable("t"), partition="*") is None


def test_small_row_groups_are_encoded_anew(
    session: DuckDBSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers would pay for each row group for ever."""
    path = _deliver(
        tmp_path / "a.parquet",
        "SELECT range AS x FROM range(9000)",
        "COMPRESSION zstd, ROW_GROUP_SIZE 2048",
    )
    monkeypatch.setattr(delivered_parquet, "GROUP_ROWS_MIN", 20_000)
    assert _staged(session, path) is None


def _published(lake: Lake, path: Path, key: str) -> None:
    with DuckDBSession(lake.data_folder, readable=[path.parent]) as session:
        result = stage_delivered(
            session,
            path,
            _described(path),
            target=TargetTable("t", catalog.table(lake.tx, "t")),
            partition=key,
        )
    assert result is not None
    staged, table = result
    with lake.change() as change:
        change.evolve_table(table)
        change.replace("t", [key], [staged])


@pytest.mark.long
@pytest.mark.parametrize("unit", ["us", "ms"])
def test_ducklake_finds_values_of_every_type(lake: Lake, tmp_path: Path, unit: str) -> None:
    """A bound that makes DuckLake, or DuckDB below it, skip the row group that has the value."""
    select = ", ".join(f'{sql} AS "{name}"' for name, sql in COLUMNS.items())
    query = f"SELECT {select} FROM (SELECT range AS r FROM range({{}}, {{}}))"
    lake.publish("t", "2026-01-01", query.format(90_000, 90_010))
    path = tmp_path / "a.parquet"
    table = duckdb.sql(query.format(0, 9_000)).to_arrow_table()
    pq.write_table(
        table, path, row_group_size=2_000, coerce_timestamps=unit, allow_truncated_timestamps=True
    )
    _published(lake, path, "2026-01-02")
    lake.check("t")
    for name in COLUMNS:
        assert lake.ducklake(f'SELECT min("{name}")::VARCHAR, max("{name}")::VARCHAR FROM t') == (
            lake.ducklake(
                f'SELECT min(v)::VARCHAR, max(v)::VARCHAR FROM (SELECT "{name}" AS v FROM t'
                " ORDER BY random() LIMIT 100000)"
            )
        )
        for of in ("min", "max"):
            found = f'SELECT count(*) > 0 FROM t WHERE "{name}" = (SELECT {of}("{name}") FROM t)'
            assert lake.ducklake(found) == [[True]], name


def test_ducklake_reads_files_as_delivered_beside_others(lake: Lake, tmp_path: Path) -> None:
    """A foreign reader that sees no partition, other columns, or other rows; a later column."""
    lake.publish("t", "2026-01-01", "SELECT 1::BIGINT AS x, 'one' AS y")
    path = _deliver(
        tmp_path / "a.parquet",
        "SELECT range AS x, 'v' || range AS y FROM range(5000)",
        "COMPRESSION snappy, ROW_GROUP_SIZE 2048",
    )
    _published(lake, path, "2026-01-02")
    lake.check("t")
    assert lake.ducklake("SELECT _partition, count(*), max(x) FROM t GROUP BY 1 ORDER BY 1") == [
        ["2026-01-01", 1, 1],
        ["2026-01-02", 5000, 4999],
    ]
    lake.publish("t", "2026-01-03", "SELECT 2::BIGINT AS x, 'y' AS y, 3 AS z", evolve=True)
    lake.check("t")
    lake.withdraw("t", "2026-01-02")
    lake.check("t")
