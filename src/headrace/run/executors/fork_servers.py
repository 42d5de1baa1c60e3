"""The leader's end of the process that forks workers (`headrace.run.fork_server`)."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import msgspec

from headrace.engine.environment import clean as clean_environment
from headrace.govern.canonical import clean
from headrace.run.executors.settings import WorkerSettings
from headrace.run.executors.wire import BACKGROUND, FORK, REAP, REPLY, REQUEST

STOP_SECONDS = 2.0
SILENT_SECONDS_MAX = 60.0
"""One that doesn't answer for so long, somebody has stopped."""
SAID_MAX_BYTES, SAID_MAX = 4_096, 200
"""Of the last line that it wrote: how much is read for it, in bytes, and how much is told, in characters."""
WhenStarted = Callable[[int, str], None]
"""Told of the new worker's number, or of 0 and of why there is none."""


def strike(pid: int) -> None:
    """Kill a process and its group, which it may not have made yet."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def spawn(descriptor: int, settings: WorkerSettings, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process; it serves the socket of that descriptor, and writes why it can't to `complaints`."""
    return subprocess.Popen(
        [sys.executable, "-m", "headrace.run.fork_server", str(descriptor), msgspec.json.encode(settings).decode()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        pass_fds=(descriptor,),
        start_new_session=True,  # a terminal's Ctrl-C is the leader's alone
        # Before any asset code can run: what is never there can't be read, not even in /proc/self/environ.
        env=clean_environment(os.environ),
    )


def _file() -> IO[bytes]:
    """A file that nobody else sees, for what a process says that can't start; where there is no room for one, nobody reads it."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")


class ForkServer:
    """One such process. It starts when this is made, and works when it has imported all; nothing waits for it until then."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.control, theirs = socket.socketpair()
        self._complaints = _file()
        self._said = ""
        with theirs:
            self._process = spawn(theirs.fileno(), settings, self._complaints)
        self.control.settimeout(SILENT_SECONDS_MAX)
        self._waiting: deque[WhenStarted] = deque()
        self._reaped: list[tuple[int, int]] = []
        self._bytes = b""
        self.alive = True

    def fork(self, descriptors: Sequence[int], started: WhenStarted, *, background: bool = False) -> None:
        """Ask for a worker that gets these descriptors, and in the background gives way to others. `started` is called while `listen` or
        `reap` receives the reply."""
        self._waiting.append(started)
        try:
            socket.send_fds(self.control, [REQUEST.pack(FORK, BACKGROUND if background else 0)], descriptors)
        except OSError:
            self._gone()

    def reap(self, pid: int) -> int | None:
        """Kill a worker with all that it started and wait until it has ended; how it ended, as of `os.waitpid`. None if nobody can
        tell, because this process is gone."""
        strike(pid)
        try:
            self.control.sendall(REQUEST.pack(REAP, pid))
        except OSError:
            self._gone()
        while self.alive and not self._reaped:
            self.listen()
        return self._reaped.pop()[1] if self._reaped else None

    def listen(self) -> None:
        """Record replies; waits for one if there is none. Notices when the process is gone."""
        try:
            data = self.control.recv(64 * REPLY.size)
        except OSError:
            data = b""
        if not data:
            self._gone()
        self._bytes += data
        while len(self._bytes) >= REPLY.size:
            kind, pid, status = REPLY.unpack_from(self._bytes)
            self._bytes = self._bytes[REPLY.size :]
            if kind == FORK:
                self._waiting.popleft()(pid, f"couldn't be forked: {errno.errorcode.get(status, status)}" if not pid else "")
            else:
                self._reaped.append((pid, status))

    def last_words(self) -> str:
        """The last line that it wrote, or a worker that didn't come so far as to have a log, after a colon; empty for none."""
        if self._complaints.closed:
            return self._said
        size = os.fstat(self._complaints.fileno()).st_size
        text = os.pread(self._complaints.fileno(), SAID_MAX_BYTES, max(0, size - SAID_MAX_BYTES)).decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f": {clean(lines[-1])[:SAID_MAX]}" if lines else ""

    def stop(self) -> None:
        """End the process. Workers that it bore and that nobody ended lose it, and nothing else."""
        self.control.close()
        if self._waiting:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        self._said = self.last_words()
        self._complaints.close()
        self.alive = False

    def _gone(self) -> None:
        if not self.alive:
            return
        self.stop()
        how = f"couldn't be started: the process that starts workers ended with code {self._process.returncode}{self.last_words()}"
        while self._waiting:
            self._waiting.popleft()(0, how)
