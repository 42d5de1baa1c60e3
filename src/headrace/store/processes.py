"""Which process holds something, and whether it still lives: pid, start time and machine together.

A pid alone is reused; with the time at which the process started it isn't. A pid means something only on one
machine, in one boot, in one pid namespace (containers that share a folder): elsewhere the answer is "not known".
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Process(NamedTuple):
    """A process, told from any other. `machine` is empty where it can't be told."""

    machine: str
    pid: int
    started: str


def this_process() -> Process:
    """Who we are."""
    pid = os.getpid()
    return Process(_machine(), pid, _started(pid) or "")


def is_dead(process: Process) -> bool:
    """True only if that process is known to have ended. False if it lives, or if we can't know."""
    if not process.machine or not process.started or process.machine != _machine():
        return False
    return _started(process.pid) != process.started


def _machine() -> str:
    """Within what a pid has a meaning: host, boot and pid namespace (Linux), or the host."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return "" if _PROC.is_dir() else platform.node()


def _started(pid: int) -> str | None:
    """When a process started, in the system's own terms; None if there is none, or if it has ended and only waits for its parent."""
    if not (_PROC / "self/stat").exists():
        return _started_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_by_ps(pid: int) -> str | None:
    """The same where there is no /proc (macOS)."""
    import subprocess  # measured: 4 ms of `status`, which needs it on no other system

    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()
