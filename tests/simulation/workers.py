"""Simulated workers, the state that a leader loads, and the inputs of attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace.scheduler.events import (
    AttemptId,
    DeliveryArrived,
    Dispatch,
    Event,
    Loaded,
    LoadedPartition,
    LoadedRunning,
    Paused,
)
from headrace.scheduler.graph import Graph, GraphNode
from headrace.scheduler.states import FailureKind, PartitionState
from simulation.delivery_batches import in_batches, sent, stopped_at
from simulation.oracle import SimulatedInput, computed_content
from simulation.scenario import HOUR, MINUTE, SECOND, FaultKind, drawn
from simulation.store import (
    SimulatedAttemptRow,
    SimulatedDeliveryRow,
    SimulatedPublicationRow,
    SimulatedRunRow,
    SimulatedStore,
    SimulatedTransaction,
)

if TYPE_CHECKING:
    from simulation.simulator import Simulation


# Workers of one leader: they are slow, die, hang or fail to write, and their answers come late,
# twice or never.

HANGS = 0.115
BACKGROUND = 12
"""Factor on the duration of attempts that get only leftover machine time."""
LATE = 4 * HOUR
"""Delay of a late answer after its attempt's time-out, in microseconds."""


class Task(msgspec.Struct, frozen=True):
    """A task for a worker; all its inputs are fixed, so its content is as well."""

    attempt: AttemptId
    node: str
    keys: tuple[str, ...]
    contents: tuple[int, ...]
    prove: bool = False
    sent: int | None = None
    """Of a batch of deliveries: the number of those that the worker is sent."""


class SimulatedTaskFinished(msgspec.Struct, frozen=True):
    """A worker's answer: staged files, one per partition, or why there are none."""

    attempt: AttemptId
    files: tuple[int, ...] = ()
    state: PartitionState = PartitionState.PUBLISHED
    kind: FailureKind | None = None
    seconds: float = 0.0
    given_back: tuple[str, ...] = ()
    """The deliveries of a batch that wait again."""


class SimulatedLostWorker(msgspec.Struct, frozen=True):
    """The loss of a worker, with its running attempt and those queued in its pipe."""

    running: AttemptId | None
    queued: tuple[AttemptId, ...]


Answer = SimulatedTaskFinished | SimulatedLostWorker


class AnswerReceiver(Protocol):
    """The receiver of workers' answers."""

    def hear(self, answer: Answer) -> None: ...


class SimulatedWorker:
    """One process with the tasks in its pipe; it works on the first."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.condemned: AttemptId | None = None
        self.life = 0
        """Increases when the worker is replaced: pending actions of the earlier one are dropped."""


class SimulatedWorkers:
    """The workers of one leader, which end with it."""

    def __init__(
        self, world: Simulation, slots: int, leader: AnswerReceiver, plan: int = 0
    ) -> None:
        self._world, self._leader, self._plan = world, leader, plan
        self._all = [SimulatedWorker() for _ in range(slots)]
        self.gone = False
        self._unanswered: set[AttemptId] = set()
        """Finished tasks whose answers were lost."""

    def submit(self, task: Task) -> None:
        """Send an attempt to the worker with the fewest tasks."""
        worker = min(self._all, key=lambda worker: len(worker.tasks))
        worker.tasks.append(task)
        if len(worker.tasks) == 1:
            self._begin(worker)

    def kill(self, attempt: AttemptId) -> None:
        """End the worker of an attempt, now or as soon as it starts the attempt."""
        if attempt in self._unanswered:
            self._unanswered.remove(attempt)
            self._send(SimulatedLostWorker(attempt, ()))
        for worker in self._all:
            if any(task.attempt == attempt for task in worker.tasks):
                if worker.tasks[0].attempt == attempt:
                    self.die(worker)
                else:
                    worker.condemned = attempt

    def stop(self) -> None:
        """End all workers, because the leader ended."""
        self.gone = True

    def busy(self) -> list[SimulatedWorker]:
        """Return the workers that have tasks."""
        return [worker for worker in self._all if worker.tasks]

    def die(self, worker: SimulatedWorker) -> None:
        """Replace a worker; everything that it had is lost."""
        running, *queued = worker.tasks
        self._replace(worker)
        self._send(SimulatedLostWorker(running.attempt, tuple(task.attempt for task in queued)))

    def _replace(self, worker: SimulatedWorker) -> None:
        worker.tasks, worker.condemned = [], None
        worker.life += 1

    def _begin(self, worker: SimulatedWorker) -> None:
        task, world = worker.tasks[0], self._world
        if worker.condemned == task.attempt:
            self.die(worker)
            return
        place = self._place(task)
        tries = world.tries[place] = world.tries.get(place, 0) + 1
        fate = 1.0 if world.healed else drawn(world.scenario.seed, "fate", *place, tries)
        if world.poisoned(task):
            fate = 0.1
        takes = self._takes(task, tries)
        if 0.105 <= fate < HANGS or (self._plan and world.scenario.endless):
            return  # it hangs until it is ended
        self._later(worker, takes, lambda: self._end(worker, task, fate, takes, tries))

    def _place(self, task: Task) -> tuple[str, str]:
        """Return the name by which an attempt's fate is drawn.

        Plans don't affect production's draws.
        """
        return f"{self._plan}:{task.node}" if self._plan else task.node, task.keys[0]

    def _takes(self, task: Task, tries: int) -> int:
        world = self._world
        chance = drawn(world.scenario.seed, "takes", *self._place(task), tries)
        if task.node in world.scenario.brief:
            return int((0.005 + 0.01 * chance) * SECOND)
        slow = 30 if world.struck(FaultKind.SLOW) else 1
        slow *= BACKGROUND if self._plan else 1
        return int((0.2 + 10 * chance**3) * MINUTE) * slow

    def _later(self, worker: SimulatedWorker, micros: int, then: Callable[[], None]) -> None:
        life = worker.life

        def happens() -> None:
            if not self.gone and worker.life == life:
                then()

        self._world.after(micros, happens)

    def _end(
        self, worker: SimulatedWorker, task: Task, fate: float, takes: int, tries: int
    ) -> None:
        if 0.085 <= fate < 0.105:
            self.die(worker)
            return
        answer = self._answer(task, fate, takes, tries)
        worker.tasks.pop(0)
        self._send(answer)
        if worker.tasks:
            self._begin(worker)

    def _answer(self, task: Task, fate: float, takes: int, tries: int) -> SimulatedTaskFinished:
        failed = {
            0.03: FailureKind.TRANSIENT,
            0.045: FailureKind.DETERMINISTIC,
            0.055: FailureKind.RESOURCES,
        }
        for bound, kind in failed.items():
            if fate < bound:
                return SimulatedTaskFinished(task.attempt, state=PartitionState.FAILED, kind=kind)
        held = fate < 0.085
        if held and task.sent is None:
            return SimulatedTaskFinished(
                task.attempt, state=PartitionState.HELD if fate < 0.07 else PartitionState.REJECTED
            )
        if self._world.disk_is_full():
            return SimulatedTaskFinished(
                task.attempt, state=PartitionState.FAILED, kind=FailureKind.RESOURCES
            )
        too_much = self._too_much(task)
        if too_much is not None:
            return SimulatedTaskFinished(task.attempt, state=PartitionState.FAILED, kind=too_much)
        done = len(task.keys)
        if task.sent is not None:
            done = stopped_at(self._world.scenario.seed, task, tries, held=held)
        files = tuple(self._world.lake.stage(content) for content in task.contents[:done])
        return SimulatedTaskFinished(
            task.attempt,
            files,
            seconds=takes / SECOND / self._times_as_fast(task),
            given_back=task.keys[done:],
        )

    def _times_as_fast(self, task: Task) -> int:
        """Return by how much an attempt reports less than it took: batches are of fast ones."""
        node = self._world.rules.nodes[task.node]
        if in_batches(node):
            return 2_000
        return 100 if node.batch_max > 1 else 1

    def _too_much(self, task: Task) -> FailureKind | None:
        """Return why a batch fails although one partition alone would succeed.

        None if it doesn't fail.
        """
        scenario, several = (
            self._world.scenario,
            len(task.keys) > 1 and not self._world.rules.nodes[task.node].is_source,
        )
        if several and task.prove and task.node in scenario.lying:
            return FailureKind.NOT_SEPARABLE
        return (
            FailureKind.RESOURCES
            if several and len(task.keys) > scenario.heavy.get(task.node, len(task.keys))
            else None
        )

    def _send(self, answer: Answer) -> None:
        """Report the end of a worker or an answer.

        A worker's end is always noticed; its answers may be late, repeated or lost.
        """
        world = self._world
        if isinstance(answer, SimulatedLostWorker):
            self._deliver(answer, 0)
            return
        if world.struck(FaultKind.MESSAGE_LOST):
            self._unanswered.add(answer.attempt)
            return
        late = world.struck(FaultKind.MESSAGE_DELAYED)
        if late:
            self._unanswered.add(answer.attempt)
        self._deliver(answer, LATE if late else 0)
        if world.struck(FaultKind.MESSAGE_REPEATED):
            self._deliver(answer, 10 * MINUTE)

    def _deliver(self, answer: Answer, delay: int) -> None:
        def arrives() -> None:
            if not self.gone:
                self._leader.hear(answer)

        self._world.after(delay, arrives)


# The state from which a new core starts, and the handling of a former leader's open work by a new
# leader.


def load(world: Simulation, going: Sequence[LoadedRunning]) -> list[Event]:
    """Return the events that load a core: `Loaded`, then pauses and waiting deliveries.

    Attempts in `going` continue under another version.
    """
    fired = tuple(world.store.tables["firing"].items())
    loaded = Loaded(
        applied_graph(world), tuple(_tracked_partitions(world.store)), tuple(going), fired=fired
    )
    paused = (
        Paused((node,), "a person said so", until)
        for node, (until,) in world.store.tables["pause"].items()
    )
    return [loaded, *paused, *waiting_deliveries(world.store)]


def applied_graph(world: Simulation) -> Graph:
    """Return the applied graph without batches for nodes whose batches gave another result."""
    tried = world.store.tables["batching"]
    apart = {name for name in tried if tried[name] == (world.versions.get(name, 0), False)}
    nodes = (
        msgspec.structs.replace(node, batch_max=1) if node.name in apart else node
        for node in world.graph.nodes
    )
    return Graph(tuple(nodes), world.graph.pools) if apart else world.graph


def _tracked_partitions(store: SimulatedStore) -> Iterator[LoadedPartition]:
    publications = store.tables["publication"]
    for (node, key), row in store.tables["partition"].items():
        seen = publications.get((node, key))
        yield LoadedPartition(
            node=node,
            key=key,
            state=row.state,
            stale=row.stale,
            failures=row.failures,
            not_before=row.not_before,
            published=seen is not None,
            proposed=row.proposed,
            publication=seen.first if seen else 0,
            since=row.since,
        )


def lose_open_work(tx: SimulatedTransaction, store: SimulatedStore, epoch: int) -> None:
    """Mark the attempts and runs that earlier leaders left open as lost."""
    for attempt in store.tables["attempt"]:
        if attempt.epoch < epoch:
            tx.put("attempt", attempt, None)
    for number, row in store.tables["run"].items():
        if row.state == "running":
            tx.put("run", number, SimulatedRunRow(row.targets, row.standing, "lost"))


def waiting_deliveries(store: SimulatedStore) -> list[DeliveryArrived]:
    """Return the deliveries that haven't been ingested, in the order of arrival."""
    waiting = [
        (row.file, source, key, row.bundle)
        for (source, key), row in store.tables["delivery"].items()
        if row.state == "waiting"
    ]
    return [DeliveryArrived(source, key, bundle) for _, source, key, bundle in sorted(waiting)]


# The inputs of an attempt, fixed at dispatch by the rules of SEMANTICS and not by the core's own
# answers.

PreparedInput = tuple[str, str, SimulatedPublicationRow]


class Preparing:
    """Prepares the attempts of one transaction, which sees its own publications."""

    def __init__(self, world: Simulation, tx: SimulatedTransaction) -> None:
        self._world, self._tx = world, tx

    def prepare(self, command: Dispatch) -> SimulatedAttemptRow:
        """Return the attempt's row, with the content of each of its partitions."""
        node = self._world.rules.nodes[command.node]
        if node.is_source:
            return self._source(command)
        reads = [list(self._reads(node, key)) for key in command.keys]
        contents = tuple(
            self._content(node, key, results)
            for key, results in zip(command.keys, reads, strict=True)
        )
        ids = tuple(seen.id for results in reads for _, _, seen in results)
        tried = self._tx.get("batching", node.name)
        prove = len(command.keys) > 1 and tried != (self._world.versions.get(node.name, 0), True)
        if len(command.keys) > 1 and not prove and node.name in self._world.scenario.lying:
            contents = tuple(
                content + 1 for content in contents
            )  # nobody compares, so the wrong content goes unnoticed
        return SimulatedAttemptRow(
            node.name, command.keys, command.runs, ids, contents, prove=prove
        )

    def content(self, name: str, key: str) -> int:
        """Return the content that a partition would have now."""
        node = self._world.rules.nodes[name]
        return self._content(node, key, list(self._reads(node, key)))

    def _publication(self, name: str, key: str) -> SimulatedPublicationRow | None:
        row: SimulatedPublicationRow | None = self._tx.get("publication", (name, key))
        return row

    def _content(self, node: GraphNode, key: str, reads: list[PreparedInput]) -> int:
        world = self._world
        made_of = [(name, item, seen.content) for name, item, seen in reads]
        return computed_content(
            node.name,
            key,
            world.versions.get(node.name, 0),
            made_of,
            world.scenario.coarse.get(node.name),
        )

    def _source(self, command: Dispatch) -> SimulatedAttemptRow:
        """Return the newest delivery of each interval, including those of this transaction."""
        rows: list[SimulatedDeliveryRow] = [
            self._tx.get("delivery", (command.node, key)) for key in command.keys
        ]
        contents, files = tuple(row.content for row in rows), tuple(row.file for row in rows)
        batch = sent(self._tx, self._world.rules.nodes[command.node], command.keys)
        return SimulatedAttemptRow(
            command.node, command.keys, command.runs, (), contents, files, sent=batch
        )

    def _reads(self, node: GraphNode, key: str) -> Iterator[PreparedInput]:
        rules = self._world.rules
        for simulated_input in rules.inputs[node.name]:
            yield from self._of(node, simulated_input, key)
        if node.chained and (before := rules.before(node, key)) is not None:
            yield from self._seen(node.name, before)

    def _of(self, node: GraphNode, what: SimulatedInput, key: str) -> Iterator[PreparedInput]:
        rules, source = self._world.rules, what.source
        everything = what.everything or (what.refers and node.rebuild_on_reference)
        for item in self._all(source.name) if everything else rules.required(node, what, key):
            for read in self._seen(source.name, item):
                if not (what.spec.optional and source.is_source) or rules.complete(
                    source, item, self._tx.get("single", "clock")
                ):
                    yield read

    def _all(self, name: str) -> list[str]:
        published = {
            key: None for (node, key) in self._world.store.tables["publication"] if node == name
        }
        written = {
            key[1]: None
            for (table, key) in self._tx.writes
            if table == "publication" and key[0] == name
        }
        return list({**published, **written})

    def _seen(self, name: str, key: str) -> Iterator[PreparedInput]:
        seen = self._publication(name, key)
        if seen is not None:
            yield name, key, seen
