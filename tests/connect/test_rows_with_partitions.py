"""Files whose rows say their partitions: the partitions that an observation lists, and the key that
an ingestion gives to each row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from connect_workbench import Workbench

from headrace.connect.deliveries import CannotRead
from headrace.connect.row_partitions import key_of_rows, partitions_in
from headrace.lake import LakeColumn
from headrace.lake.sqltext import quote
from headrace.model import Grain, PartitionSpec, Place, Source
from headrace.model.texts import plain

NEW_YORK, KOLKATA = "America/New_York", "Asia/Kolkata"


def source(files: str = "all.csv", zone: str = NEW_YORK, **partition: Any) -> Source:
    return Source(
        name="s",
        owner="o",
        files=files,
        timezone=zone,
        partition=PartitionSpec(**partition),
        place=Place(file="sources/s.yaml"),
    )


class Rows:
    """Rows of a file: `columns` are name → type, `values` one SQL text for each row."""

    def __init__(self, bench: Workbench, columns: dict[str, str], *values: str) -> None:
        self.connection = bench.session.connection
        self.columns = [LakeColumn(name, type_name, 0) for name, type_name in columns.items()]
        cast = ", ".join(
            f"CAST(c{at} AS {column.type}) AS {quote(column.name)}"
            for at, column in enumerate(self.columns)
        )
        names = ", ".join(f"c{at}" for at in range(len(columns)))
        rows = ", ".join(f"({number}, {value})" for number, value in enumerate(values))
        self.sql = f"SELECT {cast}, number FROM (VALUES {rows}) AS rows(number, {names})"

    def partitions(self, of: Source, named: str = "*") -> list[str]:
        return partitions_in(self.connection, self.sql, self.columns, of, named)

    def keys(self, of: Source, keys: Sequence[str]) -> list[str]:
        """The key of each row."""
        expression = key_of_rows(of, self.columns, keys)
        assert expression.keys == tuple(keys)
        rows = self.connection.execute(
            f"SELECT {expression.sql} FROM ({self.sql}) ORDER BY number"
        ).fetchall()
        return [row[0] for row in rows]


DAY = {"grain": Grain.DAY, "column": "d"}
HOUR = {"grain": Grain.HOUR, "column": "d"}
REGION = {"key": "region"}
CASES: list[tuple[str, Source, dict[str, str], dict[str, str]]] = [
    # The last is one SQL text for each row → the row's partition; empty: it has none.
    (
        "days",
        source(**DAY),
        {"d": "DATE"},
        {"'2013-02-12'": "2013-02-12", "'2013-02-11'": "2013-02-11", "'infinity'": "", "NULL": ""},
    ),
    (
        "the local day of an instant",
        source(**DAY),
        {"d": "TIMESTAMP WITH TIME ZONE"},
        {
            "'2013-02-11 04:59:59+00'": "2013-02-10",
            "'2013-02-11 05:00:00+00'": "2013-02-11",
            "'-infinity'": "",
        },
    ),
    (
        "months of local times",
        source(grain=Grain.MONTH, column="d"),
        {"d": "TIMESTAMP"},
        {"'2013-01-31 23:59:59'": "2013-01", "'2013-02-01 00:00:00'": "2013-02", "NULL": ""},
    ),
    (
        "hours of instants",
        source(**HOUR),
        {"d": "TIMESTAMP WITH TIME ZONE"},
        {
            "'2013-02-11 18:00:00+00'": "2013-02-11T13:00-05:00",
            "'2013-02-11 18:59:59+00'": "2013-02-11T13:00-05:00",
            "'2013-02-11 19:00:00+00'": "2013-02-11T14:00-05:00",
            "'infinity'": "",
        },
    ),
    (
        "hours where they begin at half an hour of UTC",
        source(zone=KOLKATA, **HOUR),
        {"d": "TIMESTAMP WITH TIME ZONE"},
        {
            "'2013-02-11 18:29:59+00'": "2013-02-11T23:00+05:30",
            "'2013-02-11 18:30:00+00'": "2013-02-12T00:00+05:30",
        },
    ),
    (
        "hours of local times, the first of two",
        source(**HOUR),
        {"d": "TIMESTAMP"},
        {
            "'2013-11-03 01:30:00'": "2013-11-03T01:00-04:00",
            "'2013-11-03 02:30:00'": "2013-11-03T02:00-05:00",
        },
    ),
    (
        "hours of dates",
        source(**HOUR),
        {"d": "DATE"},
        {"'2013-02-11'": "2013-02-11T00:00-05:00"},
    ),
    (
        "keys",
        source(**REGION),
        {"region": "VARCHAR"},
        {"'EMEA'": "EMEA", "'a/b'": "a/b", "''": "", "NULL": "", "'it''s'": "it's"},
    ),
    ("numbers as keys", source(**REGION), {"region": "BIGINT"}, {"7": "7", "NULL": "", "10": "10"}),
    (
        "listed keys",
        source(values=("EMEA", "APAC"), **REGION),
        {"region": "VARCHAR"},
        {"'EMEA'": "EMEA", "'LATAM'": "", "NULL": "", "'emea'": ""},
    ),
    (
        "days and keys",
        source(**DAY, **REGION),
        {"region": "VARCHAR", "d": "DATE"},
        {
            "'EMEA', '2013-02-11'": "2013-02-11/EMEA",
            "'APAC', '2013-02-11'": "2013-02-11/APAC",
            "'APAC', '2013-02-12'": "2013-02-12/APAC",
            "'APAC', NULL": "",
            "'', '2013-02-11'": "",
            "NULL, '2013-02-11'": "",
        },
    ),
    (
        "days and listed keys",
        source(values=("EMEA",), **DAY, **REGION),
        {"region": "VARCHAR", "d": "DATE"},
        {"'EMEA', '2013-02-11'": "2013-02-11/EMEA", "'APAC', '2013-02-11'": ""},
    ),
    (
        "a column in another case, beside one that only looks like it",
        source(**DAY),
        {"D": "DATE", "d2": "DATE"},
        {"'2013-02-11', '2013-02-14'": "2013-02-11"},
    ),
]


@pytest.mark.parametrize(
    ("case", "item", "columns", "rows"), CASES, ids=[case[0] for case in CASES]
)
def test_a_row_is_in_the_partition_that_its_columns_say(
    bench: Workbench, case: str, item: Source, columns: dict[str, str], rows: dict[str, str]
) -> None:
    """Would catch: a partition that is announced and stays without rows, rows in another partition
    than theirs, and rows without a value in any.
    """
    there = Rows(bench, columns, *rows)
    expected = sorted({key for key in rows.values() if key})
    assert there.partitions(item) == expected, case
    assert there.keys(item, expected) == list(rows.values())
    if item.partition.key is None and expected[1:]:
        others = ["" if key == expected[0] else key for key in rows.values()]
        assert there.keys(item, expected[1:]) == others


def test_what_the_name_says_holds_for_all_rows(bench: Workbench) -> None:
    """Would catch: the part in the file's name taken for the other part, or left out."""
    dated = source("{date:%Y-%m-%d}.csv", **DAY, **REGION)
    keyed = source("{key}.csv", **DAY, **REGION)
    rows = Rows(
        bench,
        {"region": "VARCHAR", "d": "DATE"},
        "'EMEA', '2013-02-11'",
        "'APAC', '2013-02-12'",
        "NULL, NULL",
    )
    assert rows.partitions(dated, "2014-01-01") == ["2014-01-01/APAC", "2014-01-01/EMEA"]
    assert rows.keys(dated, ["2014-01-01/APAC", "2014-01-01/EMEA"]) == [
        "2014-01-01/EMEA",
        "2014-01-01/APAC",
        "",
    ]
    assert rows.partitions(keyed, "LATAM") == ["2013-02-11/LATAM", "2013-02-12/LATAM"]
    assert rows.keys(keyed, ["2013-02-11/LATAM", "2013-02-12/LATAM"]) == [
        "2013-02-11/LATAM",
        "2013-02-12/LATAM",
        "",
    ]


@pytest.mark.parametrize(
    ("item", "columns", "row", "code", "message"),
    [
        (source(**DAY), {"e": "DATE"}, "NULL", "delivery_partition", "there is no column d,"),
        (source(**DAY), {"d": "VARCHAR"}, "''", "delivery_partition", "column d is VARCHAR, which"),
        (source(**REGION), {"region": "VARCHAR"}, "'*'", "delivery_key", r"column region: `\*`"),
        (source(**REGION), {"x": "VARCHAR"}, "'a'", "delivery_partition", "no column region"),
    ],
)
def test_rows_that_say_no_partition_are_refused(
    bench: Workbench, item: Source, columns: dict[str, str], row: str, code: str, message: str
) -> None:
    """Would catch: a column that isn't there or says no time taken for one without values."""
    rows = Rows(bench, columns, row)
    with pytest.raises(CannotRead) as caught:
        rows.partitions(item)
    assert re.search(message, plain(str(caught.value)))
    assert caught.value.value.code == code


@pytest.mark.parametrize("item", [source(**DAY), source(**HOUR)], ids=["day", "hour"])
@pytest.mark.parametrize("type_name", ["DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"])
@pytest.mark.parametrize(
    "value", ["0044-03-15 (BC)", "0001-01-01 00:00:00", "9999-12-31 23:59:59", "20240-01-15"]
)
def test_times_that_are_in_no_interval_are_refused(
    bench: Workbench, item: Source, type_name: str, value: str
) -> None:
    """Would catch: a traceback for a mistyped year, or for the first moment of all, which some
    programs write where there is none.
    """
    rows = Rows(bench, {"d": type_name}, f"'{value}'", "'2013-02-11'")
    with pytest.raises(
        CannotRead, match=rf"column d: .* is in no {item.partition.grain}"
    ) as caught:
        rows.partitions(item)
    assert caught.value.value.code == "delivery_partition"


@pytest.mark.parametrize("count", [20_000, 20_001])
def test_a_file_has_at_most_20_000_partitions(bench: Workbench, count: int) -> None:
    """Would catch: a column of ids that becomes a partition for each row, and partitions that are
    left out without a word.
    """
    rows = Rows(bench, {"region": "VARCHAR"}, "'x'")
    rows.sql = f"SELECT 'k' || n AS region FROM range({count}) AS r(n)"
    if count == 20_000:
        assert len(rows.partitions(source(**REGION))) == count
        return
    with pytest.raises(CannotRead, match="more than 20,000 partitions") as caught:
        rows.partitions(source(**REGION))
    assert caught.value.value.code == "delivery_partition"
