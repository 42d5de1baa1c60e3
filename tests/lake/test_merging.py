"""Merges and versions: what the table holds after each, what DuckLake reads at each snapshot, and
what is refused.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from lakelab import Lake
from mergelab import merge, publish, values

from headrace.lake import catalog
from headrace.lake.catalog import FileMoved
from headrace.lake.merging import stage_merge
from headrace.lake.schema import SchemaMismatch, TargetTable, ValueMismatch
from headrace.lake.tables import Deletes, KeyRefused, MergeRule, MergeState, SnapshotRule

BY_ID = MergeRule(keys=("id",))
WITH_DELETES = MergeRule(keys=("id",), delete="gone")
HOSTILE = [
    "a",
    "A",
    "",
    " ",
    "x" * 10_000,
    "'); DROP TABLE t; --",
    "../../etc/passwd",
    "ü",
    "é",
    "\N{GRINNING FACE}",
    "*",
    "NULL",
]


def table(lake: Lake, name: str = "t") -> dict[str | None, list[str | None]]:
    """The table's rows by their first own column."""
    rows = lake.rows(name)
    assert all(row[0] == "*" for row in rows)
    result = {row[1]: row[2:] for row in rows}
    assert len(result) == len(rows), "a key is there twice"
    return result


def test_changed_rows_replace_and_new_ones_come_in(lake: Lake) -> None:
    first = merge(lake, "t", "SELECT range AS id, 'a' || range AS note FROM range(1000)", BY_ID)
    second = merge(
        lake, "t", "SELECT range AS id, 'b' || range AS note FROM range(990, 1010)", BY_ID
    )
    assert (first.replacement.rows, second.replacement.rows) == (1000, 1010)
    assert [(d.rows, d.of) for d in second.replacement.deletes] == [(10, first.staged.path)]
    assert second.staged.rows == 20, "only what changed is written"
    result = table(lake)
    assert len(result) == 1010
    assert (result["989"], result["990"]) == (["a989"], ["b990"])
    lake.check("t")


def test_a_flag_takes_rows_away_and_is_no_column(lake: Lake) -> None:
    merge(lake, "t", "SELECT range AS id, 'a' AS note, false AS gone FROM range(10)", WITH_DELETES)
    merge(
        lake,
        "t",
        values([(1, "x", True), (2, "b", False), (77, "never there", True)], "id, note, gone"),
        WITH_DELETES,
    )
    result = table(lake)
    assert sorted(result) == [str(n) for n in range(10) if n != 1]
    assert result["2"] == ["b"]
    assert [column.name for column in lake.table("t").columns] == ["_partition", "id", "note"]
    lake.check("t")


def test_keys_are_data(lake: Lake) -> None:
    """Keys that differ in case only, are empty, long, or look like SQL or paths are keys like any
    other.
    """
    rule = MergeRule(keys=("Key",))
    merge(lake, "t", values([(key, n) for n, key in enumerate(HOSTILE)], "key, n"), rule)
    merge(lake, "t", values([(key, n + 100) for n, key in enumerate(HOSTILE[::2])], "key, n"), rule)
    expected = {key: [str(n)] for n, key in enumerate(HOSTILE)} | {
        key: [str(n + 100)] for n, key in enumerate(HOSTILE[::2])
    }
    assert table(lake) == expected
    lake.check("t")


def test_null_keys_and_keys_that_are_there_twice_are_refused_by_name(lake: Lake) -> None:
    merge(lake, "t", values([("1", "a")], "id, note"), BY_ID)
    before = lake.rows("t")
    with pytest.raises(KeyRefused, match=r"the key `id` is null in 2 rows"):
        merge(lake, "t", values([(None, "a"), (None, "b"), ("1", "c")], "id, note"), BY_ID)
    with pytest.raises(KeyRefused, match=r"1 key is there more than once .*id = \"it's\""):
        merge(lake, "t", values([("it's", "a"), ("it's", "b"), ("1", "c")], "id, note"), BY_ID)
    with pytest.raises(KeyRefused, match=r"10,000 characters"):
        merge(lake, "t", values([("x" * 10_000, "a"), ("x" * 10_000, "b")], "id, note"), BY_ID)
    with pytest.raises(SchemaMismatch, match="returns no column `id`"):
        merge(lake, "t", "SELECT 1 AS other", BY_ID)
    assert lake.rows("t") == before
    assert not list(lake.data_folder.rglob("*-delete.parquet"))


def test_what_failed_leaves_no_temporary_table_behind(lake: Lake) -> None:
    """The next merge of the same worker would find the rows of this one."""
    for _ in range(2):
        with pytest.raises(KeyRefused):
            merge(lake, "t", values([(None, "a")], "id, note"), BY_ID)
    merge(lake, "t", values([("1", "a")], "id, note"), BY_ID)
    assert table(lake) == {"1": ["a"]}


def test_a_publication_is_done_again_from_the_state_before_it(lake: Lake) -> None:
    """Restated: what came after is taken back, also rows that it took away and files that it wrote
    anew.
    """
    merge(lake, "t", "SELECT range AS id, 'a' AS note, false AS gone FROM range(10)", WITH_DELETES)
    first = lake.newest
    merge(
        lake, "t", values([(n, "b", n % 2 == 0) for n in range(8)], "id, note, gone"), WITH_DELETES
    )
    merge(lake, "t", values([(20, "c", False)], "id, note, gone"), WITH_DELETES)
    merge(lake, "t", values([(1, "d", False)], "id, note, gone"), WITH_DELETES, after=first)
    assert table(lake) == {str(n): ["d" if n == 1 else "a"] for n in range(10)}
    lake.check("t")
    merge(lake, "t", values([(5, "z", False)], "id, note, gone"), WITH_DELETES, after=0)
    assert table(lake) == {"5": ["z"]}
    lake.check("t")


def test_the_hash_says_whether_the_table_is_the_same(lake: Lake) -> None:
    item = merge(lake, "t", "SELECT range AS id, 'a' AS note FROM range(10)", BY_ID)
    first, changes = lake.newest, values([(1, "b"), (2, "c")], "id, note")
    two = merge(lake, "t", changes, BY_ID, content_hash=item.replacement.content_hash)
    again = merge(
        lake,
        "t",
        values([(2, "c"), (1, "b")], "id, note"),
        BY_ID,
        after=first,
        content_hash=item.replacement.content_hash,
    )
    other = merge(
        lake,
        "t",
        values([(2, "c"), (1, "x")], "id, note"),
        BY_ID,
        after=first,
        content_hash=item.replacement.content_hash,
    )
    assert two.replacement.content_hash == again.replacement.content_hash
    assert (
        len(
            {
                item.replacement.content_hash,
                two.replacement.content_hash,
                other.replacement.content_hash,
            }
        )
        == 3
    )


def test_only_what_differs_is_written_where_that_is_asked_for(lake: Lake) -> None:
    rule = MergeRule(keys=("id",), drop_same=True)
    item = merge(lake, "t", "SELECT range AS id, 'a' AS note FROM range(100)", rule)
    same = merge(
        lake,
        "t",
        "SELECT range AS id, 'a' AS note FROM range(100)",
        rule,
        content_hash=item.replacement.content_hash,
    )
    assert (same.staged.rows, same.replacement.changed, same.replacement.content_hash) == (
        0,
        False,
        item.replacement.content_hash,
    )
    other = merge(
        lake, "t", "SELECT range AS id, if(range = 7, NULL, 'a') AS note FROM range(100)", rule
    )
    assert (other.staged.rows, other.replacement.rows) == (1, 100)
    lake.check("t")


def test_a_merge_that_another_change_overtook_is_refused_and_done_again(lake: Lake) -> None:
    merge(lake, "t", "SELECT range AS id, 'a' AS note FROM range(10)", BY_ID)
    state = MergeState(tuple(catalog.state(lake.tx, "t", None)), catalog.seen(lake.tx, "t"))
    late = stage_merge(
        lake.session,
        values([(1, "late")], "id, note"),
        None,
        target=TargetTable("t", lake.table("t")),
        rule=BY_ID,
        state=state,
    )
    merge(lake, "t", values([(1, "b")], "id, note"), BY_ID)
    with pytest.raises(FileMoved):
        publish(lake, "t", late)
    assert table(lake)["1"] == ["b"]
    lake.ducklake("DELETE FROM t WHERE id = 2")
    merge(lake, "t", values([(3, "c")], "id, note"), BY_ID)
    assert (sorted(table(lake)), table(lake)["3"]) == (["0", "1", *map(str, range(3, 10))], ["c"])
    lake.check("t")


def test_columns_come_and_go_with_the_code(lake: Lake) -> None:
    merge(lake, "t", "SELECT range AS id, 1::INTEGER AS n FROM range(10)", BY_ID)
    merge(lake, "t", "SELECT 3::BIGINT AS id, 5000000000 AS n, 'x' AS added", BY_ID, evolve=True)
    assert (table(lake)["2"], table(lake)["3"]) == (["1", None], ["5000000000", "x"])
    merge(lake, "t", "SELECT 4::BIGINT AS id, 'text' AS n", BY_ID, evolve=True)
    assert (table(lake)["2"], table(lake)["4"]) == (["1"], ["text"])
    lake.check("t")
    with pytest.raises(ValueMismatch, match="published values can't be written so"):
        merge(lake, "t", "SELECT 5::BIGINT AS id, DATE '2024-01-01' AS n", BY_ID, evolve=True)
    lake.check("t")


def test_a_table_stays_few_files_however_many_merges_there_were(lake: Lake) -> None:
    """A file for each of a year's days would make each merge slower than the one before."""
    for day in range(40):
        merge(
            lake,
            "t",
            f"SELECT range AS id, {day} AS day FROM range({day * 10}, {day * 10 + 30})",
            BY_ID,
        )
    assert len(catalog.files(lake.tx, "t", None)) <= 8
    assert len(table(lake)) == 39 * 10 + 30
    lake.check("t")


@pytest.mark.parametrize("seed", range(6))
def test_random_histories_of_merges_come_to_what_dicts_say(lake: Lake, seed: int) -> None:
    """Any order of merges, restatements and foreign maintenance; DuckLake reads the same at each
    snapshot."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    history: list[tuple[int, dict[str, str]]] = [(0, {})]
    for _ in range(14):
        if len(history) > 2 and dice.random() < 0.25:
            history = history[: dice.randrange(1, len(history))]
        snapshot, before = history[-1]
        rows = _changes(dice)
        after = None if snapshot == lake.newest and snapshot else snapshot
        select = (
            values(rows, "id, note, gone")
            if rows
            else "SELECT '' AS id, '' AS note, false AS gone LIMIT 0"
        )
        merge(lake, "t", select, WITH_DELETES, after=after)
        expected = dict(before)
        for key, note, gone in rows:
            expected.pop(key, None)
            if not gone:
                expected[key] = note
        history.append((lake.newest, expected))
        assert {key: value for key, (value,) in table(lake).items()} == expected
        if dice.random() < 0.2:
            lake.ducklake("CALL ducklake_merge_adjacent_files('lake')")
            assert {key: value for key, (value,) in table(lake).items()} == expected
    lake.check("t")


def _changes(dice: random.Random) -> list[tuple[str, str, bool]]:
    keys = dice.sample([*HOSTILE, *map(str, range(20))], dice.randrange(0, 12))
    return [(key, f"n{dice.randrange(100)}", dice.random() < 0.3) for key in keys]


# Versions


def versions(
    at: str, *, columns: tuple[str, ...] = (), deletes: Deletes = Deletes.IGNORE
) -> MergeRule:
    return MergeRule(
        keys=("id",), versions=SnapshotRule(at=at, is_date=True, columns=columns, deletes=deletes)
    )


def history(lake: Lake) -> list[list[str | None]]:
    return [row[1:] for row in lake.rows("t")]


def test_a_changed_row_closes_the_version_before_it(lake: Lake) -> None:
    merge(lake, "t", values([("1", "a"), ("2", "b")], "id, note"), versions("2024-01-01"))
    merge(
        lake, "t", values([("1", "a"), ("2", "c"), ("3", "d")], "id, note"), versions("2024-01-02")
    )
    assert history(lake) == [
        ["1", "a", "2024-01-01", None, "true"],
        ["2", "b", "2024-01-01", "2024-01-02", "false"],
        ["2", "c", "2024-01-02", None, "true"],
        ["3", "d", "2024-01-02", None, "true"],
    ]
    lake.check("t")


def test_what_is_missing_is_closed_only_where_that_is_asked_for(lake: Lake) -> None:
    merge(lake, "t", values([("1", "a"), ("2", "b")], "id, note"), versions("2024-01-01"))
    merge(lake, "t", values([("1", "a")], "id, note"), versions("2024-01-02"))
    assert len(history(lake)) == 2
    merge(
        lake, "t", values([("1", "a")], "id, note"), versions("2024-01-03", deletes=Deletes.CLOSE)
    )
    assert history(lake) == [
        ["1", "a", "2024-01-01", None, "true"],
        ["2", "b", "2024-01-01", "2024-01-03", "false"],
    ]
    merge(lake, "t", values([("2", "b")], "id, note"), versions("2024-01-04"))
    assert history(lake)[-1] == ["2", "b", "2024-01-04", None, "true"], (
        "a row that comes back begins a new version"
    )
    lake.check("t")


def test_only_compared_columns_make_versions_and_null_is_a_value(lake: Lake) -> None:
    rule = ("note",)
    merge(
        lake,
        "t",
        values([("1", "a", "x"), ("2", None, "x")], "id, note, other"),
        versions("2024-01-01", columns=rule),
    )
    merge(
        lake,
        "t",
        values([("1", "a", "y"), ("2", None, "y")], "id, note, other"),
        versions("2024-01-02", columns=rule),
    )
    assert [row[2] for row in history(lake)] == ["x", "x"]
    merge(
        lake,
        "t",
        values([("1", None, "z"), ("2", None, "z")], "id, note, other"),
        versions("2024-01-03", columns=rule),
    )
    assert [(row[0], row[1], row[5]) for row in history(lake)] == [
        ("1", None, "true"),
        ("1", "a", "false"),
        ("2", None, "true"),
    ]


def test_the_columns_that_are_added_cant_be_the_bodys(lake: Lake) -> None:
    with pytest.raises(SchemaMismatch, match="`valid_to`"):
        merge(lake, "t", "SELECT 1 AS id, 2 AS Valid_To", versions("2024-01-01"))


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_of_versions_come_to_what_dicts_say(lake: Lake, seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    expected: list[list[Any]] = []
    for day in range(1, 12):
        at, close = f"2024-01-{day:02d}", dice.random() < 0.5
        rows = {
            key: f"n{dice.randrange(3)}"
            for key in dice.sample(HOSTILE, dice.randrange(1, len(HOSTILE)))
        }
        merge(
            lake,
            "t",
            values(list(rows.items()), "id, note"),
            versions(at, deletes=Deletes.CLOSE if close else Deletes.IGNORE),
        )
        current = {version[0]: version for version in expected if version[4] == "true"}
        for key, version in current.items():
            if (key in rows and rows[key] != version[1]) or (key not in rows and close):
                version[3:] = [at, "false"]
        same = {version[0] for version in expected if version[4] == "true"}
        expected += [[key, note, at, None, "true"] for key, note in rows.items() if key not in same]
        assert sorted(history(lake), key=str) == sorted(expected, key=str)
    lake.check("t")
