"""Invariants of every step and of the end of a simulation, each a function with a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.scheduler.events import (
    CANCELLED,
    AttemptId,
    AttemptPublished,
    AttemptUnsuccessful,
    Cancelled,
    Command,
    DeliveryArrived,
    Dispatch,
    Event,
    Kill,
    Loaded,
    PartitionUpdate,
    Paused,
    Promoted,
    Refreshed,
    Requested,
    Resumed,
    Settled,
    TakenBack,
    WorkerLost,
)
from headrace.scheduler.requests import WaitKind
from headrace.scheduler.states import TRANSITIONS, FailureKind, PartitionState, PartitionTransition
from simulation.account import Account, Beginnings
from simulation.backfills import ATTEMPTS_PER_PLAN
from simulation.oracle import Oracle
from simulation.scenario import Violation
from simulation.store import SimulatedTransaction

if TYPE_CHECKING:
    from simulation.backfills import SimulatedBackfill
    from simulation.leader import SimulatedLeader
    from simulation.simulator import Simulation
    from simulation.store import SimulatedPublicationRow
    from simulation.workers import Task


# Invariants once nothing happens any more, and invariants at the end, when everything works again.


class TerminalInvariants:
    """Checks invariants once nothing happens any more."""

    def __init__(self, world: Simulation, account: Account) -> None:
        self._world, self._account = world, account

    def at_rest(self) -> None:
        """Check all invariants once nothing happens any more."""
        leader = self._world.leader
        if leader is None:
            raise Violation("somebody_leads", "nobody took the lease")
        self._everything_has_come_to_an_end(leader)
        self._everything_waits_for_a_reason(leader)
        self._nothing_that_could_run_lies_unqueued(leader)
        self._the_store_knows_what_the_core_knows(leader)

    def _everything_has_come_to_an_end(self, leader: SimulatedLeader) -> None:
        """Check that no attempt runs forever, no ready partition is left over, and all runs end."""
        if self._account.running or leader.attempts:
            raise Violation(
                "everything_has_come_to_an_end",
                f"{len(self._account.running)} attempts go on: {list(self._account.running)[:3]}",
            )
        if not leader.core.idle():
            raise Violation(
                "everything_has_come_to_an_end", "something is ready, and isn't started"
            )
        left = sorted(run for run, request in leader.runs.items() if not request.standing)
        if leader.backfill is not None:
            raise Violation(
                "everything_has_come_to_an_end",
                f"plan {leader.backfill.number} goes on: {leader.backfill.attempts}",
            )
        if left:
            raise Violation("everything_has_come_to_an_end", f"runs {left} go on")

    def _everything_waits_for_a_reason(self, leader: SimulatedLeader) -> None:
        """Check that missing expected partitions wait for something that really is missing."""
        for node, key in leader.core.waiting(leader.now):
            reasons = leader.core.waiting_for(node, key)
            if not reasons:
                raise Violation("everything_waits_for_a_reason", f"{node}@{key} waits for nothing")
            for reason in reasons:
                if reason.state is S.RUNNING or (
                    reason.state is S.PUBLISHED and reason.node not in self._later()
                ):
                    raise Violation(
                        "everything_waits_for_a_reason",
                        f"{node}@{key} waits for {reason}, which is there",
                    )

    def _nothing_that_could_run_lies_unqueued(self, leader: SimulatedLeader) -> None:
        """Check that the core gives a reason for every waiting partition, wanted or not.

        An interval that hasn't ended is a reason only for partitions that wait for it.
        """
        for tracked in leader.core.checkpoint().tracked_partitions:
            if tracked.state is not S.WAITING:
                continue
            kept = any(
                reason.kind is not WaitKind.INTERVAL
                for reason in leader.core.why(tracked.node, tracked.key)
            )
            if not kept and not leader.core.waiting_for(tracked.node, tracked.key):
                raise Violation(
                    "nothing_that_could_run_lies_unqueued", f"{tracked.node}@{tracked.key}"
                )

    def _later(self) -> set[str]:
        """Sources whose partitions aren't complete on delivery."""
        return {
            node.name
            for node in self._world.graph.nodes
            if node.watermark or node.complete_after is not None
        }

    def _the_store_knows_what_the_core_knows(self, leader: SimulatedLeader) -> None:
        """Check that a new leader would start from the same state: every transition was stored."""
        for (node, key), row in self._world.store.tables["partition"].items():
            if node not in self._world.rules.nodes:
                continue
            state = leader.core.state_of(node, key)
            if state is not row.state:
                raise Violation(
                    "the_store_knows_what_the_core_knows",
                    f"{node}@{key} is {state}, the store says {row.state}",
                )

    def at_the_end(self) -> None:
        """Check that publications equal those computed from the deliveries.

        Everything works by then, and a person has requested everything.
        """
        self.at_rest()
        world = self._world
        oracle = Oracle(world.rules, world.wall, world.versions, world.scenario.coarse)
        seen, unsure = world.store.tables["publication"], set[str]()
        shown: dict[str, list[str]] = {node.name: [] for node in world.graph.nodes}
        for name, key in seen:
            shown.setdefault(name, []).append(key)
        for node in world.graph.nodes:
            contents, above = (
                oracle.all(node),
                {*(spec.node for spec in node.inputs), *node.depends},
            )
            if node.name in oracle.unsure or above & (
                unsure | self._account.waived
            ):  # a waived partition may have counted as empty
                unsure.add(node.name)
                continue
            for key, content in contents.items():
                self._the_end_is_that_of_an_undisturbed_run(
                    (node.name, key), content, seen.get((node.name, key))
                )
            if any(key not in contents for key in shown[node.name]):
                unsure.add(
                    node.name
                )  # an older publication remains of a partition that can't be computed any more

    def _the_end_is_that_of_an_undisturbed_run(self, place: Key, content: int, row: object) -> None:
        """Check that a partition has the content that its deliveries determine, whatever failed."""
        result = getattr(row, "content", None)
        if result != content:
            said = self._world.leader.core.state_of(*place) if self._world.leader else "unknown"
            raise Violation(
                "the_end_is_that_of_an_undisturbed_run",
                f"{place} has {result} instead of {content}, it is {said}",
            )


# Invariants after every step.

Key = tuple[str, str]
S = PartitionState
_LEGAL = {
    (before, after)
    for (before, change), after in TRANSITIONS.items()
    if change not in {PartitionTransition.PUBLISHED_ELSEWHERE, PartitionTransition.CONTINUED}
} | {(state, state) for state in S}
"""State changes that the core's commands may contain; they don't repeat what the store holds."""
_TRIES = {
    FailureKind.LOST_WORKER: 3,
    FailureKind.RESOURCES: 2,
    FailureKind.DETERMINISTIC: 0,
    FailureKind.CANCELLED: 0,
}
"""Cause → number of failures after which a partition isn't retried (SEMANTICS §6); a transient one
uses its node's number."""


class InvariantChecker:
    """Checks every step of a simulation.

    It derives its own record of partition states from the core's commands.
    """

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self._account = Account(world)
        self._beginnings = Beginnings(world, self._account)
        self.resting = TerminalInvariants(world, self._account)
        self._granted: dict[Key, AttemptId] = {}
        """Partition → the newest attempt that a committed loop iteration gave it to."""
        self._published: set[tuple[AttemptId, str]] = set()
        self._now = 0

    # Reports of the simulation

    def took_over(self, leader: SimulatedLeader) -> None:
        """A leader has the lease."""
        self._beginnings.took_over(leader.epoch)

    def loaded(self, leader: SimulatedLeader) -> None:
        """A leader has a new core."""
        if self._leads(leader):
            self._account.renewed()

    def lost_commits(self) -> None:
        """A power cut undid commits, whose effects never happened."""
        self._published.clear()
        self._granted.clear()
        self._beginnings.since(AttemptId(self._world.store.epoch, 0))
        self._now = 0

    def before(self, leader: SimulatedLeader, event: Event) -> None:
        """An event is about to be passed to the core."""
        if not self._leads(leader):
            return
        cover = self._world.coverage.happened
        match event:
            case Loaded():
                self._account.loaded(event)
            case DeliveryArrived():
                cover(self._account.of(event.source, event.key), "arrived")
            case Refreshed():
                cover(self._account.of(event.node, event.key), "refreshed")
            case Requested():
                self._account.asked(event)
            case Cancelled():
                self._account.cancelled(event)
            case Promoted():
                self._account.promoted(event)
            case TakenBack():
                cover(self._account.of(event.node, event.key), "taken back")
            case Paused() | Resumed():
                self._account.gated(event)
            case AttemptPublished() | AttemptUnsuccessful():
                self._account.answered(event)
            case WorkerLost():
                self._account.lost(event)
            case _:
                pass

    def handled(
        self, leader: SimulatedLeader, tx: SimulatedTransaction, commands: Sequence[Command]
    ) -> None:
        """The core has decided on some events."""
        if not self._leads(leader):
            return
        for command in commands:
            match command:
                case PartitionUpdate():
                    self._marked(command)
                case Kill():
                    self._account.killed.add(command.attempt)
                    if command.reason == CANCELLED:
                        self._account.cancelled_ones.add(command.attempt)
                case Dispatch():
                    self._beginnings.dispatched(leader, tx, command)
                case Settled():
                    self._runs_end_once(command)
                case _:
                    pass
        if self._account.taken_back:
            self._cancelled_work_is_ended()
        self._account.decided()

    def committed(
        self, leader: SimulatedLeader, tx: SimulatedTransaction, commands: Sequence[Command]
    ) -> None:
        """A loop iteration is committed."""
        self._time_goes_on(tx)
        for (table, place), row in tx.writes.items():
            if table == "publication" and row is not None and row.attempt is not None:
                if row.attempt.n < ATTEMPTS_PER_PLAN:
                    self._only_who_holds_the_claim_publishes(leader, place, row.attempt)
                self._nothing_is_published_twice(place, row.attempt)
                self._what_is_published_is_on_the_disk(place, row.file)
        for command in commands:
            if isinstance(command, Dispatch):
                self._granted.update({(command.node, key): command.attempt for key in command.keys})

    def planned(self, plan: SimulatedBackfill, command: Dispatch) -> None:
        """Check an attempt that a plan begins.

        It computes only planned partitions, and its number is outside production's range.
        """
        if command.attempt.n <= plan.number * ATTEMPTS_PER_PLAN or not all(
            plan.holds(command.node, key) for key in command.keys
        ):
            raise Violation(
                "plans_keep_to_what_is_planned",
                f"{command.attempt} at {command.node}@{command.keys}",
            )
        self._world.coverage.batch("attempts of plans")

    def promoted(
        self,
        leader: SimulatedLeader,
        node: str,
        key: str,
        staged: SimulatedPublicationRow,
        content: int,
    ) -> None:
        """Check that promoted contents are consistent with all visible publications."""
        if not self._leads(leader):
            return
        self._world.coverage.batch("promoted")
        if staged.content != content:
            raise Violation(
                "what_is_promoted_is_consistent",
                f"{node}@{key} has {staged.content} instead of {content}",
            )

    def submitted(self, leader: SimulatedLeader, task: Task) -> None:
        """An attempt is sent to a worker."""
        self._nothing_is_done_before_it_is_committed(leader, task)

    def _leads(self, leader: SimulatedLeader) -> bool:
        """Return whether a leader still leads; decisions of a former leader are never committed."""
        return leader.epoch == self._world.store.epoch and self._world.leader is leader

    def _marked(self, mark: PartitionUpdate) -> None:
        before = self._account.of(mark.node, mark.key)
        self._moves_are_legal(before, mark)
        self._nothing_promoted_is_stale(mark)
        self._account.together.marked(mark, before)
        self._failures_are_treated_by_their_cause(mark)
        self._account.marked(mark, before)

    # Invariants after every step

    def _moves_are_legal(self, before: PartitionState, mark: PartitionUpdate) -> None:
        """Check that partitions follow the transition table."""
        heard = (
            S.WAITING if before is S.MISSING else before
        )  # becoming expected isn't reported as a transition
        if (heard, mark.state) not in _LEGAL:
            raise Violation(
                "moves_are_legal", f"{mark.node}@{mark.key} from {before} to {mark.state}"
            )

    def _nothing_promoted_is_stale(self, mark: PartitionUpdate) -> None:
        """Check that partitions published together are consistent.

        None is stale because of another.
        """
        if (mark.node, mark.key) in self._account.just_promoted:
            raise Violation(
                "nothing_promoted_is_stale",
                f"{mark.node}@{mark.key} is {mark.state}, stale: {mark.stale}",
            )

    def _failures_are_treated_by_their_cause(self, mark: PartitionUpdate) -> None:
        """Check that transient causes are retried and others aren't.

        Retries wait wherever something else has to recover.
        """
        kind = self._account.failed.get((mark.node, mark.key))
        if kind is None or mark.failures <= self._account.failures.get((mark.node, mark.key), 0):
            return
        node = self._world.rules.nodes[mark.node]
        tries = _TRIES.get(kind, node.attempts_max)
        if kind is FailureKind.LOST_WORKER and node.is_source:
            tries += 1  # one more try, to store and reject the delivery without reading it
        state = S.WAITING if mark.failures < tries else S.FAILED
        waits = kind is FailureKind.TRANSIENT and state is S.WAITING
        if mark.state is not state or waits != (mark.not_before is not None):
            text = (
                f"{mark.node}@{mark.key} is {mark.state} until {mark.not_before} after"
                f" {mark.failures} failures, the last {kind}"
            )
            raise Violation("failures_are_treated_by_their_cause", text)

    def _runs_end_once(self, settled: Settled) -> None:
        """Check that a run ends once, and not while something runs for it."""
        if settled.run not in self._account.open:
            raise Violation("runs_end_once", f"run {settled.run} has ended already")
        if any(settled.run in dispatch.runs for dispatch in self._account.running.values()):
            raise Violation("runs_end_once", f"run {settled.run} ends while something runs for it")
        self._account.open.discard(settled.run)

    def _cancelled_work_is_ended(self) -> None:
        """Check that attempts that no run wants any more are ended."""
        for attempt, dispatch in self._account.running.items():
            wanted = (
                self._world.wants(request, dispatch.node, key)
                for request in self._requests()
                for key in dispatch.keys
            )
            if attempt not in self._account.killed and not any(wanted):
                raise Violation(
                    "cancelled_work_is_ended",
                    f"{attempt} at {dispatch.node}@{dispatch.keys} goes on",
                )

    def _requests(self) -> list[Requested]:
        leader = self._world.leader
        return [] if leader is None else list(leader.runs.values())

    def _time_goes_on(self, tx: SimulatedTransaction) -> None:
        """Check that the store's clock is never set back."""
        now = tx.get("single", "clock")
        if now < self._now:
            raise Violation("time_goes_on", f"{now} after {self._now}")
        self._now = now

    def _only_who_holds_the_claim_publishes(
        self, leader: SimulatedLeader, place: Key, attempt: AttemptId
    ) -> None:
        """Check that a fenced attempt publishes nothing.

        It is an attempt of an earlier leader, or one whose partitions a later attempt took over.
        """
        if attempt.epoch != self._world.store.epoch or leader.epoch != self._world.store.epoch:
            raise Violation(
                "only_who_holds_the_claim_publishes",
                f"{attempt} publishes {place} in epoch {self._world.store.epoch}",
            )
        if self._granted.get(place) != attempt:
            raise Violation(
                "only_who_holds_the_claim_publishes",
                f"{attempt} publishes {place}, which {self._granted.get(place)} holds",
            )

    def _nothing_is_published_twice(self, place: Key, attempt: AttemptId) -> None:
        """Check that each claim on a partition gives one publication."""
        if (attempt, place[1]) in self._published:
            raise Violation("nothing_is_published_twice", f"{place} by {attempt}")
        self._published.add((attempt, place[1]))

    def _what_is_published_is_on_the_disk(self, place: Key, file: int) -> None:
        """Check that visible publications survive a power cut."""
        if file not in self._world.lake.files or file not in self._world.lake.durable:
            raise Violation("what_is_published_is_on_the_disk", f"file {file} of {place}")

    def _nothing_is_done_before_it_is_committed(self, leader: SimulatedLeader, task: Task) -> None:
        """Check that a worker gets only attempts that the store knows."""
        if (
            leader.epoch == self._world.store.epoch
            and task.attempt not in self._world.store.tables["attempt"]
        ):
            raise Violation(
                "nothing_is_done_before_it_is_committed",
                f"{task.attempt} at {task.node}@{task.keys}",
            )
