"""Workers that end before they are ready, again and again: what people see of it who weren't there
when the command failed.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import IO

import pytest
from runlab import DAYS, Lab

from headrace.runtime import fork_server_start
from headrace.runtime.executors import WorkersBroken

SAYS = "libfoo.so: cannot open shared object file"


def broken(descriptor: int, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    """A process in place of the one that starts workers, whose interpreter is broken."""
    code = f"import sys; sys.exit('first\\n' + {SAYS!r})"
    return subprocess.Popen(
        [sys.executable, "-S", "-c", code], stderr=complaints, pass_fds=(descriptor,)
    )


def test_it_is_one_incident_with_the_last_line_and_status_says_that_nothing_can_run(
    tmp_path: Path,
) -> None:
    """Would catch: "There has been no incident" while no worker starts, a second one with each
    pass, and "nothing was delivered" of a file that waits; and an incident that stays open when
    workers start again."""
    lab = Lab(tmp_path / "p")
    lab.sql("clean", "select * from orders")
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [clean], due: '07:00'}\n")
    lab.now = datetime.fromisoformat("2025-01-02T06:00:00+00:00")
    lab.orders(DAYS[0])
    lab.tick()
    lab.now = datetime.fromisoformat("2025-01-03T08:00:00+00:00")
    lab.orders(DAYS[1])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fork_server_start, "spawn", broken)
        for _ in range(2):
            with pytest.raises(WorkersBroken, match=SAYS):
                lab.tick()
            (incident,) = lab.headrace("incidents")
            assert (incident["cause"]["kind"], incident["cause"]["node"], incident["state"]) == (
                "runtime_down",
                "headrace",
                "open",
            )
            assert incident["affected"]["consumers"] == ["report"]
            assert [SAYS in item["observed"] for item in incident["cause"]["evidence"]] == [True]
            assert not incident["repair"]["automatic"]
            assert not any("catches up" in item["what"] for item in incident["timeline"])
    status = lab.headrace("status")
    assert "Nothing can run: no worker starts since" in status["headline"]
    assert status["next"] == "headrace incident INC-1"
    assert status["consumers"][0]["reason"] == f"orders@{DAYS[1]}: isn't ingested yet"
    lab.tick()
    assert lab.headrace("incidents") == []
    assert lab.rows("select state from incident") == [("resolved",)]
    assert "Nothing can run" not in lab.headrace("status")["headline"]
