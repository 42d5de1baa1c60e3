"""A time that is kept: what a session still computes when it is over is ended, whatever it is."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

AGAIN_S = 0.05
"""So often it is ended once more: one statement may follow the other."""


class Deadline:
    """Within, statements of the session are interrupted from so many seconds on. What was computed is good while it isn't `over`."""

    def __init__(self, session: DuckDBSession, seconds: float) -> None:
        self._session, self._until = session, time.monotonic() + seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def over(self) -> bool:
        """Whether the time has passed."""
        return time.monotonic() >= self._until

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        wait = max(0.0, self._until - time.monotonic())
        while not self._done.wait(wait):
            self._session.connection.interrupt()
            wait = AGAIN_S
