"""Workers of one leader: they are slow, die, hang, can't write, and their answers come late, twice or never."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace.schedule.events import AttemptId
from headrace.schedule.simulation.generator import drawn
from headrace.schedule.simulation.scenario import HOUR, MINUTE, SECOND, FaultKind
from headrace.schedule.states import FailureKind, PartitionState

if TYPE_CHECKING:
    from headrace.schedule.simulation.world import Simulation

HANGS = 0.115
BACKGROUND = 12
"""So many times as long take attempts that get only what others leave."""
LATE = 4 * HOUR
"""So late is an answer that is: after its attempt's time-out."""


class Task(msgspec.Struct, frozen=True):
    """What a worker is sent: everything that it reads is fixed, so its content is as well."""

    attempt: AttemptId
    node: str
    keys: tuple[str, ...]
    contents: tuple[int, ...]
    prove: bool = False


class SimulatedTaskFinished(msgspec.Struct, frozen=True):
    """A worker's answer: staged files, one a partition, or why there are none."""

    attempt: AttemptId
    files: tuple[int, ...] = ()
    state: PartitionState = PartitionState.PUBLISHED
    kind: FailureKind | None = None
    seconds: float = 0.0


class SimulatedLostWorker(msgspec.Struct, frozen=True):
    """A worker is gone, with what it was at and what lay in its pipe."""

    running: AttemptId | None
    queued: tuple[AttemptId, ...]


Answer = SimulatedTaskFinished | SimulatedLostWorker


class Heard(Protocol):
    """Who gets the answers."""

    def hear(self, answer: Answer) -> None: ...


class SimulatedWorker:
    """One process: what lies in its pipe, the first being worked on."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.condemned: AttemptId | None = None
        self.life = 0
        """Grows when it is replaced: what the one before it would have done, doesn't happen."""


class SimulatedWorkers:
    """The workers of one leader. All end with it."""

    def __init__(self, world: Simulation, slots: int, leader: Heard, plan: int = 0) -> None:
        self._world, self._leader, self._plan = world, leader, plan
        self._all = [SimulatedWorker() for _ in range(slots)]
        self.gone = False
        self._unanswered: set[AttemptId] = set()
        """Done, and nobody knows: the answer was lost on its way."""

    def submit(self, task: Task) -> None:
        """Put an attempt into the pipe of the worker that has least to do."""
        worker = min(self._all, key=lambda worker: len(worker.tasks))
        worker.tasks.append(task)
        if len(worker.tasks) == 1:
            self._begin(worker)

    def kill(self, attempt: AttemptId) -> None:
        """End the worker that is at an attempt, or as soon as it comes to it."""
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
        """The leader ended, and they with it."""
        self.gone = True

    def busy(self) -> list[SimulatedWorker]:
        """Those that are at something."""
        return [worker for worker in self._all if worker.tasks]

    def die(self, worker: SimulatedWorker) -> None:
        """Everything that was with a worker is lost; another takes its place."""
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
            return  # until somebody ends it
        self._later(worker, takes, lambda: self._end(worker, task, fate, takes))

    def _place(self, task: Task) -> tuple[str, str]:
        """What an attempt's fate is drawn by: what a plan does changes nothing for production."""
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

    def _end(self, worker: SimulatedWorker, task: Task, fate: float, takes: int) -> None:
        if 0.085 <= fate < 0.105:
            self.die(worker)
            return
        answer = self._answer(task, fate, takes)
        worker.tasks.pop(0)
        self._send(answer)
        if worker.tasks:
            self._begin(worker)

    def _answer(self, task: Task, fate: float, takes: int) -> SimulatedTaskFinished:
        failed = {0.03: FailureKind.TRANSIENT, 0.045: FailureKind.DETERMINISTIC, 0.055: FailureKind.RESOURCES}
        for bound, kind in failed.items():
            if fate < bound:
                return SimulatedTaskFinished(task.attempt, state=PartitionState.FAILED, kind=kind)
        if fate < 0.085:
            return SimulatedTaskFinished(task.attempt, state=PartitionState.HELD if fate < 0.07 else PartitionState.REJECTED)
        if self._world.disk_is_full():
            return SimulatedTaskFinished(task.attempt, state=PartitionState.FAILED, kind=FailureKind.RESOURCES)
        too_much = self._too_much(task)
        if too_much is not None:
            return SimulatedTaskFinished(task.attempt, state=PartitionState.FAILED, kind=too_much)
        files = tuple(self._world.lake.stage(content) for content in task.contents)
        together = self._world.rules.nodes[task.node].batch_max > 1  # then it is so quick that there is something to compute together
        return SimulatedTaskFinished(task.attempt, files, seconds=takes / SECOND / (100 if together else 1))

    def _too_much(self, task: Task) -> FailureKind | None:
        """Why several partitions at once come to nothing, where one alone would come to something."""
        scenario, several = self._world.scenario, len(task.keys) > 1 and not self._world.rules.nodes[task.node].is_source
        if several and task.prove and task.node in scenario.lying:
            return FailureKind.NOT_SEPARABLE
        return FailureKind.RESOURCES if several and len(task.keys) > scenario.heavy.get(task.node, len(task.keys)) else None

    def _send(self, answer: Answer) -> None:
        """A worker's end is always noticed; its answers may be late, come twice or never."""
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
