"""The leader holds the lease, passes events to the core, commits its decisions and then acts.

One loop iteration is one transaction: workers' answers, the core's decisions, the lake's catalog,
the attempts to start next and the runs that ended. The leader sends tasks only after the commit, so
the next leader can continue after a crash at any point in time.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headrace.connect.connectors import connector_name
from headrace.faults import FaultPoint, reached
from headrace.model import LakeError, StoreError
from headrace.plan.compiled import is_view
from headrace.runtime import maintenance, small_merges
from headrace.runtime.applied_versions import AppliedVersion, BorrowedChanges, Production, unpack
from headrace.runtime.decisions import Decisions, run_event
from headrace.runtime.evaluation import MessageContents, VersionEvaluator
from headrace.runtime.executors import Executor, WorkersBroken
from headrace.runtime.executors import News as Answered
from headrace.runtime.exports import exports
from headrace.runtime.folders import Folders
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.graph import load, paused
from headrace.runtime.leader_loop import LeaderLoop, Write
from headrace.runtime.maintenance import look_at_files
from headrace.runtime.overlays.overlay import Lent
from headrace.runtime.overlays.plans import Lender
from headrace.runtime.publishing import HEADRACE
from headrace.runtime.runs import (
    STANDING,
    TICK,
    ActiveRun,
    Reporter,
    RunRequest,
    RunResult,
    RunState,
    cancelled_by,
    silent,
)
from headrace.runtime.tasks import TaskBuilder
from headrace.scheduler import (
    AttemptId,
    AttemptState,
    Cancelled,
    ClockAdvanced,
    Core,
    DeliveryArrived,
    Event,
    LoadedRunning,
    Paused,
    Requested,
    Target,
)
from headrace.security.audit import Action, Actor, append
from headrace.slo.declared_promises import declared_promises
from headrace.store import Clock as StoreClock
from headrace.store import ClockKind, Lease, Store, Transaction
from headrace.store.queries import (
    incidents,
    ingestion,
    lake_maintenance,
    leader_writes,
    publications,
)
from headrace.store.queries.leader_writes import AttemptEnd

GATHER_SECONDS = 0.005
"""Longest time to collect answers for one commit while the workers have more work to do."""
PAUSE_SECONDS = 0.001
"""Pause between two collections of answers, in which no answer wakes the leader."""
TURN_SECONDS_MAX = 1.0
"""Longest wait for workers before the leader checks the lease, the clock and time-outs again."""


class Leader(LeaderLoop):
    """The leader of a project, created by `headrace.runtime.leadership.hold`.

    Call `begin` to start a run, then `step` until `result` returns its result. Several runs can be
    active at once.
    """

    def __init__(
        self,
        *,
        store: Store,
        lease: Lease,
        clock: StoreClock,
        folders: Folders,
        executor: Executor,
        applied: AppliedVersion,
        contents: MessageContents,
        production: Production | None = None,
    ) -> None:
        self._contents = contents
        super().__init__(store, lease, clock, folders, executor, production)
        self.adopt(applied)

    def adopt(self, applied: AppliedVersion) -> None:
        """Use this version from now on.

        Attempts of nodes that it doesn't change continue; all others are ended.
        """
        running_attempts = self._continuing_attempts(applied)
        self.applied = applied
        self._declared_promises = declared_promises(applied.compiled)
        borrowed_changes = self._take(applied)
        with self.store.read() as tx:
            code = unpack(tx, applied, self._folders.code)
            loaded = load(
                tx,
                applied.compiled,
                version=applied.id,
                borrowed=self._borrowed,
                tracked_partitions=borrowed_changes.tracked_partitions,
            )
            arrived = ingestion.waiting_deliveries(tx)
            held = paused(tx, {node.name for node in loaded.graph.nodes}, self.clock.now_us())
            self._publication_id = publications.last_id(tx)
        self._checked = tuple(node for node in loaded.graph.nodes if node.checked_against)
        self._checkpoints.begun(loaded)
        loaded = msgspec.structs.replace(loaded, running=running_attempts)
        cache = self._folders.data_path / "cache"
        self._tasks = TaskBuilder(applied, code, self._production, cache=cache)
        self._evaluator = VersionEvaluator(
            applied.compiled.project, self._declared_promises, self._tasks.lookup.uses.lines,
            lambda tx, incident: self._contents.repair(tx, applied.compiled, incident),
            lambda tx, *digest: self._contents.weekly(tx, applied.compiled, *digest),
        )  # fmt: skip
        epoch, slots = self.lease.epoch, self._executor.slots
        self._core = Core(epoch=epoch, slots=slots, after=self._last_n)
        self._decisions = Decisions(
            self._core,
            self._tasks,
            self._claims,
            self._runs,
            version=applied.id,
        )
        own_sources = applied.compiled.project.sources.keys() - self._borrowed
        being_taken = {(item.node, key) for item in running_attempts for key in item.keys}
        deliveries = [
            DeliveryArrived(source, key, bundle)
            for source, key, bundle in arrived
            if source in own_sources and (source, key) not in being_taken
        ]
        self._runs.retarget(self.everything)
        again = [
            Requested(r.request(self._borrowed).targets, run=r.id, standing=r.order.continuous)
            for r in self._runs.going_on.values()
            if not self._plans.beyond(r)
        ]
        self._run_iteration([loaded, *held, *deliveries, *borrowed_changes.news, *again], [])
        lent = Lent(applied, code, loaded.graph, self._runs, epoch, slots, self._production, cache)
        with self.store.write(epoch) as tx:
            self._plans.adopt(tx, Lender(self._core, self._tasks, lent), self.clock.mark(tx))
        self._plans.send()

    def _continuing_attempts(self, applied: AppliedVersion) -> tuple[LoadedRunning, ...]:
        """Return the attempts that continue under another version: those of unchanged nodes."""
        if not self._attempts:
            return ()
        old, new = self.applied.compiled.nodes, applied.compiled.nodes
        same = {
            name
            for name in old.keys() & new.keys()
            if old[name].fingerprint == new[name].fingerprint
        }
        going_on = self._core.handed_over()
        self._end(
            [item.attempt for item in going_on if item.node not in same],
            "another version of it was applied",
        )
        return tuple(item for item in going_on if item.node in same)

    def _end(self, numbers: Sequence[AttemptId], reason: str) -> None:
        """End attempts that are no longer needed; the leader doesn't publish their outcomes."""
        ended = [self._attempts.pop(number) for number in numbers]
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            leader_writes.end_attempts(
                tx,
                [
                    AttemptEnd(
                        *attempt.id, state=AttemptState.CANCELLED, finished_at=now, reason=reason
                    )
                    for attempt in ended
                ],
            )
        for attempt in ended:
            self._claims.release(attempt.id, attempt.node, attempt.keys)
            self._executor.kill(attempt.id, f"was ended: {reason}")

    def _take(self, applied: AppliedVersion) -> BorrowedChanges:
        """Return the partitions borrowed from production and their changes; none in production."""
        if self._production is None:
            return BorrowedChanges()
        with self.store.write(self.lease.epoch) as tx:
            return self._production.take(tx, applied.compiled)

    # Targets

    @property
    def everything(self) -> tuple[Target, ...]:
        """The targets of a pass: every source, asset and export. Views aren't run."""
        compiled = self.applied.compiled
        return tuple(
            Target(name)
            for name in (*compiled.order, *self.exported)
            if not is_view(compiled.project, name)
        )

    @property
    def exported(self) -> tuple[str, ...]:
        """The consumers with an export. Environments export nothing."""
        return tuple(exports(self.applied.compiled.project))

    # Runs

    def run(self, order: RunRequest, report: Reporter = silent) -> RunResult:
        """Observe the requested sources, then run until nothing more can run."""
        number = self.begin(order, report)
        while (result := self.result(number)) is None:
            self.step(TURN_SECONDS_MAX)
        return result

    def begin(self, order: RunRequest, report: Reporter = silent) -> int:
        """Start a run, observe its sources and return the run's number.

        The leader calls `report` for each partition. The standing run has the number STANDING: each
        burst of its work becomes a run in the store, and `result` returns the result of each one
        that has ended.
        """
        if order.continuous:
            return self._stand(order, report)
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            plan = self._plans.check(tx, order.plan) if order.plan is not None else None
            number = self._runs.begin(tx, order, now)
            if plan is not None:
                self._plans.begin(tx, plan, number, now, order)
        reached(FaultPoint.RUN_BEGUN)
        run = self._runs.going_on[number] = ActiveRun(number, order, report)
        if order.kind == TICK:
            self._attend_to_plans()
        self.observe(
            {t.node for t in order.targets} - {item.source for item in order.received},
            run,
            patient=not order.continuous,
        )
        return number

    def _stand(self, order: RunRequest, report: Reporter) -> int:
        run = self._runs.going_on[STANDING] = ActiveRun(STANDING, order, report)
        run.row = None
        self._attend_to_plans()
        self.observe({t.node for t in order.targets}, run)
        return STANDING

    def _attend_to_plans(self) -> None:
        """Resume the backfills that no run works at."""
        for order in self._plans.unattended():
            self.begin(order)

    def result(self, run: int) -> RunResult | None:
        """Return the result of a run that has ended, once; None before.

        A pass ends only when the backfills that it resumed have ended, too.
        """
        if (
            run in self._runs.passes
            and self._plans.under_way
            and STANDING not in self._runs.going_on
        ):
            return None
        return self._runs.result(run)

    def under_way(self, run: int) -> RunRequest | None:
        """Return the request of an active run; None if the run isn't active."""
        active_run = self._runs.going_on.get(run)
        return active_run.order if active_run is not None else None

    def cancel(self, run: int, actor: Actor = HEADRACE, reason: str = "") -> None:
        """Cancel an active run; attempts that no other run needs are ended.

        A run of a backfill cancels the backfill.
        """
        active_run = self._runs.going_on[run]
        if active_run.order.plan is not None:
            self.cancel_plan(active_run.order.plan, actor, reason)
            return

        def write(tx: Transaction, now: int) -> None:
            leader_writes.cancel_run(tx, run, active_run.state, now, actor.id, reason)
            append(
                tx,
                now,
                run_event(
                    run,
                    Action.RUN_CANCELLED,
                    actor,
                    {"partitions": dict(Counter(active_run.results.values()))},
                    reason,
                ),
            )

        self._run_iteration([Cancelled(run)], [], write)
        self._runs.end(
            run,
            RunResult(
                run, RunState.CANCELLED, (), (*active_run.notes, cancelled_by(actor.id, reason))
            ),
        )

    def pause_plan(self, number: int, actor: Actor, reason: str) -> None:
        """Pause a backfill: start no more of its attempts.

        An attempt that is running is staged if it ends soon, else its partitions are put back.
        Raises UsageError for a backfill that isn't running.
        """
        self._run_iteration(
            [], [], lambda tx, now: self._plans.pause(tx, number, now, actor, reason)
        )

    def cancel_plan(self, number: int, actor: Actor, reason: str) -> None:
        """Cancel a backfill: publish nothing more of what it staged.

        Raises UsageError for one that has ended.
        """
        self._run_iteration(
            [], [], lambda tx, now: self._plans.cancel(tx, number, now, actor, reason)
        )

    def leave(self) -> None:
        """Write a checkpoint of the core for the next leader, just before the lease is released."""
        if self._production is None and self._checkpoints.worth:
            with contextlib.suppress(StoreError), self.store.write(self.lease.epoch) as tx:
                self._checkpoints.write(tx, self._core, self.applied.id, self.clock.mark(tx))

    def observe(
        self,
        nodes: set[str],
        run: ActiveRun | None = None,
        *,
        patient: bool = False,
        finished: Mapping[str, tuple[int, int]] = {},
    ) -> None:
        """Observe sources; the runs that need a new delivery ingest it.

        `finished` are files that their writers have closed (`connect.files.observe`).
        """
        project = self.applied.compiled.project
        sources = [
            s for name, s in project.sources.items() if name in nodes and name not in self._borrowed
        ]
        observation = self._looks.begin(
            run.id if run else 0,
            project,
            sources,
            self.clock.now_us(),
            patient=patient,
            finished=finished,
        )
        if run is not None:
            run.looking += 1
        if observation.done:
            self._run_iteration([], [])

    def tell(self, *events: Event, write: Write | None = None) -> None:
        """Hand events caused by users to the core: pauses, triggers, unpublished partitions.

        `write` stores what belongs to the events, in the same transaction.
        """
        self._run_iteration(events, [], write)

    def took_over(self, tx: Transaction, nodes: Iterable[str]) -> None:
        """Reload the tables of these nodes and the newest publication's number.

        For an event whose `write` published partitions itself.
        """
        for name in nodes:
            self._tasks.lookup.forget(name)
            self._tasks.lookup.reshaped(tx, name)
        self._publication_id = publications.last_id(tx)

    def pause(self, reason: str) -> None:
        """Start no more attempts; running ones continue. For a leader that is about to end."""
        self._run_iteration([Paused((*self.applied.compiled.order, *self.exported), reason)], [])

    @property
    def busy(self) -> bool:
        """Whether any attempt is running."""
        return bool(self._attempts)

    @property
    def plans_busy(self) -> bool:
        """Whether any attempt of a backfill is running."""
        return self._plans.busy

    @property
    def being_observed(self) -> set[str]:
        """The sources that workers are observing now."""
        return self._looks.at

    def settled(self) -> tuple[set[str], float | None]:
        """Return sources whose files should be quiet by now, and seconds until the next ones are.

        These are sources with files that may still have been written to when they were observed.
        """
        return self._looks.settled()

    def settle(self) -> None:
        """Record the obligations that fell due and those that were met.

        Deadlines pass without an event of the core.
        """
        with self.store.write(self.lease.epoch) as tx:
            self._settle(tx, self.clock.mark(tx))

    def borrow(self) -> None:
        """In an environment, register what production has published since."""
        if news := self._take(self.applied).news:
            self._run_iteration(news, [])

    def step(self, seconds: float = TURN_SECONDS_MAX) -> None:
        """Wait up to `seconds` for events and process them."""
        self._looks.overdue()
        next_event = self._core.next_event()
        patience = 0 if self._plans.ready else min(seconds, self._patience(next_event))
        news = self._delivery_order.ready(self._gathered(patience), self._attempts)
        now = self.clock.now_us()
        due = next_event is not None and next_event <= now
        if news or due or self._plans.due(now):
            self._run_iteration([ClockAdvanced()] if due else [], news)
        self._plans.go_on()
        self.beat()

    def beat(self) -> None:
        """Renew the lease if that is due."""
        if self.lease.renewal_due:
            self.lease.renew()

    def look_at_files(self) -> tuple[str, ...]:
        """Check the lake's files against the catalog; return the ids of new incidents.

        An environment's leader checks its own lake only; production's leader checks the files that
        the environment borrows.
        """
        if not look_at_files(
            self.store, self.lease.epoch, self._folders.lake, self.applied.compiled, self.clock
        ):
            return ()
        with self.store.read() as tx:
            before = {incident.id for incident in incidents.open_incidents(tx)}
        self.settle()
        with self.store.read() as tx:
            return tuple(
                incident.label
                for incident in incidents.open_incidents(tx)
                if incident.id not in before
            )

    def maintain(self) -> str | None:
        """Maintain the lake if that is due; return the message of an error, None if there was none.

        Otherwise merge small files of tables with too many, for a limited time. A replay runs no
        maintenance.
        """
        if self.clock.kind is not ClockKind.LIVE:
            return None
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            pressed = maintenance.reclaim_due(tx, now)
            is_due = pressed or maintenance.due(tx, now)
        try:
            if not is_due:
                self._merge_small_files()
                return None
            attend = maintenance.reclaim if pressed else maintenance.maintain
            attend(
                self.store,
                self.lease.epoch,
                self._folders,
                RetentionPolicy.declared(self.applied.compiled.project),
                now,
            )
        except LakeError as error:
            return str(error)
        return None

    def _merge_small_files(self) -> None:
        merges = small_merges.SmallMerges(self.store, self.lease.epoch, self._folders, self.clock)
        merges.merge(
            files_max=small_merges.CURRENT_FILES_MAX,
            slices_max=small_merges.SLICES_PER_ROUND,
            give_way=False,
        )

    def _gathered(self, seconds: float) -> list[Answered]:
        """Collect workers' answers for one commit.

        While workers have more tasks queued in their pipes, the leader waits up to GATHER_SECONDS
        for more answers, so that one sync and one commit serve several.
        """
        try:
            news = self._executor.wait(seconds)
        except WorkersBroken as error:
            self._nothing_works(str(error))
            raise
        until = time.monotonic() + GATHER_SECONDS
        while (
            news and len(news) < self._core.ahead() // 3 and (left := until - time.monotonic()) > 0
        ):
            time.sleep(min(left, PAUSE_SECONDS))
            news += self._executor.wait(0)
        return news

    def _nothing_works(self, why: str) -> None:
        """Record that no worker starts.

        The command fails, and operators must find the cause among the incidents later. The open
        attempts are recorded as lost for this reason, not because the leader ended.
        """
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            leader_writes.lose_open_work(tx, self.lease.epoch + 1, now)
            lake_maintenance.record_problem(tx, lake_maintenance.WORKERS, why, now)
            self._settle(tx, now)

    def note_closed(self, why: str) -> None:
        """Observe the local sources, record that the lake can't be written, and evaluate.

        None of this needs the lake or a worker.
        """
        sources = self.applied.compiled.project.sources.values()
        self.observe({source.name for source in sources if connector_name(source) is None})
        with self.store.write(self.lease.epoch) as tx:
            now = self.clock.mark(tx)
            lake_maintenance.record_problem(tx, lake_maintenance.LAKE, why, now)
            self._settle(tx, now)

    def _patience(self, next_event: int | None) -> float:
        """Return the seconds to wait at most, if the core has something to do at `next_event`."""
        times = (next_event, self._plans.next_event())
        at = min((item for item in times if item is not None), default=None)
        seconds = (
            [TURN_SECONDS_MAX]
            if at is None
            else [TURN_SECONDS_MAX, (at - self.clock.now_us()) / 1_000_000]
        )
        if self._plans.patience is not None:
            seconds.append(self._plans.patience)
        return max(0.001, min(seconds))
