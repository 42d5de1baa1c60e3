"""`kill -9` of real leaders that follow a table: the asset of its present state is the table."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from decimal import Decimal

import pytest
from postgres_cluster import Database
from runlab import SETTINGS, Lab
from test_changes import TABLE, RandomLoad

KILLS = 5
PRESENT_STATE = """
with emptied as (
  select coalesce(max(_seq), -1) as seq from account_changes where _op = 'truncate'
),
newest as (
  select * from account_changes
  where _op not in ('truncate', 'heartbeat') and _seq > (select seq from emptied)
  qualify row_number() over (partition by id order by _seq desc) = 1
)
select
  newest.id,
  newest.amount,
  case when list_contains(string_split(_unchanged, ','), 'note') then before.note
  else newest.note end as note,
  _op = 'delete' as deleted
from newest left join $self before using (id)
union all
select id, null, null, true from $self
where (select seq from emptied) >= 0 and id not in (select id from newest)
"""
"""As docs/how-to/change-data.md has it."""


@pytest.mark.long
def test_killed_leaders_lose_and_double_nothing(lab: Lab, postgresql: Database) -> None:
    """Would catch a change that is passed over or merged twice by the leader after a killed one."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    postgresql.execute(
        f"alter database {postgresql.name} set synchronous_commit = on",  # a commit is on disk
        TABLE,
        "create publication headrace for table accounts",
    )
    lab.write(
        "headrace.toml",
        f'{SETTINGS}look_every = "1s"\n[connections.core]\nurl = "{postgresql.url_of_socket}"\n',
    )
    lab.write(
        "sources/account_changes.yaml",
        "source: account_changes\nowner: core\nconnection: core\nchanges: {table: accounts}\n",
    )
    merged = "materialize: merge\nmerge: {keys: [id], delete: deleted}"
    lab.sql("accounts", PRESENT_STATE, front=merged)
    try:
        lab.headrace("tick")
        with RandomLoad(postgresql, chance.randrange(2**32)):
            for _ in range(KILLS):
                _killed_after(lab, chance.uniform(0.5, 3.0))
        while lab.headrace("tick")["state"] != "nothing_due":
            pass
        merged_rows = lab.headrace("read", "accounts", "--format", "json")["rows"]
        assert {
            row["id"]: (Decimal(str(row["amount"])), row["note"]) for row in merged_rows
        } == _table(postgresql)
        assert len(merged_rows) == len(_table(postgresql))
        (slots,) = postgresql.rows(
            "select count(*) from pg_replication_slots where database = current_database()"
        )
        assert slots == (1,), "no leader leaves a slot behind"
    finally:
        postgresql.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database ="
            " current_database()"
        )


def _killed_after(lab: Lab, seconds: float) -> None:
    """Run a server for a random while: the moment is what is random, nothing is waited for."""
    with subprocess.Popen(
        lab.command("serve", "--port", "0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as leader:
        time.sleep(seconds)
        os.killpg(leader.pid, signal.SIGKILL)


def _table(database: Database) -> dict[int, tuple[Decimal, str]]:
    rows = database.rows("select id, amount, note from accounts")
    return {key: (amount, note) for key, amount, note in rows}
