"""What a person waits for before anything happens: `headrace --help`, and `headrace status` on the
demo.

Wall time of the whole command, the best of ten: what disturbs a start-up only ever makes it longer.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Figure, main
from benchmarks.headrace_cli import COMMAND

RUNS = 10
RUNS_QUICK = 2


def best(*arguments: str, folder: Path, runs: int) -> list[float]:
    """Seconds of each run of a command, shortest first."""
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, check=True)
        taken.append(time.perf_counter() - began)
    return sorted(taken)


def measure(*, quick: bool) -> list[Figure]:
    """Build the demo (a few days of it with `quick`), and ask it."""
    runs = RUNS_QUICK if quick else RUNS
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        demo = Path(name, "demo")
        days = ["--days", "3"] if quick else []
        subprocess.run(
            [COMMAND, "demo", str(demo), "--no-serve", *days], capture_output=True, check=True
        )
        helped = best("--help", folder=demo, runs=runs)
        stated = best("status", folder=demo, runs=runs)
    return [
        Figure(name="help", value=helped[0], unit="s", goal=0.15, runs=helped),
        Figure(name="status_on_the_demo", value=stated[0], unit="s", goal=0.4, runs=stated),
    ]


if __name__ == "__main__":
    main(__doc__, measure)
