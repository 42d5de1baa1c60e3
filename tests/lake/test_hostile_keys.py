"""TRUST B9, B10: partition keys and names are data. They change no statement and become part of no
path."""

from __future__ import annotations

import json
import random
from pathlib import Path

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lakelab import Lake

from headrace.lake import catalog
from headrace.lake.sqltext import literal, quote, relation_sql
from headrace.lake.staging import KeyExpression
from headrace.lake.tables import FileRef, LakeColumn, LakeTable, file_name, folder_of, new_path
from headrace.model.errors import LakeError

PIECES = [
    "' OR 1=1 --",
    "'); DROP TABLE x; --",
    "\\'",
    "''",
    '"',
    "\"; ATTACH 'x'; --",
    "`",
    "[",
    "]",
    "$$",
    "$1",
    "$name",
    "?",
    ":key",
    "%s",
    "{date}",
    "’",
    "‘",
    "\0",
    "\n",
    "\r",
    "\t",
    "--",
    "/*",
    "*/",
    ";",
    "../",
    "..%2f",
    "%252e",
    "..\\",
    "....//",
    "file:///etc/passwd",
    "//host/share",
    "\u202e",
    "\ufeff",
    "ü",
    "😀",
    "É",
    "e\u0301",
    "\x7f",
    "\x1b[31m",
    "E'\\''",
    "chr(0)",
    "NULL",
    "true",
    "1e309",
    " ",
    ".",
    "-",
    "=",
    "U&'\\0041'",
    "\\",
    "\\0",
    "#",
    "~",
    "|",
    "&",
    "<",
    ">",
]
hostile = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
COLUMNS = (LakeColumn("_partition", "VARCHAR", 1), LakeColumn("id", "INTEGER", 2))


def test_a_literal_is_one_value_for_ten_thousand_keys() -> None:
    """B9. A statement with hundreds of them stays one SELECT and gives each key back, character by
    character.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, connection = random.Random(seed), duckdb.connect()
    keys = ["".join(chance.choices(PIECES, k=chance.randint(1, 8))) for _ in range(10_000)]
    for start in range(0, len(keys), 500):
        chunk = keys[start : start + 500]
        text = f"SELECT unnest([{', '.join(literal(key) for key in chunk)}])"
        (statement,) = connection.extract_statements(text)
        assert statement.type == duckdb.StatementType.SELECT
        assert connection.execute(text).fetchall() == [(key,) for key in chunk]


@settings(max_examples=200, deadline=None, print_blob=True)
@given(hostile)
@example("x" * 10_000)
@example("'" * 65_536)
@example("ü\0" * 10_000)
def test_a_literal_gives_back_any_text(key: str) -> None:
    assert duckdb.execute(f"SELECT {literal(key)}").fetchone() == (key,)


@settings(max_examples=100, deadline=None, print_blob=True)
@given(st.lists(hostile, min_size=1, max_size=3), hostile)
def test_a_relation_reads_its_files_and_nothing_else(keys: list[str], name: str) -> None:
    """B9. The same statement count and the same table set, whatever keys, paths and column
    names say.
    """
    columns = (COLUMNS[0], LakeColumn(name.replace("\0", "") or "x", "INTEGER", 2))
    text = relation_sql([FileRef("main/t/a.parquet", tuple(keys))], columns, with_partition=True)
    connection = duckdb.connect()
    (statement,) = connection.extract_statements(text)
    assert statement.type == duckdb.StatementType.SELECT
    row = connection.execute("SELECT json_serialize_sql(?)", [text]).fetchone()
    assert row is not None
    (only,) = json.loads(row[0])["statements"]
    assert only["node"]["from_table"]["type"] == "TABLE_FUNCTION"
    assert only["node"]["from_table"]["function"]["function_name"] == "read_parquet"


@settings(max_examples=500, deadline=None, print_blob=True)
@given(hostile)
@example("../../etc")
@example("..")
@example(".")
@example("a/b")
@example("x" * 10_000)
@example("\ud800")
def test_a_tables_folder_is_one_plain_name(name: str) -> None:
    folder = folder_of(name)
    assert folder.endswith("/")
    assert folder.count("/") == 1
    assert folder[:-1].replace("-", "").replace("_", "").isalnum()
    assert folder[:-1].isascii()
    path = new_path(LakeTable(name, ()))
    assert Path("/lake", path).resolve().is_relative_to("/lake/main")
    assert file_name(path, f"main/{folder}") in path


@settings(max_examples=500, deadline=None, print_blob=True)
@given(hostile)
@example("../x.parquet")
@example("x.parquet/../../y.parquet")
@example(".parquet")
def test_a_file_of_another_name_is_refused(name: str) -> None:
    try:
        result = file_name(f"main/t/{name}", "main/t/")
    except LakeError:
        return
    assert result == name
    assert Path(result).name == result
    assert result.endswith(".parquet")


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_name_that_sql_cannot_say_is_refused(name: str) -> None:
    with pytest.raises(LakeError):
        quote(name)


def test_a_key_that_is_not_text_is_refused(lake: Lake) -> None:
    """A file name that isn't UTF-8 gives lone surrogates."""
    lake.publish("t", "a", "SELECT 1 AS id")
    with pytest.raises(LakeError, match="not valid text"):
        catalog.files(lake.tx, "t", ["a\udcff"])


@pytest.mark.long
def test_hostile_keys_are_published_found_and_replaced_one_by_one(any_lake: Lake) -> None:
    """Through the whole path: body, file, statistics, lookup, relation, DuckLake."""
    lake = any_lake
    keys = sorted(
        {
            *PIECES,
            *(piece + other for piece in PIECES[:8] for other in PIECES[20:30]),
            "x" * 10_000,
            "ü" * 10_000,
            "",
        }
    )
    lake.session.connection.execute("CREATE TABLE given(k VARCHAR, id INTEGER)")
    lake.session.connection.executemany(
        "INSERT INTO given VALUES (?, ?)", [[key, number] for number, key in enumerate(keys)]
    )
    lake.publish_many("t", keys, "SELECT k, id FROM given")
    for key in keys[::9]:
        lake.publish("t", key, f"SELECT {literal(key)} AS k, -1 AS id")
    for number, key in enumerate(keys):
        assert lake.rows("t", [key]) == [[key, key, "-1" if number % 9 == 0 else str(number)]], key
    assert lake.rows("t") == lake.ducklake_rows("t")
    assert catalog.files(lake.tx, "t", ["no such key"]) == []
    assert {path.parent.name for path in lake.data_folder.rglob("*.parquet")} == {"t"}


def test_many_keys_of_one_file_are_told_apart(lake: Lake) -> None:
    """`may contain` by minimum and maximum alone would find the file for each key between them."""
    lake.publish_many("t", ["a", "c", "e"], "SELECT unnest(['a', 'c', 'e']) AS k, 1 AS id")
    assert catalog.files(lake.tx, "t", ["b", "d"]) == []
    staged, table = lake.stage("u", KeyExpression("k"), "SELECT unnest(['a', 'c']) AS k, 1 AS id")
    assert isinstance(table, LakeTable)
    assert [part.key for part in staged.partitions] == ["a", "c"]
