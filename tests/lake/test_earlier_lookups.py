"""Which files hold a change's partitions is found in an earlier transaction."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lakelab import NOON, Lake

from headrace.lake.catalog import CatalogChange, FilesFound

MANY = "SELECT * FROM (VALUES ('a', 1), ('b', 2), ('c', 3)) AS t(k, v)"


def find(lake: Lake, *earlier: FilesFound) -> FilesFound:
    with lake.transaction():
        result = CatalogChange.begin(lake.tx, NOON, earlier).find("t", ["a", "b"])
    assert result is not None
    return result


CHANGES: dict[str, Callable[[Lake], object]] = {
    "another partition": lambda lake: lake.publish("t", "c", "SELECT 'c' AS k, 9 AS v"),
    "a partition itself": lambda lake: lake.publish("t", "a", "SELECT 'a' AS k, 9 AS v"),
    "columns": lambda lake: lake.publish("t", "d", "SELECT 'd' AS k, 4 AS v, 5 AS w", evolve=True),
    "a merge": lambda lake: lake.ducklake("CALL ducklake_merge_adjacent_files('lake', 't')"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_files_of_a_changed_table_are_found_again(
    any_lake: Lake, change: Callable[[Lake], object]
) -> None:
    """Catches a change that ends files which were replaced meanwhile, and leaves the rows of those
    that replaced them."""
    any_lake.publish_many("t", ["a", "b", "c"], MANY)
    any_lake.publish("t", "e", "SELECT 'e' AS k, 5 AS v")
    earlier = find(any_lake)
    change(any_lake)
    assert find(any_lake, earlier).files == find(any_lake).files != earlier.files


def test_files_of_an_unchanged_table_are_found_once(lake: Lake) -> None:
    """Catches look-ups that are repeated in the transaction that was to be short, because another
    table was published."""
    lake.publish_many("t", ["a", "b", "c"], MANY)
    lake.publish("u", "x", "SELECT 1 AS v")
    earlier = find(lake)
    lake.publish("u", "x", "SELECT 2 AS v")
    statements: list[str] = []
    lake.tx.set_trace_callback(statements.append)
    assert find(lake, earlier).files == earlier.files
    assert not any("ducklake_file_column_stats" in sql for sql in statements)
