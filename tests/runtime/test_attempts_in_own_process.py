"""Runs `test_attempt_processes.py` in a process of its own.

What it starts is forked from the process of the tests, with all descriptors that other tests left
open there: code of an attempt that writes to every socket would end the fork servers of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_attempt_processes import ALONE

from headrace.engine import sandbox

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.skipif(not sandbox.available(), reason="no Landlock")
def test_attempt_processes(tmp_path: Path) -> None:
    """Would catch: what the tests of that file name."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *(
                "-m",
                "not slow",
                f"--basetemp={tmp_path}",
                "tests/runtime/test_attempt_processes.py",
            ),
        ],
        cwd=ROOT,
        env={**os.environ, ALONE: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout
