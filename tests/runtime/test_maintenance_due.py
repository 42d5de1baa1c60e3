"""The lake is looked after beside what is published: files become fewer, readers and restatements
see no difference.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
from runlab import DAYS, Lab, published

from headrace.runtime.maintenance import EVERY, due
from headrace.store import Store

CLEAN = "select order_id, cast(day as date) as day from orders"


def maintain(lab: Lab, *step: str) -> None:
    state, lake = lab.root / ".headrace/state.db", lab.root / ".headrace/lake"
    command = [
        sys.executable,
        "-m",
        "headrace.lake.maintenance",
        *step,
        "--catalog",
        str(state),
        "--data-folder",
        str(lake),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=50)


@pytest.mark.long
def test_a_day_inside_a_merged_file_can_be_restated(lab: Lab) -> None:
    """Catches a merged file that loses its other days, or that keeps the old rows of the restated
    one.
    """
    lab.sql("clean", CLEAN)
    for day in DAYS:
        lab.orders(day)
    lab.tick()
    maintain(lab, "merge")
    assert lab.rows("select count(*) from ducklake_data_file where end_snapshot is null") < [(14,)]
    lab.orders(DAYS[3], n=4)
    assert published(lab.tick()) == [("clean", DAYS[3]), ("orders", DAYS[3])]
    counts: dict[str, int] = {}
    for row in lab.headrace("read", "clean", "--limit", "1000")["rows"]:
        counts[row["day"]] = counts.get(row["day"], 0) + 1
    assert counts == {day: 4 if day == DAYS[3] else 10 for day in DAYS}


def test_it_is_due_once_a_day(lab: Lab) -> None:
    lab.orders(DAYS[0])
    lab.tick()
    session = lab.session()
    with Store.open(session.root, session.settings, create=True) as store, store.write(None) as tx:
        day = int(EVERY / timedelta(microseconds=1))
        assert [due(tx, now) for now in (day, 2 * day - 1, 2 * day)] == [False, False, True]


@pytest.mark.long
def test_a_live_tick_merges_after_a_day(lab: Lab) -> None:
    lab.sql("clean", CLEAN)
    for day in DAYS:
        lab.orders(day)
    lab.headrace("tick")
    with (
        Store.open(lab.root, lab.session().settings, create=True) as store,
        store.write(None) as tx,
    ):
        tx.execute("update meta set value = '0' where key = 'upkeep_at'")
    lab.headrace("tick")
    assert lab.rows("select count(*) from ducklake_data_file where end_snapshot is null") == [(2,)]
    assert lab.rows("select value > '1' from meta where key = 'upkeep_at'") == [(1,)]
    assert lab.headrace("tick")["state"] == "nothing_due"
