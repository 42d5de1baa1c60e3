"""The priority of background processes, which give way to production."""

from __future__ import annotations

import os
import time
from pathlib import Path

from headrace.runtime import disk_priority

NICENESS = 19
"""Niceness of background processes: the lowest priority there is."""
ASKED_MAX, ASK_AGAIN_SECONDS = 50, 0.1


def give_way() -> None:
    """Lower the priority of this process and of its session, for processors and disks.

    A system that groups processes by session (autogroup) divides time among sessions first, and
    niceness has no effect between sessions.
    """
    os.nice(NICENESS)
    disk_priority.give_way()
    for _ in range(ASKED_MAX):
        try:
            Path("/proc/self/autogroup").write_text(str(NICENESS))
        except BlockingIOError:  # the machine accepts one such request per 0.1 s
            time.sleep(ASK_AGAIN_SECONDS)
        except OSError:
            return
        else:
            return
