"""The leader: holds the lease, feeds the core, commits what it decides, then acts.

One turn of the loop is one transaction: what workers answered, what the core makes of it, the lake's catalog, the
attempts that start next. Only after the commit are tasks sent, so a crash at any instant leaves a state from which
the next leader goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from headrace.connect.kinds import name_of, routed
from headrace.engine import BodyError, ErrorKind
from headrace.govern.audit import Action, Actor, Object, append
from headrace.govern.audit import Event as Audited
from headrace.model import LakeError
from headrace.model.zones import from_us
from headrace.observe import persist
from headrace.observe.watched import watched
from headrace.plan.views import is_view
from headrace.run import upkeep
from headrace.run.applying import Applied, unpack
from headrace.run.borrowing import Production, Taken
from headrace.run.executors import Finished, Lost, Saw
from headrace.run.executors.pool import Pool
from headrace.run.exporting import exports
from headrace.run.folders import Folders
from headrace.run.garbage import Keep
from headrace.run.loading import load
from headrace.run.looking import Seen, look_at, record
from headrace.run.looking_far import look_far, question
from headrace.run.news import News, Reporter, silent
from headrace.run.steps.publish import HEADRACE, Attempt, Batch, make_durable
from headrace.run.tasks import EXPORT, Tasks, Undeliverable
from headrace.schedule import (
    Arrived,
    AttemptId,
    Clock,
    Core,
    Dispatch,
    Ended,
    Event,
    FailureKind,
    Kill,
    Mark,
    PartitionState,
    Requested,
    Target,
    Waiting,
    WorkerLost,
)
from headrace.store import Clock as StoreClock
from headrace.store import ClockKind, Lease, Store, Transaction
from headrace.store.queries import leading
from headrace.store.queries.leading import AttemptEnd, AttemptStart, PartitionRow

BACKOFF_WAITED_US = 2_500_000
"""A pass waits this long for a partition that is to be tried again; what takes longer is left to the next pass."""
GATHER_SECONDS = 0.005
"""How long answers are collected for one commit, at most, while workers have something to go on with."""
TURN_SECONDS_MAX = 1.0
"""The longest wait for workers before the lease, the clock and time-outs are looked at."""


class Order(msgspec.Struct, frozen=True):
    """What one run is asked to do, by whom. `kind` is `run`, `tick` or `receive`, `request` what was typed."""

    kind: str
    targets: tuple[Target, ...]
    actor: Actor
    request: dict[str, object] = {}
    reason: str = ""
    retry: frozenset[str] = frozenset()
    """Nodes that a person asked for: what failed is tried again."""
    again: frozenset[str] = frozenset()
    """Those of them whose publications are replaced."""
    received: tuple[Arrived, ...] = ()
    """What was handed in by hand; at those sources nobody looks."""


class RunResult(msgspec.Struct, frozen=True):
    """What a run came to. `waiting` names up to WAITING_SHOWN_MAX partitions that were asked for and couldn't run, with the reason."""

    run_id: int
    state: str
    waiting: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]


WAITING_SHOWN_MAX = 20
PROPOSED = "is stale, and is made again only if you ask for it by name: `headrace run`"


class Leader:
    """Made by `headrace.run.leading.lead`; does one run after the other."""

    def __init__(
        self,
        *,
        store: Store,
        lease: Lease,
        clock: StoreClock,
        folders: Folders,
        pool: Pool,
        applied: Applied,
        production: Production | None = None,
    ) -> None:
        self.store, self.lease, self.clock = store, lease, clock
        self._production = production
        self._folders, self._pool = folders, pool
        self._attempts: dict[AttemptId, Attempt] = {}
        self._last_n = 0
        self._publication_id = 0
        self._run_id = 0
        self._results: dict[tuple[str, str], str] = {}
        self._report: Reporter = silent
        self._unsent: list[News] = []
        self.adopt(applied)

    def adopt(self, applied: Applied) -> None:
        """Work with this version from now on."""
        self.applied = applied
        self._watched = watched(applied.compiled)
        taken = self._take(applied)
        with self.store.read() as tx:
            code = unpack(tx, applied, self._folders.code)
            loaded = load(tx, applied.compiled, borrowed=self._borrowed, cells=taken.cells)
            waiting = leading.waiting_deliveries(tx)
            self._publication_id = leading.last_publication_id(tx)
        self._tasks = Tasks(applied, code, self._production)
        self._core = Core(epoch=self.lease.epoch, slots=applied.compiled.project.settings.workers, after=self._last_n)
        now = self.clock.now_us()
        self._core.handle(loaded, now)
        for source, key, bundle in waiting:
            if source in applied.compiled.project.sources and source not in self._borrowed:
                self._core.handle(Arrived(source, key, bundle), now)
        if taken.news:
            self._turn(taken.news, [])

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

    # Runs

    @property
    def everything(self) -> tuple[Target, ...]:
        """All that a pass runs: every source, asset and export."""
        compiled = self.applied.compiled
        return tuple(Target(name) for name in (*compiled.order, *self.exported) if not is_view(compiled.project, name))

    @property
    def exported(self) -> tuple[str, ...]:
        """The consumers that are exported to; nobody in an environment."""
        return tuple(exports(self.applied.compiled.project))

    def run(self, order: Order, report: Reporter) -> RunResult:
        """Look at the sources that are asked for, then run what may run until nothing may."""
        self._report, self._results = report, {}
        targets = tuple(target for target in order.targets if target.node not in self._borrowed)
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            request = msgspec.json.encode(order.request).decode()
            self._run_id = leading.start_run(tx, kind=order.kind, request=request, actor=order.actor.id, now=now)
            if order.retry:
                append(tx, now, self._event(Action.RUN_REQUESTED, order.actor, order.request, order.reason))
        arrived, notes = self._look({t.node for t in targets} - {one.source for one in order.received})
        self._turn([*order.received, *arrived, Requested(targets, retry=order.retry, again=order.again)], [])
        self._work()
        waiting = self._waiting()
        state = self._state()
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            self._settle(tx, now)
            leading.finish_run(tx, self._run_id, state, now)
            if self._results:
                told = dict(Counter(self._results.values()))
                append(tx, now, self._event(Action.RUN_FINISHED, HEADRACE, {"state": state, "partitions": told}, ""))
        return RunResult(self._run_id, state, waiting, notes)

    def _settle(self, tx: Transaction, now: int) -> None:
        """Write down what became due, and what was met."""
        if self._production is None:
            persist.settle(tx, self._watched, now)
            return
        with self._production.store.read() as theirs:
            persist.settle(tx, self._watched, now, self._production.world(tx, theirs))

    def _event(self, action: Action, actor: Actor, after: dict[str, object], reason: str) -> Audited:
        run = str(self._run_id)
        return Audited(action=action, actor=actor, object=Object("run", run), after=after, reason=reason, run_id=run)

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

    def _look(self, nodes: set[str]) -> tuple[list[Arrived], tuple[str, ...]]:
        project = self.applied.compiled.project
        sources = [s for name, s in project.sources.items() if name in nodes]
        near = [s for s in sources if name_of(s) is None]
        with self.store.read() as tx:
            known = {s.name: leading.known_files(tx, s.name) for s in near}
        seen = look_at(self._folders.project, near, known.__getitem__)
        split = {one.source.name: one for one in seen if one.found and routed(one.source)}
        with self.store.read() as tx:
            now = self.clock.now_us()
            far = [(s, ()) for s in sources if name_of(s) is not None] + [(one.source, one.found) for one in split.values()]
            questions = [question(tx, project, s, now, number=n, files=files) for n, (s, files) in enumerate(far, 1)]
        seen = [one for one in seen if one.source.name not in split]
        seen += look_far(self._pool, [q for q in questions if q is not None], self._beat)
        seen += [Seen(s, (), (), None) for (s, _), q in zip(far, questions, strict=True) if q is None]  # all that may be there is known
        with self.store.write(self.lease.epoch) as tx:
            arrived = record(tx, seen, self.clock.mark(tx))
        passed_over = [f"{name}: {note}" for name, one in split.items() for note in one.notes]
        notes = [
            *passed_over,
            *(f"{one.source.name}: {note}" for one in seen for note in (*one.notes, *((one.error,) if one.error else ()))),
        ]
        return arrived, tuple(notes)

    def _work(self) -> None:
        while True:
            if self._core.idle():
                wait = self._backoff()
                if wait is None:
                    return
                time.sleep(wait)
                self._turn([Clock()], [])
                continue
            news = self._gathered()
            events: list[Event] = [] if news else [Clock()]
            self._turn(events, news)
            self._beat()

    def _beat(self) -> None:
        """Keep the lease."""
        if self.lease.renewal_due:
            self.lease.renew()

    def _gathered(self) -> list[Finished | Saw | Lost]:
        """What workers answered. While tasks lie ahead in their pipes, a moment is waited for more: one sync and one
        commit then serve several."""
        news = self._pool.wait(self._patience())
        until = time.monotonic() + GATHER_SECONDS
        while news and len(news) < self._core.ahead() and (left := until - time.monotonic()) > 0:
            news += self._pool.wait(left)
        return news

    def _backoff(self) -> float | None:
        """Seconds until the next try, if that is soon enough to wait for."""
        next_try = self._core.next_try()
        if next_try is None:
            return None
        wait = next_try - self.clock.now_us()
        return max(0.0, wait / 1_000_000) if wait <= BACKOFF_WAITED_US else None

    def _patience(self) -> float:
        expiry = self._core.next_expiry()
        if expiry is None:
            return TURN_SECONDS_MAX
        return min(TURN_SECONDS_MAX, max(0.001, (expiry - self.clock.now_us()) / 1_000_000))

    def _state(self) -> str:
        """`nothing_due`, `succeeded`, `failed` or `partial`, from what each partition came to in the end."""
        if not self._results:
            return "nothing_due"
        good = sum(1 for state in self._results.values() if state == "published")
        return "succeeded" if good == len(self._results) else "partial" if good else "failed"

    def _waiting(self) -> tuple[tuple[str, str, str], ...]:
        found = []
        for node, key in self._core.waiting(self.clock.now_us()):
            reasons = self._core.waiting_for(node, key)
            if reasons:
                first = reasons[0]
                found.append((node, key, _waits(first, self.applied.compiled.project.settings.timezone)))
            if len(found) == WAITING_SHOWN_MAX:
                break
        found += [(node, key, PROPOSED) for node, key in self._core.proposed()]
        return tuple(found[:WAITING_SHOWN_MAX])

    # One turn

    def _turn(self, events: Sequence[Event], news: Sequence[Finished | Saw | Lost]) -> None:
        finished = [n for n in news if isinstance(n, Finished) and n.attempt in self._attempts]
        wrong = make_durable(self._folders, finished)
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            batch = Batch(tx, self._tasks, now=now, version=self.applied.id, publication_id=self._publication_id)
            for one in finished:
                batch.add(self._attempts.pop(one.attempt), one.outcome, wrong.get(one.attempt))
            for gone in (n for n in news if isinstance(n, Lost)):
                events = [*events, self._lose(gone, batch)]
            batch.write()
            self._publication_id = batch.publication_id
            starts, kills = self._decide(tx, [*batch.events, *events], now)
        if any(attempt.prepared.kind == EXPORT for attempt in starts):
            self._make_durable()
        for attempt in starts:
            self._pool.submit(attempt.id, attempt.prepared.task)
        for kill in kills:
            self._pool.kill(kill.attempt, kill.reason)
        self._tell([*batch.news, *self._unsent])
        self._unsent.clear()

    def _make_durable(self) -> None:
        """Have all that was committed survive a power cut, before an effect outside: a durable commit carries those before it."""
        with self.store.write(self.lease.epoch, durable=True) as tx:
            self.clock.mark(tx)

    def _lose(self, gone: Lost, batch: Batch) -> WorkerLost:
        """A worker ended: what it was at is lost, and what it hadn't begun."""
        for attempt in (gone.running, *gone.queued):
            if attempt is not None and (known := self._attempts.pop(attempt, None)) is not None:
                batch.lose(known, gone.reason)
        return WorkerLost(gone.running, gone.queued, f"its worker {gone.reason}")

    def _decide(self, tx: Transaction, events: Iterable[Event], now: int) -> tuple[list[Attempt], list[Kill]]:
        """Hand events to the core until it asks for nothing more, and write what it decides."""
        starts: list[Attempt] = []
        kills: list[Kill] = []
        pending = list(events)
        while pending:
            commands = self._core.handle(pending.pop(0), now)
            self._write_marks(tx, [c for c in commands if isinstance(c, Mark)], now)
            kills += [c for c in commands if isinstance(c, Kill)]
            for command in commands:
                if isinstance(command, Dispatch):
                    pending += self._start(tx, command, now, starts)
        leading.start_attempts(tx, [self._row(a, now) for a in starts])
        return starts, kills

    def _start(self, tx: Transaction, command: Dispatch, now: int, starts: list[Attempt]) -> list[Event]:
        self._last_n = command.attempt.n
        try:
            prepared = self._tasks.prepare(tx, command.attempt, command.node, command.keys, now, command.without)
        except Undeliverable as error:
            return [self._undeliverable(tx, command, str(error), now)]
        attempt = Attempt(command.attempt, command.node, command.keys, prepared, command.queued_at)
        self._attempts[command.attempt] = attempt
        starts.append(attempt)
        return []

    def _undeliverable(self, tx: Transaction, command: Dispatch, reason: str, now: int) -> Ended:
        """An attempt that failed before it was sent to anybody."""
        kind = self._tasks.kind(command.node)
        start = AttemptStart(
            *command.attempt, self._run_id, command.node, kind, command.keys, self.applied.id, 0, None, command.queued_at, now
        )
        error = msgspec.json.encode(BodyError(kind=ErrorKind.DETERMINISTIC, message=reason)).decode()
        leading.start_attempts(tx, [start])
        leading.end_attempts(tx, [AttemptEnd(*command.attempt, state="failed", finished_at=now, reason=reason, error=error)])
        leading.release_claims(tx, [(command.node, key, *command.attempt) for key in command.keys])
        self._unsent += [News(command.node, key, "failed", None, reason) for key in command.keys]
        return Ended(command.attempt, PartitionState.FAILED, reason, FailureKind.DETERMINISTIC)

    def _row(self, attempt: Attempt, now: int) -> AttemptStart:
        prepared = attempt.prepared
        return AttemptStart(
            *attempt.id, self._run_id, attempt.node, prepared.kind, attempt.keys, self.applied.id, prepared.snapshot, prepared.delivery_id,
            attempt.queued_at, now,
        )  # fmt: skip

    def _write_marks(self, tx: Transaction, marks: Sequence[Mark], now: int) -> None:
        rows = [PartitionRow(m.node, m.key, m.state, m.stale, m.failures, m.not_before, m.reason, now, m.proposed) for m in marks]
        leading.mark_partitions(tx, rows)

    def _tell(self, news: Iterable[News]) -> None:
        for one in news:
            self._results[one.node, one.partition] = one.state
            with contextlib.suppress(Exception):  # who shows progress can't stop the work
                self._report(one)


def _waits(first: Waiting, timezone: str) -> str:
    """What a partition waits for, in one clause."""
    if first.until is not None:
        until = "complete from" if first.state is PartitionState.PUBLISHED else "waited for until"
        return f"waits for {first.node}@{first.key} ({until} {from_us(first.until, timezone):%Y-%m-%d %H:%M})"
    why = first.reason if first.state is PartitionState.PUBLISHED else first.state
    return f"waits for {first.node}@{first.key} ({why})"
