"""The disk priority of background workers: Linux's I/O priorities (ioprio_set(2)).

Niceness alone gives a process the lowest level of the usual class, which the scheduler mq-deadline
treats like every other level. In the class *idle* its reads wait for those of all other processes,
under mq-deadline for ten seconds at most. While such a worker syncs a file, others may wait for the
file system's journal, so it then has the usual class, as a process that never asked.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from collections.abc import Iterator

_SYSCALLS = {"x86_64": (251, 252), "aarch64": (30, 31)}
"""Numbers of ioprio_set and ioprio_get by the machine's architecture."""
_PROCESS = 1
_CLASS_SHIFT = 13
IDLE = 3 << _CLASS_SHIFT
BY_NICENESS = 0


def disk_priority(pid: int = 0) -> int | None:
    """Return the priority of a process (0: of this thread); None if the system has none."""
    return _call(1, _PROCESS, pid)


def give_way() -> None:
    """Put this thread, and the threads and processes that it starts, into the class idle."""
    _call(0, _PROCESS, 0, IDLE)


@contextlib.contextmanager
def in_usual_class() -> Iterator[None]:
    """Let this thread's requests to the disk wait for nobody else's inside the context."""
    before = disk_priority()
    if before != IDLE:
        yield
        return
    _call(0, _PROCESS, 0, BY_NICENESS)
    try:
        yield
    finally:
        _call(0, _PROCESS, 0, IDLE)


def _call(which: int, *arguments: int) -> int | None:
    numbers = _SYSCALLS.get(platform.machine()) if sys.platform.startswith("linux") else None
    if numbers is None:
        return None
    result = ctypes.CDLL(None).syscall(numbers[which], *arguments)
    return int(result) if result >= 0 else None
