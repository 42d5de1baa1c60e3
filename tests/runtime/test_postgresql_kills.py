"""kill -9 at any moment of a run whose state is in PostgreSQL, and a server that ends all
connections: nothing twice, nothing lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest
from runlab import DAYS, Lab
from test_leaders import begin, slow_project, wait_for

CLEAN = "select order_id, cast(day as date) as day from orders"
KILLS = 3
NOW = "2025-01-10T12:00:00+00:00"


def test_a_killed_leader_leaves_a_state_from_which_the_next_goes_on(postgresql_lab: Lab) -> None:
    """Would catch state and catalog that disagree, claims that stay, and locks that outlive their
    process."""
    lab, seed = postgresql_lab, random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    lab.sql("clean", CLEAN)
    for day in DAYS:
        lab.orders(day)
    for _ in range(KILLS):
        process = subprocess.Popen(
            lab.command("tick", "--now", NOW),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(
            chance.uniform(0.2, 2.0)
        )  # the moment is what is random here, nothing is waited for
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
    lab.headrace("tick", "--now", NOW)
    assert lab.headrace("tick", "--now", NOW)["state"] == "nothing_due"
    counts = lab.rows(
        "select node, count(*) from publication where ended_snapshot is null group by node order by"
        " node"
    )
    assert counts == [("clean", 7), ("orders", 7)]
    assert len(lab.read("clean")) == 70
    assert lab.headrace("db", "check", "--deep")["ok"]


@pytest.mark.slow
def test_a_leader_whose_connections_end_ends_itself_and_the_next_finishes(
    postgresql_lab: Lab,
) -> None:
    """Would catch a leader that goes on without its lease, and one whose lost connection keeps the
    store locked."""
    lab = postgresql_lab
    assert lab.database is not None
    flag, go = slow_project(lab)
    process = begin(lab, "tick", "--now", NOW)
    wait_for(flag)
    assert _publications(lab) == 1
    lab.database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headrace'"
        " and datname = current_database()"
    )
    _, said = process.communicate(timeout=50)
    assert process.returncode == 1 and "ended the connection" in " ".join(said.split()), said
    go.touch()
    assert lab.headrace("tick", "--now", NOW)["state"] == "succeeded"
    assert _publications(lab) == 2


def _publications(lab: Lab) -> int:
    assert lab.database is not None
    if lab.database.rows("select to_regclass('headrace.publication')") == [(None,)]:
        return 0
    (result,) = lab.rows("select count(*) from publication where ended_snapshot is null")
    return int(result[0])
