"""The plans that are open: who works at which, what comes next of each, and who claims what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from headrace.govern.audit import Action, Actor
from headrace.lake.catalog import CatalogChange
from headrace.model import LakeError, Refused, UnknownName, UsageError
from headrace.plan.attempt_numbers import is_errand, plan_of
from headrace.plan.backfills import Backfill
from headrace.run.executors import Executor, LostWorker, TaskFinished
from headrace.run.executors import News as Answered
from headrace.run.messages import Task
from headrace.run.news import News
from headrace.run.orders import STANDING, ActiveRun, RunRequest, RunResult, cancelled_by
from headrace.run.overlays import reporting
from headrace.run.overlays.backfilling import AFTERWARDS, INGESTED, Backfilling, Phase
from headrace.run.overlays.beginning import UnsuccessfulPartition
from headrace.run.overlays.changed_code import recut
from headrace.run.overlays.overlay import Lent, Overlay, PostCommitActions
from headrace.run.overlays.sharing import Sharing
from headrace.run.overlays.spans import shared
from headrace.run.pausing import paused
from headrace.run.runs import RunRegistry
from headrace.run.tasks import TaskBuilder
from headrace.schedule import AttemptId, Cancelled, Core, Elsewhere, Event, PartitionState, Requested
from headrace.schedule.commands import WAITING_SHOWN_MAX
from headrace.store import Store, Transaction
from headrace.store.queries import leading, plans
from headrace.store.queries.leading import AttemptEnd
from headrace.store.queries.plans import PlanRecord

Write = Callable[[Transaction, int], Sequence[Event] | None]
PUBLISHED = "published"
UNBEGUN = ("planned", "running", "paused", "failed", "partial")
"""Where a plan may stand that somebody begins to work at."""


class Lender(msgspec.Struct, frozen=True):
    """A leader's side: its core, and the tasks of production, as they are now."""

    core: Core
    tasks: TaskBuilder
    lent: Lent


class Plans:
    """Of one leader. `turn` hands events to production's core in a transaction, with what is written in it."""

    def __init__(self, store: Store, executor: Executor, runs: RunRegistry, turn: Callable[[Write], None]) -> None:
        self._store, self._executor, self._runs, self._turn = store, executor, runs, turn
        self._open: dict[int, Backfilling] = {}
        self._lender: Lender | None = None
        self._told = PostCommitActions()
        self._sharing = Sharing({})
        self._sending: list[tuple[AttemptId, Task]] = []
        self._killing: list[AttemptId] = []
        self._ended: list[RunResult] = []
        self._published = False
        """Whether something became visible in the last turn."""
        self._failed = False
        """Whether a plan has just ended without all that was planned."""
        self.publication_id = 0
        """The newest, after a promotion."""

    # Beginning

    def adopt(self, tx: Transaction, lender: Lender, now: int) -> None:
        """Work with this version from now on: what was under way is begun anew."""
        self._lender, self._sharing = lender, Sharing(lender.lent.graph.pools)
        for row in plans.opened(tx):
            if row.id not in self._open:
                self._open[row.id] = Backfilling(row)
        for one in self._open.values():
            self._stop(tx, one, now, "another version was applied")
            one.asked_afterwards = False

    def check(self, tx: Transaction, number: int) -> PlanRecord:
        """A plan that is to be begun. Raises UsageError where there is none, or it has ended, and Refused where it may not run."""
        row = plans.get(tx, number)
        if row is None:
            raise UnknownName(f"there is no backfill {number}", hint="headrace backfills lists them")
        if row.state == "awaiting_approval":
            raise Refused(f"backfill {number} waits for an approval: {row.needs}")
        if row.state not in UNBEGUN or (number in self._open and self._open[number].run is not None):
            raise UsageError(f"backfill {number} can't be begun: it is {row.state}", hint=f"headrace backfills {number}")
        self._check_claims(tx, row)
        return row

    def _check_claims(self, tx: Transaction, row: PlanRecord) -> None:
        lent = self._lent.lent
        mine = msgspec.msgpack.decode(row.content, type=Backfill)
        nodes = {node.name: node for node in lent.graph.nodes}
        if moved := recut(tx, row.version, lent.applied, [one.node for one in mine.chosen]):
            raise Refused(f"backfill {row.id} was planned when {', '.join(moved)} was cut otherwise", hint="plan it again")
        for other in plans.opened(tx):
            if other.id == row.id:
                continue
            found = shared(nodes, mine, msgspec.msgpack.decode(other.content, type=Backfill))
            if found is not None:
                raise Refused(
                    f"backfill {other.id} makes {found[0]}@{found[1]} already",
                    hint=f"wait for it, or take it back: headrace backfills cancel {other.id} --reason TEXT",
                )

    def begin(self, tx: Transaction, row: PlanRecord, run: int, now: int, order: RunRequest) -> None:
        """A run works at a plan: first production ingests what has arrived."""
        one = self._open.setdefault(row.id, Backfilling(row))
        one.go_on(run)
        plans.move(tx, row.id, "running", now)
        reporting.said(tx, one, now, Action.PLAN_STARTED if row.started_at is None else Action.PLAN_RESUMED, order.actor, order.reason)

    def unattended(self) -> list[RunRequest]:
        """Orders for the plans that nobody works at though they run."""
        with self._store.read() as tx:
            rows = {row.id: row for row in plans.opened(tx)}
        waiting = (one for one in self._open.values() if one.run is None and one.id in rows and rows[one.id].state == "running")
        return [reporting.order(one, rows[one.id]) for one in waiting]

    @property
    def under_way(self) -> bool:
        """Whether anybody works at a plan."""
        return any(one.run is not None for one in self._open.values())

    @property
    def busy(self) -> bool:
        """Whether any attempt of a plan is under way."""
        return any(one.overlay is not None and one.overlay.attempts for one in self._open.values())

    # Persons

    def pause(self, tx: Transaction, number: int, now: int, actor: Actor, reason: str) -> list[Event]:
        """Begin nothing more of a plan; what runs is staged if it ends soon, else put back. The run that worked at it ends.
        UsageError for one that isn't running."""
        one = self._opened(tx, number, "running")
        if one.overlay is not None:
            self._told.add(one.overlay.pause(tx, now, f"backfill {number} is paused"))
        plans.move(tx, number, "paused", now)
        reporting.said(tx, one, now, Action.PLAN_PAUSED, actor, reason)
        return self._let_go(tx, one, now, "paused", (f"paused by {actor.id}: {reason}",))

    def resume(self, tx: Transaction, number: int) -> RunRequest:
        """What goes on with a plan. UsageError for one that can't be gone on with."""
        row = self.check(tx, number)
        if row.state in ("planned", "running"):
            raise UsageError(f"backfill {number} isn't paused: it is {row.state}", hint=f"headrace backfills {number}")
        return reporting.order(self._open.get(number) or Backfilling(row), row)

    def cancel(self, tx: Transaction, number: int, now: int, actor: Actor, reason: str) -> list[Event]:
        """Nothing of what a plan has made is published any more; what it published in steps before stays."""
        one = self._opened(tx, number, "running", "paused")
        self._stop(tx, one, now, "its backfill was cancelled")
        plans.clear(tx, number)
        plans.move(tx, number, "cancelled", now)
        reporting.said(tx, one, now, Action.PLAN_CANCELLED, actor, reason)
        events = self._let_go(tx, one, now, "cancelled", (cancelled_by(actor.id, reason),))
        del self._open[number]
        return events

    def _opened(self, tx: Transaction, number: int, *states: str) -> Backfilling:
        row = plans.get(tx, number)
        if row is None or number not in self._open or row.state not in states:
            was = "there is no such plan" if row is None else f"it is {row.state}"
            raise UsageError(f"backfill {number} isn't {' or '.join(states)}: {was}", hint="headrace backfills lists them")
        return self._open[number]

    def _let_go(self, tx: Transaction, one: Backfilling, now: int, state: str, notes: tuple[str, ...]) -> list[Event]:
        """The run that worked at a plan ends before the plan does."""
        run = self._runs.going_on.get(one.run) if one.run is not None else None
        one.rest()
        if run is None or run.row is None:
            return []
        leading.finish_run(tx, run.row, "partial" if one.outcome.published else "nothing_due", now)
        self._ended.append(RunResult(run.id, state, (), (*run.notes, *notes), one.outcome.published))
        return [Cancelled(run.id)]

    # Turns

    def follow(self, tx: Transaction, visible: Sequence[Event], news: Sequence[Answered], wrong: dict[AttemptId, str], now: int) -> None:
        """A turn of production's core: what it was told, and what workers said of plans' attempts."""
        for one in self._open.values():
            if one.overlay is None:
                continue
            finished = [n for n in news if isinstance(n, TaskFinished) and plan_of(n.attempt) == one.id]
            lost = [n for n in news if isinstance(n, LostWorker)]
            self._errands(tx, one, finished, lost, now)
            if one.overlay is not None:
                self._tell(tx, one.overlay, now)
                self._told.add(one.overlay.record(tx, [n for n in finished if not is_errand(n.attempt)], lost, wrong, now))
                self._told.add(one.overlay.hear(tx, visible, now))
                self._told.add(one.overlay.wake(tx, now))
        self._share(tx, now)

    def _tell(self, tx: Transaction, overlay: Overlay, now: int) -> None:
        """A plan knows what the others hold of pools, before it decides anything."""
        if self._lent.lent.graph.pools:
            self._told.add(overlay.share(tx, self._sharing.taken(self._lent.core, self._overlays, overlay), now))

    def _share(self, tx: Transaction, now: int) -> None:
        if self._lender is not None and self._lender.lent.graph.pools:
            self._told.add(self._sharing.settle(tx, self._lender.core, self._overlays, now))

    def elsewhere(self) -> Elsewhere | None:
        """What production's core is to be told of pools."""
        return self._sharing.news(self._overlays) if self._lender is not None and self._lender.lent.graph.pools else None

    @property
    def _overlays(self) -> list[Overlay]:
        return [one.overlay for one in self._open.values() if one.overlay is not None]

    def _errands(self, tx: Transaction, one: Backfilling, finished: Sequence[TaskFinished], lost: Sequence[LostWorker], now: int) -> None:
        wrong = ""
        for answer in finished:
            if is_errand(answer.attempt):
                wrong = one.run_errand(answer) or wrong
        for gone in lost:
            for attempt in (gone.running, *gone.queued):
                if attempt is not None and one.lose_errand(attempt):
                    wrong = f"a worker {gone.reason} while it copied what other partitions share"
        if wrong:
            self._finish(tx, one, [UnsuccessfulPartition("", "", PartitionState.FAILED, wrong)], now)

    def settled(self, tx: Transaction, run: ActiveRun, now: int) -> None:
        """Production has done what a run asked it for: sources are ingested, or all is done."""
        one = self._open[run.order.plan or 0]
        if one.phase is Phase.TAKING_IN and one.step is None and not one.targets(AFTERWARDS):
            self._finish(tx, one, reporting.failed(tx, run, one.nodes(INGESTED)), now)
        elif one.phase is Phase.TAKING_IN:
            one.phase = Phase.STEPS if one.step is not None else Phase.AFTERWARDS
        elif one.phase is Phase.AFTERWARDS:
            self._finish(tx, one, reporting.failed(tx, run, one.nodes(AFTERWARDS)), now)

    def beyond(self, run: ActiveRun) -> bool:
        """Whether a run works at a plan whose sources are ingested: production's core needn't be asked for them again."""
        one = self._open.get(run.order.plan or 0)
        return one is not None and one.phase is not Phase.TAKING_IN

    def go_on(self) -> None:
        """Do one thing that comes next of a plan, in a turn of its own: whatever comes after that, production's workers are heard first."""
        if (write := self._next()) is not None:
            self._turn(write)

    @property
    def ready(self) -> bool:
        """Whether something of a plan comes next by itself."""
        return self._next() is not None

    def _next(self) -> Write | None:
        return next((found for one in self._open.values() if (found := self._next_of(one)) is not None), None)

    def _next_of(self, one: Backfilling) -> Write | None:
        if one.step is not None and one.overlay is None and (one.phase is Phase.STEPS or one.fresh):
            return lambda tx, now: self._load(tx, one, now)
        if one.phase is Phase.STEPS and one.overlay is not None and not one.overlay.requested:
            return lambda tx, now: self._request(tx, one, now)
        if one.ready and not self._made_by_production(one):
            return lambda tx, now: self._conclude(tx, one, now)
        if one.phase is Phase.AFTERWARDS and not one.asked_afterwards:
            return lambda tx, now: self._afterwards(tx, one, now)
        return None

    def _made_by_production(self, one: Backfilling) -> bool:
        """Whether production is at a partition of the step: that is waited for, because the plan makes it again then."""
        running = self._lent.core.running().values()
        return one.overlay is not None and any(one.overlay.holds(at.node, key) for at in running for key in at.keys)

    def _request(self, tx: Transaction, one: Backfilling, now: int) -> None:
        assert one.overlay is not None
        self._tell(tx, one.overlay, now)
        pauses = paused(tx, {node.name for node in self._lent.lent.graph.nodes}, now)
        self._told.add(one.request(tx, pauses, now))

    def _load(self, tx: Transaction, one: Backfilling, now: int) -> None:
        one.fresh = False
        if one.phase is not Phase.STEPS and not plans.staged(tx, one.id):
            return
        slots = self._executor.background_slots if self.background else self._executor.slots
        lent = msgspec.structs.replace(self._lent.lent, slots=slots)
        self._told.add(one.load(tx, lent, self._lent.core.checkpoint(), now))

    def _conclude(self, tx: Transaction, one: Backfilling, now: int) -> Sequence[Event]:
        """The step is made, as far as it can be."""
        assert one.overlay is not None
        self._tell(tx, one.overlay, now)
        lender, unmade = self._lent, one.overlay.unmade(now)
        if unmade and not one.backfill.allow_partial:
            self._finish(tx, one, unmade, now)
            return ()
        if (told := one.overlay.give_up(tx, now)) is not None:
            self._told.add(told)
            return ()
        change = CatalogChange.begin(tx, now)
        if errands := one.lacking(tx, change, lender.tasks):
            self._sending += errands
            return ()
        try:
            found = one.promote(tx, change, lender.lent, lender.tasks, unmade, self.publication_id, now)
        except LakeError as error:
            self._again(tx, one, error, now)
            return ()
        self.publication_id += len(found.event.contents)
        self._told.news += found.news
        reporting.published(tx, one, found.rows, now)
        if one.step is None:
            one.phase = Phase.AFTERWARDS
        return (found.event,)

    def _again(self, tx: Transaction, one: Backfilling, error: LakeError, now: int) -> None:
        try:
            self._told.add(one.make_again(tx, error, now))
        except LakeError:
            self._finish(tx, one, [UnsuccessfulPartition("", "", PartitionState.FAILED, str(error))], now)

    def _afterwards(self, tx: Transaction, one: Backfilling, now: int) -> Sequence[Event]:
        """What builds on what is published before is production's to make, in order."""
        targets = one.targets(AFTERWARDS)
        if not targets:
            self._finish(tx, one, [], now)
            return ()
        one.asked_afterwards = True
        return (Requested(targets, retry=one.nodes(AFTERWARDS), again=one.again, run=one.run or 0),)

    def _finish(self, tx: Transaction, one: Backfilling, unmade: Sequence[UnsuccessfulPartition], now: int) -> None:
        """A plan has ended. What it staged and couldn't publish stays for a while, for whoever goes on with it."""
        run = self._runs.going_on.get(one.run) if one.run is not None else None
        self._stop(tx, one, now, "its backfill has ended")
        one.outcome = reporting.outcome(one, run, unmade)
        state = reporting.state_of(one.outcome)
        plans.told(tx, one.id, one.outcome.kept(), one.steps_done)
        plans.move(tx, one.id, state, now)
        if state == "succeeded":
            plans.clear(tx, one.id)
        reporting.finished(tx, one, state, now)
        self._failed = bool(unmade)
        del self._open[one.id]
        if run is not None and run.row is not None:
            leading.finish_run(tx, run.row, state, now)
            waiting = tuple((node, key, reason) for node, key, _, reason in one.outcome.failures[:WAITING_SHOWN_MAX])
            self._ended.append(RunResult(run.id, state, waiting, run.notes, one.outcome.published))

    def _stop(self, tx: Transaction, one: Backfilling, now: int, reason: str) -> None:
        """Attempts of a plan that aren't wanted any more are ended; whatever they answer isn't listened to."""
        gone = one.unload()
        leading.end_attempts(tx, [AttemptEnd(*number, state="cancelled", finished_at=now, reason=reason) for number in gone])
        self._killing += gone

    # After the commit

    @property
    def news(self) -> list[News]:
        """What partitions of plans came to in this turn."""
        return self._told.news

    def to_be_judged(self) -> bool:
        """Whether something of a plan became visible in the turn before this one, and isn't evaluated yet; or a plan has just failed.
        The turn that publishes is long enough, and before a plan ends there is another."""
        before, self._published = self._published, any(one.state == PUBLISHED for one in self._told.news)
        failed, self._failed = self._failed, False
        return before or failed

    def ended(self) -> Iterator[RunResult]:
        """The runs that have ended since this was asked last."""
        ended, self._ended = self._ended, []
        yield from ended

    def send(self) -> None:
        """Have done what was decided: it is committed."""
        told, self._told = self._told, PostCommitActions()
        sending, self._sending = self._sending, []
        killing, self._killing = self._killing, []
        for number in killing:
            self._executor.kill(number, "isn't wanted any more")
        for attempt in told.starts:
            self._executor.submit(attempt.id, attempt.prepared.task, background=self.background)
        for number, task in sending:
            self._executor.submit(number, task, background=self.background)
        for kill in told.kills:
            self._executor.kill(kill.attempt, kill.reason)

    @property
    def background(self) -> bool:
        """Whether plans get only what a server leaves."""
        return STANDING in self._runs.going_on

    def next_event(self) -> int | None:
        """When time alone changes something of a plan."""
        times = [at for one in self._open.values() if one.overlay is not None and (at := one.overlay.core.next_event()) is not None]
        return min(times, default=None)

    def due(self, now: int) -> bool:
        """Whether time has changed something of a plan."""
        at, patience = self.next_event(), self.patience
        return (at is not None and at <= now) or (patience is not None and patience <= 0)

    @property
    def patience(self) -> float | None:
        """For how many seconds a pause waits yet for attempts that run; None where none does."""
        return min((seconds for one in self._overlays if (seconds := one.patience) is not None), default=None)

    @property
    def _lent(self) -> Lender:
        assert self._lender is not None
        return self._lender
