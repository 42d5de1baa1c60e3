"""Idle worker slots: a trial's rounds wait for one, so that production attempts go first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from headrace.extension import HeadraceError
from headrace.plan.backfills import plan_of_attempt
from headrace.scheduler import AttemptId
from headrace.store import Store, Transaction
from headrace.store.queries import attempts, ledger

POLL_S = 0.25
REPORT_S = 1.0
"""A wait is reported this often, so that a stopped command ends while it waits."""
WAITING = "waiting for an idle slot"


def has_idle_slot(tx: Transaction, slots_default: int) -> bool:
    """Whether fewer attempts run than the leader has slots; True if nobody leads.

    Attempts of isolated backfills have workers of their own, and take no slot. `slots_default` is
    for a leader whose event log was deleted.
    """
    running = [a for a in attempts.running(tx) if not plan_of_attempt(AttemptId(a.epoch, a.n))]
    if not running:
        return True
    return len(running) < (ledger.slots(tx, running[0].epoch) or slots_default)


class IdleSlots:
    """Whether a slot is idle, polled by a thread of its own until the block ends.

    The thread that runs queries can't reach the state; it reads what this one has polled.
    """

    def __init__(
        self, open_store: Callable[[], Store], slots_default: int, report: Callable[[str], None]
    ) -> None:
        """`report` gets a text when a wait begins and while it lasts, and "" when it ends."""
        self.waited_s = 0.0
        self._open_store, self._slots_default, self._report = open_store, slots_default, report
        self._idle, self._polled, self._ended = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._poll, name="headrace idle slots", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._polled.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """End a wait of another thread within a second, without an idle slot."""
        self._ended.set()

    def wait(self, until: float) -> bool:
        """Wait for an idle slot; False if there is none before a point of the monotonic clock."""
        if self._idle.is_set():
            return True
        began = time.monotonic()
        idle = False
        try:
            while not idle and (left := until - time.monotonic()) > 0:
                if self._ended.is_set():
                    break
                self._report(WAITING)
                idle = self._idle.wait(min(REPORT_S, left))
        finally:
            self.waited_s += time.monotonic() - began
        self._report("")
        return idle

    def _poll(self) -> None:
        try:
            with self._open_store() as store:
                while not self._ended.is_set():
                    with store.read() as tx:
                        idle = has_idle_slot(tx, self._slots_default)
                    if idle:
                        self._idle.set()
                    else:
                        self._idle.clear()
                    self._polled.set()
                    self._ended.wait(POLL_S)
        except HeadraceError:
            pass
        finally:  # without the state it isn't known what runs: nothing waits
            self._idle.set()
            self._polled.set()
