"""Files of merge and snapshot tables that are lost, cut short or overwritten: found, said and
repaired from the first partition on that has them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runlab import Lab

DAYS = [f"2025-01-{day:02}" for day in range(1, 10)]
MERGE = "partition: day\nmaterialize: merge\nmerge: {keys: [order_id]}"
SNAPSHOT = "partition: day\nmaterialize: snapshot\nsnapshot: {keys: [order_id], columns: [amount]}"
CONSUMERS = """- {consumer: shops, owner: core, reads: [latest], due: '09:00'}
- {consumer: board, owner: core, reads: [versions], due: '09:00'}
"""
READERS = {"latest": "shops", "versions": "board"}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql("latest", "select order_id, customer, amount, day as changed from orders", MERGE)
    made.sql("versions", "select order_id, customer, amount from orders", SNAPSHOT)
    made.write("consumers.yaml", CONSUMERS)
    for number, day in enumerate(DAYS):
        made.deliver(day, [f"1,c,{number}.5,{day}", f"2,c,2.5,{day}", f"{number + 3},c,1.5,{day}"])
    made.tick()
    look(made)
    return made


def look(lab: Lab) -> list[str]:
    """A few passes: each looks at all that consumers read."""
    return [item for _ in range(3) for item in lab.headrace("tick")["incidents_opened"]]


def deleted(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 40)


def footer_overwritten(path: Path) -> None:
    """Its length and its end are what they were."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        footer_bytes = int.from_bytes(file.read(4), "little")
        file.seek(-8 - footer_bytes, os.SEEK_END)
        file.write(b"\xff" * 16)


def current(lab: Lab, name: str, kind: str) -> list[tuple[Path, int]]:
    """The files that readers of a table need, each with the snapshot since which they do, oldest
    first."""
    rows = lab.rows(
        f"select f.path, f.begin_snapshot from {kind} f join ducklake_table t using (table_id)"
        " where t.table_name = ? and f.end_snapshot is null order by 2, 1",
        name,
    )
    return [(lab.root / ".headrace/lake/main" / name / path, since) for path, since in rows]


def rows_of(lab: Lab, name: str) -> list[str]:
    return sorted(map(str, lab.read(name)))


def damaged_and_repaired(
    lab: Lab, name: str, path: Path, since: int, damage: Callable[[Path], None]
) -> None:
    before = rows_of(lab, name)
    damage(path)
    (opened,) = look(lab)
    incident: Any = lab.headrace("incident", opened)
    published = lab.rows(
        "select partition from publication where node = ? and snapshot >= ? and ended_at is null",
        name,
        since,
    )
    assert (incident["cause"]["kind"], incident["cause"]["node"]) == ("data_corrupted", name)
    assert incident["affected"]["partitions"] == sorted(key for (key,) in published)
    states = {row["name"]: row["state"] for row in lab.headrace("status")["consumers"]}
    assert states.pop(READERS[name]) == "wrong" and list(states.values()) == ["served"]
    assert path.name in str(lab.headrace("db", "check", "--deep", code=1)["findings"])
    done = lab.headrace("fix", opened, "--yes")
    assert (done["fix"], done["state"], done["still"]) == ("done", "resolved", [])
    assert rows_of(lab, name) == before
    assert {row["state"] for row in lab.headrace("status")["consumers"]} == {"served"}


@pytest.mark.long
@pytest.mark.parametrize("damage", [deleted, cut_short, footer_overwritten])
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_readers_need_is_computed_again(
    lab: Lab, name: str, damage: Callable[[Path], None]
) -> None:
    """Catches: a consumer that is served over a table that can't be read, an incident that is about
    no partition, and a repair that comes to the same table and so writes nothing."""
    path, since = current(lab, name, "ducklake_data_file")[-1]
    damaged_and_repaired(lab, name, path, since, damage)


@pytest.mark.long
def test_what_several_days_have_is_computed_again_from_the_first_of_them(lab: Lab) -> None:
    """Catches: a repair that starts from the table as a day left it that is damaged, too."""
    path, since = current(lab, "latest", "ducklake_data_file")[0]
    assert (
        len(
            lab.rows(
                "select 1 from publication where node = 'latest' and snapshot >= ? and ended_at is"
                " null",
                since,
            )
        )
        > 1
    )
    damaged_and_repaired(lab, "latest", path, since, deleted)


@pytest.mark.long
def test_the_rows_that_were_replaced_stay_replaced(lab: Lab) -> None:
    """Catches: a delete file at which nobody looks; rows that come back, or a table that can't be
    read, without a word."""
    path, since = current(lab, "latest", "ducklake_delete_file")[-1]
    damaged_and_repaired(lab, "latest", path, since, deleted)
