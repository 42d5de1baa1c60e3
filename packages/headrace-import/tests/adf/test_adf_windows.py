"""Tables that a window fills: partitions keep each window, a truncate keeps only the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from adf_factories import (
    basics,
    copy,
    dataset,
    expression,
    imported,
    items,
    pipeline,
    script,
    trigger,
    verdicts,
)

_WHERE = (
    "WHERE day >= '@{formatDateTime(pipeline().parameters.a,'yyyy-MM-dd')}' "
    "AND day < '@{formatDateTime(pipeline().parameters.b,'yyyy-MM-dd')}'"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the linked services and datasets that tests share."""
    folder = tmp_path / "factory"
    basics(folder)
    dataset(folder, "sums", "AzureSqlTable", "sql", schema="dbo", table="sums")
    return folder


def _with_window(root: Path, activities: list[Any]) -> None:
    pipeline(root, "p", activities, parameters={"a": {"type": "string"}, "b": {"type": "string"}})
    window = {"frequency": "Hour", "interval": 24, "startTime": "2025-03-01T00:00:00Z"}
    passed = {"a": "@trigger().outputs.windowStartTime", "b": "@trigger().outputs.windowEndTime"}
    trigger(root, "t", "TumblingWindowTrigger", "p", window, parameters=passed)


def _copy(target: str, **sink: Any) -> dict[str, Any]:
    query = expression(f"SELECT day, total FROM dbo.Orders {_WHERE}")
    source = {"type": "AzureSqlSource", "sqlReaderQuery": query}
    return copy("Load", "orders_table", target, source=source, sink={"type": "S", **sink})


@pytest.mark.parametrize(
    "one",
    [
        _copy("sums", preCopyScript="truncate table dbo.sums"),
        _copy("sums", preCopyScript="delete from [dbo].[sums];"),
        _copy("orders_csv"),
        script(
            "Load",
            expression(
                "TRUNCATE TABLE dbo.sums; INSERT INTO dbo.sums (day, total) "
                f"SELECT day, total FROM dbo.Orders {_WHERE}"
            ),
        ),
    ],
    ids=["truncate", "delete", "file", "script"],
)
def test_a_table_with_only_its_newest_window_is_a_persons(
    root: Path, tmp_path: Path, one: dict[str, Any]
) -> None:
    """Would catch partitions that keep every day where the origin has one."""
    _with_window(root, [one])
    item = items(imported(root, tmp_path / "new"))["p/Load"]
    assert (str(item.verdict), "only the newest window" in item.why) == ("person", True), item.why
    assert "every window" in item.todo


def test_a_dated_file_into_an_emptied_table_is_a_persons(root: Path, tmp_path: Path) -> None:
    path = expression("@concat('events/', dataset().day)")
    dataset(
        root, "events", "Parquet", "lake", parameters={"day": {"type": "string"}},
        location={"type": "AzureBlobFSLocation", "fileSystem": "raw", "folderPath": path,
                  "fileName": "events.parquet"},
    )  # fmt: skip
    day = expression("@formatDateTime(pipeline().parameters.a, 'yyyy/MM/dd')")
    sink = {"type": "S", "preCopyScript": "truncate table dbo.sums"}
    _with_window(root, [copy("Load", "events", "sums", parameters={"day": day}, sink=sink)])
    assert verdicts(imported(root, tmp_path / "new")) == {"p/Load": "person"}


def test_a_window_that_is_added_is_partitioned(root: Path, tmp_path: Path) -> None:
    _with_window(root, [_copy("sums")])
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"p/Load": "carried"}, items(project)["p/Load"].why
    assert "partition: {by: day, column: day}" in project.files["assets/p/sums.sql"]


def test_a_truncate_of_another_table_stays(root: Path, tmp_path: Path) -> None:
    """Would catch rows that nobody removes any more."""
    sink = {"type": "S", "preCopyScript": "truncate table dbo.other"}
    pipeline(root, "p", [copy("Load", "orders_csv", "sums", sink=sink)])
    item = items(imported(root, tmp_path / "new"))["p/Load"]
    assert (str(item.verdict), "another table" in item.why) == ("command", True), item.why


def test_a_table_that_gets_the_same_rows_again_stays(root: Path, tmp_path: Path) -> None:
    """Would catch a sink that adds rows at each run, here with a table that it may create."""
    sink = {"type": "S", "tableOption": "autoCreate"}
    pipeline(root, "p", [copy("Load", "orders_csv", "sums", sink=sink)])
    item = items(imported(root, tmp_path / "new"))["p/Load"]
    assert (str(item.verdict), "adds its rows" in item.why) == ("command", True)
