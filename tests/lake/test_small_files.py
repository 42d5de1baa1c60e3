"""Few rows are staged by Arrow, and become the file that DuckDB would have staged."""

from __future__ import annotations

import stat
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lakelab import Lake

from headrace.lake.schema import CodeTypes, SchemaMismatch, TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.small_files import SMALL_BYTES_MAX, stage_batch
from headrace.lake.staging import hash_partitions, stage
from headrace.lake.tables import ColumnStatistics, FileRef, LakeTable, StagedFile

VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.string(): st.text(max_size=400),
    pa.large_string(): st.text(max_size=40),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
}
TIMES = [datetime.fromisoformat("0001-01-01"), datetime.fromisoformat("2024-01-01 00:00:00.000120")]


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=5))
    rows = draw(st.integers(1, 6))
    arrays = [
        pa.array(draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows)), kind)
        for kind in kinds
    ]
    return pa.RecordBatch.from_arrays(arrays, [f"Column {place}" for place in range(len(kinds))])


def _small(
    session: DuckDBSession, key: str, rows: pa.RecordBatch, table: LakeTable | None = None
) -> tuple[StagedFile, LakeTable] | None:
    return stage_batch(
        session,
        rows,
        target=TargetTable("t", table, code=CodeTypes()),
        partitions=((key, rows.num_rows),),
    )


def _by_duckdb(
    session: DuckDBSession, key: str, rows: pa.RecordBatch, table: LakeTable | None = None
) -> tuple[StagedFile, LakeTable]:
    session.connection.register("rows", pa.Table.from_batches([rows]))
    try:
        return stage(
            session,
            "SELECT * FROM rows",
            target=TargetTable("t", table, code=CodeTypes()),
            partition=key,
            hashed=False,
        )
    finally:
        session.connection.unregister("rows")


def _without_layout(staged: StagedFile) -> StagedFile:
    """The file without what depends on its bytes."""
    return msgspec.structs.replace(
        staged,
        path="",
        size_bytes=0,
        footer_bytes=0,
        footer_hash="",
        statistics={
            name: msgspec.structs.replace(of, size_bytes=0)
            for name, of in staged.statistics.items()
        },
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with DuckDBSession(tmp_path_factory.mktemp("lake"), threads=1) as opened:
        yield opened


def _batch(kind: pa.DataType, *values: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, kind)], ["x"])


@pytest.mark.long
@given(rows=batches(), key=st.text(min_size=1, max_size=300))
@example(rows=_batch(pa.float64(), -0.0), key="*")
@example(rows=_batch(pa.float64(), 0.0, -0.0, 1e16, 1e-7), key="2024-01-01")
@example(rows=_batch(pa.timestamp("us"), *TIMES), key="k")
@example(rows=_batch(pa.date32(), date(1, 1, 1), date.max), key="ü" * 300)
@example(rows=_batch(pa.string(), "a\0b", "z" * 300, "é" * 300, "\U0010ffff" * 300), key="k")
@example(rows=_batch(pa.int64(), None), key="k")
@settings(max_examples=60, deadline=None)
def test_the_file_is_the_one_that_duckdb_would_write(
    session: DuckDBSession, rows: pa.RecordBatch, key: str
) -> None:
    """Columns, statistics, rows and content hash are the same; only the layout differs."""
    key = key.replace("\0", "") or "k"
    ours = _small(session, key, rows)
    assert ours is not None, "each of these types is written without DuckDB"
    (staged, table), (expected, expected_table) = ours, _by_duckdb(session, key, rows)
    assert table == expected_table
    assert _without_layout(staged) == _without_layout(expected)
    assert _contents(session, staged) == _contents(session, expected)
    hashes = [
        hash_partitions(session, [FileRef(file.path)], table.columns) for file in (staged, expected)
    ]
    assert hashes[0] == hashes[1]


def _contents(session: DuckDBSession, staged: StagedFile) -> tuple[Any, ...]:
    """Types, field ids and rows of a file."""
    path = str(session.data_folder / staged.path)
    fields = session.connection.execute(
        "SELECT name, type, repetition_type, field_id FROM parquet_schema($1) WHERE field_id IS NOT"
        " NULL",
        [path],
    ).fetchall()
    fields += session.connection.execute(
        "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet($1))", [path]
    ).fetchall()
    rows = session.connection.execute("SELECT * FROM read_parquet($1)", [path]).fetchall()
    return fields, rows


def test_duckdb_writes_what_arrow_would_write_otherwise(session: DuckDBSession) -> None:
    """Such rows are left to `stage`, and no file is written for them."""
    too_many = pa.RecordBatch.from_pydict({"x": ["x" * 1024] * (SMALL_BYTES_MAX // 1024)})
    before = _files(session)
    for rows in (
        too_many,
        too_many.slice(0, 0),
        _batch(pa.float64(), float("nan"), 1.0),
        _batch(pa.float64(), float("inf")),
        _batch(pa.int32(), 1),
        _batch(pa.list_(pa.int64()), [1]),
        _batch(pa.timestamp("us", "UTC"), TIMES[1]),
        pa.RecordBatch.from_arrays([pa.array([2_932_897], pa.int32()).cast(pa.date32())], ["x"]),
        pa.RecordBatch.from_arrays([_not_text()], ["x"]),
    ):
        assert _small(session, "k", rows) is None, rows.schema
    assert _files(session) == before


def _not_text() -> pa.Array:
    """A column that says it is text and isn't UTF-8."""
    return pa.array([b"a", b"\xff", b"b"]).cast(pa.string(), safe=False)


def _files(session: DuckDBSession) -> set[Path]:
    return set(session.data_folder.rglob("*.parquet"))


def test_rows_are_written_in_the_order_of_the_tables_columns(session: DuckDBSession) -> None:
    first = _small(session, "k", pa.RecordBatch.from_pydict({"a": [1], "b": ["x"]}))
    assert first is not None
    later = _small(session, "l", pa.RecordBatch.from_pydict({"B": ["y"], "A": [2]}), first[1])
    assert later is not None
    assert later[1] == first[1]
    assert _contents(session, later[0])[1] == [("l", 2, "y")]


def test_values_that_must_be_cast_are_left_to_duckdb(session: DuckDBSession) -> None:
    table = _by_duckdb(session, "k", _batch(pa.float64(), 1.0))[1]
    assert _small(session, "l", _batch(pa.int64(), 1), table) is None
    with pytest.raises(SchemaMismatch, match="lacks `x`"):
        _small(session, "l", pa.RecordBatch.from_pydict({"y": [1.0]}), table)


def test_nobody_may_change_the_file(session: DuckDBSession) -> None:
    ours = _small(session, "k", _batch(pa.int64(), 1))
    assert ours is not None
    assert not stat.S_IMODE((session.data_folder / ours[0].path).stat().st_mode) & 0o222


def test_ducklake_reads_the_file_and_skips_it_by_its_bounds(lake: Lake) -> None:
    for key, low in (("2024-01-01", 0), ("2024-01-02", 100)):
        rows = pa.RecordBatch.from_pydict(
            {"n": list(range(low, low + 10)), "text": [f"é{low}"] * 10, "f": [low + 0.5] * 10}
        )
        ours = _small(lake.session, key, rows, None if low == 0 else lake.table("t"))
        assert ours is not None
        lake._publish("t", [key], [ours[0]], ours[1])
    lake.check("t")
    assert lake.ducklake("SELECT count(*), min(_partition) FROM t WHERE n >= 100") == [
        [10, "2024-01-02"]
    ]
    assert lake.ducklake("SELECT count(*) FROM t WHERE text = 'é0' AND f < 1") == [[10]]
    statistics = ColumnStatistics(0, 10, 0, "100", "109")
    assert msgspec.structs.replace(ours[0].statistics["n"], size_bytes=0) == statistics
