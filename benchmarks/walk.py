"""How much code a reader passes on the way of one command: the modules whose functions run, and how
often the way crosses from one package into another.

A project of one source with a CSV file of three rows, one asset and one consumer; `tick` runs for
the first time, then `status`. Counted in the command's own process, in all of its threads: a module
counts once a function of it has run (importing it doesn't count, nor do the class bodies and the
tables that are made while it is imported), a crossing is a call from one
package of Headrace into another that no earlier call has made from the same function. Nothing is
timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Figure, main

MODULES_TICK_MAX = 150
SECONDS_MAX = 120

TRACED = """
import json, sys, threading
from pathlib import Path

import headrace
from headrace.cli.main import run

root = str(Path(headrace.__file__).parent) + "/"
modules, crossings = set(), set()


def package(path):
    return path[len(root):].split("/")[0]


def within(frame):
    while frame is not None:
        if frame.f_code.co_filename.startswith(root):
            yield frame.f_code
        frame = frame.f_back


def called(frame, event, argument):
    code = frame.f_code
    if event != "call" or not code.co_filename.startswith(root):
        return
    callers = list(within(frame))
    if any(caller.co_name == "<module>" for caller in callers):
        return  # a class body or a table of a module that is being imported
    modules.add(code.co_filename)
    if len(callers) > 1 and package(callers[1].co_filename) != package(code.co_filename):
        crossings.add((callers[1], code))


out, *arguments = sys.argv[1:]
threading.setprofile(called)
sys.setprofile(called)
code = run(arguments)
sys.setprofile(None)
Path(out).write_text(json.dumps({"code": code, "modules": len(modules), "crossings": len(crossings)}))
"""


def walked(folder: Path, *arguments: str) -> dict[str, int]:
    """Runs a command in a process of its own; what its way came to."""
    out = folder / "walk.json"
    command = [sys.executable, "-c", TRACED, str(out), *arguments]
    subprocess.run(
        command, cwd=folder / "project", capture_output=True, check=True, timeout=SECONDS_MAX
    )
    counts: dict[str, int] = json.loads(out.read_text())
    return counts


def measure(*, quick: bool) -> list[Figure]:
    """Make the project and walk; `quick` makes no difference."""
    _ = quick
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        (folder / "orders.csv").write_text("id,amount\n1,10\n2,20\n3,30\n")
        make = [sys.executable, "-m", "headrace", "init", "project", "--from", "orders.csv"]
        subprocess.run(make, cwd=folder, capture_output=True, check=True, timeout=SECONDS_MAX)
        apply = [sys.executable, "-m", "headrace", "apply", "--yes"]
        subprocess.run(
            apply, cwd=folder / "project", capture_output=True, check=True, timeout=SECONDS_MAX
        )
        tick = walked(folder, "tick")
        status = walked(folder, "status")
    return [
        Figure(
            name="modules_entered_by_the_first_tick",
            value=tick["modules"],
            unit="modules",
            goal=MODULES_TICK_MAX,
            runs=[tick["modules"]],
        ),
        Figure(
            name="package_crossings_of_the_first_tick",
            value=tick["crossings"],
            unit="calls",
            goal=None,
            runs=[tick["crossings"]],
        ),
        Figure(
            name="modules_entered_by_status",
            value=status["modules"],
            unit="modules",
            goal=None,
            runs=[status["modules"]],
        ),
        Figure(
            name="package_crossings_of_status",
            value=status["crossings"],
            unit="calls",
            goal=None,
            runs=[status["crossings"]],
        ),
    ]


if __name__ == "__main__":
    main(__doc__, measure)
