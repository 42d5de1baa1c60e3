"""The open backfills of a leader: the run of each, its next step, and its claims."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence

import msgspec

from headrace.model import LakeError, Refused, UnknownName, UsageError
from headrace.plan.backfills import Backfill, BackfillState, is_errand, plan_of_attempt
from headrace.runtime.decisions import RunRegistry
from headrace.runtime.executors import Executor, LostWorker, TaskFinished
from headrace.runtime.executors import News as Answered
from headrace.runtime.graph import paused
from headrace.runtime.messages import Task
from headrace.runtime.overlays import backfill
from headrace.runtime.overlays.backfill import AFTERWARDS, INGESTED, Backfilling, Phase
from headrace.runtime.overlays.overlay import Lent, Overlay, PostCommitActions
from headrace.runtime.overlays.partitions import shared_partition
from headrace.runtime.overlays.pool_sharing import Sharing
from headrace.runtime.overlays.production_state import UnsuccessfulPartition, recut
from headrace.runtime.runs import (
    STANDING,
    ActiveRun,
    News,
    NewsState,
    RunRequest,
    RunResult,
    RunState,
    cancelled_by,
)
from headrace.runtime.tasks import TaskBuilder
from headrace.scheduler import (
    AttemptId,
    AttemptState,
    Cancelled,
    Core,
    Elsewhere,
    Event,
    PartitionState,
    Requested,
)
from headrace.scheduler.events import WAITING_SHOWN_MAX
from headrace.security.audit import Action, Actor
from headrace.store import Store, Transaction
from headrace.store.queries import backfill_plans, leader_writes
from headrace.store.queries.backfill_plans import PlanRecord
from headrace.store.queries.leader_writes import AttemptEnd

Write = Callable[[Transaction, int], Sequence[Event] | None]
UNBEGUN = ("planned", "running", "paused", "failed", "partial")
"""States of a backfill from which a run can begin or continue it."""


class Lender(msgspec.Struct, frozen=True):
    """The leader's current core and production tasks."""

    core: Core
    tasks: TaskBuilder
    lent: Lent


class Plans:
    """The open backfills of one leader.

    `iterate` runs a loop iteration of the leader with a function that writes in its transaction and
    returns events for production's core.
    """

    def __init__(
        self, store: Store, executor: Executor, runs: RunRegistry, iterate: Callable[[Write], None]
    ) -> None:
        self._store, self._executor, self._runs, self._turn = store, executor, runs, iterate
        self._open: dict[int, Backfilling] = {}
        self._lender: Lender | None = None
        self._post_commit = PostCommitActions()
        self._sharing = Sharing({})
        self._sending: list[tuple[AttemptId, Task]] = []
        self._killing: list[AttemptId] = []
        self._ended: list[RunResult] = []
        self._published = False
        """Whether partitions were published in the last iteration."""
        self._failed = False
        """Whether a backfill has just ended with failures."""
        self.publication_id = 0
        """Number of the newest publication, after a promotion."""

    # Start

    def adopt(self, tx: Transaction, lender: Lender, now: int) -> None:
        """Use this version from now on; running attempts are ended and started anew."""
        self._lender, self._sharing = lender, Sharing(lender.lent.graph.pools)
        for row in backfill_plans.open_backfills(tx):
            if row.id not in self._open:
                self._open[row.id] = _followed(tx, row)
        for item in self._open.values():
            self._stop(tx, item, now, "another version was applied")
            item.asked_afterwards = False

    def check(self, tx: Transaction, number: int) -> PlanRecord:
        """Return a backfill that is about to run.

        Raises UsageError if there is none or it has ended, and Refused if it may not run.
        """
        row = backfill_plans.get(tx, number)
        if row is None:
            raise UnknownName(
                f"there is no backfill {number}", hint="headrace backfills lists them"
            )
        if row.state == BackfillState.AWAITING_APPROVAL:
            raise Refused(f"backfill {number} waits for an approval: {row.needs}")
        if row.state not in UNBEGUN or (
            number in self._open and self._open[number].run is not None
        ):
            raise UsageError(
                f"backfill {number} can't be begun: it is {row.state}",
                hint=f"headrace backfills {number}",
            )
        self._check_claims(tx, row)
        return row

    def _check_claims(self, tx: Transaction, row: PlanRecord) -> None:
        lent = self._lent.lent
        mine = msgspec.msgpack.decode(row.content, type=Backfill)
        nodes = {node.name: node for node in lent.graph.nodes}
        if moved := recut(tx, row.version, lent.applied, [item.node for item in mine.chosen]):
            raise Refused(
                f"backfill {row.id} was planned when {', '.join(moved)} was partitioned"
                f" differently",
                hint="plan it again",
            )
        for other in backfill_plans.open_backfills(tx):
            if other.id == row.id:
                continue
            results = shared_partition(
                nodes, mine, msgspec.msgpack.decode(other.content, type=Backfill)
            )
            if results is not None:
                raise Refused(
                    f"backfill {other.id} makes {results[0]}@{results[1]} already",
                    hint=(
                        f"wait for it, or take it back: headrace backfills cancel {other.id}"
                        " --reason TEXT"
                    ),
                )

    def begin(
        self, tx: Transaction, row: PlanRecord, run: int, now: int, order: RunRequest
    ) -> None:
        """Start a backfill in a run; production first ingests new deliveries."""
        item = self._open.setdefault(row.id, _followed(tx, row))
        item.go_on(run)
        backfill_plans.move(tx, row.id, "running", now)
        backfill.record_intervention(
            tx,
            item,
            now,
            Action.PLAN_STARTED if row.started_at is None else Action.PLAN_RESUMED,
            order.actor,
            order.reason,
        )

    def unattended(self) -> list[RunRequest]:
        """Return run requests for running backfills without a run."""
        with self._store.read() as tx:
            rows = {row.id: row for row in backfill_plans.open_backfills(tx)}
        waiting = (
            item
            for item in self._open.values()
            if item.run is None and item.id in rows and rows[item.id].state == BackfillState.RUNNING
        )
        return [backfill.run_request_of(item, rows[item.id]) for item in waiting]

    @property
    def under_way(self) -> bool:
        """Whether a run works at a backfill."""
        return any(item.run is not None for item in self._open.values())

    @property
    def busy(self) -> bool:
        """Whether any attempt of a backfill is running."""
        return any(
            item.overlay is not None and item.overlay.attempts for item in self._open.values()
        )

    # Users' actions

    def pause(
        self, tx: Transaction, number: int, now: int, actor: Actor, reason: str
    ) -> list[Event]:
        """Pause a backfill; its run ends.

        No more attempts start; running ones are staged if they end soon, else put back. Raises
        UsageError for one that isn't running.
        """
        item = self._opened(tx, number, "running")
        if item.overlay is not None:
            self._post_commit.add(item.overlay.pause(tx, now, f"backfill {number} is paused"))
        backfill_plans.move(tx, number, "paused", now)
        backfill.record_intervention(tx, item, now, Action.PLAN_PAUSED, actor, reason)
        return self._let_go(tx, item, now, "paused", (f"paused by {actor.id}: {reason}",))

    def cancel(
        self, tx: Transaction, number: int, now: int, actor: Actor, reason: str
    ) -> list[Event]:
        """Cancel a backfill: publish nothing more of it; steps published before stay.

        Raises UsageError for one that has ended.
        """
        item = self._opened(tx, number, "running", "paused")
        self._stop(tx, item, now, "its backfill was cancelled")
        backfill_plans.clear(tx, number)
        backfill_plans.move(tx, number, "cancelled", now)
        backfill.record_intervention(tx, item, now, Action.PLAN_CANCELLED, actor, reason)
        events = self._let_go(tx, item, now, "cancelled", (cancelled_by(actor.id, reason),))
        del self._open[number]
        return events

    def _opened(self, tx: Transaction, number: int, *states: str) -> Backfilling:
        row = backfill_plans.get(tx, number)
        if row is None or number not in self._open or row.state not in states:
            was = "there is no such plan" if row is None else f"it is {row.state}"
            raise UsageError(
                f"backfill {number} isn't {' or '.join(states)}: {was}",
                hint="headrace backfills lists them",
            )
        return self._open[number]

    def _let_go(
        self, tx: Transaction, item: Backfilling, now: int, state: str, warnings: tuple[str, ...]
    ) -> list[Event]:
        """End the run of a backfill before the backfill itself ends."""
        run = self._runs.going_on.get(item.run) if item.run is not None else None
        item.rest()
        if run is None or run.row is None:
            return []
        leader_writes.finish_run(
            tx, run.row, "partial" if item.outcome.published else "nothing_due", now
        )
        self._ended.append(
            RunResult(run.id, RunState(state), (), (*run.notes, *warnings), item.outcome.published)
        )
        return [Cancelled(run.id)]

    # Loop iterations

    def follow(
        self,
        tx: Transaction,
        visible: Sequence[Event],
        news: Sequence[Answered],
        wrong: dict[AttemptId, str],
        now: int,
    ) -> None:
        """Follow an iteration of production's core: its events, and answers to backfills."""
        finished = _finished_by_plan(news)
        lost = [answer for answer in news if isinstance(answer, LostWorker)]
        for item in list(self._open.values()):  # a failed copy ends its backfill
            if item.overlay is None:
                continue
            answers = finished.get(item.id, [])
            failure = _errand_failure(item, answers, lost)
            if failure:
                self._finish(
                    tx, item, [UnsuccessfulPartition("", "", PartitionState.FAILED, failure)], now
                )
                continue
            self._share_pool_use(tx, item.overlay, now)
            attempts = [answer for answer in answers if not is_errand(answer.attempt)]
            self._post_commit.add(item.overlay.record(tx, attempts, lost, wrong, now))
            self._post_commit.add(item.overlay.hear(tx, visible, now))
            self._post_commit.add(item.overlay.wake(tx, now))
        self._share(tx, now)

    def _share_pool_use(self, tx: Transaction, overlay: Overlay, now: int) -> None:
        """Share with a backfill what others hold of pools, before it decides anything."""
        if self._lent.lent.graph.pools:
            self._post_commit.add(
                overlay.share(
                    tx, self._sharing.unavailable(self._lent.core, self._overlays, overlay), now
                )
            )

    def _share(self, tx: Transaction, now: int) -> None:
        if self._lender is not None and self._lender.lent.graph.pools:
            self._post_commit.add(self._sharing.settle(tx, self._lender.core, self._overlays, now))

    def elsewhere(self) -> list[Elsewhere]:
        """Return the event on pools for production's core; none without a backfill or pools."""
        if self._lender is None or not self._lender.lent.graph.pools:
            return []
        held = self._sharing.news(self._overlays)
        return [] if held is None else [held]

    @property
    def _overlays(self) -> list[Overlay]:
        return [item.overlay for item in self._open.values() if item.overlay is not None]

    def settled(self, tx: Transaction, run: ActiveRun, now: int) -> None:
        """Move on a backfill when production has finished a run's request.

        Its sources are ingested, or everything is done.
        """
        item = self._open[run.order.plan or 0]
        if item.phase is Phase.TAKING_IN and item.step is None and not item.targets(AFTERWARDS):
            self._finish(
                tx, item, backfill.failed_in_production(tx, run, item.nodes(INGESTED)), now
            )
        elif item.phase is Phase.TAKING_IN:
            item.phase = Phase.STEPS if item.step is not None else Phase.AFTERWARDS
        elif item.phase is Phase.AFTERWARDS:
            self._finish(
                tx, item, backfill.failed_in_production(tx, run, item.nodes(AFTERWARDS)), now
            )

    def beyond(self, run: ActiveRun) -> bool:
        """Whether the sources of a run's backfill are ingested.

        The core needn't be asked for them again then.
        """
        item = self._open.get(run.order.plan or 0)
        return item is not None and item.phase is not Phase.TAKING_IN

    def go_on(self) -> None:
        """Do the next thing for one backfill, in its own iteration.

        Only one, because production's workers are heard in between.
        """
        if (write := self._next()) is not None:
            with _without_collections():
                self._turn(write)

    @property
    def ready(self) -> bool:
        """Whether a backfill can continue by itself."""
        return self._next() is not None

    def _next(self) -> Write | None:
        return next(
            (
                results
                for item in self._open.values()
                if (results := self._next_of(item)) is not None
            ),
            None,
        )

    def _next_of(self, item: Backfilling) -> Write | None:
        if item.to_tidy:
            return lambda tx, _now: item.tidy(tx)
        if (
            item.step is not None
            and item.overlay is None
            and (item.phase is Phase.STEPS or item.fresh)
        ):
            return lambda tx, now: self._load(tx, item, now)
        if item.phase is Phase.STEPS and item.overlay is not None and not item.overlay.requested:
            return lambda tx, now: self._request(tx, item, now)
        if item.ready and not self._made_by_production(item):
            if (node := item.to_find) is not None:
                return lambda tx, now: item.find(tx, node, now)
            return lambda tx, now: self._conclude(tx, item, now)
        if item.phase is Phase.AFTERWARDS and not item.asked_afterwards:
            return lambda tx, now: self._afterwards(tx, item, now)
        return None

    def _made_by_production(self, item: Backfilling) -> bool:
        """Whether production is computing a partition of the step.

        The backfill waits for that, because it then recomputes the partition.
        """
        running = self._lent.core.running().values()
        return item.overlay is not None and any(
            item.overlay.holds(at.node, key) for at in running for key in at.keys
        )

    def _request(self, tx: Transaction, item: Backfilling, now: int) -> None:
        assert item.overlay is not None
        self._share_pool_use(tx, item.overlay, now)
        pauses = paused(tx, {node.name for node in self._lent.lent.graph.nodes}, now)
        self._post_commit.add(item.request(tx, pauses, now))

    def _load(self, tx: Transaction, item: Backfilling, now: int) -> None:
        item.fresh = False
        if item.phase is not Phase.STEPS and not backfill_plans.staged(tx, item.id):
            return
        slots = self._executor.background_slots if self.background else self._executor.slots
        lent = msgspec.structs.replace(self._lent.lent, slots=slots)
        self._post_commit.add(item.load(tx, lent, self._lent.core.checkpoint(), now))

    def _conclude(self, tx: Transaction, item: Backfilling, now: int) -> Sequence[Event]:
        """Publish the step, once it is computed as far as possible."""
        assert item.overlay is not None
        self._share_pool_use(tx, item.overlay, now)
        lender, unmade = self._lent, item.overlay.unmade(now)
        if unmade and not item.backfill.allow_partial:
            self._finish(tx, item, unmade, now)
            return ()
        if (actions := item.overlay.give_up(tx, now)) is not None:
            self._post_commit.add(actions)
            return ()
        change = item.begin_change(tx, now)
        if errands := item.lacking(tx, change, lender.tasks):
            self._sending += errands
            return ()
        try:
            promotion_result = item.promote(
                tx, change, lender.lent, lender.tasks, unmade, self.publication_id, now
            )
        except LakeError as error:
            self._again(tx, item, error, now)
            return ()
        self.publication_id += len(promotion_result.event.contents)
        self._post_commit.news += promotion_result.news
        backfill.record_publications(tx, item, promotion_result.rows, now)
        if item.step is None:
            item.phase = Phase.AFTERWARDS
        return (promotion_result.event,)

    def _again(self, tx: Transaction, item: Backfilling, error: LakeError, now: int) -> None:
        try:
            self._post_commit.add(item.make_again(tx, error, now))
        except LakeError:
            self._finish(
                tx, item, [UnsuccessfulPartition("", "", PartitionState.FAILED, str(error))], now
            )

    def _afterwards(self, tx: Transaction, item: Backfilling, now: int) -> Sequence[Event]:
        """Request partitions that build on published ones; production computes them in order."""
        targets = item.targets(AFTERWARDS)
        if not targets:
            self._finish(tx, item, [], now)
            return ()
        item.asked_afterwards = True
        return (
            Requested(targets, retry=item.nodes(AFTERWARDS), again=item.again, run=item.run or 0),
        )

    def _finish(
        self, tx: Transaction, item: Backfilling, unmade: Sequence[UnsuccessfulPartition], now: int
    ) -> None:
        """End a backfill.

        Its staged but unpublished partitions stay for a while, so that a later run can continue it.
        """
        run = self._runs.going_on.get(item.run) if item.run is not None else None
        self._stop(tx, item, now, "its backfill has ended")
        item.outcome = backfill.final_outcome(item, run, unmade)
        state = backfill.final_state(item.outcome)
        backfill_plans.record_outcome(tx, item.id, item.outcome.encoded(), item.steps_done)
        backfill_plans.move(tx, item.id, state, now)
        if state is BackfillState.SUCCEEDED:
            backfill_plans.clear(tx, item.id)
        elif item.to_tidy:
            backfill_plans.forget_published(tx, item.id)
        backfill.record_end(tx, item, state, now)
        self._failed = bool(unmade)
        del self._open[item.id]
        if run is not None and run.row is not None:
            leader_writes.finish_run(tx, run.row, state, now)
            waiting = tuple(
                (node, key, reason)
                for node, key, _, reason in item.outcome.failures[:WAITING_SHOWN_MAX]
            )
            ended = RunResult(run.id, RunState(state), waiting, run.notes, item.outcome.published)
            self._ended.append(ended)

    def _stop(self, tx: Transaction, item: Backfilling, now: int, reason: str) -> None:
        """End a backfill's attempts and ignore their answers."""
        attempt_ids = item.unload()
        leader_writes.end_attempts(
            tx,
            [
                AttemptEnd(*number, state=AttemptState.CANCELLED, finished_at=now, reason=reason)
                for number in attempt_ids
            ],
        )
        self._killing += attempt_ids

    # After the commit

    @property
    def news(self) -> list[News]:
        """The outcomes of backfills' partitions in this iteration."""
        return self._post_commit.news

    def to_be_judged(self) -> bool:
        """Whether an evaluation is due: a backfill published in the last iteration, or has failed.

        It isn't done in the publishing iteration, which takes long enough. Before a backfill ends
        there is another one.
        """
        before, self._published = (
            self._published,
            any(news.state is NewsState.PUBLISHED for news in self._post_commit.news),
        )
        failed, self._failed = self._failed, False
        return before or failed

    def ended(self) -> Iterator[RunResult]:
        """Yield the results of runs that have ended since the last call."""
        ended, self._ended = self._ended, []
        yield from ended

    def send(self) -> None:
        """Carry out the committed decisions."""
        actions, self._post_commit = self._post_commit, PostCommitActions()
        sending, self._sending = self._sending, []
        killing, self._killing = self._killing, []
        for number in killing:
            self._executor.kill(number, "isn't wanted any more")
        for attempt in actions.starts:
            self._executor.submit(attempt.id, attempt.prepared.task, background=self.background)
        for number, task in sending:
            self._executor.submit(number, task, background=self.background)
        for kill in actions.kills:
            self._executor.kill(kill.attempt, kill.reason)

    @property
    def background(self) -> bool:
        """Whether backfills run in the background, because a server's standing run is active."""
        return STANDING in self._runs.going_on

    def next_event(self) -> int | None:
        """Return the time of the next event in a backfill, in microseconds.

        None if there is none.
        """
        times = [
            at
            for item in self._open.values()
            if item.overlay is not None and (at := item.overlay.core.next_event()) is not None
        ]
        return min(times, default=None)

    def due(self, now: int) -> bool:
        """Whether time alone has an effect on a backfill."""
        at, patience = self.next_event(), self.patience
        return (at is not None and at <= now) or (patience is not None and patience <= 0)

    @property
    def patience(self) -> float | None:
        """Seconds that a pause still waits for running attempts; None if none does."""
        return min(
            (seconds for overlay in self._overlays if (seconds := overlay.patience) is not None),
            default=None,
        )

    @property
    def _lent(self) -> Lender:
        assert self._lender is not None
        return self._lender


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Put off garbage collections to the time between two iterations.

    What a publication allocates would else start a full one, for up to a third of its time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _followed(tx: Transaction, row: PlanRecord) -> Backfilling:
    """Return a backfill to work at; an earlier leader may have ended just after a publication."""
    item = Backfilling(row)
    item.to_tidy = row.steps_done > 0 and backfill_plans.has_published(tx, row.id)
    return item


def _finished_by_plan(news: Sequence[Answered]) -> dict[int, list[TaskFinished]]:
    finished: dict[int, list[TaskFinished]] = {}
    for answer in news:
        if isinstance(answer, TaskFinished):
            finished.setdefault(plan_of_attempt(answer.attempt), []).append(answer)
    return finished


def _errand_failure(
    item: Backfilling, finished: Sequence[TaskFinished], lost: Sequence[LostWorker]
) -> str:
    """Take the answers to a backfill's errands; return why one of them failed, "" if none did."""
    failure = ""
    for answer in finished:
        if is_errand(answer.attempt):
            failure = item.run_errand(answer) or failure
    for loss in lost:
        for attempt in (loss.running, *loss.queued):
            if attempt is not None and item.lose_errand(attempt):
                failure = f"a worker {loss.reason} while it copied what other partitions share"
    return failure
