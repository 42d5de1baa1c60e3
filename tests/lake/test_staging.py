"""Staging: a query's rows become a file that fits its table, or an error that says what doesn't."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakelab import Lake

from headrace.lake.schema import COLUMNS_MAX, SchemaMismatch, TargetTable
from headrace.lake.sqltext import relation_sql
from headrace.lake.staging import (
    HASHED_BYTES_MAX,
    KeyExpression,
    NoPartition,
    hash_partitions,
    stage,
    stage_rewrite,
)
from headrace.lake.tables import FileRef
from headrace.lake.types import UnsupportedType


def _values(lake: Lake, path: str) -> list[tuple[object, ...]]:
    return lake.session.connection.execute(
        f"SELECT * FROM read_parquet('{lake.data_folder / path}')"
    ).fetchall()


def test_the_partition_is_the_first_column_with_id_1(lake: Lake) -> None:
    staged, table = lake.stage(
        "t", "2024-01-01", "SELECT 1 AS id, {'x': [1]} AS s, MAP {'k': 2} AS m"
    )
    schema = pq.read_schema(lake.data_folder / staged.path)
    assert schema.names == ["_partition", "id", "s", "m"]
    ids = lake.session.connection.execute(
        f"SELECT name, field_id FROM parquet_schema('{lake.data_folder / staged.path}') WHERE"
        " field_id IS NOT NULL"
    ).fetchall()
    assert ids == [
        ("_partition", 1),
        ("id", 2),
        ("s", 3),
        ("x", 4),
        ("element", 5),
        ("m", 6),
        ("key", 7),
        ("value", 8),
    ]
    assert [column.id for column in table.columns] == [1, 2, 3, 6]


def test_codec_size_and_footer_are_as_said(lake: Lake) -> None:
    staged, _ = lake.stage("t", "k", "SELECT range AS id FROM range(1000)")
    path = lake.data_folder / staged.path
    footer = pq.ParquetFile(path).metadata
    assert (staged.rows, staged.size_bytes, staged.footer_bytes) == (
        1000,
        path.stat().st_size,
        footer.serialized_size,
    )
    assert footer.row_group(0).column(0).compression == "ZSTD"


def test_parameters_are_bound(lake: Lake) -> None:
    staged, _ = lake.stage(
        "t",
        "k",
        "SELECT $name AS name, $day::DATE AS day",
        parameters={"name": "'; DROP TABLE x; --", "day": "2024-01-01"},
    )
    assert _values(lake, staged.path)[0][1] == "'; DROP TABLE x; --"


def test_an_arrow_table_is_staged_without_loss(lake: Lake) -> None:
    table = pa.table(
        {
            "n": pa.array([1, None], pa.int16()),
            "d": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
            "nothing": pa.nulls(2),
            "dict": pa.array(["a", "b"]).dictionary_encode(),
            "l": pa.array([[1], None], pa.list_(pa.int64(), 1)),
        }
    )
    lake.session.connection.register("body", table)
    staged, made = lake.stage("t", "k", "SELECT * FROM body")
    assert [column.type for column in made.columns] == [
        "VARCHAR",
        "SMALLINT",
        "DECIMAL(10,2)",
        "INTEGER",
        "VARCHAR",
        "BIGINT[]",
    ]
    assert _values(lake, staged.path) == [
        ("k", 1, Decimal("1.50"), None, "a", [1]),
        ("k", None, None, None, "b", None),
    ]


@pytest.mark.parametrize(
    ("select", "named"),
    [
        ("SELECT 1 AS a, 2 AS a", "`a` more than once"),
        ('SELECT 1 AS a, 2 AS "A"', "`a` more than once"),
        ("SELECT 1 AS _partition, 2 AS a", "Headrace's own"),
        ('SELECT 1 AS "_PARTITION", 2 AS a', "Headrace's own"),
        ("SELECT 1 AS a; SELECT 2 AS b", "one query"),
        ("SELECT 1 AS a) TO '/tmp/x'; ATTACH 'x'; SELECT (1", "."),
        ("CREATE TABLE x(a INTEGER)", "one query"),
        ("COPY (SELECT 1) TO 'x'", "one query"),
        ("", "one query"),
    ],
)
def test_a_body_that_is_no_table_is_refused(lake: Lake, select: str, named: str) -> None:
    with pytest.raises((SchemaMismatch, duckdb.ParserException), match=named):
        lake.stage("t", "k", select)
    assert not list(lake.data_folder.rglob("*.parquet"))


@pytest.mark.parametrize(
    "select",
    [
        "SELECT 1 AS a -- the end",
        "SELECT 1 AS a;",
        "SELECT 1 AS a; -- ; )",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "FROM (VALUES (1)) AS v(a)",
        "SELECT 1 AS a /* ) */",
    ],
)
def test_a_bodys_last_line_may_be_a_comment(lake: Lake, select: str) -> None:
    staged, _ = lake.stage("t", "k", select)
    assert staged.rows == 1


@pytest.mark.parametrize(
    ("select", "kind"),
    [
        ("SELECT sum(x) AS a FROM range(3) AS t(x)", "BIGINT"),
        ("SELECT 'x'::ENUM('x', 'y') AS a", "VARCHAR"),
        ("SELECT [1, 2]::INTEGER[2] AS a", "INTEGER[]"),
        ("SELECT NULL AS a", "INTEGER"),
        ("SELECT '101'::BIT AS a", "VARCHAR"),
        ("SELECT {'x': 5::HUGEINT} AS a", "STRUCT(x BIGINT)"),
        ("SELECT 5::UHUGEINT AS a", "BIGINT"),
        ("SELECT TIME '10:00' AS a", "TIME"),
        ("SELECT [] AS a", "INTEGER[]"),
    ],
)
def test_types_that_the_lake_cannot_hold_have_a_stand_in(
    lake: Lake, select: str, kind: str
) -> None:
    """DuckLake stores HUGEINT as DOUBLE: sums would lose digits."""
    _, table = lake.stage("t", "k", select)
    assert table.columns[1].type == kind
    with lake.change() as change:
        change.create_table(table)
    lake.check("t")


def test_a_sum_too_large_is_an_error_not_another_number(lake: Lake) -> None:
    """Would catch: a hint that can't help, as a cast to HUGEINT ends in BIGINT, too."""
    query = "SELECT sum(9223372036854775807) AS total FROM range(2)"
    with pytest.raises(SchemaMismatch, match="`total`") as refused:
        lake.stage("t", "k", query)
    assert "`total::DECIMAL(38,0)`" in refused.value.hint
    lake.publish("t", "k", query.replace(" AS ", "::DECIMAL(38,0) AS "))
    assert lake.rows("t") == [["k", "18446744073709551614"]]


@pytest.mark.parametrize("value", ["1193:02:47.295", "2 months 3 days", "0 days"])
def test_an_interval_that_parquet_holds_is_kept(lake: Lake, value: str) -> None:
    lake.publish("t", "a", f"SELECT INTERVAL '{value}' AS i, TIMETZ '10:00:00+00' AS t")
    text = lake.session.connection.execute(f"SELECT CAST(INTERVAL '{value}' AS VARCHAR)").fetchone()
    assert text is not None
    assert lake.rows("t") == [["a", text[0], "10:00:00+00"]]


@pytest.mark.parametrize(
    "value",
    [
        "INTERVAL '1 microsecond'",
        "INTERVAL '2000 hours'",
        "INTERVAL '-1 day'",
        "INTERVAL '1 day -1 second'",
        "TIMETZ '10:00:00+05:30'",
    ],
)
def test_intervals_and_times_that_parquet_changes_are_refused(lake: Lake, value: str) -> None:
    """Would catch: 2000 hours stored as 806:57:12.704, and an offset or microseconds lost."""
    with pytest.raises(SchemaMismatch, match="`a`"):
        lake.stage("t", "k", f"SELECT {value} AS a")
    with pytest.raises(UnsupportedType, match="`a`"):
        lake.stage("t", "k", f"SELECT [{value}] AS a")


@pytest.mark.parametrize(
    "select",
    [
        "SELECT union_value(x := 1) AS a",
        "SELECT {'x': union_value(y := 1)} AS a",
        "SELECT 1::VARIANT AS a",
    ],
)
def test_a_type_without_a_place_is_named(lake: Lake, select: str) -> None:
    with pytest.raises(UnsupportedType, match="`a`"):
        lake.stage("t", "k", select)


def test_columns_are_matched_by_name_not_by_place(lake: Lake) -> None:
    lake.publish("t", "a", "SELECT 1 AS x, 'one' AS y")
    lake.publish("t", "b", 'SELECT \'two\' AS "Y", 2 AS "X"')
    assert lake.rows("t") == [["a", "1", "one"], ["b", "2", "two"]]


def test_missing_and_unknown_columns_are_named(lake: Lake) -> None:
    lake.publish("t", "a", "SELECT 1 AS x, 'one' AS y")
    with pytest.raises(SchemaMismatch, match=r"it has `z`.*it lacks `y`") as refused:
        lake.stage("t", "b", "SELECT 1 AS x, 2 AS z")
    assert refused.value.columns == ("z", "y")
    assert "apply" in refused.value.hint


@pytest.mark.parametrize(
    ("select", "fits"),
    [
        ("SELECT 5::BIGINT AS x", True),
        ("SELECT 5.0::DOUBLE AS x", True),
        ("SELECT '5' AS x", True),
        ("SELECT NULL AS x", True),
        ("SELECT true AS x", True),
        ("SELECT 5.5 AS x", False),
        ("SELECT 3000000000 AS x", False),
        ("SELECT '05' AS x", False),
        ("SELECT 'five' AS x", False),
        ("SELECT 'nan'::DOUBLE AS x", False),
    ],
)
def test_a_value_is_cast_only_without_loss(lake: Lake, select: str, fits: bool) -> None:
    """A pandas column with a gap comes as DOUBLE: that is fine. 5.5 must not become 5 or 6."""
    lake.publish("t", "a", "SELECT 1::INTEGER AS x")
    if fits:
        lake.publish("t", "b", select)
        lake.check("t")
    else:
        with pytest.raises(SchemaMismatch, match="`x` of table `t` is INTEGER"):
            lake.stage("t", "b", select)


def test_a_failing_body_leaves_no_file_and_keeps_its_own_error(lake: Lake) -> None:
    with pytest.raises(duckdb.InvalidInputException, match="no such luck"):
        lake.stage(
            "t",
            "k",
            "SELECT CASE WHEN range > 100000 THEN error('no such luck') ELSE range END AS x FROM"
            " range(200000)",
        )
    assert not list(lake.data_folder.rglob("*.parquet"))


def test_a_very_wide_table_is_staged_and_read(lake: Lake) -> None:
    select = (
        "SELECT "
        + ", ".join(f"range AS column_{number}" for number in range(1000))
        + " FROM range(3)"
    )
    lake.publish("t", "k", select)
    assert len(lake.rows("t")[0]) == 1001
    assert lake.ducklake("SELECT sum(column_999) FROM t") == [[3]]
    with pytest.raises(SchemaMismatch):
        lake.stage(
            "u", "k", "SELECT " + ", ".join(f"1 AS c{number}" for number in range(COLUMNS_MAX + 1))
        )


def test_partitions_of_one_file_are_sorted_and_counted(lake: Lake) -> None:
    asked = ("2024-01-01", "2024-01-02", "2024-01-03")
    staged, _ = lake.stage(
        "t",
        KeyExpression("strftime(day, '%Y-%m-%d')", asked),
        "SELECT DATE '2024-01-01' + (range % 2)::INTEGER AS day, range AS id FROM range(5)",
    )
    assert [(part.key, part.rows) for part in staged.partitions] == [
        ("2024-01-01", 3),
        ("2024-01-02", 2),
        ("2024-01-03", 0),
    ]
    keys = [row[0] for row in _values(lake, staged.path)]
    assert keys == sorted(keys)
    assert (staged.statistics["_partition"].minimum, staged.statistics["_partition"].maximum) == (
        "2024-01-01",
        "2024-01-02",
    )


def test_a_row_without_a_key_is_refused(lake: Lake) -> None:
    with pytest.raises(NoPartition, match="2 rows of `t`"):
        lake.stage(
            "t",
            KeyExpression("k"),
            "SELECT CASE WHEN range > 2 THEN 'x' END AS k, range AS id FROM range(1, 4)",
        )
    assert not list(lake.data_folder.rglob("*.parquet"))


def test_nothing_staged_has_one_partition_without_rows(lake: Lake) -> None:
    staged, _ = lake.stage("t", "k", "SELECT 1 AS id WHERE false")
    again, _ = lake.stage("t", "k", "SELECT 1 AS id WHERE false")
    assert [(part.key, part.rows) for part in staged.partitions] == [("k", 0)]
    assert staged.partitions[0].content_hash == again.partitions[0].content_hash is not None


def test_the_content_hash_is_that_of_the_rows_whatever_their_order_and_files(lake: Lake) -> None:
    item, table = lake.stage("t", "a", "SELECT range AS id, 'n' || range AS note FROM range(1000)")
    other, _ = lake.stage(
        "t", "a", "SELECT range AS id, 'n' || range AS note FROM range(1000) ORDER BY hash(range)"
    )
    halves = [
        lake.stage(
            "t", "a", f"SELECT range AS id, 'n' || range AS note FROM range({start}, {start + 500})"
        )[0]
        for start in (0, 500)
    ]
    (both,) = hash_partitions(lake.session, [FileRef(half.path) for half in halves], table.columns)
    assert item.partitions[0].content_hash == other.partitions[0].content_hash == both.content_hash
    many, _ = lake.stage(
        "t", KeyExpression("k"), "SELECT range % 7 AS k, range AS id FROM range(700)"
    )
    alone, _ = lake.stage(
        "t", "3", "SELECT range % 7 AS k, range AS id FROM range(700) WHERE range % 7 = 3"
    )
    assert many.partitions[3].content_hash == alone.partitions[0].content_hash


@pytest.mark.parametrize(
    "other",
    [
        "SELECT 1 AS a, NULL::INTEGER AS b",
        "SELECT NULL::INTEGER AS a, 1 AS b UNION ALL SELECT NULL, 1",
        "SELECT 1 AS b, NULL::INTEGER AS a",
        "SELECT NULL::INTEGER AS a, 1::BIGINT AS b",
        "SELECT NULL::INTEGER AS a, 1 AS c",
        "SELECT 0 AS a, 1 AS b",
    ],
)
def test_other_content_has_another_hash(lake: Lake, other: str) -> None:
    item, _ = lake.stage("t", "a", "SELECT NULL::INTEGER AS a, 1 AS b")
    another, _ = lake.stage("u", "a", other)
    assert item.partitions[0].content_hash != another.partitions[0].content_hash


def test_large_files_are_hashed_only_when_somebody_compares(lake: Lake) -> None:
    staged, table = lake.stage("t", "a", "SELECT range AS id, uuid() AS u FROM range(200000)")
    assert staged.size_bytes > HASHED_BYTES_MAX
    assert staged.partitions[0].content_hash is None
    (part,) = hash_partitions(lake.session, [FileRef(staged.path)], table.columns)
    assert (part.key, part.rows, part.content_hash is None) == ("a", 200_000, False)


def test_a_rewrite_keeps_the_other_partitions_as_they_are(lake: Lake) -> None:
    staged, table = lake.stage(
        "t",
        KeyExpression("k"),
        "SELECT range % 5 AS k, range AS id, {'x': [range]} AS s FROM range(100)",
    )
    rest = stage_rewrite(lake.session, FileRef(staged.path), table, ["1", "3"])
    assert rest is not None
    assert rest.partitions == tuple(
        part for part in staged.partitions if part.key not in ("1", "3")
    )
    assert (
        stage_rewrite(lake.session, FileRef(staged.path), table, ["0", "1", "2", "3", "4"]) is None
    )
    assert len(list(lake.data_folder.rglob("*.parquet"))) == 2


def test_no_files_give_an_empty_relation_with_the_tables_types(lake: Lake) -> None:
    _, table = lake.stage("t", "k", "SELECT 1::DECIMAL(5,2) AS d, {'x': [1]} AS s")
    result = lake.session.connection.execute(
        f"DESCRIBE {relation_sql([], table.columns, with_partition=True)}"
    ).fetchall()
    assert [(row[0], row[1]) for row in result] == [
        (column.name, column.type) for column in table.columns
    ]


def test_a_file_of_a_link_in_the_tables_folder_is_never_made(lake: Lake, tmp_path: Path) -> None:
    """Table names never leave the data folder, whatever they are."""
    for name in (
        "../../out",
        "/etc/x",
        "a/b",
        "..",
        ".",
        "x\0y",
        "con",
        "T" * 5000,
        "ü",
        "a b",
        "-rf",
    ):
        staged, _ = stage(lake.session, "SELECT 1 AS a", target=TargetTable(name), partition="k")
        path = (lake.data_folder / staged.path).resolve()
        assert path.is_file()
        assert path.parent.parent == lake.data_folder / "main"
        assert name not in ("..", ".") or name not in staged.path.split("/")
