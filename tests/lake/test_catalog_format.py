"""Our catalog against one that DuckLake itself has made: the same tables, the same rows for the
same changes.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from catalog_contract import ALL_TYPES
from lakelab import DuckLake, Lake

from headrace.lake import catalog
from headrace.lake.schema import TargetTable
from headrace.lake.staging import stage
from headrace.lake.tables import PARTITION_COLUMN
from headrace.model.errors import LakeError

NO_STATISTICS = ("p2", "x")
"""TIMETZ and INTERVAL: DuckLake counts 0 values and prunes `IS NOT NULL` wrongly from that; we
count them."""


@pytest.fixture
def theirs(tmp_path: Path, ducklake: DuckLake) -> Path:
    """An empty catalog made by DuckLake."""
    folder = tmp_path / "theirs"
    (folder / "lake").mkdir(parents=True)
    ducklake.attach(folder / "state.db", folder / "lake")
    return folder / "state.db"


def _rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_the_tables_are_exactly_ducklakes(lake: Lake, theirs: Path) -> None:
    sql = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name LIKE 'ducklake%' ORDER"
        " BY name"
    )
    assert _rows(lake.catalog_path, sql) == _rows(theirs, sql)


@pytest.mark.parametrize(
    "sql",
    [
        (
            'SELECT "key", "value", "scope", scope_id FROM ducklake_metadata WHERE "key" IN'
            " ('version', 'encrypted')"
        ),
        "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot",
        "SELECT * FROM ducklake_snapshot_changes",
        (
            "SELECT schema_id, begin_snapshot, end_snapshot, schema_name, path, path_is_relative"
            " FROM ducklake_schema"
        ),
    ],
)
def test_the_first_rows_are_ducklakes(lake: Lake, theirs: Path, sql: str) -> None:
    assert _rows(lake.catalog_path, sql) == _rows(theirs, sql)


def test_what_is_added_to_the_metadata_is_one_option(lake: Lake, theirs: Path) -> None:
    """Foreign writers must not inline rows into the catalog, where file lists can't show them."""
    keys = 'SELECT "key" FROM ducklake_metadata ORDER BY 1'
    assert set(_rows(lake.catalog_path, keys)) - set(_rows(theirs, keys)) == {
        ("data_inlining_row_limit",)
    }


def test_a_table_of_every_type_gives_the_rows_that_ducklake_writes(
    lake: Lake, theirs: Path, ducklake: DuckLake
) -> None:
    _, table = lake.stage("t", "k", ALL_TYPES)
    with lake.change() as change:
        change.create_table(table)
    ducklake.sql(
        "CREATE TABLE t("
        + ", ".join(
            f'"{c.name}" {c.type}{" NOT NULL" if c.name == PARTITION_COLUMN else ""}'
            for c in table.columns
        )
        + ")"
    )
    for sql in (
        "SELECT * FROM ducklake_column ORDER BY column_id",
        "SELECT * FROM ducklake_schema_versions",
        (
            "SELECT table_id, begin_snapshot, end_snapshot, schema_id, table_name, path,"
            " path_is_relative FROM ducklake_table"
        ),
        "SELECT snapshot_id, changes_made FROM ducklake_snapshot_changes",
        "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot",
    ):
        assert _rows(lake.catalog_path, sql) == _rows(theirs, sql), sql


def test_statistics_are_those_that_ducklake_writes_for_the_same_rows(
    lake: Lake, theirs: Path, ducklake: DuckLake
) -> None:
    """Of files, of the table and of its columns, after three insertions."""
    for number, key in enumerate(("2024", "2026", "2025")):
        select = ALL_TYPES.replace("3 AS d", f"{5 - number} AS d").replace(
            "'it''s' AS z", f"nullif('z{number}', 'z1') AS z"
        )
        select = select.replace("2.5::DOUBLE AS m2", f"({1 - number}.5)::DOUBLE AS m2").replace(
            "DATE '2024-01-01' AS o", f"DATE '2024-01-01' - {number * 800_000} AS o"
        )
        select += f" FROM range({number + 1})"
        lake.publish("t", key, select)
        table = lake.table("t")
        if not number:
            ducklake.sql(
                f"CREATE TABLE t({', '.join(f'{_name(c.name)} {c.type}' for c in table.columns)})"
            )
        ducklake.sql(f"INSERT INTO t SELECT '{key}', * FROM ({select})")
    left_out = " AND ".join(
        f"column_id <> (SELECT column_id FROM ducklake_column WHERE column_name = '{name}' AND"
        " parent_column IS NULL)"
        for name in NO_STATISTICS
    )
    counted = (
        "data_file_id, table_id, column_id, value_count, null_count, min_value, max_value,"
        " contains_nan"
    )
    for sql in (
        f"SELECT {counted} FROM ducklake_file_column_stats WHERE {left_out} ORDER BY 1, 3",
        f"SELECT * FROM ducklake_table_column_stats WHERE {left_out} ORDER BY column_id",
        "SELECT table_id, record_count, next_row_id FROM ducklake_table_stats",
        (
            "SELECT data_file_id, table_id, end_snapshot, path_is_relative, file_format,"
            " record_count, row_id_start FROM ducklake_data_file"
        ),
    ):
        assert _rows(lake.catalog_path, sql) == _rows(theirs, sql), sql


def test_intervals_are_counted(lake: Lake) -> None:
    """DuckDB returns no counts for INTERVAL; DuckLake then answers `IS NOT NULL` with nothing."""
    lake.publish("t", "k", "SELECT INTERVAL (range) DAY AS x FROM range(3)")
    assert lake.ducklake("SELECT count(*) FROM t WHERE x IS NOT NULL") == [[3]]


def test_another_version_is_refused_with_what_to_do(lake: Lake) -> None:
    catalog.check_version(lake.tx)
    lake.tx.execute("UPDATE ducklake_metadata SET \"value\" = '1.1' WHERE \"key\" = 'version'")
    with pytest.raises(LakeError, match=r"version 1\.1") as refused:
        catalog.check_version(lake.tx)
    assert refused.value.hint


def test_snapshots_are_found_by_time_and_never_go_back(lake: Lake) -> None:
    """A replay's clock stands in the past; DuckLake's `AT (TIMESTAMP)` must still agree with us."""
    first, second = (
        lake.publish("t", "a", "SELECT 1 AS id"),
        lake.publish("t", "b", "SELECT 2 AS id"),
    )
    times = [
        row[0]
        for row in lake.tx.execute(
            "SELECT snapshot_time FROM ducklake_snapshot ORDER BY snapshot_id"
        ).fetchall()
    ]
    assert times == sorted(times)
    for number, snapshot in ((1, first), (2, second)):
        at = catalog.schema.snapshot_time(1_700_000_000_000_000 + (number - 1) * 1_000_000)
        assert lake.ducklake(f"SELECT count(*) FROM t AT (TIMESTAMP => TIMESTAMPTZ '{at}')") == [
            [number]
        ]
        assert (
            catalog.snapshot_at(lake.tx, 1_700_000_000_000_000 + (number - 1) * 1_000_000)
            == snapshot
        )
    with lake.transaction():
        late = catalog.CatalogChange.begin(lake.tx, 0)
        staged, _ = stage(
            lake.session, "SELECT 3 AS id", target=TargetTable("t", lake.table("t")), partition="c"
        )
        late.replace("t", ["c"], [staged])
        late.finish("headrace", "clock went back")
    assert lake.tx.execute(
        "SELECT count(DISTINCT snapshot_time) FROM ducklake_snapshot"
    ).fetchone() == (3,)
    lake.check("t")


SMALL = (
    "ducklake_schema",
    "ducklake_inlined_data_tables",
    "ducklake_column_mapping",
    "SCAN s",
    "SCAN c",
    "SCAN CONSTANT",
    "SCAN n",
    "ducklake_snapshot_1",
)
"""Tables that stay small, and their aliases: reading them through costs nothing. The newest
snapshot is the index's last entry."""


def test_no_statement_of_a_publication_reads_a_table_through(lake: Lake) -> None:
    """Without the right index each publication would cost more with each table and each file that
    the lake has.
    """
    for number in range(5):
        lake.publish("t", f"k{number}", "SELECT 1 AS id")
    seen: list[str] = []
    lake.tx.set_trace_callback(seen.append)
    lake.publish("t", "k3", "SELECT 2 AS id")
    catalog.files(lake.tx, "t", ["k3"])
    catalog.files(lake.tx, "t", None)
    catalog.table(lake.tx, "t")
    lake.tx.set_trace_callback(None)
    looked_up = [sql for sql in seen if sql.startswith(("SELECT", "UPDATE"))]
    plans = [
        (row[3], sql)
        for sql in looked_up
        for row in lake.tx.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
    ]
    through = [
        plan
        for plan in plans
        if plan[0].startswith("SCAN") and not any(small in plan[0] for small in SMALL)
    ]
    assert through == []
    used = " ".join(plan for plan, _ in plans)
    assert all(
        f"headrace_lake_{name}" in used
        for name in (
            "one",
            "several",
            "table",
            "column",
            "totals",
            "extent",
            "file",
            "path",
            "delete",
        )
    )


def _name(name: str) -> str:
    return f'"{name}"'
