"""How long the attempts at each node took in a window that ends now: kept, and brought up to date by what came into the window and what
went out of it. To add up a million attempts takes seconds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from headrace.operations.session import ProjectSession
from headrace.plan import Compiled
from headrace.run.garbage import RetentionPolicy
from headrace.run.retiring import cut
from headrace.store import Transaction
from headrace.store.queries import working, worth
from headrace.store.queries.working import Worked

DAY_US = 86_400_000_000
USUAL_US = 30 * DAY_US
BEHIND_US = 60_000_000
"""Who asks with a snapshot that is older than what is kept, by less than that, is given what is kept."""


class Cost:
    """The sums of one window; used by several threads. What is deleted must be older than the window."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window: tuple[int, int] | None = None
        self._sums: Counter[str] = Counter()
        self._place = (0, 0)
        self._open: set[tuple[int, int]] = set()
        """Attempts up to `_place` that weren't over, or are over later than the window."""

    def of(self, tx: Transaction, from_us: int, until_us: int) -> Mapping[str, int]:
        """Node → microseconds, of the attempts that ended in a window (without its beginning)."""
        with self._lock:
            newest = working.newest(tx)
            kept = self._window
            if kept is not None and (newest < self._place or until_us < kept[1]) and kept[1] - until_us < BEHIND_US:
                return dict(self._sums)
            if kept is None or newest < self._place or from_us < kept[0] or until_us < kept[1]:
                self._begin(tx, from_us, until_us)
            else:
                for item in working.ended(tx, kept[0], from_us):
                    if (item.epoch, item.n) not in self._open and (item.epoch, item.n) <= self._place:
                        self._sums[item.node] -= item.took_us
                self._add(working.of(tx, sorted(self._open)), from_us, until_us)
                self._add(working.after(tx, self._place), from_us, until_us)
            self._place, self._window = newest, (from_us, until_us)
            return dict(self._sums)

    def _begin(self, tx: Transaction, from_us: int, until_us: int) -> None:
        self._sums = Counter({node: round(took * 1e6) for node, took in worth.seconds(tx, from_us, until_us)})
        later = working.ended(tx, until_us, 1 << 62)
        self._open = {(item.epoch, item.n) for item in (*working.under_way(tx), *later)}

    def _add(self, attempts: list[Worked], from_us: int, until_us: int) -> None:
        for attempt in attempts:
            if attempt.finished_at is None or attempt.finished_at > until_us:
                self._open.add((attempt.epoch, attempt.n))
                continue
            self._open.discard((attempt.epoch, attempt.n))
            if attempt.finished_at > from_us:
                self._sums[attempt.node] += attempt.took_us


def took(session: ProjectSession, compiled: Compiled, tx: Transaction, window: tuple[int, int]) -> Mapping[str, int]:
    """Node → microseconds that its attempts took in a window; that which most ask for is kept."""
    from_us, until_us = window
    usual = abs(until_us - from_us - USUAL_US) < DAY_US
    if usual and cut(RetentionPolicy.declared(compiled.project), until_us)["attempt"] <= from_us:  # what goes would be missed
        cost: Cost = session.memory.setdefault("cost", ("", Cost()))[1]
        return cost.of(tx, from_us, until_us)
    return {node: round(seconds * 1e6) for node, seconds in worth.seconds(tx, from_us, until_us)}
