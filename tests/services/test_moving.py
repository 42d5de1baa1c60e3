"""A project that moves from SQLite to PostgreSQL and back, with incidents, and works on on each."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from postgres_cluster import Database

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from runlab import DAYS, Lab

CLEAN = "select order_id, customer, amount, cast(day as date) as day from orders"


def project(root: Path, database: Database | None = None) -> Lab:
    made = Lab(root, database)
    made.sql("clean", CLEAN)
    return made


def works_on(lab: Lab, sound: str, broken: str, header: str) -> None:
    """A run publishes, a delivery with another header opens an incident, and both have ids of their
    own.
    """
    ids = (
        "select coalesce((select max(id) from run), 0), coalesce((select max(id) from incident), 0)"
    )
    ((run, incident),) = lab.rows(ids)
    lab.orders(sound)
    lab.deliver(broken, [f"{broken[-2:]}1,c1,1.50,{broken}"], header=header)
    response = lab.tick()
    assert sorted(item.partition for item in response.published) == [sound] * 2
    ((run_now, incident_now),) = lab.rows(ids)
    assert (run_now, incident_now) == (run + 1, incident + 1)
    assert lab.headrace("db", "check", "--deep")["ok"]


def moved(lab: Lab, other: Lab, folder: Path) -> None:
    lab.headrace("db", "backup", str(folder))
    shutil.copytree(lab.root / "landing", other.root / "landing", dirs_exist_ok=True)
    other.headrace("db", "restore", str(folder))
    other.now = lab.now
    assert other.headrace("db", "check", "--deep")["ok"]
    assert other.read("clean") == lab.read("clean")


@pytest.mark.long
def test_a_project_moves_to_postgresql_and_back(
    tmp_path: Path, postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_PASSWORD", postgresql.password)
    first = project(tmp_path / "first")
    first.orders(DAYS[0])
    first.tick()
    works_on(first, DAYS[1], DAYS[2], "order_id,customer,total,day")

    second = project(tmp_path / "second", postgresql)
    moved(first, second, tmp_path / "kept-1")
    works_on(second, DAYS[3], DAYS[4], "order_id,client,amount,day")

    third = project(tmp_path / "third")
    moved(second, third, tmp_path / "kept-2")
    works_on(third, DAYS[5], DAYS[6], "number,customer,amount,day")
