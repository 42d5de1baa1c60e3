"""Backfills concurrently with production, and requests of people to the leader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.model import Grain
from headrace.scheduler.core import Core
from headrace.scheduler.events import (
    AttemptId,
    AttemptPublished,
    AttemptUnsuccessful,
    Cancelled,
    ClockAdvanced,
    Dispatch,
    Elsewhere,
    Event,
    Fired,
    GivenUp,
    Kill,
    Loaded,
    LoadedPartition,
    PartitionOvertaken,
    PartitionUpdate,
    Paused,
    Promoted,
    Refreshed,
    Requested,
    Resumed,
    TakenBack,
    Target,
    WorkerLost,
)
from headrace.scheduler.graph import Graph, GraphNode
from headrace.scheduler.states import PartitionState
from simulation.oracle import span
from simulation.scenario import HOUR, Deed, DeedKind
from simulation.store import (
    SimulatedAttemptRow,
    SimulatedPartitionRow,
    SimulatedPlanRow,
    SimulatedPublicationRow,
    SimulatedRunRow,
    SimulatedStore,
    SimulatedTransaction,
)
from simulation.workers import (
    Answer,
    Preparing,
    SimulatedLostWorker,
    SimulatedTaskFinished,
    SimulatedWorkers,
    Task,
    applied_graph,
)

if TYPE_CHECKING:
    from simulation.leader import SimulatedLeader


# Backfills as `headrace.runtime.overlays` runs them: each plan has its own core and workers, stages
# its results, and publishes all of them at once.

S = PartitionState
ATTEMPTS_PER_PLAN = 1_000_000_000
"""Size of the ranges of attempt numbers of production and of each plan."""
BACKFILL_SLOTS = 2


class SimulatedBackfillPreparation(Preparing):
    """Prepares a plan's attempts, which read the plan's staged results, or else publications."""

    def __init__(self, leader: SimulatedLeader, tx: SimulatedTransaction, plan: int) -> None:
        super().__init__(leader.world, tx)
        self._plan = plan

    def _all(self, name: str) -> list[str]:
        own = (
            key
            for (plan, node, key) in table_rows(self._tx, self._world.store, "overlay")
            if (plan, node) == (self._plan, name)
        )
        return list(dict.fromkeys((*super()._all(name), *own)))

    def _publication(self, name: str, key: str) -> SimulatedPublicationRow | None:
        staged: SimulatedPublicationRow | None = self._tx.get("overlay", (self._plan, name, key))
        return staged if staged is not None else super()._publication(name, key)


class SimulatedBackfill:
    """A plan that one leader executes."""

    def __init__(
        self, leader: SimulatedLeader, number: int, row: SimulatedPlanRow, core_type: type[Core]
    ) -> None:
        self.number, self.row, self._leader = number, row, leader
        self._world = leader.world
        self.core = core_type(
            epoch=leader.epoch,
            slots=BACKFILL_SLOTS,
            after=max(number * ATTEMPTS_PER_PLAN, leader.last_of_plans),
        )
        self.workers = SimulatedWorkers(leader.world, BACKFILL_SLOTS, self, plan=number)
        self.attempts: dict[AttemptId, SimulatedAttemptRow] = {}
        self.inbox: list[Answer] = []
        self._starts: list[Task] = []
        self._kills: list[AttemptId] = []
        self._told = Elsewhere()
        self._unsure: list[tuple[str, str]] = []
        """Partitions not staged at the start: their readers may have used earlier results."""
        self._made: dict[tuple[str, str], int] = {}
        """Partition → its last content in this plan. A new content is compared only with that one,
        since readers in the plan have read it."""

    def hear(self, answer: Answer) -> None:
        """Receive a worker's answer."""
        self.inbox.append(answer)
        self._world.wake(self._leader)

    def holds(self, node: str, key: str) -> bool:
        """Return whether a partition belongs to the plan."""
        return key in self.row.keys.get(node, ())

    # Loop iterations

    def begin(self, tx: SimulatedTransaction) -> None:
        """Start from production's state, without the planned partitions."""
        pauses = table_rows(tx, self._world.store, "pause").items()
        paused = [Paused((node,), "a person said so", until) for node, (until,) in pauses]
        targets = tuple(
            Target(node, key, key) for node, keys in self.row.keys.items() for key in keys
        )
        unmade = [
            (node, key)
            for node, keys in self.row.keys.items()
            for key in keys
            if not self._staged(tx, node, key)
        ]
        self._unsure = unmade if len(unmade) < sum(map(len, self.row.keys.values())) else []
        self._decide(tx, [Loaded(self._graph(), tuple(self._tracked_partitions(tx))), *paused])
        self._told = Elsewhere(self._leader.core.held())
        self._decide(
            tx,
            [self._told, Requested(targets, retry=frozenset(self.row.keys), run=0, standing=True)],
        )

    def _graph(self) -> Graph:
        """Return the plan's graph, without triggers, deadlines and restatement limits.

        A person requested the plan, so none of them applies.
        """
        plain = {"trigger": None, "promises": (), "restate_within": None, "tells": False}
        loaded = applied_graph(self._world)
        return Graph(
            tuple(msgspec.structs.replace(node, **plain) for node in loaded.nodes), loaded.pools
        )

    def _tracked_partitions(self, tx: SimulatedTransaction) -> Iterator[LoadedPartition]:
        for (node, key), row in table_rows(tx, self._world.store, "partition").items():
            if node in self._world.rules.nodes and not self.holds(node, key):
                shown = tx.get("publication", (node, key)) is not None
                state = S.PUBLISHED if shown and row.state is S.WAITING else row.state
                yield LoadedPartition(
                    node=node, key=key, state=state, published=shown, publication=1
                )
        for node, keys in self.row.keys.items():
            for key in keys:
                staged = self._staged(tx, node, key)
                yield LoadedPartition(
                    node=node, key=key, state=S.PUBLISHED if staged else S.WAITING, published=staged
                )

    def follow(self, tx: SimulatedTransaction, told: Sequence[Event]) -> None:
        """Record events of production's core, workers' answers, and passed time."""
        answers, self.inbox = self.inbox, []
        finished = {
            answer.attempt: answer
            for answer in answers
            if isinstance(answer, SimulatedTaskFinished) and answer.attempt in self.attempts
        }
        events: list[Event] = [self._record(tx, item) for item in finished.values()]
        events += [
            self._lose(tx, answer) for answer in answers if isinstance(answer, SimulatedLostWorker)
        ]
        events += [result for event in told for result in self._translated(event)]
        elsewhere = Elsewhere(self._leader.core.held())
        if elsewhere != self._told:
            self._told = elsewhere
            events.append(elsewhere)
        at = self.core.next_event()
        if at is not None and at <= self._leader.now:
            events.append(ClockAdvanced())
        if events:
            self._decide(tx, events)

    def _translated(self, event: Event) -> Iterator[Event]:
        """Return the events for the plan's core that follow from an event of production."""
        match event:
            case AttemptPublished(attempt=attempt, contents=contents):
                node = self._leader.was_at[attempt]
                yield from (self._seen(node, key, changed=changed) for key, changed in contents)
            case Refreshed(node=node, key=key, changed=changed):
                yield self._seen(node, key, changed=changed)
            case TakenBack(node=node, key=key) if not self.holds(node, key):
                yield event
            case Paused() | Resumed():
                yield event
            case _:
                return

    def _seen(self, node: str, key: str, *, changed: bool) -> Event:
        return (
            PartitionOvertaken(node, key)
            if self.holds(node, key)
            else Refreshed(node, key, changed)
        )

    def _decide(self, tx: SimulatedTransaction, events: Sequence[Event]) -> None:
        commands = self.core.handle_all(events, self._leader.now)
        preparing = SimulatedBackfillPreparation(self._leader, tx, self.number)
        for command in commands:
            match command:
                case Dispatch():
                    self._start(tx, preparing, command)
                case PartitionUpdate(node=node, key=key, state=S.WAITING) if self.holds(node, key):
                    tx.put("overlay", (self.number, node, key), None)  # it is stale and recomputed
                case Kill():
                    self._kills.append(command.attempt)
                case _:
                    pass

    def _start(self, tx: SimulatedTransaction, preparing: Preparing, command: Dispatch) -> None:
        self._leader.last_of_plans = command.attempt.n
        self._world.watch.planned(self, command)
        row = preparing.prepare(command)
        self.attempts[command.attempt] = row
        tx.put("attempt", command.attempt, row)
        self._starts.append(
            Task(command.attempt, command.node, command.keys, row.contents, row.prove)
        )

    def act(self) -> Iterator[Task]:
        """Act on the committed decisions."""
        starts, self._starts = self._starts, []
        kills, self._kills = self._kills, []
        for task in starts:
            yield task
            self.workers.submit(task)
        for attempt in kills:
            self.workers.kill(attempt)

    def _record(self, tx: SimulatedTransaction, answer: SimulatedTaskFinished) -> Event:
        row = self.attempts.pop(answer.attempt)
        tx.put("attempt", answer.attempt, None)
        if answer.state is not S.PUBLISHED:
            return AttemptUnsuccessful(
                answer.attempt, answer.state, f"it was {answer.state}", answer.kind
            )
        contents = []
        for key, content, file in zip(row.keys, row.contents, answer.files, strict=True):
            self._world.lake.sync(file)
            tx.put(
                "overlay",
                (self.number, row.node, key),
                SimulatedPublicationRow(0, content, f"{content:x}", answer.attempt, file, 0),
            )
            contents.append((key, self._made.get((row.node, key)) != content))
            self._made[row.node, key] = content
        return AttemptPublished(answer.attempt, tuple(contents), answer.seconds)

    def _lose(self, tx: SimulatedTransaction, gone: SimulatedLostWorker) -> WorkerLost:
        known = [
            attempt_id
            for attempt_id in (gone.running, *gone.queued)
            if attempt_id is not None and self.attempts.pop(attempt_id, None) is not None
        ]
        for attempt_id in known:
            tx.put("attempt", attempt_id, None)
        running = gone.running if gone.running in known else None
        return WorkerLost(
            running,
            tuple(attempt_id for attempt_id in gone.queued if attempt_id in known),
            "its worker died",
        )

    def give_way(self, pools: Iterable[str]) -> None:
        """End the plan's attempts that hold pool slots that production needs."""
        short = set(pools)
        for attempt, row in self.attempts.items():
            if any(take.pool in short for take in self._world.rules.nodes[row.node].takes):
                self._kills.append(attempt)

    # Its end

    def at_rest(self) -> bool:
        """Return whether neither the plan nor production will work on the plan's partitions."""
        running = (
            self.holds(item.node, key)
            for item in self._leader.core.running().values()
            for key in item.keys
        )
        return (
            not self.attempts
            and self.core.idle()
            and self.core.next_try() is None
            and not any(running)
        )

    def settled(self, tx: SimulatedTransaction) -> bool:
        """Return whether the plan is done, with nothing derived from dropped staged results.

        Such results are recomputed or dropped.
        """
        while self.row.partial and self.at_rest():
            once, self._unsure = dict.fromkeys((*self._unsure, *self.core.outdated())), []
            gone = tuple(item for item in once if self.holds(*item) and not self._staged(tx, *item))
            if not gone:
                return True
            self._decide(tx, [GivenUp(gone)])
        return self.at_rest()

    def _staged(self, tx: SimulatedTransaction, node: str, key: str) -> bool:
        return tx.get("overlay", (self.number, node, key)) is not None

    def conclude(self, tx: SimulatedTransaction) -> Promoted | None:
        """Publish the plan's results, unless a partition is missing that must exist."""
        made = [
            (node, key)
            for node in self._order()
            for key in self.row.keys[node]
            if self._staged(tx, node, key)
        ]
        whole = len(made) == sum(map(len, self.row.keys.values()))
        published = bool(made) and (whole or self.row.partial)
        tx.put(
            "plan",
            self.number,
            msgspec.structs.replace(self.row, state="published" if published else "failed"),
        )
        contents = (
            [
                self._promote(
                    tx, SimulatedBackfillPreparation(self._leader, tx, self.number), node, key
                )
                for node, key in made
            ]
            if published
            else []
        )
        for node, key in made:
            tx.put("overlay", (self.number, node, key), None)
        if not contents:
            return None
        return Promoted(
            tuple((node, key, changed) for node, key, changed, _ in contents),
            tuple(number for *_, number in contents),
        )

    def _promote(
        self, tx: SimulatedTransaction, beside: SimulatedBackfillPreparation, node: str, key: str
    ) -> tuple[str, str, bool, int]:
        staged: SimulatedPublicationRow = tx.get("overlay", (self.number, node, key))
        self._world.watch.promoted(self._leader, node, key, staged, beside.content(node, key))
        before: SimulatedPublicationRow | None = tx.get("publication", (node, key))
        number = int(tx.get("single", "publication")) + 1
        tx.put("single", "publication", number)
        changed = before is None or before.content != staged.content
        first = number if changed or before is None else before.first
        tx.put(
            "publication",
            (node, key),
            SimulatedPublicationRow(
                number, staged.content, staged.hash, staged.attempt, staged.file, first
            ),
        )
        tx.put("partition", (node, key), SimulatedPartitionRow(S.PUBLISHED))
        return node, key, changed, number

    def _order(self) -> list[str]:
        return [node.name for node in self._world.graph.nodes if node.name in self.row.keys]


def planned_partitions(
    world_nodes: dict[str, GraphNode], known: Iterable[tuple[str, str]], asked: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return the partitions of a plan.

    The known requested ones, and all stageable downstream ones.
    """
    wanted = set(asked)
    for node in world_nodes.values():
        if any(spec.node in wanted for spec in node.inputs):
            wanted.add(node.name)
    chosen = {name for name in wanted if name in world_nodes and _can_be_staged(world_nodes, name)}
    results: dict[str, list[str]] = {}
    for name, key in known:
        if name in chosen:
            results.setdefault(name, []).append(key)
    return {name: tuple(sorted(keys)) for name, keys in sorted(results.items())}


def _can_be_staged(nodes: dict[str, GraphNode], name: str) -> bool:
    """Return whether a node's partitions can be staged.

    They must not build on earlier publications, read such a node, or only run after another node.
    """
    pending, seen = [name], set[str]()
    while pending:
        node = nodes[pending.pop()]
        if (
            node.chained
            or node.depends
            or (node.name == name and (node.is_source or node.partition.grain is None))
        ):
            return False
        new = {spec.node for spec in node.inputs if spec.node in nodes} - seen
        seen |= new
        pending += new
    return True


def table_rows(tx: SimulatedTransaction, store: SimulatedStore, table: str) -> dict[Any, Any]:
    """Return a table as a transaction sees it."""
    written = {place: row for (name, place), row in tx.writes.items() if name == table}
    return {
        place: row for place, row in {**store.tables[table], **written}.items() if row is not None
    }


# Requests of people: rows in the store, each handled in exactly one loop iteration.

PAUSED_US = 5 * HOUR


class SimulatedRequestEffects(msgspec.Struct, frozen=True):
    """The effects of all requests of a loop iteration.

    `apply`: another version takes effect after it.
    """

    events: tuple[Event, ...]
    apply: bool = False
    changed: frozenset[str] = frozenset()


NO_EFFECTS = SimulatedRequestEffects(())


class Deeds:
    """The requests of one loop iteration."""

    def __init__(self, leader: SimulatedLeader, tx: SimulatedTransaction) -> None:
        self._leader, self._world, self._tx = leader, leader.world, tx
        self._apply = False

    def taken(self) -> SimulatedRequestEffects:
        """Handle all requests in the order in which they were made."""
        if not self._leader.store.tables["request"]:
            return NO_EFFECTS
        events: list[Event] = []
        for number in sorted(self._leader.store.tables["request"]):
            self._tx.put("request", number, None)
            deed = self._world.deed(number)
            events += _HANDLERS[deed.kind](self, deed)
        change = self._world.scenario.change
        changed = frozenset(node.name for node in change.changed) | change.removed
        return SimulatedRequestEffects(tuple(events), self._apply, changed)

    def _run(self, deed: Deed) -> Iterator[Event]:
        known = self._world.rules.nodes
        nodes = tuple(
            name
            for name in deed.nodes
            if name in known and name not in self._world.scenario.borrowed
        )
        targets = tuple(target for name in nodes for target in self._targets(deed, name))
        retry = frozenset(nodes) if deed.kind is not DeedKind.RUN else frozenset()
        again = retry if deed.kind is DeedKind.AGAIN else frozenset()
        if targets:
            yield Requested(targets, retry=retry, again=again, run=self._world.number_run(self._tx))

    def _targets(self, deed: Deed, name: str) -> Iterator[Target]:
        """Request days by name, except where nodes only run after others.

        Those would wait for the request.
        At the end waived partitions are named as well, because nothing else includes them.
        """
        world, node = self._world, self._world.rules.nodes[name]
        followed = any(name in other.depends for other in world.graph.nodes)
        bounded = node.partition.grain is Grain.DAY and not followed
        yield Target(name, deed.first, deed.last) if bounded else Target(name)
        if world.healed:
            tracked_partitions = self._leader.store.tables["partition"].items()
            yield from (
                Target(name, key, key)
                for (other, key), row in tracked_partitions
                if other == name and row.state is PartitionState.WAIVED
            )

    def _cancel(self, deed: Deed) -> Iterator[Event]:
        open_runs = sorted(
            run for run, request in self._leader.runs.items() if not request.standing
        )
        if open_runs:
            run = open_runs[deed.pick % len(open_runs)]
            row: SimulatedRunRow = self._tx.get("run", run)
            self._tx.put("run", run, SimulatedRunRow(row.targets, row.standing, "cancelled"))
            del self._leader.runs[run]
            yield Cancelled(run)

    def _pause(self, deed: Deed) -> Iterator[Event]:
        until = self._leader.now + PAUSED_US if deed.pick % 2 else None
        for node in deed.nodes:
            self._tx.put("pause", node, (until,))
        yield Paused(deed.nodes, "a person said so", until)

    def _resume(self, deed: Deed) -> Iterator[Event]:
        for node in deed.nodes:
            self._tx.put("pause", node, None)
        yield Resumed(deed.nodes)

    def _withdraw(self, deed: Deed) -> Iterator[Event]:
        (node,) = deed.nodes
        published = sorted(
            key for name, key in self._leader.store.tables["publication"] if name == node
        )
        published = [
            key for key in published if self._tx.get("publication", (node, key)) is not None
        ]
        if (
            published
            and node in self._world.rules.nodes
            and node not in self._world.scenario.borrowed
        ):
            key = published[deed.pick % len(published)]
            self._tx.put("publication", (node, key), None)
            yield TakenBack(node, key, "a person said so")

    def _apply_version(self, _: Deed) -> Iterator[Event]:
        self._apply = self._tx.get("single", "version") == 0
        yield from ()

    def _refresh(self, deed: Deed) -> Iterator[Event]:
        """Record a new publication of a partition that is computed in production."""
        (node,) = deed.nodes
        number = int(self._tx.get("single", "publication")) + 1
        self._tx.put("single", "publication", number)
        before: SimulatedPublicationRow | None = self._tx.get("publication", (node, "*"))
        self._world.rules.hear(node, "*", deed.pick)
        row = SimulatedPublicationRow(number, deed.pick, f"{deed.pick:x}", None, 0, number)
        self._tx.put("publication", (node, "*"), row)
        self._tx.put("partition", (node, "*"), SimulatedPartitionRow(PartitionState.PUBLISHED))
        yield Refreshed(node, "*", changed=before is None or before.content != deed.pick)

    def _backfill(self, deed: Deed) -> Iterator[Event]:
        """Recompute days of some nodes and their readers alongside production.

        One in five requests cancels the newest plan instead.
        """
        store, nodes = self._world.store, self._world.rules.nodes
        open_plans = [
            number
            for number, row in table_rows(self._tx, store, "plan").items()
            if row.state == "running"
        ]
        if deed.pick % 5 == 0 and open_plans:
            self._leader.drop_plan(self._tx, max(open_plans))
            return
        assert deed.first is not None
        assert deed.last is not None
        day = next(node for node in nodes.values() if node.partition.grain is Grain.DAY)
        since, until = span(day, deed.first)[0], span(day, deed.last)[1]
        known = dict.fromkeys(
            (*table_rows(self._tx, store, "partition"), *table_rows(self._tx, store, "publication"))
        )
        within = (
            item
            for item in known
            if item[0] in nodes and self._overlaps(nodes[item[0]], item[1], since, until)
        )
        keys = planned_partitions(nodes, within, deed.nodes)
        if keys:
            self._tx.put(
                "plan",
                len(table_rows(self._tx, store, "plan")) + 1,
                SimulatedPlanRow(keys, partial=deed.pick % 4 != 0),
            )
        yield from ()

    @staticmethod
    def _overlaps(node: GraphNode, key: str, since: int, until: int) -> bool:
        if node.partition.grain is None or (node.partition.key is not None and "/" not in key):
            return False
        begins, ends = span(node, key)
        return begins < until and ends > since

    def _fire(self, deed: Deed) -> Iterator[Event]:
        yield from (Fired(node) for node in deed.nodes if node in self._world.rules.nodes)


_HANDLERS: dict[DeedKind, Callable[[Deeds, Deed], Iterator[Event]]] = {
    DeedKind.RUN: Deeds._run,
    DeedKind.RETRY: Deeds._run,
    DeedKind.AGAIN: Deeds._run,
    DeedKind.CANCEL: Deeds._cancel,
    DeedKind.PAUSE: Deeds._pause,
    DeedKind.RESUME: Deeds._resume,
    DeedKind.WITHDRAW: Deeds._withdraw,
    DeedKind.APPLY: Deeds._apply_version,
    DeedKind.REFRESH: Deeds._refresh,
    DeedKind.FIRE: Deeds._fire,
    DeedKind.BACKFILL: Deeds._backfill,
}
