"""`init --from`: files of one shape become one source; hostile names become valid ones."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest
import xlsxwriter
import yaml
from legacy_formats import NEEDS_LEGACY

from headrace.connect.deliveries import Format, SourceSchema
from headrace.connect.file_inference import (
    InferredColumns,
    asset_sql,
    day_column,
    groups,
    node_name,
    quoted,
    source_yaml,
)
from headrace.connect.patterns import compile_pattern
from headrace.lake import LakeColumn
from headrace.model import Grain
from headrace.model.fields import NODE, SQL_KEYWORDS
from headrace.repairs.contract_texts import contract_text
from headrace.services.init import init


def named(*names: str) -> list[Path]:
    return [Path("somewhere", name) for name in names]


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("flights_2013-01-01.csv", "flights_2013-01-02.csv"), "flights_{date:%Y-%m-%d}.csv"),
        (("20130101.csv.gz", "20130102.csv.gz"), "{date:%Y%m%d}.csv.gz"),
        (("01-22-2020.csv", "01-23-2020.csv"), "{date:%m-%d-%Y}.csv"),
        (("22-01-2020 a.csv", "23-01-2020 a.csv"), "{date:%d-%m-%Y}_a.csv"),
        (("sales.2020.01.05.parquet", "sales.2020.02.06.parquet"), "sales.{date:%Y.%m.%d}.parquet"),
    ],
)
def test_files_that_differ_in_a_date_are_one_daily_source(
    names: tuple[str, ...], pattern: str
) -> None:
    [group] = groups(named(*names))
    assert (group.pattern, group.daily) == (pattern, True)
    compile_pattern(f"landing/{pattern}", Grain.DAY)
    assert len(group.files) == 2
    assert not group.warnings


def test_an_ambiguous_date_is_said() -> None:
    [group] = groups(named("01-02-2020.csv", "01-03-2020.csv"))
    assert "%d-%m-%Y" in group.warnings[0]


@pytest.mark.parametrize(
    "names",
    [
        ("orders.csv",),
        ("orders_2020-01-01.csv",),
        ("a_2020-01-01.csv", "b_2020-01-01.csv"),
        ("x_2020-13-45.csv", "x_2020-14-45.csv"),
    ],
)
def test_other_files_stay_whole(names: tuple[str, ...]) -> None:
    result = groups(named(*names))
    assert len(result) == len(names)
    for group in result:
        assert not group.daily
        compile_pattern(f"landing/{group.pattern}", None)


HOSTILE = [
    "Orders (final) v2.csv",
    "a'b\"c.csv",
    "; drop table x; --.csv",
    "../../etc/passwd",
    "-rf.csv",
    "$(touch x).csv",
    "select.csv",
    "run.csv",
    "_partition.csv",
    "9lives.csv",
    "Zürich.csv",
    "データ.csv",
    "{date:%Y}.csv",
    "*.csv",
    "a\nb.csv",
    ".csv",
    "x" * 200 + ".csv",
    "headrace.csv",
    "self.csv",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_valid_ones(name: str) -> None:
    [group] = groups([Path("somewhere") / name.replace("/", "_")])
    assert NODE.fullmatch(group.name)
    compile_pattern(f"landing/{group.pattern}", None)
    [landed] = group.files
    assert landed == group.pattern
    assert "/" not in landed


def test_names_that_fall_together_are_told_apart() -> None:
    result = groups(named("a b.csv", "a-b.csv", "A_B.csv"))
    assert len({group.name for group in result}) == 3


def test_random_names_are_always_valid() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    taken: set[str] = set()
    for _ in range(500):
        name = node_name(
            "".join(chr(rng.randrange(1, 0x500)) for _ in range(rng.randrange(12))), taken
        )
        assert NODE.fullmatch(name)
        assert len(name) <= 58, "room for `_clean` and a number"


def test_columns_are_quoted_where_sql_needs_it() -> None:
    assert [quoted(name) for name in ("id", "Id", "order", 'a"b', "a b", "")] == [
        "id",
        '"Id"',
        '"order"',
        '"a""b"',
        '"a b"',
        '""',
    ]
    assert day_column(["x", "Day", "DELIVERY_DAY"]) == "delivery_day_2"


def test_each_word_of_sql_can_be_a_column() -> None:
    """Would catch: a file with a column `at` or `left`, whose new project has an error."""
    words = duckdb.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()
    for (word,) in words:
        table = f'(SELECT 1 AS "{word}", 2 AS other)'
        assert duckdb.execute(f"SELECT {quoted(word)}, other FROM {table}").fetchall() == [(1, 2)]


def test_what_is_written_holds_every_column_once() -> None:
    [group] = groups(named("t_2020-01-01.csv", "t_2020-01-02.csv"))
    columns = (("id", "BIGINT"), ("yes", "VARCHAR"), ("a: b", "DOUBLE"))
    schema = SourceSchema(
        tuple(LakeColumn(name, kind, 0) for name, kind in columns), Format(kind="csv")
    )
    learnt = InferredColumns(schema, frozenset({"id"}), frozenset({"id"}))
    contract = contract_text("t", schema, {}, 0)
    assert 'name: "a: b"' in contract
    assert 'name: "yes"' in contract, "YAML 1.1 readers would make it true"
    assert "unique: [id]" in asset_sql(group, learnt)
    assert "$partition_start as day" in asset_sql(group, learnt)
    assert "partition: day" in source_yaml(group, learnt)


@pytest.mark.parametrize("word", sorted(SQL_KEYWORDS))
def test_words_of_sql_become_other_names(word: str) -> None:
    """Catches `init --from some.csv`: a project whose first run fails on `from some`."""
    assert node_name(word, set()) == f"{word}_data"


@NEEDS_LEGACY
def test_each_sheet_with_rows_is_a_source(tmp_path: Path) -> None:
    """Would catch: the second sheet that is left out in silence, a cover that is read, and a sheet
    that is no table as an error of all."""
    with xlsxwriter.Workbook(tmp_path / "shop.xlsx") as book:
        for name in ("Cover", "Orders", "2024", "Notes"):
            book.add_worksheet(name).write(0, 0, "Sent by Ann")
        for name in ("Orders", "2024"):
            book.get_worksheet_by_name(name).write_column(0, 0, ["id", 7])
        book.get_worksheet_by_name("Notes").write_row(3, 5, ["unlike", "a table"])
    with xlsxwriter.Workbook(tmp_path / "one.xlsx") as book:
        book.add_worksheet("Cover").write(0, 0, "Sent by Ann")
        book.add_worksheet("Data").write_column(0, 0, ["id", 7])
    answer = init(tmp_path / "new", [tmp_path / "shop.xlsx", tmp_path / "one.xlsx"])
    assert answer.sources == ["shop_orders", "shop_2024", "one"]
    assert [note for note in answer.notes if "`Cover` has no rows" not in note] == answer.notes[2:]
    assert len(answer.notes) == 3 and "`shop_notes`" in answer.notes[2]
    sheets = {
        name: yaml.safe_load((tmp_path / f"new/sources/{name}.yaml").read_text())["excel"]
        for name in answer.sources
    }
    assert sheets == {
        "shop_orders": {"sheet": "Orders"},
        "shop_2024": {"sheet": "2024"},
        "one": {"sheet": "Data"},
    }
    for name in answer.sources:
        contract = (tmp_path / f"new/contracts/{name}.odcs.yaml").read_text()
        assert 'name: "id"\n        logicalType: integer' in contract
