"""The lake's daily maintenance beside a server's work: in a thread with a connection of its own, so that nothing waits for it. Backups are
made by a process of their own."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import msgspec

from headrace.govern.state import open_state
from headrace.model import HeadraceError
from headrace.operations import automatic_backup
from headrace.operations.session import ProjectSession
from headrace.run import maintenance, reclaiming
from headrace.run.garbage import RetentionPolicy
from headrace.run.leader import Leader
from headrace.store import ClockKind

RETRY_SECONDS = 60.0
"""At most so often it is looked whether maintenance or a backup is due, and one that failed is tried again."""


class Maintenance:
    """Maintains the lake when that is due, in a thread that ends with the process: each step is a transaction."""

    def __init__(self, session: ProjectSession, leader: Leader, tell: Callable[[str], None]) -> None:
        self._session, self._leader, self._tell = session, leader, tell
        self._thread: threading.Thread | None = None
        self._backup: subprocess.Popen[str] | None = None
        self._tried = self._asked = -math.inf

    def go(self) -> None:
        """Begin, if a day has passed and nothing of it is under way. A replay is made again instead."""
        leader = self._leader
        if leader.clock.kind is not ClockKind.LIVE:
            return
        self._back_up()
        if self._thread is not None and self._thread.is_alive():
            return
        if time.monotonic() - self._asked < RETRY_SECONDS:
            return
        self._asked = time.monotonic()
        with leader.store.write(leader.lease.epoch) as tx:
            now = leader.clock.mark(tx)
            pressed = reclaiming.due(tx, now)
            if not pressed and not maintenance.due(tx, now):
                return
        keep = RetentionPolicy.declared(leader.applied.compiled.project)
        self._thread = threading.Thread(
            target=self._maintain, args=(leader.lease.epoch, keep, now, pressed), name="headrace-maintenance", daemon=True
        )
        self._thread.start()

    def _back_up(self) -> None:
        """Start the backup that is due, or say what became of the last."""
        if self._backup is not None:
            if self._backup.poll() is None:
                return
            text = self._backup.communicate()[1].strip()
            if self._backup.returncode:
                self._tell(f"no backup was made: {text or f'exit {self._backup.returncode}'}")
            self._backup = None
        session = self._session
        if time.monotonic() - self._tried < RETRY_SECONDS or not automatic_backup.due(session.root, session.settings):
            return
        self._tried = time.monotonic()
        command = [sys.executable, "-m", "headrace.operations.automatic_backup"]
        self._backup = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._backup.stdin is not None
        errand = automatic_backup.BackupJob(str(session.root), session.settings)
        self._backup.stdin.write(msgspec.json.encode(errand).decode())
        self._backup.stdin.close()
        self._backup.stdin = None

    def _maintain(self, epoch: int, keep: RetentionPolicy, now: int, pressed: bool) -> None:
        try:
            with open_state(self._session.root, self._session.settings) as store:
                attend = reclaiming.reclaim if pressed else maintenance.maintain
                attend(store, epoch, self._session.folders, keep, now)
        except HeadraceError as error:
            self._tell(f"the lake couldn't be maintained: {error}")
