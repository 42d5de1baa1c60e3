"""The simulator around the core: time, leaders, vendors, people, and faults.

True time is simulated separately from the wall clock, which is sometimes wrong.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from headrace.scheduler.events import Requested, Target
from headrace.scheduler.graph import Graph
from simulation import store as stores
from simulation.invariants import InvariantChecker
from simulation.leader import LoopIterationSteps, SimulatedLeader
from simulation.oracle import SimulatedRules
from simulation.scenario import (
    DAY,
    LASTS,
    SECOND,
    Coverage,
    Deed,
    DeedKind,
    FaultKind,
    Scenario,
    SimulatedDelivery,
    SimulatedFault,
    SimulatedFaultPoint,
)
from simulation.store import Lake, RequestRow, SimulatedStore

if TYPE_CHECKING:
    from simulation.workers import Task


ASSETS_MIN, EVENTS_MIN = 20, 300
"""Minimum number of assets and of events for one seed."""
LEASE_US = 10 * SECOND
ITERATIONS_MAX = 20_000
"""With more loop iterations than this after the last event, the simulation counts as endless."""
_AT_A_POINT = (FaultKind.CRASH, FaultKind.STALL, FaultKind.POWER_LOSS)


class NoRest(Exception):
    """Something goes on forever."""


class Simulation:
    """Plays a scenario.

    `watch` observes every step, `journalled` records loop iterations for a replay.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        leader_type: type[SimulatedLeader] = SimulatedLeader,
        journalled: bool = False,
    ) -> None:
        self.scenario, self.journalled = scenario, journalled
        self._leader_type = leader_type
        self.now = scenario.began
        self._ahead = 0
        self.store, self.lake = SimulatedStore(), Lake()
        self.graph = scenario.graph
        self.rules = SimulatedRules(scenario.graph, scenario.middle)
        self.versions: dict[str, int] = {}
        self.tries: dict[tuple[str, str], int] = {}
        self.healed = False
        self.told = 0
        """Number of events passed to cores."""
        self.ended: dict[str, int] = {}
        self.coverage = Coverage()
        self.watch = InvariantChecker(self)
        self.leader: SimulatedLeader | None = None
        self.histories: list[SimulatedLeader] = []
        self._taking: SimulatedLeader | None = None
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._woken: set[int] = set()
        self._turning: set[int] = set()
        self._targets: dict[int, tuple[Requested, dict[str, list[Target]]]] = {}
        """Run → its last request, also by node."""
        self._alarms: dict[int, int] = {}
        """Leader → time of its next unprompted loop iteration, in true time."""
        self._until = scenario.began + LASTS + 4 * DAY
        """Maximum wait for changes due to time alone: some triggers fire forever."""
        self._pending = list(scenario.faults)
        self._deeds = list(scenario.deeds)
        self.turns = 0

    # Time

    @property
    def wall(self) -> int:
        """The wall clock's time, in microseconds."""
        return self.now + self._ahead

    def after(self, micros: int, then: Callable[[], None]) -> None:
        """Schedule a later event."""
        self._order += 1
        heapq.heappush(self._queue, (self.now + micros, self._order, then))

    def run(self) -> None:
        """Play from the first delivery until nothing more happens."""
        for delivery in self.scenario.deliveries:
            self.after(max(0, delivery.at - self.now), self.wake)
        for number, deed in enumerate(self.scenario.deeds):
            self.after(max(0, deed.at - self.now), lambda number=number: self._ask(number))  # type: ignore[misc]
        for fault in self.scenario.faults:
            self.after(max(0, fault.at - self.now), lambda fault=fault: self._begins(fault))  # type: ignore[misc]
        self._elect()
        self._until_rest()
        if self.scenario.size[0] >= ASSETS_MIN:
            self._liven_up()

    def _liven_up(self) -> None:
        """Request everything again where many pauses or failures let little happen."""
        everything = tuple(target.node for target in self.everything())
        for kind in (DeedKind.RESUME, DeedKind.AGAIN, DeedKind.AGAIN):
            if self.told < EVENTS_MIN:
                self._ask_for(Deed(self.now, kind, everything))
                self._until_rest()

    def heal(self) -> None:
        """Make everything work, let a month pass, and request everything once more."""
        self._pending.clear()
        self.healed, self.lake.full_until, self.store.failing = True, 0, 0
        self.now += 45 * DAY
        self._until = self.now + DAY
        self._ahead = max(0, self._ahead)
        everything = tuple(target.node for target in self.everything())
        if self.leader is None:
            self._elect()
        self._ask_for(Deed(self.now, DeedKind.RESUME, everything))
        self._until_rest()  # partitions waived now must be known before they are named
        self._ask_for(Deed(self.now, DeedKind.RETRY, everything))
        changed = tuple(node.name for node in self.scenario.change.changed if self.versions)
        if changed:
            self._ask_for(Deed(self.now, DeedKind.AGAIN, changed))
        self._until_rest()

    def _until_rest(self) -> None:
        while self._queue:
            at, _, then = heapq.heappop(self._queue)
            self.now = max(self.now, at)
            then()

    # Leaders

    def _elect(self) -> None:
        """Take the lease for a new leader if there is no leader."""
        if self.leader is not None and self.leader.alive:
            return
        leader = self._leader_type(self)
        self.leader = leader
        self.histories.append(leader)
        self._drive(leader, leader.take_over())

    def took_over(self, leader: SimulatedLeader) -> None:
        """Record a new lease; uncommitted events of the last leader are lost."""
        self._remember()
        self.watch.took_over(leader)

    def wake(self, leader: SimulatedLeader | None = None) -> None:
        """Wake a leader after an event."""
        leader = leader or self.leader
        if leader is not None and leader.alive and id(leader) not in self._woken:
            self._woken.add(id(leader))
            self.after(0, lambda: self._step(leader))

    def _step(self, leader: SimulatedLeader) -> None:
        self._woken.discard(id(leader))
        if leader.alive and id(leader) not in self._turning:
            self._drive(leader, leader.turn())

    def _drive(self, leader: SimulatedLeader, turning: LoopIterationSteps) -> None:
        """Run a leader until it is done, crashes, or stalls."""
        self._turning.add(id(leader))
        self.turns += 1
        if self.turns > ITERATIONS_MAX:
            raise NoRest(f"{ITERATIONS_MAX} turns")
        try:
            for point in turning:
                fault = self._strikes(point)
                if fault is not None and self._befallen(leader, turning, fault):
                    return
        except (stores.SimulatedLeaseLost, stores.CommitFailed):
            self._end(leader)
            return
        self._turning.discard(id(leader))
        self._wait(leader)

    def _strikes(self, point: SimulatedFaultPoint) -> SimulatedFault | None:
        for fault in self._pending:
            if fault.at <= self.now and fault.kind in _AT_A_POINT and fault.point is point:
                self._pending.remove(fault)
                self.coverage.struck(fault.kind, point)
                return fault
        return None

    def _befallen(
        self, leader: SimulatedLeader, turning: LoopIterationSteps, fault: SimulatedFault
    ) -> bool:
        """Return whether a leader can't continue, for now or ever."""
        if fault.kind is FaultKind.STALL:
            self.after(fault.size, lambda: self._goes_on(leader, turning))
            if fault.size > LEASE_US:
                self.after(LEASE_US, lambda: self._lapsed(leader))
            return True
        if fault.kind is FaultKind.POWER_LOSS:
            self._cut_power(fault.size)
        self._end(leader)
        turning.close()
        return True

    def _goes_on(self, leader: SimulatedLeader, turning: LoopIterationSteps) -> None:
        """Continue a stalled leader where it was, if its process still exists."""
        if leader.alive:
            self._drive(leader, turning)
        else:
            turning.close()

    def _lapsed(self, leader: SimulatedLeader) -> None:
        """Stall a leader for so long that another one takes over."""
        if self.leader is leader:
            self.leader = None
            self._elect()

    def _end(self, leader: SimulatedLeader) -> None:
        leader.alive = False
        leader.stop()
        self._turning.discard(id(leader))
        if self.leader is leader:
            self.leader = None
            self.after(LEASE_US, self._elect)

    def _cut_power(self, commits: int) -> None:
        """End all processes and undo the last commits."""
        for leader in self.histories:
            leader.alive = False
            leader.stop()
        self.store.lose(commits)
        self.lake.cut_power()
        self._remember()
        self.watch.lost_commits()
        self.after(LEASE_US, self._elect)
        self.leader = None

    def _wait(self, leader: SimulatedLeader) -> None:
        """Wake a leader when there is an answer, or a time that the core waits for."""
        if leader.heard_of_something:
            self.wake(leader)
            return
        at = leader.next_event()
        if at is not None and (at < self._until or leader.attempts or leader.backfill is not None):
            due = self.now + max(0, at - self.wall)
            if due < self._alarms.get(id(leader), due + 1):
                self._alarms[id(leader)] = due
                self.after(due - self.now, lambda: self._when_due(leader))

    def _when_due(self, leader: SimulatedLeader) -> None:
        self._alarms.pop(id(leader), None)
        if leader.alive and leader.due():
            self.wake(leader)
        elif leader.alive:
            self._wait(leader)

    # State of the simulation

    def everything(self) -> tuple[Target, ...]:
        """The nodes computed here."""
        return tuple(
            Target(node.name)
            for node in self.graph.nodes
            if node.name not in self.scenario.borrowed
        )

    def served(self) -> tuple[Target, ...]:
        """The nodes that run without a request."""
        return tuple(
            target for target in self.everything() if target.node not in self.scenario.unserved
        )

    def files(self, seen: int) -> Iterator[tuple[int, SimulatedDelivery]]:
        """Yield the vendor's files that have arrived, after the first `seen`; numbered from 1."""
        for number, delivery in enumerate(self.scenario.deliveries[seen:], seen + 1):
            if delivery.at > self.now:
                return
            yield number, delivery

    def number_run(self, tx: stores.SimulatedTransaction | None = None) -> int:
        """Return the number of a new run."""
        del tx
        self._runs = getattr(self, "_runs", 0) + 1
        return self._runs

    def apply(self) -> None:
        """Apply the other version of the project."""
        change = self.scenario.change
        changed = {node.name: node for node in change.changed}
        nodes = (
            changed.get(node.name, node)
            for node in self.scenario.graph.nodes
            if node.name not in change.removed
        )
        self._use(Graph(tuple(nodes), self.scenario.graph.pools), dict.fromkeys(changed, 1))

    def _use(self, graph: Graph, versions: dict[str, int]) -> None:
        if graph is self.graph:
            self.rules.forget()
        else:
            self.rules = SimulatedRules(graph, self.scenario.middle)
        self.graph, self.versions = graph, versions
        self._hear_again()

    def _remember(self) -> None:
        """Reset what is known to what is committed."""
        if self.store.tables["single"]["version"]:
            self.apply()
        else:
            self._use(self.scenario.graph, {})

    def _hear_again(self) -> None:
        for (source, key), row in self.store.tables["delivery"].items():
            self.rules.hear(source, key, row.content)
        for node in self.scenario.borrowed:
            seen = self.store.tables["publication"].get((node, "*"))
            if seen is not None:
                self.rules.hear(node, "*", seen.content)

    def sweep(self) -> None:
        """Remove staged files that no commit names; workers of former leaders may still write."""
        self.lake.sweep(
            {
                row.file
                for table in ("publication", "overlay")
                for row in self.store.tables[table].values()
            }
        )

    def deed(self, number: int) -> Deed:
        """Return the targets of a request."""
        return self._deeds[number]

    def _ask(self, number: int) -> None:
        """Make a person's request; one that a power cut undid is repeated."""
        tx = self.store.begin()
        tx.put("request", number, RequestRow(number))
        self.store.commit(tx)
        self.wake()

    def _ask_for(self, deed: Deed) -> None:
        self._deeds.append(deed)
        self._ask(len(self._deeds) - 1)

    # Faults

    def _begins(self, fault: SimulatedFault) -> None:
        if fault not in self._pending or fault.kind in _AT_A_POINT:
            return
        match fault.kind:
            case FaultKind.CLOCK_FORWARD | FaultKind.CLOCK_BACK:
                self._ahead += fault.size if fault.kind is FaultKind.CLOCK_FORWARD else -fault.size
                self.wake()
            case FaultKind.DISK_FULL:
                self.lake.full_until = self.now + fault.size
            case FaultKind.COMMIT_FAILS:
                self.store.failing += 1
            case FaultKind.WORKER_DIES | FaultKind.WORKERS_DIE:
                self._kill_workers(fault)
            case _:
                return  # strikes at the next opportunity
        self._pending.remove(fault)
        self.coverage.struck(fault.kind)

    def _kill_workers(self, fault: SimulatedFault) -> None:
        if self.leader is None:
            return
        busy = self.leader.workers.busy()
        for worker in (
            busy
            if fault.kind is FaultKind.WORKERS_DIE
            else busy[fault.size % len(busy) :][:1]
            if busy
            else ()
        ):
            self.leader.workers.die(worker)

    def struck(self, kind: FaultKind) -> bool:
        """Return whether a fault of this kind is pending for the current event; it strikes once."""
        for fault in self._pending:
            if fault.kind is kind and fault.at <= self.now:
                self._pending.remove(fault)
                self.coverage.struck(kind)
                return True
        return False

    def disk_is_full(self) -> bool:
        """Return whether nothing can be staged now."""
        return self.now < self.lake.full_until

    def poisoned(self, task: Task) -> bool:
        """Return whether a task kills each worker."""
        return not self.healed and any(
            (task.node, key) in self.scenario.poison for key in task.keys
        )

    def wants(self, request: Requested, node: str, key: str) -> bool:
        """Return whether a request includes a partition."""
        return any(self._within(target, key) for target in self._targets_of(request).get(node, ()))

    def _targets_of(self, request: Requested) -> dict[str, list[Target]]:
        known = self._targets.get(request.run)
        if known is None or known[0] is not request:
            known = self._targets[request.run] = request, {}
            for target in request.targets:
                known[1].setdefault(target.node, []).append(target)
        return known[1]

    @staticmethod
    def _within(target: Target, key: str) -> bool:
        moment = key.split("/", 1)[0]
        return (target.first is None or moment >= target.first) and (
            target.last is None or moment <= target.last
        )
