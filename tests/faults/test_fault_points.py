"""The points themselves: armed by the environment alone, where the code says that they are."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import headrace
from headrace.faults import Fault, FaultPoint, armed_by, parse

PASS = (
    "import sys; from headrace.faults import FaultPoint, reached\nfor _ in range(3):"
    " reached(FaultPoint.TURN_DONE)\nprint('passed')"
)


def passing(**environment: str) -> subprocess.CompletedProcess[str]:
    """A process that comes three times to a point."""
    return subprocess.run(
        [sys.executable, "-c", PASS],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_every_point_stands_in_the_code_once() -> None:
    """Catches points that are listed and reached nowhere, and a name that stands for two places."""
    trunk = Path(headrace.__file__).parent
    of_packages = (trunk.parents[1] / "packages").glob("*/src")
    sources = [
        path
        for folder in (trunk, *of_packages)
        for path in folder.rglob("*.py")
        if path.name != "faults.py"
    ]
    result = Counter(
        name
        for path in sources
        for name in re.findall(r"reached\(FaultPoint\.(\w+)\)", path.read_text())
    )
    assert result == Counter({point.name: 1 for point in FaultPoint})


def test_nothing_is_armed_unless_the_environment_says_so() -> None:
    assert armed_by({}) is None
    assert armed_by({"HEADRACE_FAULT_ONCE": "/tmp/x"}) is None
    assert passing().stdout == "passed\n"


def test_what_is_armed_is_said_in_one_line() -> None:
    assert parse("turn.committed:3=kill, export.staged=sleep:0.5") == (
        Fault(FaultPoint.TURN_COMMITTED, 3, "kill", 0.0),
        Fault(FaultPoint.EXPORT_STAGED, 1, "sleep", 0.5),
    )


@pytest.mark.parametrize(
    "text",
    [
        "turn.committed",
        "turn.committed=explode",
        "nowhere=kill",
        "turn.done=sleep",
        "turn.done:x=kill",
        "turn.done=kill:3",
    ],
)
def test_a_fault_that_means_nothing_is_refused(text: str) -> None:
    """Catches a typing error that makes a test of faults a test of nothing."""
    with pytest.raises(ValueError, match=r"HEADRACE_FAULT|invalid literal"):
        parse(text)


def test_a_fault_strikes_at_its_time(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert (
        passing(HEADRACE_FAULT="turn.done:2=kill", HEADRACE_FAULT_TRACE=str(trace)).returncode
        == -signal.SIGKILL
    )
    assert [line.split()[0] for line in trace.read_text().splitlines()] == ["turn.done"] * 2
    assert passing(HEADRACE_FAULT="turn.done:4=kill").stdout == "passed\n"
    assert passing(HEADRACE_FAULT="turn.done:3=sleep:0.01").stdout == "passed\n"


@pytest.mark.parametrize(("action", "number"), [("error", errno.EIO), ("full", errno.ENOSPC)])
def test_an_injected_failure_is_one_of_the_system(action: str, number: int) -> None:
    said = passing(HEADRACE_FAULT=f"turn.done={action}").stderr
    assert f"OSError: [Errno {number}] {os.strerror(number)}: 'turn.done'" in said


def test_of_many_processes_one_strikes(tmp_path: Path) -> None:
    once = {"HEADRACE_FAULT": "turn.done=kill", "HEADRACE_FAULT_ONCE": str(tmp_path / "fired")}
    assert passing(**once).returncode == -signal.SIGKILL
    assert (tmp_path / "fired").read_text() == "turn.done"
    assert passing(**once).stdout == "passed\n"
