"""A bell that other threads ring, and a selector hears."""

from __future__ import annotations

import contextlib
import socket


class Bell:
    """Wait for `fileno()` to be readable, then `drain()`."""

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair()
        for one in (self._heard, self._rung):
            one.setblocking(False)
        self.heard = False
        """Whether somebody drained it who had been told to."""

    def fileno(self) -> int:
        """For a selector."""
        return self._heard.fileno()

    def ring(self) -> None:
        """Make it readable; from any thread, and after `close` too."""
        with contextlib.suppress(OSError):
            self._rung.send(b".")

    def drain(self) -> bool:
        """Take all that was rung; whether that was anything."""
        rung = False
        with contextlib.suppress(BlockingIOError):
            while self._heard.recv(4096):
                rung = self.heard = True
        return rung

    def close(self) -> None:
        """Let go of both ends."""
        self._heard.close()
        self._rung.close()
