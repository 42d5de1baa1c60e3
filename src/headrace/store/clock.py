"""The store's clock: live, or a replay of the past. The store's first writing command decides.

A live clock is the leader's wall clock. A replay's clock starts at `--now` and advances only by the
seconds that work takes, so it stops while a server waits. Neither clock returns a time before the
last stored one, so events stay in order even if the machine's clock is set back. All times are
integer microseconds since 1970 UTC.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from headrace.model.errors import Refused, UsageError
from headrace.model.intervals import DAY_US, EPOCH, to_us
from headrace.store.transaction import Transaction

_KIND = "clock"
_GIVEN = "clock_given"
"""Key of the last `--now`; an earlier `--now` is refused.

The clock itself may be later, by the seconds that work took.
"""
_WRITTEN = "clock_written"


class ClockKind(enum.StrEnum):
    """Whether a store follows the wall clock or replays the past."""

    LIVE = "live"
    REPLAY = "replay"


class RealTime(Protocol):
    """Source of real time; tests replace it."""

    def wall_us(self) -> int:
        """Return microseconds since 1970 UTC; may jump."""

    def elapsed_us(self) -> int:
        """Return microseconds of a monotonic clock with an arbitrary start."""


def real_us() -> int:
    """Return real time, also beside a replay: what ends on the wall doesn't wait for it."""
    return time.time_ns() // 1000


class Machine:
    """Real time of this machine."""

    def wall_us(self) -> int:
        return real_us()

    def elapsed_us(self) -> int:
        return time.monotonic_ns() // 1000


class Clock:
    """The store's current time. Create it with `Clock.for_writing` or `Clock.for_reading`."""

    def __init__(self, kind: ClockKind, at_us: int, *, moving: bool, real: RealTime) -> None:
        self.kind = kind
        self._real = real
        self._least = at_us
        self._moving = moving
        self._base = at_us
        self._since = real.elapsed_us()
        self.confirm: Callable[[int, int], None] | None = None
        """Called with the last time and the machine's before the latter is believed; may raise."""

    @classmethod
    def for_writing(
        cls, tx: Transaction, now: datetime | None, *, real: RealTime | None = None
    ) -> Clock:
        """Return a writing command's clock; a store's first one decides between live and replay.

        `now` is `--now`. Raises Refused for `--now` on a live store, and UsageError if it is
        earlier than the last `--now`.
        """
        kind = _kind(tx)
        if kind is None:
            kind = ClockKind.LIVE if now is None else ClockKind.REPLAY
            _put(tx, _KIND, kind)
        if kind is ClockKind.LIVE and now is not None:
            raise Refused(
                "this store is live: --now is for replays",
                hint="leave out --now, or replay in a project of its own",
            )
        return cls(kind, _start(tx, now), moving=True, real=real or Machine())._keep(tx, now)

    @classmethod
    def for_reading(
        cls, tx: Transaction, now: datetime | None, *, real: RealTime | None = None
    ) -> Clock:
        """Return the clock of a read-only command.

        It stands still at `now` if given. Without `now` it is the wall clock (live), or stands
        still at the last stored time (replay). Raises UsageError if `now` is earlier than a
        replay's last `--now`.
        """
        real = real or Machine()
        kind = _kind(tx)
        if kind is None:
            kind = ClockKind.LIVE if now is None else ClockKind.REPLAY
        if kind is ClockKind.REPLAY:
            return cls(kind, _start(tx, now), moving=False, real=real)
        if now is None:
            return cls(kind, _number(tx, _WRITTEN), moving=True, real=real)
        return cls(ClockKind.REPLAY, to_us(now), moving=False, real=real)

    def now_us(self) -> int:
        """Return the store's current time in microseconds; it never goes back."""
        if self.kind is ClockKind.LIVE:
            current_us = self._real.wall_us()
            if self.confirm is not None:
                self.confirm(self._least, current_us)
        elif self._moving:
            current_us = self._base + self._real.elapsed_us() - self._since
        else:
            current_us = self._base
        self._least = max(self._least, current_us)
        return self._least

    def days_ahead(self) -> int:
        """Return how many whole days a live store's last time is after the machine's clock."""
        if self.kind is ClockKind.REPLAY:
            return 0
        return max((self.now_us() - self._real.wall_us()) // DAY_US, 0)

    def now(self) -> datetime:
        """Return the store's current time as an aware datetime in UTC."""
        return instant(self.now_us())

    def advance(self, tx: Transaction, now: datetime) -> None:
        """Move a replay to `now` within one command, as a later `--now` would.

        Raises UsageError if `now` is earlier than the last one, and Refused for a live clock.
        """
        if self.kind is ClockKind.LIVE:
            raise Refused("this store is live: its clock can't be moved")
        self._base = max(_start(tx, now), self.now_us())
        self._since = self._real.elapsed_us()
        self._keep(tx, now)

    def rest(self) -> None:
        """Stop a replay's clock until `go_on`, because only work moves it. A live clock goes on."""
        self._base, self._moving = self.now_us(), False

    def go_on(self) -> None:
        """Count the seconds of work again after `rest`."""
        if not self._moving:
            self._base, self._since, self._moving = self.now_us(), self._real.elapsed_us(), True

    def mark(self, tx: Transaction) -> int:
        """Return the current time in microseconds, and store it as the last time written.

        Transactions that write times must take them from here.
        """
        at_us = self.now_us()
        _put(tx, _WRITTEN, str(at_us))
        return at_us

    def _keep(self, tx: Transaction, now: datetime | None) -> Clock:
        if now is not None:
            _put(tx, _GIVEN, str(to_us(now)))
        self.mark(tx)
        return self


def _start(tx: Transaction, now: datetime | None) -> int:
    """Return the clock's start: `--now`, or the last stored time if that is later."""
    written = _number(tx, _WRITTEN)
    if now is None:
        return written
    last_now_us = _number(tx, _GIVEN)
    at_us = to_us(now)
    if at_us < last_now_us:
        reached = instant(last_now_us).astimezone(now.tzinfo)
        raise UsageError(
            f"--now {now.isoformat()} is earlier than {reached.isoformat()}, which this replay has"
            " already reached",
            hint="a replay only moves forward; start another one in a project of its own",
        )
    return max(at_us, written)


def last_written(tx: Transaction) -> int:
    """Return the last stored time in microseconds since 1970 UTC; 0 in a new store."""
    return _number(tx, _WRITTEN)


def instant(at_us: int) -> datetime:
    """Return microseconds since 1970 as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=at_us)


def _kind(tx: Transaction) -> ClockKind | None:
    row = tx.execute("select value from meta where key = :key", {"key": _KIND}).fetchone()
    return None if row is None else ClockKind(row[0])


def _number(tx: Transaction, key: str) -> int:
    row = tx.execute("select value from meta where key = :key", {"key": key}).fetchone()
    return 0 if row is None else int(row[0])


def _put(tx: Transaction, key: str, value: str) -> None:
    tx.execute(
        "insert into meta (key, value) values (:key, :value) on conflict (key) do update set value"
        " = excluded.value",
        {"key": key, "value": value},
    )
