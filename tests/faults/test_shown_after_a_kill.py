"""What people read after a kill, before another runtime has written down what became of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults_lab import Project

from headrace.faults import FaultPoint


@pytest.mark.long
def test_what_a_dead_runtime_left_open_is_told_as_lost(tmp_path: Path) -> None:
    """Catches `running` for what nobody works at, and a command that only reports and writes all
    the same.
    """
    project = Project(tmp_path / "p").declare()
    assert project.tick(fault=f"{FaultPoint.TURN_DURABLE}=kill").killed
    before = project.sql("select state, count(*) from attempt group by state order by state")
    assert dict(before)["running"] > 0
    rows = project.document("runs")
    assert {row["run_state"] for row in rows} == {"lost"}
    assert {row["state"] for row in rows} == {"published", "lost"}
    assert {row["reason"] for row in rows if row["state"] == "lost"} == {
        "the runtime ended while it ran"
    }
    assert project.document("runs", "--failed") == [row for row in rows if row["state"] == "lost"]
    assert [
        row | {"code": None} for row in project.document("runs", "1")
    ] == rows  # of one run its code is told, too
    assert project.document("status")["runtime"] == "stopped"
    assert "is being exported" not in project.run("why", "to-files").out
    assert (
        project.sql("select state, count(*) from attempt group by state order by state") == before
    )


@pytest.mark.long
def test_what_a_living_runtime_is_at_is_told_as_running(tmp_path: Path) -> None:
    project = Project(tmp_path / "p").declare()
    process = project.start("tick", *project.now, HEADRACE_FAULT=f"{FaultPoint.TURN_DURABLE}=stop")
    while "T (stopped)" not in Path(f"/proc/{process.pid}/status").read_text():
        assert process.poll() is None
    rows = project.document("runs")
    process.kill()
    process.communicate(timeout=30)
    assert {row["run_state"] for row in rows} == {"running"}
    assert {row["state"] for row in rows} == {"published", "running"}
    assert {row["run_state"] for row in project.document("runs")} == {"lost"}
