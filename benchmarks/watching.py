"""What a command costs with all the processes that it starts: wall time, and the highest memory of
all together.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.05
KB = 1024


@dataclass(frozen=True)
class DeclaredPromises:
    """`peak_mb` counts what processes share once (PSS); 0.0 where the system doesn't tell, as on
    macOS.
    """

    seconds: float
    peak_mb: float


def watch(command: Sequence[str]) -> DeclaredPromises:
    """Run a command to its end. Raises CalledProcessError, with what it said, if it failed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=output, stderr=errors) as process:
            sampler = _Sampler(process.pid)
            sampler.start()
            code = process.wait()
            seconds = time.perf_counter() - began
            sampler.finished.set()
            sampler.join()
        if code:
            output.seek(0)
            errors.seek(0)
            raise subprocess.CalledProcessError(
                code, command[:3], output.read().decode()[-2000:], errors.read().decode()[-2000:]
            )
    return DeclaredPromises(seconds, sampler.peak / KB)


def memory_mb(pid: int) -> float:
    """The memory of a process and its descendants now; what they share counts once."""
    return sum(_memory(item) for item in _family(pid)) / KB


def cpu_seconds(pid: int) -> float:
    """What a process and its descendants that live have spent so far, with what was waited for."""
    return sum(_spent(item) for item in _family(pid)) / os.sysconf("SC_CLK_TCK")


class _Sampler(threading.Thread):
    """Adds up the memory of a process and its descendants, again and again, and keeps the highest
    sum (kB).
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.finished = pid, 0, threading.Event()

    def run(self) -> None:
        while not self.finished.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(_memory(pid) for pid in _family(self.pid)))


def _family(root: int) -> list[int]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = (
                stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            )
        except OSError:
            continue
        children[int(after_name[1])].append(int(stat.parent.name))
    family = [root]
    for pid in family:
        family.extend(children[pid])
    return family


def _spent(pid: int) -> int:
    try:
        after_name = (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except OSError:
        return 0
    return sum(map(int, after_name[11:15]))


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
