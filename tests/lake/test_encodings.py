"""Staged files are written in encodings that DuckDB and other readers read, whatever the values."""

from __future__ import annotations

import random
from collections import Counter

import pyarrow.parquet as pq
import pytest
from lakelab import Lake

from headrace.lake.schema import TargetTable
from headrace.lake.staging import KeyExpression, stage

FILES = 60
NUMBERS = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": (-(2**63), 2**63 - 1),
    "UTINYINT": (0, 2**8 - 1),
    "USMALLINT": (0, 2**16 - 1),
    "UINTEGER": (0, 2**32 - 1),
    "UBIGINT": (0, 2**64 - 1),
}
VALUES = {
    "DECIMAL(4,1)": ("-999.9", "(i % 7) / 10", "999.9"),
    "DECIMAL(9,2)": ("-9999999.99", "i", "9999999.99"),
    "DECIMAL(18,3)": ("-99999999999.999", "i / 1000", "99999999999.999"),
    "DATE": ("date '0001-01-01'", "date '2024-01-01' + (i % 300)::INTEGER", "date '9999-12-31'"),
    "TIMESTAMP": (
        "timestamp '0001-01-01'",
        "timestamp '2024-01-01' + interval 1 second * i",
        "timestamp '9999-12-31'",
    ),
    "BOOLEAN": ("true", "i % 3 = 0", "false"),
    "DOUBLE": ("-1e300", "i / 3", "'inf'::DOUBLE"),
    "VARCHAR": ("''", "'row ' || i", "repeat('é', (i % 400)::INTEGER)"),
    "BLOB": ("''::BLOB", "encode('row ' || i)", "encode(repeat('x', (i % 50)::INTEGER))"),
    "TIME": ("time '00:00'", "time '10:00' + interval 1 second * (i % 99)", "time '23:59:59'"),
}
ROWS = (1, 2, 3, 17, 127, 128, 129, 2047, 2049, 20_000)


def _column(draw: random.Random, kind: str) -> str:
    """Return an expression over the row's number `i`: typical values, extremes, and nulls."""
    if kind in NUMBERS:
        low, high = NUMBERS[kind]
        least, usual, most = str(low), f"i % {min(high, 1000)}", str(high)
    else:
        least, usual, most = VALUES[kind]
    rare = draw.choice([1, 2, 13, 10**9])
    nulls = draw.choice([1, 2, 97, 10**9])
    return (
        f"CAST(CASE WHEN (i + 1) % {nulls} = 0 THEN NULL WHEN (i + 1) % {rare} = 0 THEN {least}"
        f" WHEN (i + 2) % {rare} = 0 THEN {most} ELSE {usual} END AS {kind})"
    )


def test_arrow_reads_what_was_computed(lake: Lake) -> None:
    """Would catch: encodings that DuckDB reads itself, but that other readers refuse or misread."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for number in range(FILES):
        kinds = [draw.choice([*NUMBERS, *VALUES]) for _ in range(3)]
        select = ", ".join(f"{_column(draw, kind)} AS c{at}" for at, kind in enumerate(kinds))
        sql = f"SELECT {select} FROM range({draw.choice(ROWS)}) AS numbers(i)"
        staged, _ = lake.stage(f"t{number}", "k", sql)
        path = lake.data_folder / staged.path
        columns = [f"c{at}" for at in range(3)]
        computed = lake.session.connection.execute(sql).to_arrow_table()
        read = pq.read_table(path, columns=columns).cast(computed.schema)
        assert _rows(read) == _rows(computed), (sql, seed)
        written = lake.session.connection.execute(
            f"SELECT {', '.join(columns)} FROM read_parquet('{path}')"
        ).to_arrow_table()
        assert _rows(written) == _rows(computed), (sql, seed)


def _rows(table: object) -> Counter[tuple[object, ...]]:
    columns = [column.to_pylist() for column in table.columns]  # type: ignore[attr-defined]
    return Counter(zip(*columns, strict=True))


@pytest.mark.parametrize(
    ("values", "encoding"),
    [
        pytest.param("i::INTEGER", "DELTA_BINARY_PACKED", id="whole numbers"),
        pytest.param("date '2024-01-01' + i::INTEGER", "DELTA_BINARY_PACKED", id="dates"),
        pytest.param("'row ' || i", "DELTA_LENGTH_BYTE_ARRAY", id="texts"),
        pytest.param("(i + 2147483647 * (i % 2))::UINTEGER", "PLAIN", id="numbers far apart"),
        pytest.param("(i + 3000000000)::UINTEGER", "PLAIN", id="great numbers"),
        pytest.param("(i - 2147483648 * (i % 2))::INTEGER", "PLAIN", id="negative and far apart"),
        pytest.param(
            "CASE WHEN i > 0 THEN date '2024-01-01' + i::INTEGER ELSE date 'infinity' END",
            "PLAIN",
            id="an infinite date",
        ),
    ],
)
def test_values_decide_the_encoding(lake: Lake, values: str, encoding: str) -> None:
    """Would catch: files of today's size, or those that only DuckDB can read."""
    sql = f"SELECT {values} AS c FROM range(40000) AS numbers(i)"
    staged, _ = lake.stage("t", "k", sql)
    path = lake.data_folder / staged.path
    found = lake.session.connection.execute(
        f"SELECT encodings FROM parquet_metadata('{path}') WHERE path_in_schema = 'c'"
    ).fetchall()
    assert found == [(encoding,)]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    counted = "SELECT count(c), sum(hash(c)) FROM ({})"
    computed = lake.session.connection.execute(counted.format(sql)).fetchone()
    staged_rows = f"SELECT c FROM read_parquet('{path}')"
    assert lake.session.connection.execute(counted.format(staged_rows)).fetchone() == computed
    assert pq.read_table(path, columns=["c"]).num_rows == 40_000


def test_files_of_several_partitions_stay_sorted_when_encoded_again(lake: Lake) -> None:
    """Would catch: partitions mixed up by the second writing."""
    staged, _ = stage(
        lake.session,
        "SELECT 'p' || (i % 3) AS p, (i * 40000)::UINTEGER AS c FROM range(100000) AS numbers(i)",
        target=TargetTable("t"),
        partition=KeyExpression("p", ("p0", "p1", "p2")),
    )
    read = pq.read_table(lake.data_folder / staged.path)["_partition"].to_pylist()
    assert read == sorted(read)
    assert [part.rows for part in staged.partitions] == [33334, 33333, 33333]


def test_lists_are_written(lake: Lake) -> None:
    """Would catch: encodings in which DuckDB 1.5.5 can't write lists (decision 0109)."""
    staged, _ = lake.stage("t", "k", "SELECT ['a', 'b'] AS words, {'n': [1]} AS s FROM range(3)")
    assert pq.read_table(lake.data_folder / staged.path)["words"].to_pylist() == [["a", "b"]] * 3
