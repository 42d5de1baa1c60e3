"""How much memory a worker uses, with all that it started: what the system would have to find room for elsewhere.

Counted are pages that are in memory and belong to no file: libraries and files that are read can be dropped at any time,
and aren't. Where there is no /proc nothing is known, and nothing is limited but DuckDB.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SESSION_FIELD = 3
"""Of /proc/PID/stat, counted after the name in parentheses: state, parent, group, session."""


def of_process(pid: int) -> int:
    """Bytes that one process uses; 0 if there is none, or none that can be seen."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_bytes().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE_BYTES


def of_sessions(leaders: set[int]) -> dict[int, int]:
    """Leader of a session (a worker is one) → bytes that all its processes use, whatever groups they are in. Looks at every
    process of the machine once."""
    used = dict.fromkeys(leaders, 0)
    with contextlib.suppress(OSError):
        for entry in (path.name for path in Path("/proc").iterdir()):
            if entry.isdigit() and (session := _session(entry)) in used:
                used[session] += of_process(int(entry))
    return used


def _session(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[_SESSION_FIELD])
    except (OSError, ValueError, IndexError):
        return 0
