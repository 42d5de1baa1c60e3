"""What must hold when everything has come to rest, and in the end, when everything works again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.schedule.simulation.account import Account
from headrace.schedule.simulation.oracle import Oracle
from headrace.schedule.simulation.violation import Violation
from headrace.schedule.states import PartitionState
from headrace.schedule.why import WaitKind

if TYPE_CHECKING:
    from headrace.schedule.simulation.leader import SimulatedLeader
    from headrace.schedule.simulation.world import Simulation

Key = tuple[str, str]
S = PartitionState


class TerminalInvariants:
    """Looks once nothing happens any more."""

    def __init__(self, world: Simulation, account: Account) -> None:
        self._world, self._account = world, account

    def at_rest(self) -> None:
        """Nothing happens any more."""
        leader = self._world.leader
        if leader is None:
            raise Violation("somebody_leads", "nobody took the lease")
        self._everything_has_come_to_an_end(leader)
        self._everything_waits_for_a_reason(leader)
        self._nothing_that_could_run_lies_unqueued(leader)
        self._the_store_knows_what_the_core_knows(leader)

    def _everything_has_come_to_an_end(self, leader: SimulatedLeader) -> None:
        """No attempt goes on for ever, nothing that is ready is left lying, and runs end."""
        if self._account.running or leader.attempts:
            raise Violation(
                "everything_has_come_to_an_end", f"{len(self._account.running)} attempts go on: {list(self._account.running)[:3]}"
            )
        if not leader.core.idle():
            raise Violation("everything_has_come_to_an_end", "something is ready, and isn't started")
        left = sorted(run for run, request in leader.runs.items() if not request.standing)
        if leader.backfill is not None:
            raise Violation("everything_has_come_to_an_end", f"plan {leader.backfill.number} goes on: {leader.backfill.attempts}")
        if left:
            raise Violation("everything_has_come_to_an_end", f"runs {left} go on")

    def _everything_waits_for_a_reason(self, leader: SimulatedLeader) -> None:
        """What should be there and isn't says what it waits for; and that really isn't there."""
        for node, key in leader.core.waiting(leader.now):
            reasons = leader.core.waiting_for(node, key)
            if not reasons:
                raise Violation("everything_waits_for_a_reason", f"{node}@{key} waits for nothing")
            for reason in reasons:
                if reason.state is S.RUNNING or (reason.state is S.PUBLISHED and reason.node not in self._later()):
                    raise Violation("everything_waits_for_a_reason", f"{node}@{key} waits for {reason}, which is there")

    def _nothing_that_could_run_lies_unqueued(self, leader: SimulatedLeader) -> None:
        """Of whatever waits, wanted or not, the core says what keeps it; that an interval hasn't ended keeps only what waits for that."""
        for tracked in leader.core.checkpoint().tracked_partitions:
            if tracked.state is not S.WAITING:
                continue
            kept = any(reason.kind is not WaitKind.INTERVAL for reason in leader.core.why(tracked.node, tracked.key))
            if not kept and not leader.core.waiting_for(tracked.node, tracked.key):
                raise Violation("nothing_that_could_run_lies_unqueued", f"{tracked.node}@{tracked.key}")

    def _later(self) -> set[str]:
        """Sources whose partitions aren't complete when they are delivered."""
        return {node.name for node in self._world.graph.nodes if node.watermark or node.complete_after is not None}

    def _the_store_knows_what_the_core_knows(self, leader: SimulatedLeader) -> None:
        """A new leader would start from the same: every move was written down."""
        for (node, key), row in self._world.store.tables["partition"].items():
            if node not in self._world.rules.nodes:
                continue
            state = leader.core.state_of(node, key)
            if state is not row.state:
                raise Violation("the_store_knows_what_the_core_knows", f"{node}@{key} is {state}, the store says {row.state}")

    def at_the_end(self) -> None:
        """Everything works, and a person asked for everything: what is published is what the deliveries come to."""
        self.at_rest()
        world = self._world
        oracle = Oracle(world.rules, world.wall, world.versions, world.scenario.coarse)
        seen, unsure = world.store.tables["publication"], set[str]()
        shown: dict[str, list[str]] = {node.name: [] for node in world.graph.nodes}
        for name, key in seen:
            shown.setdefault(name, []).append(key)
        for node in world.graph.nodes:
            contents, above = oracle.all(node), {*(spec.node for spec in node.inputs), *node.depends}
            if node.name in oracle.unsure or above & (unsure | self._account.waived):  # what was passed over once was done without
                unsure.add(node.name)
                continue
            for key, content in contents.items():
                self._the_end_is_that_of_an_undisturbed_run((node.name, key), content, seen.get((node.name, key)))
            if any(key not in contents for key in shown[node.name]):
                unsure.add(node.name)  # an older publication stands, of what can't be computed any more

    def _the_end_is_that_of_an_undisturbed_run(self, place: Key, content: int, row: object) -> None:
        """The same deliveries lead to the same contents, whatever went wrong."""
        result = getattr(row, "content", None)
        if result != content:
            said = self._world.leader.core.state_of(*place) if self._world.leader else "unknown"
            raise Violation("the_end_is_that_of_an_undisturbed_run", f"{place} has {result} instead of {content}, it is {said}")
