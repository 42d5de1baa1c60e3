"""The leader: holds the lease, feeds the core, commits what it decides, then acts.

One turn of the loop is one transaction: what workers answered, what the core makes of it, the lake's catalog, the
attempts that start next, the runs that have ended. Only after the commit are tasks sent, so a crash at any instant
leaves a state from which the next leader goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from headrace.faults import Point, reached
from headrace.govern.audit import Action, Actor, append
from headrace.model import LakeError, StoreError
from headrace.observe import persist
from headrace.observe.watched import watched
from headrace.plan.views import is_view
from headrace.run import upkeep
from headrace.run.applying import Applied, unpack
from headrace.run.borrowing import Production, Taken
from headrace.run.checkpoints import Checkpoints
from headrace.run.claims import Claims
from headrace.run.deciding import Decisions
from headrace.run.executors import Executor, Finished, Lost
from headrace.run.executors import News as Answered
from headrace.run.exporting import exports
from headrace.run.figures import Figures
from headrace.run.folders import Folders
from headrace.run.garbage import Keep
from headrace.run.loading import load
from headrace.run.looks import Look, Looks, recorded
from headrace.run.news import Reporter, silent
from headrace.run.orders import STANDING, Order, Run, RunResult, cancelled_by, waiting
from headrace.run.pausing import paused
from headrace.run.runs import Runs
from headrace.run.runs import event as run_event
from headrace.run.steps.publish import HEADRACE, Attempt, Batch, make_durable
from headrace.run.tasks import EXPORT, Tasks
from headrace.schedule import (
    CANCELLED,
    Arrived,
    AttemptId,
    Cancelled,
    Clock,
    Core,
    Event,
    Kill,
    LoadedRunning,
    Paused,
    Requested,
    Settled,
    Target,
    WorkerLost,
)
from headrace.store import Clock as StoreClock
from headrace.store import ClockKind, Lease, Store, Transaction
from headrace.store.queries import leading
from headrace.store.queries.leading import AttemptEnd

GATHER_SECONDS = 0.005
"""How long answers are collected for one commit, at most, while workers have something to go on with."""
PAUSE_SECONDS = 0.001
"""Of those, how long at a time nobody is woken by an answer."""
TURN_SECONDS_MAX = 1.0
"""The longest wait for workers before the lease, the clock and time-outs are looked at."""

Write: TypeAlias = Callable[[Transaction, int], None]
"""Writes what belongs to an event, in the transaction of its turn, at a time."""


class Leader:
    """Made by `headrace.run.leading.hold`. `begin` a run and `step` until its `result` is there; several go on at once."""

    def __init__(
        self,
        *,
        store: Store,
        lease: Lease,
        clock: StoreClock,
        folders: Folders,
        executor: Executor,
        applied: Applied,
        production: Production | None = None,
    ) -> None:
        self.store, self.lease, self.clock = store, lease, clock
        self._production = production
        self._folders, self._executor = folders, executor
        self._looks = Looks(store, executor, folders)
        self.figures = Figures()
        self._attempts: dict[AttemptId, Attempt] = {}
        self._claims = Claims()
        self._runs = Runs()
        self._publication_id = self._last_n = 0
        self._checkpoints = Checkpoints()
        self.adopt(applied)

    def adopt(self, applied: Applied) -> None:
        """Work with this version from now on. Attempts at nodes that it doesn't change go on; others are ended."""
        kept = self._kept(applied)
        self.applied = applied
        self._watched = watched(applied.compiled)
        taken = self._take(applied)
        with self.store.read() as tx:
            code = unpack(tx, applied, self._folders.code)
            loaded = load(tx, applied.compiled, version=applied.id, borrowed=self._borrowed, cells=taken.cells)
            arrived = leading.waiting_deliveries(tx)
            held = paused(tx, {node.name for node in loaded.graph.nodes}, self.clock.now_us())
            self._publication_id = leading.last_publication_id(tx)
        self._checkpoints.begun(loaded)
        loaded = msgspec.structs.replace(loaded, running=kept)
        self._tasks = Tasks(applied, code, self._production)
        epoch, slots = self.lease.epoch, self._executor.slots
        self._core = Core(epoch=epoch, slots=slots, after=self._last_n)
        self._decisions = Decisions(self._core, self._tasks, self._claims, self._runs, epoch=epoch, slots=slots, version=applied.id)
        own = applied.compiled.project.sources.keys() - self._borrowed
        being_taken = {(one.node, key) for one in kept for key in one.keys}
        deliveries = [Arrived(source, key, bundle) for source, key, bundle in arrived if source in own and (source, key) not in being_taken]
        for run in self._runs.going_on.values():
            if run.order.standing:  # for all that there is now
                run.order = msgspec.structs.replace(run.order, targets=self.everything)
        again = [Requested(r.request(self._borrowed).targets, run=r.id, standing=r.order.standing) for r in self._runs.going_on.values()]
        self._turn([loaded, *held, *deliveries, *taken.news, *again], [])

    def _kept(self, applied: Applied) -> tuple[LoadedRunning, ...]:
        """The attempts that go on under another version: what they are at hasn't changed."""
        if not self._attempts:
            return ()
        old, new = self.applied.compiled.nodes, applied.compiled.nodes
        same = {name for name in old.keys() & new.keys() if old[name].fingerprint == new[name].fingerprint}
        going_on = self._core.handed_over()
        self._end([one.attempt for one in going_on if one.node not in same], "another version of it was applied")
        return tuple(one for one in going_on if one.node in same)

    def _end(self, numbers: Sequence[AttemptId], reason: str) -> None:
        """Attempts that aren't wanted any more: whatever they answer, it isn't published."""
        ended = [self._attempts.pop(number) for number in numbers]
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            leading.end_attempts(tx, [AttemptEnd(*one.id, state="cancelled", finished_at=now, reason=reason) for one in ended])
        for one in ended:
            self._claims.release(one.id, one.node, one.keys)
            self._executor.kill(one.id, f"was ended: {reason}")

    def _take(self, applied: Applied) -> Taken:
        """In an environment: what is read from production, and what is new of it."""
        if self._production is None:
            return Taken()
        with self.store.write(self.lease.epoch) as tx:
            return self._production.take(tx, applied.compiled)

    @property
    def _borrowed(self) -> frozenset[str]:
        """The nodes that an environment reads from production."""
        return self._production.nodes if self._production is not None else frozenset()

    # What may run

    @property
    def everything(self) -> tuple[Target, ...]:
        """All that a pass runs: every source, asset and export."""
        compiled = self.applied.compiled
        return tuple(Target(name) for name in (*compiled.order, *self.exported) if not is_view(compiled.project, name))

    @property
    def exported(self) -> tuple[str, ...]:
        """The consumers that are exported to; nobody in an environment."""
        return tuple(exports(self.applied.compiled.project))

    # Runs

    def run(self, order: Order, report: Reporter = silent) -> RunResult:
        """Look at the sources that are asked for, then run what may run until nothing may."""
        number = self.begin(order, report)
        while (result := self.result(number)) is None:
            self.step(TURN_SECONDS_MAX)
        return result

    def begin(self, order: Order, report: Reporter = silent) -> int:
        """Begin a run, with a look at the sources that it takes; its number. `report` is told of each partition. A standing one's
        number is STANDING: its waves of work become runs, and `result` tells of each that has ended."""
        if order.standing:
            return self._stand(order, report)
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            number = self._runs.begin(tx, order, now)
        reached(Point.RUN_BEGUN)
        run = self._runs.going_on[number] = Run(number, order, report)
        self.look({t.node for t in order.targets} - {one.source for one in order.received}, run, patient=not order.standing)
        return number

    def _stand(self, order: Order, report: Reporter) -> int:
        run = self._runs.going_on[STANDING] = Run(STANDING, order, report)
        run.row = None
        self.look({t.node for t in order.targets}, run)
        return STANDING

    def result(self, run: int) -> RunResult | None:
        """What a run came to, once it has ended; told once."""
        return self._runs.result(run)

    def under_way(self, run: int) -> Order | None:
        """What a run that goes on was asked to do; None for one that doesn't."""
        found = self._runs.going_on.get(run)
        return found.order if found is not None else None

    def cancel(self, run: int, actor: Actor = HEADRACE, reason: str = "") -> None:
        """A run that is under way isn't wanted any more: it ends now, and its attempts that no other run wants are ended."""
        gone = self._runs.going_on[run]

        def write(tx: Transaction, now: int) -> None:
            leading.cancel_run(tx, run, gone.state, now, actor.id, reason)
            append(tx, now, run_event(run, Action.RUN_CANCELLED, actor, {"partitions": dict(Counter(gone.results.values()))}, reason))

        self._turn([Cancelled(run)], [], write)
        self._runs.end(run, RunResult(run, "cancelled", (), (*gone.notes, cancelled_by(actor.id, reason))))

    def leave(self) -> None:
        """The lease is about to be given back: write down what the core knows for the next leader."""
        if self._production is None and self._checkpoints.worth:
            with contextlib.suppress(StoreError), self.store.write(self.lease.epoch) as tx:
                self._checkpoints.write(tx, self._core, self.applied.id, self.clock.mark(tx))

    def look(self, nodes: set[str], run: Run | None = None, *, patient: bool = False) -> None:
        """Look at some sources; what arrived is taken in by the runs that want it."""
        project = self.applied.compiled.project
        sources = [s for name, s in project.sources.items() if name in nodes and name not in self._borrowed]
        look = self._looks.begin(run.id if run else 0, project, sources, self.clock.now_us(), patient=patient)
        if run is not None:
            run.looking += 1
        if look.done:
            self._turn([], [])

    def tell(self, *events: Event, write: Write | None = None) -> None:
        """Hand events of people to the core: pauses, triggers, what was taken back. `write` keeps what belongs to them, in the same
        transaction."""
        self._turn(events, [], write)

    def pause(self, reason: str) -> None:
        """Start nothing more; what runs goes on. For a leader that is about to end."""
        self._turn([Paused((*self.applied.compiled.order, *self.exported), reason)], [])

    @property
    def busy(self) -> bool:
        """Whether any attempt is under way."""
        return bool(self._attempts)

    @property
    def looked_at(self) -> set[str]:
        """The sources that workers look at now."""
        return self._looks.at

    def settled(self) -> tuple[set[str], float | None]:
        """The sources with files that weren't quiet when they were looked at and should be now, and when the next ones should be."""
        return self._looks.settled()

    def settle(self) -> None:
        """Write down which promises fell due, and which were met: deadlines pass without an event of the core."""
        with self.store.write(self.lease.epoch) as tx:
            self._settle(tx, self.clock.mark(tx))

    def borrow(self) -> None:
        """In an environment: take over what production has published since."""
        if news := self._take(self.applied).news:
            self._turn(news, [])

    def step(self, seconds: float = TURN_SECONDS_MAX) -> None:
        """Wait up to `seconds` for something to happen, and deal with it."""
        self._looks.overdue()
        news = self._gathered(min(seconds, self._patience()))
        next_event = self._core.next_event()
        due = next_event is not None and next_event <= self.clock.now_us()
        if news or due:
            self._turn([Clock()] if due else [], news)
        self.beat()

    def beat(self) -> None:
        """Keep the lease."""
        if self.lease.renewal_due:
            self.lease.renew()

    def keep_up(self) -> str | None:
        """Look after the lake if that is due; what went wrong, if something did. A replay stands still in that, too."""
        if self.clock.kind is not ClockKind.LIVE:
            return None
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            if not upkeep.due(tx, now):
                return None
        try:
            upkeep.keep_up(self.store, self.lease.epoch, self._folders, Keep.declared(self.applied.compiled.project), now)
        except LakeError as error:
            return str(error)
        return None

    def _gathered(self, seconds: float) -> list[Answered]:
        """What workers answered. While tasks lie ahead in their pipes, a moment is waited for more: one sync and one
        commit then serve several."""
        news = self._executor.wait(seconds)
        until = time.monotonic() + GATHER_SECONDS
        while news and len(news) < self._core.ahead() // 3 and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, PAUSE_SECONDS))
            news += self._executor.wait(0)
        return news

    def _patience(self) -> float:
        at = self._core.next_event()
        if at is None:
            return TURN_SECONDS_MAX
        return min(TURN_SECONDS_MAX, max(0.001, (at - self.clock.now_us()) / 1_000_000))

    def _settle(self, tx: Transaction, now: int) -> None:
        """Write down what became due, and what was met."""
        if self._production is None:
            persist.settle(tx, self._watched, now)
            return
        with self._production.store.read() as theirs:
            persist.settle(tx, self._watched, now, self._production.world(tx, theirs))

    # One turn

    def _turn(self, events: Sequence[Event], news: Sequence[Answered], write: Write | None = None) -> None:
        reached(Point.TURN_BEGUN)
        self._checkpoints.sound = False
        self._looks.take_in(news)
        finished = [n for n in news if isinstance(n, Finished) and n.attempt in self._attempts]
        wrong = make_durable(self._folders, finished)
        reached(Point.TURN_SYNCED)
        with self.figures.turn(self.store.write(self.lease.epoch)) as tx:
            now = self.clock.mark(tx)
            if write is not None:
                write(tx, now)
            batch = Batch(tx, self._tasks, self._claims, now=now, version=self.applied.id, publication_id=self._publication_id)
            for one in finished:
                batch.add(self._attempts.pop(one.attempt), one.outcome, wrong.get(one.attempt))
            lost = [self._lose(gone, batch) for gone in news if isinstance(gone, Lost)]
            batch.write()
            self._publication_id = batch.publication_id
            seen = [event for look in self._looks.ended() for event in self._seen(tx, look, now)]
            decided = self._decisions.decide(tx, [*batch.events, *lost, *seen, *events], now)
            self._attempts |= {attempt.id: attempt for attempt in decided.starts}
            told = [*batch.news, *decided.news]
            self.figures.note(told)
            self._runs.note(told)
            ended = [self._finish(tx, self._runs.going_on[c.run], c, now) for c in decided.commands if isinstance(c, Settled)]
            self._end_wave(tx, now)
            if self._production is None:
                self._checkpoints.keep_up(tx, self._core, batch.events, decided.commands, self.applied.id, now)
            reached(Point.TURN_COMMITTING)
        self._checkpoints.sound = True
        reached(Point.TURN_COMMITTED)
        self._last_n = max(self._last_n, self._decisions.last_n)
        self._runs.tell(told)
        if any(attempt.prepared.kind == EXPORT for attempt in decided.starts):
            self._make_durable()
            reached(Point.TURN_DURABLE)
        for attempt in decided.starts:
            reached(Point.TASK_SENDING)
            self._executor.submit(attempt.id, attempt.prepared.task)
        for command in decided.commands:
            if isinstance(command, Kill):
                self._executor.kill(command.attempt, command.reason)
        for result in ended:
            self._runs.end(result.run_id, result)
        reached(Point.TURN_DONE)

    def _seen(self, tx: Transaction, look: Look, now: int) -> list[Event]:
        """What a look found, and the request that waited for it."""
        events: list[Event] = list(recorded(tx, look, now))
        run = self._runs.going_on.get(look.run)
        if run is None:
            return [*events, Clock()]
        run.looking, run.notes = run.looking - 1, (*run.notes, *look.notes)
        return [*run.order.received, *events, run.request(self._borrowed)]

    def _finish(self, tx: Transaction, run: Run, settled: Settled, now: int) -> RunResult:
        """A run has ended: what became due is judged, and what it came to is written down."""
        still = waiting(settled, self._core.proposed())
        self._settle(tx, now)
        self._runs.close(tx, run, now)
        return RunResult(run.id, run.state, still, run.notes, len(run.results))

    def _end_wave(self, tx: Transaction, now: int) -> None:
        """What a server does by itself is done for now."""
        if self._runs.wave and not any(STANDING in one.runs for one in self._attempts.values()):
            self._settle(tx, now)
            self._runs.end_wave(tx, now)

    def _make_durable(self) -> None:
        """Have all that was committed survive a power cut, before an effect outside: a durable commit carries those before it."""
        with self.store.write(self.lease.epoch, durable=True) as tx:
            self.clock.mark(tx)

    def _lose(self, gone: Lost, batch: Batch) -> WorkerLost:
        """A worker ended: what it was at is lost, and what it hadn't begun. Looks aren't the core's."""
        lost = [self._attempts.pop(one, None) if one is not None else None for one in (gone.running, *gone.queued)]
        for attempt in lost:
            if attempt is not None:
                batch.lose(attempt, gone.reason, cancelled=attempt.id == gone.running and gone.reason == CANCELLED)
        running, *queued = (one.id if one is not None else None for one in lost)
        return WorkerLost(running, tuple(one for one in queued if one is not None), f"its worker {gone.reason}")
