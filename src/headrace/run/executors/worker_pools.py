"""Workers that do one kind of work, and what waits for them."""

from __future__ import annotations

import time
from collections import deque

from headrace.run.executors.worker_handles import AssignedTask, WorkerHandle
from headrace.run.handing import kind_of
from headrace.run.messages import ComputeTask, Task
from headrace.schedule import AttemptId

STUCK_SECONDS = 0.02
"""What a worker hasn't begun is given to others when it has been at one task for so long."""


class WorkerPool:
    """At most `count` workers and the tasks that wait for one. The executor starts and ends them."""

    def __init__(self, count: int, *, background: bool = False) -> None:
        self.count, self.background = count, background
        self.workers: list[WorkerHandle] = []
        self.waiting: deque[tuple[AttemptId, Task]] = deque()
        """What no worker has been given yet."""
        self.busy_at = 0.0
        """When it had something to do last."""

    @property
    def idle(self) -> bool:
        """Whether nobody has anything to do, and nothing waits."""
        return not self.waiting and not any(worker.given for worker in self.workers)

    def add(self, attempt: AttemptId, task: Task) -> None:
        """Queue a task."""
        self.busy_at = time.monotonic()
        self.waiting.append((attempt, task))

    def drop(self, attempt: AttemptId) -> bool:
        """Take an attempt out of what waits; whether it was there."""
        before = len(self.waiting)
        self.waiting = deque(item for item in self.waiting if item[0] != attempt)
        return len(self.waiting) < before

    def take_back(self, given: list[AssignedTask]) -> None:
        """Tasks that a worker gave back are the next ones again."""
        self.waiting.extendleft((task.attempt, task.task) for task in reversed(given))

    def least(self) -> WorkerHandle:
        """The worker with the least to do."""
        return min(self.workers, key=lambda handle: len(handle.given))

    def idle_one(self, task: Task) -> WorkerHandle | None:
        """A worker that has nothing to do, and may be given the task as it is."""
        return next((worker for worker in self.workers if not worker.given and fits(worker, task)), None)

    def share(self, worker: WorkerHandle) -> int:
        """How many tasks a worker gets now: as much as keeps it busy until its next answers have come back, and many at a time: what
        costs is to send anything, and to wake who reads it."""
        room = worker.window - len(worker.given)
        if 2 * room < worker.window and worker.given:
            return 0
        return min(room, -(-len(self.waiting) // len(self.workers)))

    @property
    def stuck_soon(self) -> bool:
        """Whether somebody's tasks would be given to others if it took long."""
        return any(len(worker.given) > 1 and not worker.recalled for worker in self.workers)

    def recall(self, now: float) -> None:
        """What lies behind a task that takes long goes to whoever has nothing to do."""
        for worker in self.workers:
            if len(worker.given) > 1 and not worker.recalled and now - worker.began > STUCK_SECONDS:
                worker.recall()


def fits(worker: WorkerHandle, task: Task) -> bool:
    """Whether a worker has no modules of another applied version than a task's (those can't be taken out of a process), and was never
    handed what a task must not see."""
    code = task.code if isinstance(task, ComputeTask) else None
    return (code is None or worker.code in (None, code)) and suits(worker, task)


def suits(worker: WorkerHandle, task: Task) -> bool:
    """Whether a worker was handed nothing that a task must not see."""
    kind = kind_of(task)
    return kind is None or worker.kind is None or worker.kind == kind
