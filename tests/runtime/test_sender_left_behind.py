"""The process that sends notifications and takes longer than its command waits."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings

from headrace.integrations.notifications import process


def test_one_that_outlives_its_command_is_no_complaint() -> None:
    """Would catch: a warning of Python about each tick whose messages take longer than it waits."""
    sender = process.NotificationSender.__new__(process.NotificationSender)
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    sender._process = running
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sender.wait(0)
        known = running.stdin
        del sender, running
        gc.collect()
    assert said == []
    assert known is not None
    known.close()
    process._LEFT.pop().wait(30)
