"""What must hold of every attempt that begins."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.schedule.admission import AHEAD, SAMPLES_MIN
from headrace.schedule.commands import Dispatch
from headrace.schedule.deadlines import urgency
from headrace.schedule.events import AttemptId
from headrace.schedule.graph import GraphNode
from headrace.schedule.simulation.account import Account
from headrace.schedule.simulation.store import SimulatedTransaction
from headrace.schedule.simulation.violation import Violation
from headrace.schedule.states import PartitionState

if TYPE_CHECKING:
    from headrace.schedule.simulation.leader import SimulatedLeader
    from headrace.schedule.simulation.world import Simulation

Key = tuple[str, str]
S = PartitionState
REMEMBERED = 500
_FIRST = (-sys.maxsize, 0)
"""More urgent than anything."""
_NOT_THERE = (S.HELD, S.REJECTED, S.FAILED, S.WITHDRAWN)


class Beginnings:
    """Sees every attempt that production's core gives out, before it is committed."""

    def __init__(self, world: Simulation, account: Account) -> None:
        self._world, self._account = world, account
        self._last = AttemptId(0, 0)
        self._newest: deque[tuple[int, tuple[int, int], str]] = deque(maxlen=REMEMBERED)
        """When attempts began, how urgent they were, and what they are at."""
        self._urgent: dict[Key, tuple[int, int]] = {}
        """How urgent a partition has been: one that is tried again keeps its place."""

    def since(self, last: AttemptId) -> None:
        """Attempts have larger numbers than this."""
        self._last = last

    def took_over(self, epoch: int) -> None:
        """A leader has the lease."""
        self._last = max(self._last, AttemptId(epoch, 0))

    def dispatched(self, leader: SimulatedLeader, tx: SimulatedTransaction, command: Dispatch) -> None:
        """An attempt is given out."""
        node = self._world.rules.nodes[command.node]
        self._attempt_numbers_grow(command)
        self._slots_are_kept(command)
        self._pools_are_kept(leader, command)
        self._nothing_paused_starts(leader, command)
        self._only_what_is_wanted_runs(leader, command)
        self._nothing_is_passed(leader, command)
        self._account.together.dispatched(command)
        for key in command.keys:
            self._only_what_waits_starts(node, key)
            self._waits_are_kept(leader, node, key)
            if not node.is_source:
                self._inputs_are_there(tx, node, key)
            self._account.runs(node.name, key)
        self._account.begun(command, leader.now)

    def _attempt_numbers_grow(self, command: Dispatch) -> None:
        """A later attempt has a larger number: that is what fences the earlier one."""
        if command.attempt <= self._last:
            raise Violation("attempt_numbers_grow", f"{command.attempt} after {self._last}")
        self._last = command.attempt

    def _nothing_paused_starts(self, leader: SimulatedLeader, command: Dispatch) -> None:
        """A paused node isn't dispatched."""
        if command.node in self._account.paused:
            until = self._account.paused[command.node]
            if until is None or leader.now < until:
                raise Violation("nothing_paused_starts", f"{command.node} is paused until {until}, it is {leader.now}")

    def _only_what_is_wanted_runs(self, leader: SimulatedLeader, command: Dispatch) -> None:
        """An attempt belongs to runs that are open and want each of its partitions."""
        for key in command.keys:
            if not any(self._world.wants(request, command.node, key) for request in leader.runs.values()):
                raise Violation("only_what_is_wanted_runs", f"{command.node}@{key} for {command.runs} of {sorted(leader.runs)}")
        if not command.runs or not set(command.runs) <= self._account.open:
            raise Violation("only_what_is_wanted_runs", f"{command.node}@{command.keys} for {command.runs} of {sorted(self._account.open)}")

    def _nothing_is_passed(self, leader: SimulatedLeader, command: Dispatch) -> None:
        """Nothing starves: while a partition was queued that takes from no pool, nothing less urgent began. Every urgency is an instant,
        so that what comes later falls behind what waits."""
        node = self._world.rules.nodes[command.node]
        if node.partition.whole:
            return
        urgencies = [(-(node.priority or 0), urgency(node, key, command.queued_at)) for key in command.keys]
        for began, other, text in reversed(self._newest) if not node.takes else ():
            if began <= command.queued_at:
                break
            if other > max(urgencies):
                raise Violation("nothing_is_passed", f"{node.name}@{command.keys} waits while {text} begins, which is less urgent")
        kept = _FIRST if node.name in self._account.was_paused else (sys.maxsize, 0)  # a pause costs nothing its place in the queue
        for key, results in zip(command.keys, urgencies, strict=True):
            self._urgent[node.name, key] = min(results, kept, self._urgent.get((node.name, key), results))
        self._newest.append((leader.now, min(self._urgent[node.name, key] for key in command.keys), f"{node.name}@{command.keys}"))
        if len(command.keys) > 1:  # if one of them comes back, it has the place that it had by itself, which nobody tells here
            self._urgent.update(((node.name, key), _FIRST) for key in command.keys)

    def _only_what_waits_starts(self, node: GraphNode, key: str) -> None:
        """Nothing is started that runs already, or that nothing has asked for since it ended."""
        if self._account.of(node.name, key) not in (S.MISSING, S.WAITING):
            raise Violation("only_what_waits_starts", f"{node.name}@{key} is {self._account.of(node.name, key)}")

    def _waits_are_kept(self, leader: SimulatedLeader, node: GraphNode, key: str) -> None:
        """What backs off isn't tried before its time."""
        until = self._account.not_before.get((node.name, key), 0)
        if leader.now < until:
            raise Violation("waits_are_kept", f"{node.name}@{key} may be tried from {until} on, it is {leader.now}")

    def _inputs_are_there(self, tx: SimulatedTransaction, node: GraphNode, key: str) -> None:
        """Nothing is computed from what isn't published, complete and sound."""
        for name, item in self._missing(tx, node, key):
            raise Violation("inputs_are_there", f"{node.name}@{key} runs without {name}@{item}")

    def _missing(self, tx: SimulatedTransaction, node: GraphNode, key: str) -> Iterator[Key]:
        rules = self._world.rules
        if not rules.expected(node, key):
            yield node.name, key
        for read in rules.inputs[node.name]:
            source = read.source
            if read.refers or read.everything:
                if not self._anything_of(tx, source.name):
                    yield source.name, "*"
                continue
            for item in () if read.spec.optional else rules.required(node, read, key):
                if not self._there(tx, source, item) and not rules.absent(source, item):
                    yield source.name, item
        before = rules.before(node, key) if node.chained else None
        if before is not None and not self._there(tx, node, before):
            yield node.name, before

    def _there(self, tx: SimulatedTransaction, node: GraphNode, key: str) -> bool:
        """Whether a partition can be read; one that was waived counts as present and empty."""
        if self._account.of(node.name, key) is S.WAIVED:
            return True
        if tx.get("publication", (node.name, key)) is None or self._account.of(node.name, key) in _NOT_THERE:
            return False
        return not node.is_source or self._world.rules.complete(node, key, tx.get("single", "clock"))

    def _anything_of(self, tx: SimulatedTransaction, name: str) -> bool:
        if any(node == name for node, _ in self._world.store.tables["publication"]):
            return True
        return any(table == "publication" and place[0] == name for table, place in tx.writes)

    def _slots_are_kept(self, command: Dispatch) -> None:
        """No more attempts than slots; ahead of them only what isn't known to take longer than milliseconds."""
        count, slots = len(self._account.running), self._world.scenario.slots
        long = [dispatch.node for dispatch in (*self._account.running.values(), command) if self._takes_long(dispatch.node)]
        if count >= slots * AHEAD or (long and count >= max(slots, 2 if slots == 1 else 0)):
            raise Violation("slots_are_kept", f"{command.node} starts beside {count} attempts in {slots} slots; long are {sorted(long)}")

    def _takes_long(self, node: str) -> bool:
        return node not in self._world.scenario.brief and self._account.samples.get(node, 0) >= SAMPLES_MIN

    def _pools_are_kept(self, leader: SimulatedLeader, command: Dispatch) -> None:
        """What runs takes no more of a pool than there is; one that is smaller than what an attempt needs, it takes all of."""
        pools = self._world.graph.pools
        taken = dict.fromkeys(pools, 0)
        for dispatch in (*self._account.running.values(), command):
            lapsed = dispatch is not command and self._account.lapse[dispatch.attempt] <= leader.now
            for take in () if lapsed else self._world.rules.nodes[dispatch.node].takes:
                taken[take.pool] += min(take.slots, pools[take.pool])
        for pool, slots in leader.backfill.core.held() if leader.backfill is not None else ():
            taken[pool] += slots
        for pool, slots in taken.items():
            if slots > pools[pool]:
                raise Violation("pools_are_kept", f"{slots} of the {pools[pool]} slots of {pool} are taken with {command.node}")
