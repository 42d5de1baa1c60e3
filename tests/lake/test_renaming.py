"""A renamed table keeps its rows, its history and its folder, and DuckLake sees it as its own ALTER
TABLE would leave it."""

from __future__ import annotations

import pytest
from lakelab import Lake
from mergelab import merge

from headrace.lake import catalog
from headrace.lake.tables import MergeRule
from headrace.model.errors import LakeError

DAY = "SELECT range AS id, 'n' || range AS note FROM range({})"


def test_the_table_goes_on_under_its_new_name(lake: Lake) -> None:
    lake.publish("old", "2024-01-01", DAY.format(5))
    before, then = lake.rows("old"), lake.newest
    with lake.change() as change:
        change.rename_table("old", "new")
    assert catalog.table(lake.tx, "old") is None
    assert lake.ducklake("SELECT count(*) FROM new") == [[5]]
    assert lake.rows("new") == before == lake.rows("new", snapshot=then)
    assert lake.ducklake(f"SELECT count(*) FROM old AT (VERSION => {then})") == [[5]]
    lake.publish("new", "2024-01-02", DAY.format(3))
    lake.publish("new", "2024-01-01", "SELECT 7 AS id, 'x' AS note, 1 AS added", evolve=True)
    assert lake.ducklake("SELECT count(*), count(added) FROM new") == [[4, 1]]
    assert lake.rows("new") == lake.ducklake_rows("new")
    lake.ducklake("INSERT INTO new(_partition, id) VALUES ('k', 1)")
    assert len(lake.rows("new")) == 5
    assert {
        path.parent.name
        for path in lake.data_folder.rglob("*.parquet")
        if "ducklake" not in path.name
    } == {"old"}


def test_a_merged_table_goes_on_from_the_state_before_the_rename(lake: Lake) -> None:
    rule = MergeRule(keys=("id",))
    merge(lake, "old", DAY.format(5), rule)
    then = lake.newest
    merge(lake, "old", "SELECT 1 AS id, 'later' AS note", rule)
    with lake.change() as change:
        change.rename_table("old", "new")
    merge(lake, "new", "SELECT 2 AS id, 'again' AS note", rule, after=then)
    assert {row[1]: row[2] for row in lake.rows("new")} == {
        "0": "n0",
        "1": "n1",
        "2": "again",
        "3": "n3",
        "4": "n4",
    }
    assert lake.rows("new") == lake.ducklake_rows("new")


def test_the_old_name_is_free_and_a_taken_one_is_refused(lake: Lake) -> None:
    lake.publish("old", "k", DAY.format(2))
    lake.publish("other", "k", DAY.format(3))
    with pytest.raises(LakeError, match="has a table `OTHER` already"), lake.change() as change:
        change.rename_table("old", "OTHER")
    with lake.change() as change:
        change.rename_table("old", 'it\'s "new"')
    lake.publish("old", "k", DAY.format(1))
    assert [len(lake.rows(name)) for name in ('it\'s "new"', "old", "other")] == [2, 1, 3]
    assert lake.ducklake('SELECT count(*) FROM "it\'s ""new"""') == [[2]]


def test_ducklakes_own_rename_is_read(lake: Lake) -> None:
    lake.publish("old", "k", DAY.format(2))
    lake.ducklake("ALTER TABLE old RENAME TO renamed")
    lake.publish("renamed", "l", DAY.format(3))
    assert lake.rows("renamed") == lake.ducklake_rows("renamed")
    assert len(lake.rows("renamed")) == 5
