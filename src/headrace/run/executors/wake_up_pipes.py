"""A pipe by which other threads wake the thread that waits in a selector."""

from __future__ import annotations

import contextlib
import socket


class WakeUpPipe:
    """Wait for `fileno()` to become readable, then call `drain()`."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)
        self.woken = False
        """Whether `drain` found a call of `wake`; the owner resets it."""

    def fileno(self) -> int:
        """The descriptor for a selector."""
        return self._read.fileno()

    def wake(self) -> None:
        """Make it readable. Any thread may call this, also after `close`."""
        with contextlib.suppress(OSError):
            self._write.send(b".")

    def drain(self) -> bool:
        """Empty the pipe; whether `wake` was called since the last time."""
        woken = False
        with contextlib.suppress(BlockingIOError):
            while self._read.recv(4096):
                woken = self.woken = True
        return woken

    def close(self) -> None:
        """Close both ends."""
        self._read.close()
        self._write.close()
