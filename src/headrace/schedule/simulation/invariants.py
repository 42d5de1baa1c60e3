"""What must hold after every step, each a function with a name; and what must hold when everything has come to rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headrace.schedule.admission import AHEAD, SAMPLES_MIN
from headrace.schedule.commands import CANCELLED, Command, Dispatch, Kill, Mark, Settled
from headrace.schedule.events import (
    Arrived,
    AttemptId,
    Cancelled,
    Ended,
    Event,
    Loaded,
    Paused,
    Promoted,
    Published,
    Refreshed,
    Requested,
    Resumed,
    TakenBack,
    WorkerLost,
)
from headrace.schedule.graph import GraphNode
from headrace.schedule.pools import LAPSE_US
from headrace.schedule.simulation.backfills import SPAN
from headrace.schedule.simulation.batches import Together
from headrace.schedule.simulation.oracle import Oracle
from headrace.schedule.simulation.store import Transaction
from headrace.schedule.simulation.violation import Violation
from headrace.schedule.states import TRANSITIONS, FailureKind, PartitionState

if TYPE_CHECKING:
    from headrace.schedule.simulation.backfills import Backfill
    from headrace.schedule.simulation.leader import Leader
    from headrace.schedule.simulation.rows import PublicationRow
    from headrace.schedule.simulation.workers import Task
    from headrace.schedule.simulation.world import World

Key = tuple[str, str]
S = PartitionState
_NOT_THERE = (S.HELD, S.REJECTED, S.FAILED, S.WITHDRAWN)
_LEGAL = {(before, after) for (before, _), after in TRANSITIONS.items()} | {(state, state) for state in S}
_TRIES = {FailureKind.LOST_WORKER: 3, FailureKind.RESOURCES: 2, FailureKind.DETERMINISTIC: 0, FailureKind.CANCELLED: 0}
"""Cause → with how many failures a partition isn't tried again (SEMANTICS §6); a transient one has its node's number."""
OVERTAKEN_MAX = 2_000
"""So many attempts may start while a partition is ready, before it counts as starved."""


class Watch:
    """Sees every step of a world. It keeps its own account of where partitions stand, from what the core says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._state: dict[Key, PartitionState] = {}
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, int] = {}
        self._running: dict[AttemptId, Dispatch] = {}
        self._killed: set[AttemptId] = set()
        self._cancelled_ones: set[AttemptId] = set()
        self._together = Together(world)
        self._just_promoted: set[Key] = set()
        """What became visible at once since the last decision."""
        self._failed: dict[Key, FailureKind] = {}
        """What attempts failed of, that weren't ended by the core: since the last decision."""
        self._taken_back: set[int] = set()
        """Runs that were cancelled since then."""
        self._waived: set[str] = set()
        """Nodes of which something was passed over at any time."""
        self._open: set[int] = set()
        self._asked_for: dict[int, Requested] = {}
        self._paused: dict[str, int | None] = {}
        self._last = AttemptId(0, 0)
        self._granted: dict[Key, AttemptId] = {}
        """Partition → the newest attempt that a committed turn gave it to."""
        self._published: set[tuple[AttemptId, str]] = set()
        self._now = 0
        self._samples: dict[str, int] = {}
        """Node → how many of its attempts told how long they took."""
        self._lapse: dict[AttemptId, int] = {}
        """Attempt → when it holds nothing of a pool any more, whatever became of it."""

    # What the world tells

    def took_over(self, leader: Leader) -> None:
        """A leader has the lease."""
        self._last = max(self._last, AttemptId(leader.epoch, 0))

    def loaded(self, leader: Leader) -> None:
        """A leader has a new core."""
        if not self._leads(leader):
            return
        self._state.clear()
        self._failures.clear()
        self._not_before.clear()
        self._paused.clear()
        self._open.clear()
        self._samples.clear()
        self._together.loaded()

    def lost_commits(self) -> None:
        """A power cut took commits back: what they said never happened."""
        self._published.clear()
        self._granted.clear()
        self._last = AttemptId(self._world.store.epoch, 0)
        self._now = 0

    def before(self, leader: Leader, event: Event) -> None:
        """An event is about to be handed to the core."""
        if not self._leads(leader):
            return
        cover = self._world.coverage.happened
        match event:
            case Loaded():
                self._load(event)
            case Arrived():
                cover(self._of(event.source, event.key), "arrived")
            case Refreshed():
                cover(self._of(event.node, event.key), "refreshed")
            case Requested():
                self._asked(event)
            case Cancelled():
                self._cancelled(event)
            case Promoted():
                self._promoted(event)
            case TakenBack():
                cover(self._of(event.node, event.key), "taken back")
            case Paused() | Resumed():
                self._gated(event)
            case Published() | Ended() | WorkerLost():
                self._answered(event)
            case _:
                pass

    def handled(self, leader: Leader, tx: Transaction, commands: Sequence[Command]) -> None:
        """The core has decided on some events."""
        if not self._leads(leader):
            return
        for command in commands:
            match command:
                case Mark():
                    self._marked(command)
                case Kill():
                    self._killed.add(command.attempt)
                    if command.reason == CANCELLED:
                        self._cancelled_ones.add(command.attempt)
                case Dispatch():
                    self._dispatched(leader, tx, command)
                case Settled():
                    self._runs_end_once(command)
                case _:
                    pass
        if self._taken_back:
            self._cancelled_work_is_ended()
        self._together.decided()
        self._just_promoted.clear()
        self._failed.clear()
        self._taken_back.clear()

    def committed(self, leader: Leader, tx: Transaction, commands: Sequence[Command]) -> None:
        """A turn is committed."""
        self._time_goes_on(tx)
        for (table, place), row in tx.writes.items():
            if table == "publication" and row is not None and row.attempt is not None:
                if row.attempt.n < SPAN:
                    self._only_who_holds_the_claim_publishes(leader, place, row.attempt)
                self._nothing_is_published_twice(place, row.attempt)
                self._what_is_published_is_on_the_disk(place, row.file)
        for command in commands:
            if isinstance(command, Dispatch):
                self._granted.update({(command.node, key): command.attempt for key in command.keys})

    def planned(self, plan: Backfill, command: Dispatch) -> None:
        """A plan begins an attempt: at nothing but what is planned, and with a number that production's never have."""
        if command.attempt.n <= plan.number * SPAN or not all(plan.holds(command.node, key) for key in command.keys):
            raise Violation("plans_keep_to_what_is_planned", f"{command.attempt} at {command.node}@{command.keys}")
        self._world.coverage.batch("attempts of plans")

    def promoted(self, leader: Leader, node: str, key: str, staged: PublicationRow, content: int) -> None:
        """What becomes visible is what would be made of all that is visible with it."""
        if not self._leads(leader):
            return
        self._world.coverage.batch("promoted")
        if staged.content != content:
            raise Violation("what_is_promoted_is_consistent", f"{node}@{key} has {staged.content} instead of {content}")

    def submitted(self, leader: Leader, task: Task) -> None:
        """An attempt is sent to a worker."""
        self._nothing_is_done_before_it_is_committed(leader, task)

    # Its own account

    def _leads(self, leader: Leader) -> bool:
        """What a leader thinks that isn't one any more doesn't matter: nothing of it is committed."""
        return leader.epoch == self._world.store.epoch and self._world.leader is leader

    def _of(self, node: str, key: str) -> PartitionState:
        return self._state.get((node, key), S.MISSING)

    def _load(self, event: Loaded) -> None:
        self._running = {}
        for cell in event.cells:
            stale = cell.stale and not cell.proposed and cell.state is S.PUBLISHED
            self._state[cell.node, cell.key] = S.WAITING if stale else cell.state
            self._failures[cell.node, cell.key] = cell.failures
            if cell.not_before is not None:
                self._not_before[cell.node, cell.key] = cell.not_before
            self._world.coverage.happened(cell.state, "loaded")
        for one in event.running:
            self._running[one.attempt] = Dispatch(one.attempt, one.node, one.keys, 0)
            self._lapse[one.attempt] = one.expires_at + LAPSE_US
            for key in one.keys:
                self._state[one.node, key] = S.RUNNING

    def _asked(self, event: Requested) -> None:
        self._open.add(event.run)
        self._asked_for[event.run] = event
        named = {target.node for target in event.targets}
        for (node, key), state in self._state.items():
            if node in named and self._world.wants(event, node, key):
                how = "again" if node in event.again else "retried" if node in event.retry else "asked"
                self._world.coverage.happened(state, how)

    def _cancelled(self, event: Cancelled) -> None:
        self._open.discard(event.run)
        self._taken_back.add(event.run)
        request = self._asked_for[event.run]
        for (node, key), state in self._state.items():
            if state in (S.WAITING, S.RUNNING) and self._world.wants(request, node, key):
                self._world.coverage.happened(state, "cancelled")

    def _promoted(self, event: Promoted) -> None:
        for node, key, _ in event.contents:
            if self._of(node, key) is S.RUNNING:
                raise Violation("production_wins", f"{node}@{key} is promoted while an attempt is at it")
            self._world.coverage.happened(self._of(node, key), "promoted")
            self._just_promoted.add((node, key))
            self._state[node, key], self._failures[node, key] = S.PUBLISHED, 0
            self._not_before.pop((node, key), None)

    def _gated(self, event: Paused | Resumed) -> None:
        nodes = set(event.nodes)
        for (node, _), state in self._state.items():
            if node in nodes:
                self._world.coverage.happened(state, "paused" if isinstance(event, Paused) else "resumed")
        for node in event.nodes:
            if isinstance(event, Paused):
                self._paused[node] = event.until
            else:
                self._paused.pop(node, None)

    def _answered(self, event: Published | Ended | WorkerLost) -> None:
        cover = self._world.coverage.happened
        if isinstance(event, WorkerLost):
            for attempt in event.queued:
                one = self._running.pop(attempt)
                for key in one.keys:
                    cover(self._of(one.node, key), "lost before it began")
                    self._state[one.node, key] = S.WAITING
            if event.running is not None:
                one = self._running.pop(event.running)
                cancelled = event.running in self._cancelled_ones
                self._together.ended(one, FailureKind.CANCELLED if cancelled else FailureKind.LOST_WORKER, self._failures)
                for key in one.keys:
                    cover(self._of(one.node, key), "lost")
                    if event.running not in self._killed:
                        self._failed[one.node, key] = FailureKind.LOST_WORKER
            return
        one = self._running.pop(event.attempt)
        if isinstance(event, Published):
            self._samples[one.node] = self._samples.get(one.node, 0) + 1
            self._together.published(one)
        else:
            self._together.ended(one, event.kind, self._failures)
        for key in one.keys:
            said = "published" if isinstance(event, Published) else f"failed: {event.kind}" if event.kind else event.state.value
            cover(self._of(one.node, key), said)
            if isinstance(event, Ended) and event.state is S.FAILED and event.attempt not in self._killed:
                self._failed[one.node, key] = event.kind or FailureKind.DETERMINISTIC
            if isinstance(event, Published):
                self._state[one.node, key] = S.PUBLISHED
                self._failures[one.node, key] = 0
                self._not_before.pop((one.node, key), None)

    def _marked(self, mark: Mark) -> None:
        place = mark.node, mark.key
        before = self._of(*place)
        self._moves_are_legal(before, mark)
        self._nothing_promoted_is_stale(mark)
        self._together.marked(mark, before)
        self._failures_are_treated_by_their_cause(mark)
        if mark.state is S.WAITING and before is not S.RUNNING:
            self._world.coverage.happened(before, "wanted")
        if mark.proposed:
            self._world.coverage.happened(before, "proposed")
        if mark.state is S.WAIVED:
            self._world.coverage.happened(before, "waived")
            self._waived.add(mark.node)
        self._state[place], self._failures[place] = mark.state, mark.failures
        if mark.not_before is None:
            self._not_before.pop(place, None)
        else:
            self._not_before[place] = mark.not_before

    def _dispatched(self, leader: Leader, tx: Transaction, command: Dispatch) -> None:
        node = self._world.rules.nodes[command.node]
        self._attempt_numbers_grow(command)
        self._slots_are_kept(command)
        self._pools_are_kept(leader, command)
        self._nothing_paused_starts(leader, command)
        self._only_what_is_wanted_runs(leader, command)
        self._together.dispatched(command)
        for key in command.keys:
            self._world.coverage.happened(S.WAITING, "dispatched")
            self._only_what_waits_starts(node, key)
            self._waits_are_kept(leader, node, key)
            if not node.is_source:
                self._inputs_are_there(tx, node, key, command)
            self._state[node.name, key] = S.RUNNING
        self._running[command.attempt] = command
        self._lapse[command.attempt] = leader.now + node.timeout_us + LAPSE_US

    # What must hold after every step

    def _moves_are_legal(self, before: PartitionState, mark: Mark) -> None:
        """Partitions move as the table says."""
        heard = S.WAITING if before is S.MISSING else before  # that it is expected now isn't marked
        if (heard, mark.state) not in _LEGAL:
            raise Violation("moves_are_legal", f"{mark.node}@{mark.key} from {before} to {mark.state}")

    def _nothing_promoted_is_stale(self, mark: Mark) -> None:
        """What becomes visible at once is consistent in itself: nothing of it has to be made again for that."""
        if (mark.node, mark.key) in self._just_promoted:
            raise Violation("nothing_promoted_is_stale", f"{mark.node}@{mark.key} is {mark.state}, stale: {mark.stale}")

    def _failures_are_treated_by_their_cause(self, mark: Mark) -> None:
        """Causes that go by are tried again, others aren't; never without a wait where somebody else has to recover."""
        kind = self._failed.get((mark.node, mark.key))
        if kind is None or mark.failures <= self._failures.get((mark.node, mark.key), 0):
            return
        tries = _TRIES.get(kind, self._world.rules.nodes[mark.node].attempts_max)
        wanted = S.WAITING if mark.failures < tries else S.FAILED
        waits = kind is FailureKind.TRANSIENT and wanted is S.WAITING
        if mark.state is not wanted or waits != (mark.not_before is not None):
            said = f"{mark.node}@{mark.key} is {mark.state} until {mark.not_before} after {mark.failures} failures, the last {kind}"
            raise Violation("failures_are_treated_by_their_cause", said)

    def _attempt_numbers_grow(self, command: Dispatch) -> None:
        """A later attempt has a larger number: that is what fences the earlier one."""
        if command.attempt <= self._last:
            raise Violation("attempt_numbers_grow", f"{command.attempt} after {self._last}")
        self._last = command.attempt

    def _nothing_paused_starts(self, leader: Leader, command: Dispatch) -> None:
        """A paused node isn't dispatched."""
        if command.node in self._paused:
            until = self._paused[command.node]
            if until is None or leader.now < until:
                raise Violation("nothing_paused_starts", f"{command.node} is paused until {until}, it is {leader.now}")

    def _only_what_is_wanted_runs(self, leader: Leader, command: Dispatch) -> None:
        """An attempt belongs to runs that are open and want each of its partitions."""
        for key in command.keys:
            if not any(self._world.wants(request, command.node, key) for request in leader.runs.values()):
                raise Violation("only_what_is_wanted_runs", f"{command.node}@{key} for {command.runs} of {sorted(leader.runs)}")
        if not command.runs or not set(command.runs) <= self._open:
            raise Violation("only_what_is_wanted_runs", f"{command.node}@{command.keys} for {command.runs} of {sorted(self._open)}")

    def _only_what_waits_starts(self, node: GraphNode, key: str) -> None:
        """Nothing is started that runs already, or that nothing has asked for since it ended."""
        if self._of(node.name, key) not in (S.MISSING, S.WAITING):
            raise Violation("only_what_waits_starts", f"{node.name}@{key} is {self._of(node.name, key)}")

    def _waits_are_kept(self, leader: Leader, node: GraphNode, key: str) -> None:
        """What backs off isn't tried before its time."""
        until = self._not_before.get((node.name, key), 0)
        if leader.now < until:
            raise Violation("waits_are_kept", f"{node.name}@{key} may be tried from {until} on, it is {leader.now}")

    def _inputs_are_there(self, tx: Transaction, node: GraphNode, key: str, command: Dispatch) -> None:
        """Nothing is computed from what isn't published, complete and sound."""
        for name, one in self._missing(tx, node, key, command):
            raise Violation("inputs_are_there", f"{node.name}@{key} runs without {name}@{one}")

    def _missing(self, tx: Transaction, node: GraphNode, key: str, command: Dispatch) -> Iterator[Key]:
        rules = self._world.rules
        if not rules.expected(node, key):
            yield node.name, key
        for spec in node.inputs:
            source = rules.nodes[spec.node]
            if rules.refers(node, spec) or rules.everything(node, spec):
                if not self._anything_of(tx, spec.node):
                    yield spec.node, "*"
                continue
            for one in rules.required(node, spec, key):
                if not spec.optional and not self._there(tx, source, one) and not rules.absent(source, one):
                    yield spec.node, one
        before = rules.before(node, key) if node.chained else None
        if before is not None and not self._there(tx, node, before):
            yield node.name, before
        del command

    def _there(self, tx: Transaction, node: GraphNode, key: str) -> bool:
        """Whether a partition can be read; one that was waived counts as present and empty."""
        if self._of(node.name, key) is S.WAIVED:
            return True
        if tx.get("publication", (node.name, key)) is None or self._of(node.name, key) in _NOT_THERE:
            return False
        return not node.is_source or self._world.rules.complete(node, key, tx.get("single", "clock"))

    def _anything_of(self, tx: Transaction, name: str) -> bool:
        if any(node == name for node, _ in self._world.store.tables["publication"]):
            return True
        return any(table == "publication" and place[0] == name for table, place in tx.writes)

    def _slots_are_kept(self, command: Dispatch) -> None:
        """No more attempts than slots; ahead of them only what isn't known to take longer than milliseconds."""
        count, slots = len(self._running), self._world.scenario.slots
        long = [one.node for one in (*self._running.values(), command) if self._takes_long(one.node)]
        if count >= slots * AHEAD or (long and count >= max(slots, 2 if slots == 1 else 0)):
            raise Violation("slots_are_kept", f"{command.node} starts beside {count} attempts in {slots} slots; long are {sorted(long)}")

    def _takes_long(self, node: str) -> bool:
        return node not in self._world.scenario.brief and self._samples.get(node, 0) >= SAMPLES_MIN

    def _pools_are_kept(self, leader: Leader, command: Dispatch) -> None:
        """What runs takes no more of a pool than there is; one that is smaller than what an attempt needs, it takes all of."""
        pools = self._world.graph.pools
        taken = dict.fromkeys(pools, 0)
        for one in (*self._running.values(), command):
            lapsed = one is not command and self._lapse[one.attempt] <= leader.now
            for take in () if lapsed else self._world.rules.nodes[one.node].takes:
                taken[take.pool] += min(take.slots, pools[take.pool])
        for pool, slots in leader.backfill.core.held() if leader.backfill is not None else ():
            taken[pool] += slots
        for pool, slots in taken.items():
            if slots > pools[pool]:
                raise Violation("pools_are_kept", f"{slots} of the {pools[pool]} slots of {pool} are taken with {command.node}")

    def _runs_end_once(self, settled: Settled) -> None:
        """A run ends once, and not while something runs for it."""
        if settled.run not in self._open:
            raise Violation("runs_end_once", f"run {settled.run} has ended already")
        if any(settled.run in one.runs for one in self._running.values()):
            raise Violation("runs_end_once", f"run {settled.run} ends while something runs for it")
        self._open.discard(settled.run)

    def _cancelled_work_is_ended(self) -> None:
        """What no run wants any more is ended."""
        for attempt, one in self._running.items():
            wanted = (self._world.wants(request, one.node, key) for request in self._requests() for key in one.keys)
            if attempt not in self._killed and not any(wanted):
                raise Violation("cancelled_work_is_ended", f"{attempt} at {one.node}@{one.keys} goes on")

    def _requests(self) -> list[Requested]:
        leader = self._world.leader
        return [] if leader is None else list(leader.runs.values())

    def _time_goes_on(self, tx: Transaction) -> None:
        """The store's clock is never set back."""
        now = tx.get("single", "clock")
        if now < self._now:
            raise Violation("time_goes_on", f"{now} after {self._now}")
        self._now = now

    def _only_who_holds_the_claim_publishes(self, leader: Leader, place: Key, attempt: AttemptId) -> None:
        """A fenced attempt publishes nothing: neither one of an earlier leader, nor one that a later attempt took over from."""
        if attempt.epoch != self._world.store.epoch or leader.epoch != self._world.store.epoch:
            raise Violation("only_who_holds_the_claim_publishes", f"{attempt} publishes {place} in epoch {self._world.store.epoch}")
        if self._granted.get(place) != attempt:
            raise Violation("only_who_holds_the_claim_publishes", f"{attempt} publishes {place}, which {self._granted.get(place)} holds")

    def _nothing_is_published_twice(self, place: Key, attempt: AttemptId) -> None:
        """One publication of a partition for each claim on it."""
        if (attempt, place[1]) in self._published:
            raise Violation("nothing_is_published_twice", f"{place} by {attempt}")
        self._published.add((attempt, place[1]))

    def _what_is_published_is_on_the_disk(self, place: Key, file: int) -> None:
        """What readers see is there after a power cut."""
        if file not in self._world.lake.files or file not in self._world.lake.durable:
            raise Violation("what_is_published_is_on_the_disk", f"file {file} of {place}")

    def _nothing_is_done_before_it_is_committed(self, leader: Leader, task: Task) -> None:
        """A worker is sent what the store knows of."""
        if leader.epoch == self._world.store.epoch and task.attempt not in self._world.store.tables["attempt"]:
            raise Violation("nothing_is_done_before_it_is_committed", f"{task.attempt} at {task.node}@{task.keys}")

    # What must hold at rest

    def at_rest(self) -> None:
        """Nothing happens any more."""
        leader = self._world.leader
        if leader is None:
            raise Violation("somebody_leads", "nobody took the lease")
        self._everything_has_come_to_an_end(leader)
        self._everything_waits_for_a_reason(leader)
        self._the_store_knows_what_the_core_knows(leader)

    def _everything_has_come_to_an_end(self, leader: Leader) -> None:
        """No attempt goes on for ever, nothing that is ready is left lying, and runs end."""
        if self._running or leader.attempts:
            raise Violation("everything_has_come_to_an_end", f"{len(self._running)} attempts go on: {list(self._running)[:3]}")
        if not leader.core.idle():
            raise Violation("everything_has_come_to_an_end", "something is ready, and isn't started")
        left = sorted(run for run, request in leader.runs.items() if not request.standing)
        if leader.backfill is not None:
            raise Violation("everything_has_come_to_an_end", f"plan {leader.backfill.number} goes on: {leader.backfill.attempts}")
        if left:
            raise Violation("everything_has_come_to_an_end", f"runs {left} go on")

    def _everything_waits_for_a_reason(self, leader: Leader) -> None:
        """What should be there and isn't says what it waits for; and that really isn't there."""
        for node, key in leader.core.waiting(leader.now):
            reasons = leader.core.waiting_for(node, key)
            if not reasons:
                raise Violation("everything_waits_for_a_reason", f"{node}@{key} waits for nothing")
            for one in reasons:
                if one.state is S.RUNNING or (one.state is S.PUBLISHED and one.node not in self._later()):
                    raise Violation("everything_waits_for_a_reason", f"{node}@{key} waits for {one}, which is there")

    def _later(self) -> set[str]:
        """Sources whose partitions aren't complete when they are delivered."""
        return {node.name for node in self._world.graph.nodes if node.watermark or node.complete_after is not None}

    def _the_store_knows_what_the_core_knows(self, leader: Leader) -> None:
        """A new leader would start from the same: every move was written down."""
        for (node, key), row in self._world.store.tables["cell"].items():
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
            if node.name in oracle.unsure or above & (unsure | self._waived):  # what was passed over once was done without
                unsure.add(node.name)
                continue
            for key, content in contents.items():
                self._the_end_is_that_of_an_undisturbed_run((node.name, key), content, seen.get((node.name, key)))
            if any(key not in contents for key in shown[node.name]):
                unsure.add(node.name)  # an older publication stands, of what can't be computed any more

    def _the_end_is_that_of_an_undisturbed_run(self, place: Key, content: int, row: object) -> None:
        """The same deliveries lead to the same contents, whatever went wrong."""
        found = getattr(row, "content", None)
        if found != content:
            said = self._world.leader.core.state_of(*place) if self._world.leader else "unknown"
            raise Violation("the_end_is_that_of_an_undisturbed_run", f"{place} has {found} instead of {content}, it is {said}")
