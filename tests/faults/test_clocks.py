"""F9: the machine's clock is set back while a run goes on, and between two: facts stay in order,
nothing twice, nobody waits for it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faults_lab import Project, sound, verify

from headrace.faults import FaultPoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
DAYS = tuple((datetime.now(UTC) - timedelta(days=back)).strftime("%Y-%m-%d") for back in (4, 3, 2))
SHIFTED = """import time
_real = time.time_ns
def _shifted():
    with open({path!r}) as file:
        return _real() + int(file.read() or 0) * 10**9
time.time_ns = _shifted
time.time = lambda: _shifted() / 1e9
"""


class Shifted(Project):
    """A project whose processes see a clock that can be set."""

    def set_clock(self, seconds: int) -> None:
        path = self.root / "offset"
        new = path.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(path)

    def with_clock(self) -> Shifted:
        self.declare(DAYS)
        self.set_clock(0)
        self.preload(SHIFTED.format(path=str(self.root / "offset")))
        return self


def in_order(project: Project) -> bool:
    """Whether what came later says so."""
    told = [at for (at,) in project.sql("select published_at from publication order by id")]
    backwards = project.sql(
        "select count(*) from attempt where finished_at < started_at or started_at < queued_at"
    )
    return told == sorted(told) and backwards == [(0,)]


@pytest.mark.parametrize("back", [1, 262, 3600, 86400, 10 * 365 * 86400])
def test_the_clock_is_set_back_in_the_middle_of_a_run(back: int, tmp_path: Path) -> None:
    wanted = Project(tmp_path / "quiet", now=None).declare(DAYS)
    assert wanted.tick().code == 0
    project = Shifted(tmp_path / "p", now=None).with_clock()
    trace = tmp_path / "trace"
    process = project.start(
        "tick",
        HEADRACE_FAULT=f"{FaultPoint.TURN_COMMITTED}:8=sleep:2",
        HEADRACE_FAULT_TRACE=str(trace),
    )
    while not trace.exists() or trace.read_text().count(FaultPoint.TURN_COMMITTED) < 8:
        assert process.poll() is None
    project.set_clock(-back)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    verify(project, wanted.world())
    assert in_order(project)


def test_the_clock_is_set_back_between_two_runs_and_the_leader_died(tmp_path: Path) -> None:
    """Catches a lease of the future that nobody may take, and a delivery that is taken for older
    than the one before.
    """
    project = Shifted(tmp_path / "p", now=None).with_clock()
    assert project.tick(fault=f"{FaultPoint.TURN_COMMITTED}:8=kill").killed
    project.set_clock(-2 * 86400)
    assert project.tick().code == 0
    project.deliver(DAYS[0], ["7,c0,7.50," + DAYS[0]])
    os.utime(project.root / f"landing/orders_{DAYS[0]}.csv")
    assert project.tick().code == 0
    assert project.world().publications["clean", DAYS[0]][1] == 1
    assert in_order(project)
    sound(project)
