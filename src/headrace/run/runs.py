"""The runs of a leader that go on: their rows in the store, what their partitions came to, what they came to themselves."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable

import msgspec

from headrace.govern.audit import Action, Actor, AuditEvent, Object, append
from headrace.run.news import News
from headrace.run.orders import STANDING, TICK, ActiveRun, RunRequest, RunResult
from headrace.run.steps.publish import HEADRACE
from headrace.store import Transaction
from headrace.store.queries import leading


class RunRegistry:
    """Runs by their number."""

    def __init__(self) -> None:
        self.going_on: dict[int, ActiveRun] = {}
        self._ended: dict[int, RunResult] = {}
        self.passes: set[int] = set()
        """The runs that are passes over everything."""
        self.tried: list[tuple[str, str]] = []
        """Node and partition of the attempts of the run that stands that have ended since they were looked at."""
        self.waits: set[tuple[str, str]] = set()
        """Those that wait until the machine has room again."""

    def begin(self, tx: Transaction, order: RunRequest, now: int) -> int:
        """The row of a new run; its number."""
        number = _row(tx, order, now)
        if order.kind == TICK:
            self.passes.add(number)
        if order.retry:
            append(tx, now, event(number, Action.RUN_REQUESTED, order.actor, order.request, order.reason))
        return number

    def result(self, number: int) -> RunResult | None:
        """What a run came to, once it has ended; told once."""
        return self._ended.pop(number, None)

    def end(self, number: int, result: RunResult) -> None:
        """A run has ended, and that is committed."""
        if self.going_on.pop(number, None) is not None:
            self._ended[number] = result

    def row_of(self, tx: Transaction, number: int, now: int) -> int:
        """The row of a run. One that stands gets another with the first attempt of each wave of its work."""
        run = self.going_on.get(number)
        if run is None:
            return number
        if run.row is None:
            run.row = _row(tx, run.order, now)
        return run.row

    def close(self, tx: Transaction, run: ActiveRun, now: int) -> None:
        """Write down what a run came to."""
        assert run.row is not None
        leading.finish_run(tx, run.row, run.state, now)
        if run.results:
            told = dict(Counter(run.results.values()))
            append(tx, now, event(run.row, Action.RUN_FINISHED, HEADRACE, {"state": run.state, "partitions": told}, ""))

    @property
    def wave(self) -> bool:
        """Whether some work of the run that stands is under way, or has just ended."""
        run = self.going_on.get(STANDING)
        return run is not None and run.row is not None

    def end_wave(self, tx: Transaction, now: int) -> None:
        """Of the run that stands nothing is under way any more: what it did since it last was idle is one run."""
        run = self.going_on[STANDING]
        assert run.row is not None
        self._ended[STANDING] = RunResult(run.row, run.state, (), run.notes, len(run.results))
        self.close(tx, run, now)
        run.row, run.notes = None, ()
        run.results.clear()

    def note(self, news: Iterable[News]) -> None:
        """What partitions came to, in the transaction that makes it so."""
        for item, run in self._told(news):
            if run.row is not None:
                run.results[item.node, item.partition] = item.state

    def tell(self, news: Iterable[News]) -> None:
        """The same, once it is committed, to those who asked to be told."""
        for item, run in self._told(news):
            with contextlib.suppress(Exception):  # who shows progress can't stop the work
                run.report(item)

    def _told(self, news: Iterable[News]) -> Iterable[tuple[News, ActiveRun]]:
        return ((item, run) for item in news for number in item.runs if (run := self.going_on.get(number)) is not None)


def event(run: int, action: Action, actor: Actor, after: dict[str, object], reason: str) -> AuditEvent:
    """What the audit trail says of a run."""
    return AuditEvent(action=action, actor=actor, object=Object("run", str(run)), after=after, reason=reason, run_id=str(run))


def _row(tx: Transaction, order: RunRequest, now: int) -> int:
    request = msgspec.json.encode(order.request).decode()
    return leading.start_run(tx, kind=order.kind, request=request, actor=order.actor.id, now=now, plan=order.plan)
