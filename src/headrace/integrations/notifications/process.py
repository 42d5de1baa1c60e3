"""The process that sends notifications, as its parent sees it.

It is started when a message waits; the parent waits at most `WAIT_SECONDS` for it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from headrace.model.errors import StoreError
from headrace.model.nodes import Settings
from headrace.store import Clock, Store
from headrace.store.queries import notifications

LOOKS_SECONDS = 1.0
"""Interval at which a server checks for due notifications."""
WAIT_SECONDS = 3.0
"""Longest time that a command waits for its last notifications; the process goes on without it."""
LIFE_SECONDS = 600.0
_LEFT: list[subprocess.Popen[bytes]] = []
"""Those that outlive their command: Python warns of one that nobody holds while it still runs."""


class NotifierConfig(msgspec.Struct, frozen=True):
    """The process's input. Settings hold references to secrets, never secrets."""

    root: str
    settings: Settings


class NotificationSender:
    """Sends a project's waiting notifications from another process."""

    def __init__(self, store: Store, clock: Clock, root: Path, settings: Settings) -> None:
        self._store, self._clock, self._errand = store, clock, NotifierConfig(str(root), settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._looked = self._begun = 0.0

    def go(self) -> None:
        """Start sending if a notification is due and no process runs; cheap enough for a loop."""
        now = time.monotonic()
        if self._process is not None:
            if self._process.poll() is None and now - self._begun < LIFE_SECONDS:
                return
            self._process.kill()  # does nothing to one that has ended
            self._process.wait()
            self._process = None
        if now - self._looked >= LOOKS_SECONDS:
            self._looked = now
            self.begin()

    def begin(self) -> bool:
        """Start sending if a notification is due; return whether it was."""
        with contextlib.suppress(StoreError):
            with self._store.read() as tx:
                at = notifications.next_at(tx)
            if at is not None and at <= self._clock.now_us():
                self._process, self._begun = _spawned(self._errand), time.monotonic()
                return True
        return False

    def wait(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait up to `seconds` for the process to end; it goes on otherwise."""
        if self._process is not None:
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                _LEFT.append(self._process)


def _spawned(errand: NotifierConfig) -> subprocess.Popen[bytes] | None:
    """Return the started process; None if the machine lacks resources, to be retried later."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace.integrations.notifications"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    assert process.stdin is not None
    with contextlib.suppress(OSError), process.stdin as pipe:
        pipe.write(msgspec.json.encode(errand))
    return process
