"""How a server is told to stop: once and it finishes what runs, twice and it ends at once."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """A wish to stop, that signals make. Waiting for it costs nothing."""

    def __init__(self) -> None:
        self.asked = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self.ring: Callable[[], object] = lambda: None
        """Wakes whatever the process waits for beside this."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGINT and SIGTERM mean this for as long as the block lasts. The second of them is a KeyboardInterrupt."""
        before = {number: signal.signal(number, self._caught) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._read)
            os.close(self._write)

    def wait(self, seconds: float) -> bool:
        """Wait until somebody wishes it, for so long at most; whether somebody does."""
        if not self.asked:
            with selectors.DefaultSelector() as selector:
                selector.register(self._read, selectors.EVENT_READ)
                selector.select(seconds)
        return self.asked

    def _caught(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")
        self.ring()
