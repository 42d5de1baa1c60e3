"""How often a server may be asked: one gate a server, kept in a file, so that all workers together keep to it.

The file holds the time before which nobody asks again. A declared rate moves it on by each request; a server's Retry-After, too.
Real seconds are waited for, whatever the store's clock shows; what people are told is that clock's time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from headrace.connect.kinds import Unavailable
from headrace.model.http_field import rate_of
from headrace.model.zones import from_us
from headrace.store.processes import this_process

WAIT_SECONDS_MAX = 30.0
"""A worker waits at most so long for its turn (and four turns of a slow rate); what takes longer is left to another attempt."""
AWAY_SECONDS_MAX = 86_400.0
"""The longest that a server (or a clock that was set back) can keep us away, whatever it asks for."""
THROTTLED_SECONDS_MAX = 3600.0
"""A server that asks for a longer pause isn't there, as far as who waits for its data is concerned."""


def utc_after(now_us: int, seconds: float) -> str:
    """The time `seconds` after the store's now, for texts that are kept: "in 5 s" would soon be false."""
    return f"{from_us(now_us + int(seconds * 1_000_000), 'UTC'):%Y-%m-%d %H:%M:%S} UTC"


class NotYet(Unavailable):
    """Its turn is too far away. `own`: by the declared rate, as far as can be told."""

    own = False


class RateLimiter:
    """`folder` is the same for all workers; `rate` as declared (`5/s`), None for as often as one likes; `time_after` says the time a
    number of seconds from now, as `utc_after`; `patience` (seconds) is how long `wait` may take, None for what a fetch has."""

    def __init__(self, folder: Path, url: str, rate: str | None, time_after: Callable[[float], str], patience: float | None = None) -> None:
        server = urlsplit(url)
        name = hashlib.sha256(f"{server.scheme}://{server.hostname}:{server.port}".encode()).hexdigest()[:32]
        self._path = folder / name
        parsed = rate_of(rate) if rate else None
        self._time_after = time_after
        self._gap = parsed[1] / parsed[0] if parsed else 0.0
        self._patience = min(AWAY_SECONDS_MAX, WAIT_SECONDS_MAX + 4 * self._gap) if patience is None else patience

    def wait(self) -> None:
        """Take the next turn. Raises NotYet where that is too far away."""
        if not self._gap and not self._path.exists():
            return
        wait = self._turn()
        if wait > self._patience:
            text = f"the server may be asked again from {self._time_after(wait)} on (it said so, or `rate_limit` does)"
            refusal = NotYet(text, retry_after=wait, throttled=True)
            refusal.own = bool(self._gap)
            raise refusal
        time.sleep(wait)

    def close(self, seconds: float) -> None:
        """Nobody asks for so long: the server said so."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _Locked(self._path) as held:
            held.write(max(held.seconds_left(), min(seconds, AWAY_SECONDS_MAX)))

    def _turn(self) -> float:
        """Seconds until the turn that was taken; one too far away isn't taken."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _Locked(self._path) as held:
            wait = min(max(held.seconds_left(), 0.0), AWAY_SECONDS_MAX)
            if wait <= self._patience:
                held.write(wait + self._gap)
            return wait


class _Locked:
    """The file, held alone: a time as text, by the clock of its machine that never jumps and by the wall clock. The latter counts
    where another machine wrote it, or this one before it was restarted."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def seconds_left(self) -> float:
        """Until the time; less than 0 once it is over."""
        try:
            steady, wall, machine = os.pread(self._fd, 400, 0).decode().split(" ", 2)
            if machine and machine == this_process().machine:
                return float(steady) - time.monotonic()
            return float(wall) - time.time()
        except ValueError:
            return 0.0

    def write(self, seconds: float) -> None:
        """The time is `seconds` away."""
        text = f"{time.monotonic() + seconds:.6f} {time.time() + seconds:.6f} {this_process().machine}"
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text.encode(), 0)
