"""Tables with too many small files: merged in slices, and nothing that anybody reads changes."""

from __future__ import annotations

from typing import Any

import pytest
from runlab import Lab, published

from headrace.model import LakeError
from headrace.runtime.small_merges import MergedSlices, merge_small_files
from headrace.store import Clock, Store

CLEAN = "select order_id, amount, cast(day as date) as day from orders"
LATEST = "select order_id, amount from clean"
DAYS = [f"2024-12-{day:02d}" for day in range(1, 21)]
CURRENT = (
    "select t.table_name, count(*) from ducklake_data_file f join ducklake_table t on t.table_id ="
    " f.table_id and t.end_snapshot is null where f.end_snapshot is null group by t.table_name"
)


def merge(lab: Lab, files_max: int = 10, slices_max: int | None = None) -> MergedSlices:
    """As a server does, in a process that leads."""
    session = lab.session()
    with Store.open(session.root, session.settings, create=True) as store:
        with store.write(None) as tx:
            clock = Clock.for_writing(tx, lab.now)
        return merge_small_files(
            store, None, session.folders, clock, files_max=files_max, slices_max=slices_max
        )


def files(lab: Lab) -> dict[str, int]:
    return dict(lab.rows(CURRENT))


def contents(lab: Lab, name: str) -> list[dict[str, Any]]:
    rows = lab.headrace("read", name, "--limit", "10000")["rows"]
    return sorted(rows, key=lambda row: (row["order_id"], str(row)))


def build(lab: Lab) -> Lab:
    lab.sql("clean", CLEAN)
    lab.sql("latest", LATEST, "partition: day\nmaterialize: merge\nmerge: {keys: [order_id]}")
    for day in DAYS:
        lab.orders(day)
    lab.tick()
    return lab


def test_rows_evidence_and_log_are_as_before(any_lab: Lab) -> None:
    """Catches: lost rows, partitions that nobody knows, a state that differs from its event log,
    and a table merged by key whose next publication finds other files."""
    lab = build(any_lab)
    before = {name: contents(lab, name) for name in ("orders", "clean", "latest")}
    hashes = lab.rows("select node, partition, content_hash from publication order by 1, 2")
    assert {name: files(lab)[name] for name in ("orders", "clean")} == {"orders": 20, "clean": 20}
    assert merge(lab).files == {"clean": 16, "orders": 16}
    assert {name: files(lab)[name] for name in ("orders", "clean")} == {"orders": 5, "clean": 5}
    assert {name: contents(lab, name) for name in before} == before
    assert lab.rows("select node, partition, content_hash from publication order by 1, 2") == hashes
    lab.headrace("db", "check", "--deep")
    lab.headrace("db", "gc")
    lab.headrace("db", "check", "--deep")
    assert merge(lab) == MergedSlices()
    lab.orders(DAYS[-3], n=11)
    assert set(published(lab.tick())) >= {("clean", DAYS[-3]), ("orders", DAYS[-3])}
    days = [row["day"] for row in contents(lab, "clean")]
    assert {day: days.count(day) for day in DAYS} == {
        day: 11 if day == DAYS[-3] else 10 for day in DAYS
    }
    lab.headrace("db", "check", "--deep")


def test_a_table_with_a_damaged_file_is_left_out(lab: Lab) -> None:
    """Catches a merge that fails each time because of it, and other tables that wait for it."""
    build(lab)
    (path,) = lab.rows(
        "select f.path from ducklake_data_file f join ducklake_table t on t.table_id = f.table_id"
        " where t.table_name = 'orders' order by f.data_file_id limit 1"
    )[0]
    (lab.root / ".headrace/lake/main/orders" / path).unlink()
    with pytest.raises(LakeError, match="small files of `orders` can't be merged"):
        merge(lab)
    lab.tick()
    assert files(lab)["orders"] == 20
    merge(lab)
    assert {name: files(lab)[name] for name in ("orders", "clean")} == {"orders": 20, "clean": 5}


def test_a_command_stops_after_some_slices_and_the_next_continues(lab: Lab) -> None:
    build(lab)
    assert merge(lab, slices_max=1).slices == {"clean": 1}
    assert merge(lab, slices_max=1).slices == {"orders": 1}
