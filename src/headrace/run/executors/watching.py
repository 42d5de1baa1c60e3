"""Looks at what busy workers use, at a rate that costs next to nothing, and faster where one comes near its limit."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from headrace.run.executors import memory
from headrace.run.executors.worker_handles import WorkerHandle

LOOK_SECONDS = 0.25
NEAR_SECONDS = 0.02
"""While a worker uses more than half of its limit."""
SCAN_SECONDS = 1.0
SCAN_SHARE = 0.01
"""Children of workers are found by looking at all processes: as rarely as keeps it below this share of a processor."""
RESTING_BYTES_MAX = 128 * 2**20
"""A worker that uses more than this with nothing to do is replaced: bodies left it behind, and a new one costs milliseconds."""
IDLE_SECONDS = 30.0
IDLE_BYTES_MAX = 40 * 2**20
"""After that time with nothing to do, this is what a worker may keep: a new one has half of it."""
START_SECONDS_MAX = 60.0


class MemoryMonitor:
    """When to look next, and what is found."""

    def __init__(self) -> None:
        self._next = math.inf
        self._next_scan = 0.0

    def busy(self) -> None:
        """A worker has got something to do."""
        if self._next == math.inf:
            self._next = time.monotonic() + LOOK_SECONDS

    def left(self, seconds: float | None) -> float | None:
        """How long may be waited for something else."""
        if self._next == math.inf:
            return seconds
        until = max(0.0, self._next - time.monotonic())
        return until if seconds is None else min(seconds, until)

    def due(self, now: float) -> bool:
        """Whether it is time to look."""
        return now >= self._next

    def look(self, workers: Sequence[WorkerHandle], now: float) -> list[WorkerHandle]:
        """End those that use more than they may. The idle ones that use more than they should are told."""
        working = [worker for worker in workers if worker.given and worker.pid]
        near = [worker.limit(worker.used()) for worker in working]
        if working and now >= self._next_scan:
            self._scan(working, now)
        fat = [worker for worker in workers if not worker.given and not worker.rested and _keeps_too_much(worker, now)]
        self._next = self._when(workers, now, near=any(near))
        return fat

    def _when(self, workers: Sequence[WorkerHandle], now: float, *, near: bool) -> float:
        if any(worker.given or not worker.ready for worker in workers):
            return now + (NEAR_SECONDS if near else LOOK_SECONDS)
        return min((worker.idle_since + IDLE_SECONDS for worker in workers if not worker.rested), default=math.inf)

    def late(self, workers: Sequence[WorkerHandle], now: float) -> list[WorkerHandle]:
        """Those that have been starting for too long; they are ended, if there is anything to end."""
        late = [worker for worker in workers if not worker.ready and now - worker.started > START_SECONDS_MAX]
        for worker in late:
            worker.doom(f"wasn't ready after {START_SECONDS_MAX:.0f} s")
        return late

    def _scan(self, working: Sequence[WorkerHandle], now: float) -> None:
        by_pid = {worker.pid: worker for worker in working}
        for pid, used in memory.of_sessions(set(by_pid)).items():
            by_pid[pid].limit(used)
        self._next_scan = now + max(SCAN_SECONDS, (time.monotonic() - now) / SCAN_SHARE)


def _keeps_too_much(worker: WorkerHandle, now: float) -> bool:
    long = now >= worker.idle_since + IDLE_SECONDS
    worker.rested = long
    return worker.used() > (IDLE_BYTES_MAX if long else RESTING_BYTES_MAX)
