"""TRUST A5: a change without an event, or an event without a change, is impossible, whenever the
process is killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.model import Settings
from headrace.security import verify
from headrace.store import Store

WRITER = """
import os, sys; from pathlib import Path
from headrace.security import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.model import Settings
from headrace.store import Store
event = AuditEvent(action=Action.RUN_FINISHED, actor=Actor(ActorType.SYSTEM, "t"), object=Object("run", "1"))
with Store.open(Path(sys.argv[1]), Settings(name="t", store_url=os.environ["STORE_URL"]), create=True) as store:
    while True:
        print("committed", flush=True)
        with store.write(None) as tx:
            tx.execute("insert into run (kind, request, actor, state, started_at) values ('tick', '{}', 't', 'succeeded', 0)")
            append(tx, 1, event)
            tx.execute("insert into run (kind, request, actor, state, started_at) values ('tick', '{}', 't', 'succeeded', 0)")
"""
KILLS = 8


@pytest.mark.long
def test_a_killed_writer_leaves_each_change_with_its_event(
    tmp_path: Path, state_settings: Settings
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    entries = 0
    for number in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(1 + number):
            assert writer.stdout.readline() == "committed\n"
        time.sleep(
            chance.uniform(0, 0.02)
        )  # the moment is what is random here, nothing is waited for
        writer.kill()
        writer.communicate(timeout=10)
        with (
            Store.open(tmp_path, Settings(name="t", store_url=os.environ["STORE_URL"])) as store,
            store.read() as tx,
        ):
            result = verify(tx)
            assert result.ok
            assert tx.execute("select count(*) from run").fetchone() == (2 * result.entries,)
            assert result.entries >= entries  # and nothing that was committed is gone
            entries = result.entries
    assert entries >= sum(range(KILLS))
