"""What the catalog lists of files: those that readers see, those that ended, those whose rows are lost."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lakelab import NOON, SECOND, Lake

from headrace.lake.catalog import FileMoved, inventory
from headrace.lake.tables import lost_with
from headrace.model.errors import LakeError


def rows(count: int, first: int = 0) -> str:
    return f"SELECT n::INTEGER AS n FROM range({first}, {first + count}) AS r(n)"


MANY = "SELECT n::INTEGER AS n, CASE WHEN n < 2 THEN 'a' WHEN n < 5 THEN 'b' ELSE 'c' END AS k FROM range(9) AS r(n)"


@pytest.mark.long
def test_current_files_are_those_of_the_newest_snapshot(any_lake: Lake) -> None:
    """Catches a check of files that misses one, or that reports one that was replaced."""
    lake = any_lake
    lake.publish("t", "a", rows(3))
    lake.publish("t", "b", rows(4))
    lake.publish("u", "a", rows(5))
    before = inventory.current_after(lake.tx, -1, 10)
    assert [(file.table, file.of == file.id) for file in before] == [
        ("t", True),
        ("t", True),
        ("u", True),
    ]
    assert inventory.count_current(lake.tx) == 3
    replaced = lake.publish("t", "a", rows(6))
    files = inventory.current_after(lake.tx, -1, 10)
    assert [file.id for file in files] == sorted(file.id for file in files)
    assert {file.id for file in before} - {file.id for file in files} == {before[0].id}
    assert [file.begins for file in files if file.id not in {item.id for item in before}] == [
        replaced
    ]
    assert inventory.current_after(lake.tx, -1, 2) == files[:2]
    assert inventory.current_after(lake.tx, files[0].id, 10) == files[1:]
    assert inventory.current(lake.tx, [file.id for file in [*before, *files]]) == files
    assert inventory.current(lake.tx, []) == []
    for file in files:
        path = lake.data_folder / file.path
        assert path.stat().st_size == file.size_bytes
        assert file.footer_bytes == int.from_bytes(path.read_bytes()[-8:-4], "little")
    assert inventory.current_deletes(lake.tx) == []
    assert inventory.count_elsewhere(lake.tx) == 0


def test_many_files_are_asked_for_in_parts(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in "abcde":
        lake.publish("t", key, rows(1))
    files = inventory.current_after(lake.tx, -1, 10)
    monkeypatch.setattr(inventory, "AT_ONCE", 2)
    assert inventory.current(lake.tx, [file.id for file in reversed(files)]) == files


@pytest.mark.long
def test_files_by_partition(any_lake: Lake) -> None:
    """Catches a damaged file that is told to hold another day's rows."""
    lake = any_lake
    lake.publish("t", "x", MANY)
    lake.publish_many("t", ["a", "b", "c"], MANY)
    files = {frozenset(file.keys or ()): file.id for file in inventory.files_of(lake.tx, "t")}
    assert files.keys() == {frozenset("x"), frozenset("abc")}
    assert inventory.ids_holding(lake.tx, "t", ["b"]) == [files[frozenset("abc")]]
    assert sorted(inventory.ids_holding(lake.tx, "t", ["b", "x"])) == sorted(files.values())
    assert inventory.ids_holding(lake.tx, "t", ["nothing"]) == []
    assert inventory.held_keys(lake.tx, "t") == {"a", "b", "c", "x"}
    lake.withdraw("t", "x")
    assert inventory.held_keys(lake.tx, "t") == {"a", "b", "c"}
    assert inventory.ids_holding(lake.tx, "no", ["a"]) == []
    assert inventory.files_of(lake.tx, "no") == []
    assert inventory.held_keys(lake.tx, "no") == frozenset()


def test_registered_files_include_ended_ones(any_lake: Lake) -> None:
    """Catches a clean-up that deletes a file which an earlier snapshot still reads."""
    lake = any_lake
    lake.publish("t", "a", rows(3))
    second = lake.publish("t", "a", rows(4))
    lake.publish_many("u", ["a", "b", "c"], MANY)
    listed = inventory.registered(lake.tx)
    assert sorted((item.table, item.rows, item.ended, item.key) for item in listed) == sorted(
        [("t", 3, True, "a"), ("t", 4, False, "a"), ("u", 9, False, None)], key=str
    )
    for item in listed:
        assert (lake.data_folder / item.path).stat().st_size == item.size_bytes
        assert item.footer_bytes > 0
    (ended,) = [item.path for item in listed if item.ended]
    assert inventory.ended_files(lake.tx) == [(ended, second)]


def test_a_snapshot_has_a_time(any_lake: Lake) -> None:
    lake = any_lake
    first = lake.publish("t", "a", rows(1))
    second = lake.publish("t", "a", rows(2))
    times = [inventory.snapshot_time_of(lake.tx, number) for number in (first, second)]
    assert times == [datetime.fromtimestamp((NOON + n * SECOND) / 1e6, UTC) for n in (0, 1)]


def test_rows_of_a_file_that_is_given_up_are_replaced_one_partition_after_the_other(
    any_lake: Lake,
) -> None:
    """Catches a damaged file that blocks all its partitions for ever, and rows that vanish with it."""
    lake = any_lake
    lake.publish_many("t", ["a", "b", "c"], MANY)
    (file,) = inventory.files_of(lake.tx, "t")
    assert not inventory.any_lost(lake.tx)
    held = {"a": 2, "b": 3, "c": 4}
    with pytest.raises(LakeError, match="holds other partitions"), lake.change() as change:
        change.give_up("t", file.ref.path, {"a": 2, "b": 3})
    with pytest.raises(FileMoved), lake.change() as change:
        change.give_up("t", "main/t/no.parquet", held)
    with lake.change() as change:
        change.give_up("t", file.ref.path, held)
    assert inventory.any_lost(lake.tx)
    (lost,) = inventory.files_of(lake.tx, "t")
    assert lost.lost == held
    assert lost.rows == 9
    name = file.ref.path.rpartition("/")[2].removesuffix(".parquet")
    assert lost_with(lost.ref.path.rpartition("/")[2]) == name
    assert [item.id for item in inventory.left_of(lake.tx, [file.id])] == [lost.id]
    assert inventory.left_of(lake.tx, [lost.id, 10**6]) == []
    assert inventory.held_keys(lake.tx, "t") == {"a", "b", "c"}

    lake.publish("t", "b", MANY)
    left = {frozenset(item.keys or ()): item for item in inventory.files_of(lake.tx, "t")}
    assert left.keys() == {frozenset("b"), frozenset("ac")}
    assert left[frozenset("ac")].lost == {"a": 2, "c": 4}
    assert [item.id for item in inventory.left_of(lake.tx, [file.id])] == [left[frozenset("ac")].id]
    lake.publish("t", "a", MANY)
    lake.publish("t", "c", MANY)
    assert not inventory.any_lost(lake.tx)
    assert inventory.left_of(lake.tx, [file.id]) == []
    assert len(lake.rows("t")) == 27
