"""Warm workers: processes that wait for tasks.

A worker is replaced when it dies, hangs, uses too much memory or has outdated code loaded. `count`
workers run attempts. Observations of sources have separate workers, started when needed, so that
one that hangs delays no attempt. Background attempts have another `count` workers, which get the
processor time that the others leave. Only `wait` waits for a worker: data that a worker doesn't
read stays in the leader's memory.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections import deque
from functools import partial
from typing import Self

import msgspec

from headrace.engine import BodyError, ErrorKind, Measures
from headrace.engine.attempts import MEMORY_HINT
from headrace.runtime.executors import (
    LostWorker,
    News,
    ObservationFinished,
    TaskFinished,
    WorkersBroken,
)
from headrace.runtime.executors.workers import AssignedTask, ForkServer, MemoryMonitor, WorkerHandle
from headrace.runtime.messages import (
    Answer,
    ComputeTask,
    FailedOutcome,
    ObserveTask,
    Returned,
    SourceObserved,
    Task,
    WorkerReady,
)
from headrace.runtime.task_environments import environment_kind
from headrace.runtime.worker_protocol import WakeUpPipe, WorkerSettings, scrub_log, scrubbed
from headrace.scheduler import AttemptId
from headrace.security.secrets import Secrets
from headrace.store.requests import WakeListener

# Workers of one kind of work, and the tasks that wait for one.

STUCK_SECONDS = 0.02
"""Time that a worker may spend on one task before its unstarted tasks go to other workers."""


class WorkerPool:
    """At most `count` workers and the tasks that wait for one.

    The executor starts and ends the workers.
    """

    def __init__(self, count: int, *, background: bool = False) -> None:
        self.count, self.background = count, background
        self.workers: list[WorkerHandle] = []
        self.waiting: deque[tuple[AttemptId, Task]] = deque()
        """Tasks that no worker has yet."""
        self.busy_at = 0.0
        """When the pool last had work, by the monotonic clock."""

    @property
    def idle(self) -> bool:
        """Whether no worker has a task, and no task waits."""
        return not self.waiting and not any(worker.given for worker in self.workers)

    def add(self, attempt: AttemptId, task: Task) -> None:
        """Queue a task."""
        self.busy_at = time.monotonic()
        self.waiting.append((attempt, task))

    def drop(self, attempt: AttemptId) -> bool:
        """Remove an attempt from the queue; return whether it was there."""
        before = len(self.waiting)
        self.waiting = deque(item for item in self.waiting if item[0] != attempt)
        return len(self.waiting) < before

    def take_back(self, tasks: list[AssignedTask]) -> None:
        """Queue tasks that a worker gave back before all others."""
        self.waiting.extendleft((task.attempt, task.task) for task in reversed(tasks))

    def least(self) -> WorkerHandle:
        """Return the worker with the fewest tasks."""
        return min(self.workers, key=lambda handle: len(handle.given))

    def idle_one(self, task: Task) -> WorkerHandle | None:
        """Return an idle worker that may run the task; None if there is none."""
        return next(
            (worker for worker in self.workers if not worker.given and fits(worker, task)), None
        )

    def share(self, worker: WorkerHandle) -> int:
        """Return the number of tasks to send to a worker now.

        They keep it busy until its next answers arrive, and go in bulk: each send and each wake-up
        of the reader costs time.
        """
        room = worker.window - len(worker.given)
        if 2 * room < worker.window and worker.given:
            return 0
        return min(room, -(-len(self.waiting) // len(self.workers)))

    @property
    def stuck_soon(self) -> bool:
        """Whether a worker has tasks that would be recalled if its current one took long."""
        return any(len(worker.given) > 1 and not worker.recalled for worker in self.workers)

    def recall(self, now: float) -> None:
        """Recall the tasks behind one that takes long, so that idle workers can run them."""
        for worker in self.workers:
            if len(worker.given) > 1 and not worker.recalled and now - worker.began > STUCK_SECONDS:
                worker.recall()


def fits(worker: WorkerHandle, task: Task) -> bool:
    """Whether a worker may run a task, by its loaded code and its environment.

    Modules of another applied version can't be unloaded from a process.
    """
    code = task.code if isinstance(task, ComputeTask) else None
    return (code is None or worker.code in (None, code)) and suits(worker, task)


def suits(worker: WorkerHandle, task: Task) -> bool:
    """Whether a worker's environment holds nothing that the task must not see."""
    kind = environment_kind(task)
    return kind is None or worker.kind is None or worker.kind == kind


# The executor itself.

STARTS_MAX = 5
"""Failed starts in a row after which workers aren't started again: the environment is broken."""
LOOKOUTS_MAX = 3
"""Most workers for observations."""
IDLE_SECONDS_MAX = 60.0
"""Idle time after which workers for observations and background attempts end."""
PYTHON_TASKS_MAX = 5_000
"""Python tasks after which a worker is replaced.

Asset code may leave threads, descriptors and patched modules behind.
"""


class Pool:
    """Runs attempts in `count` warm workers. Use it as a context manager."""

    def __init__(self, settings: WorkerSettings, count: int) -> None:
        self._settings = settings
        self._secrets = Secrets(settings.folders.project)
        """Secrets sent with tasks, or resolved only to be redacted from answers."""
        self._front, self._background = self._pools = (
            WorkerPool(count),
            WorkerPool(count, background=True),
        )
        self._lookouts: list[WorkerHandle] = []
        self._leaving: list[WorkerHandle] = []
        """Workers that finish their tasks and get no more."""
        self._outgoing: set[WorkerHandle] = set()
        self._selector = selectors.DefaultSelector()
        self._watch = MemoryMonitor()
        self._fork_server: ForkServer | None = None
        self._news: list[News] = []
        self._failed_starts = 0
        self.woken = 0
        """Number of listeners registered by `watch` that ended the last `wait`."""
        self._observer_used_at = 0.0
        """When an observing worker last had work, by the monotonic clock."""

    @property
    def slots(self) -> int:
        """The number of attempts that run at once."""
        return self._front.count

    @property
    def background_slots(self) -> int:
        """The number of background attempts that run at once, in addition to `slots`."""
        return self._background.count

    def __enter__(self) -> Self:
        self._fill(self._front)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self, listener: WakeListener | WakeUpPipe) -> None:
        """Let `wait` return early when a process wakes the leader."""
        self._selector.register(listener, selectors.EVENT_READ, partial(self._wake, listener))

    # Tasks

    def submit(self, attempt: AttemptId, task: Task, *, background: bool = False) -> None:
        """Queue a task for the worker with the fewest tasks; `wait` sends it."""
        if isinstance(task, ObserveTask):
            self._give(self._lookout(), attempt, task)
        else:
            pool = self._background if background else self._front
            self._fill(pool)
            pool.add(attempt, task)
        self._watch.busy()

    def kill(self, attempt: AttemptId, reason: str) -> None:
        """End the worker of this attempt, at once or when it starts it; `wait` reports the loss."""
        if any(pool.drop(attempt) for pool in self._pools):
            self._news.append(LostWorker(None, (attempt,), reason))
        for worker in self._all:
            if any(task.attempt == attempt for task in worker.given):
                worker.condemn(attempt, reason)

    def wait(self, seconds: float | None) -> list[News]:
        """Return the news, waiting up to `seconds` for the first (None: without limit).

        Returns without news when a process wakes the leader.
        """
        self.send()
        until = None if seconds is None else time.monotonic() + seconds
        self.woken = 0
        while True:
            for key, _ in self._selector.select(self._seconds_to_wait(until)):
                # an earlier event may have closed this descriptor
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            self._check_workers()
            self.send()
            if self._news or self.woken or (until is not None and time.monotonic() >= until):
                news, self._news = self._news, []
                return news

    def _seconds_to_wait(self, until: float | None) -> float | None:
        """Return how long to wait for the next event, at most `until`; 0 if there is news."""
        if self._news:
            return 0.0
        left = None if until is None else max(0.0, until - time.monotonic())
        left = self._watch.left(left)
        if not any(pool.stuck_soon for pool in self._pools):
            return left
        # tasks stuck behind a long one can be recalled then
        return STUCK_SECONDS if left is None else min(left, STUCK_SECONDS)

    def stop(self) -> None:
        """End all workers, even busy ones."""
        # a listener that was closed before may still be registered, and its number be reused
        self._selector.close()
        self._selector = selectors.DefaultSelector()
        if not all(worker.pid for worker in self._all):
            self._forget_fork_server()  # pending workers never start, or find their pipes closed
        for worker in self._all:
            worker.doom("was ended with its executor")
        for worker in list(self._all):
            self._bury(worker)
        for workers in (
            self._front.workers,
            self._background.workers,
            self._lookouts,
            self._leaving,
        ):
            workers.clear()
        if self._fork_server is not None:
            self._forget_fork_server()
        self._selector.close()

    # Choice of the worker

    def _fill(self, pool: WorkerPool) -> None:
        while len(pool.workers) < pool.count:
            pool.workers.append(self._start(background=pool.background))

    def _deal(self) -> None:
        """Assign waiting tasks to workers."""
        for pool in self._pools:
            while (
                pool.waiting
                and (worker := self._worker(pool)) is not None
                and (share := pool.share(worker))
            ):
                for _ in range(share):
                    if fits(worker, pool.waiting[0][1]):
                        self._give(worker, *pool.waiting.popleft())

    def _give(self, worker: WorkerHandle, attempt: AttemptId, task: Task) -> None:
        worker.give(attempt, task)
        self._outgoing.add(worker)

    @property
    def _all(self) -> tuple[WorkerHandle, ...]:
        return (*self._front.workers, *self._background.workers, *self._lookouts, *self._leaving)

    def _worker(self, pool: WorkerPool) -> WorkerHandle | None:
        """Return the worker for the next task; None if it must wait.

        A worker with modules of another applied version, or with values that the task must not see,
        is replaced as soon as its tasks are done.
        """
        worker, task = pool.least(), pool.waiting[0][1]
        if fits(worker, task):
            return worker
        if (other := pool.idle_one(task)) is not None:
            return other
        return None if worker.given and not suits(worker, task) else self._retire(worker, pool)

    def _pool_of(self, worker: WorkerHandle) -> WorkerPool | None:
        """Return the pool of a worker; None for one that observes or leaves."""
        return next((pool for pool in self._pools if worker in pool.workers), None)

    def _lookout(self) -> WorkerHandle:
        self._observer_used_at = time.monotonic()
        worker = min(self._lookouts, key=lambda handle: len(handle.given), default=None)
        if worker is None or (worker.given and len(self._lookouts) < LOOKOUTS_MAX):
            worker = self._start()
            self._lookouts.append(worker)
        return worker

    def _retire(self, worker: WorkerHandle, pool: WorkerPool) -> WorkerHandle:
        """Replace a worker, which leaves when its tasks are done; return the new one."""
        place = pool.workers.index(worker)
        pool.workers[place] = self._start(background=pool.background)
        self._leave(worker)
        return pool.workers[place]

    def _leave(self, worker: WorkerHandle) -> None:
        if worker.given:
            self._leaving.append(worker)
        else:
            self._bury(worker)

    # Answers and ends of workers

    def _wake(self, listener: WakeListener | WakeUpPipe) -> None:
        listener.drain()
        self.woken += 1

    def send(self) -> None:
        """Send submitted tasks to workers with room, as far as that is possible without waiting."""
        self._deal()
        for worker in self._outgoing:
            # A worker that got more tasks while it waits for room is registered already.
            if not worker.flush() and worker.task_write not in self._selector.get_map():
                self._selector.register(
                    worker.task_write, selectors.EVENT_WRITE, partial(self._go_on_sending, worker)
                )
        self._outgoing.clear()

    def _go_on_sending(self, worker: WorkerHandle) -> None:
        if worker.flush():
            self._selector.unregister(worker.task_write)

    def _receive(self, worker: WorkerHandle) -> bool:
        """Process the answers of a worker; return whether there may be more."""
        try:
            answers, more = worker.read()
            for answer in answers:
                self._take(worker, answer)
        except (msgspec.DecodeError, ValueError) as error:
            worker.doom(f"answered something that is no answer: {error}")
            more = None
        if more is None:
            self._end(worker)
        elif not worker.given:
            self._done(worker)
        return bool(more)

    def _take(self, worker: WorkerHandle, answer: Answer | WorkerReady | Returned) -> None:
        if isinstance(answer, WorkerReady):
            worker.ready, self._failed_starts = True, 0
            return
        if isinstance(answer, Returned):
            (self._background if worker.background else self._front).take_back(
                worker.returned(answer.attempts)
            )
            return
        attempt = worker.answered(answer)
        answer = self._redacted(attempt, answer)
        self._news.append(
            ObservationFinished(attempt, answer)
            if isinstance(answer, SourceObserved)
            else TaskFinished(attempt, answer)
        )

    def _redacted(self, attempt: AttemptId, answer: Answer) -> Answer:
        """Return the answer, and redact the log, without secrets unknown to the worker."""
        if (redactor := self._secrets.redactor) is None:
            return answer
        if not isinstance(answer, SourceObserved) and answer.log_lines:
            scrub_log(self._settings.folders.log(*attempt), redactor)
        return scrubbed(answer, self._secrets)

    def _done(self, worker: WorkerHandle) -> None:
        """Handle a worker without tasks: end it if it leaves, replace it if it is worn out."""
        if worker in self._leaving:
            self._leaving.remove(worker)
            self._bury(worker)
        elif (
            worker.python_tasks >= PYTHON_TASKS_MAX and (pool := self._pool_of(worker)) is not None
        ):
            self._retire(worker, pool)

    def _died(self, worker: WorkerHandle) -> None:
        """Handle the end of a process; a child of it may still hold its pipe open."""
        while self._receive(worker):
            pass
        if worker in self._all:
            self._end(worker)

    def _end(self, worker: WorkerHandle) -> None:
        """Remove a worker that has ended, report its lost tasks, and start another for its pool."""
        how = self._bury(worker)
        running, queued = worker.lost()
        if worker.over is not None and running is not None:
            self._news.append(TaskFinished(running, _used_up(running, worker, *worker.over)))
            running = None
        if running is not None or queued:
            self._news.append(LostWorker(running, queued, how))
        for workers in (self._lookouts, self._leaving):
            if worker in workers:
                workers.remove(worker)
        if (pool := self._pool_of(worker)) is not None:
            pool.workers[pool.workers.index(worker)] = self._start(background=pool.background)
        if not worker.ready and not worker.unwanted:
            self._failed_starts += 1
        if self._failed_starts >= STARTS_MAX:
            raise WorkersBroken(self._failed_starts, how)

    def _check_workers(self) -> None:
        now = time.monotonic()
        for pool in self._pools:
            pool.recall(now)
        if self._watch.due(now):
            self._look_at_workers(now)
        self._let_idle_go(now)

    def _look_at_workers(self, now: float) -> None:
        for worker in self._watch.check(self._all, now):
            if (its_pool := self._pool_of(worker)) is not None:
                self._retire(worker, its_pool)
        for worker in self._watch.late(self._all, now):
            if not worker.pid:
                self._forget_fork_server()
            self._end(worker)

    def _let_idle_go(self, now: float) -> None:
        """End workers for observations and background attempts that have been idle for long."""
        behind = self._background
        if not behind.idle:
            behind.busy_at = now
        elif now - behind.busy_at > IDLE_SECONDS_MAX:
            self._dismiss(behind.workers)
        if now - self._observer_used_at > IDLE_SECONDS_MAX:
            self._dismiss(self._lookouts)

    def _dismiss(self, workers: list[WorkerHandle]) -> None:
        for worker in [worker for worker in workers if not worker.given]:
            workers.remove(worker)
            self._bury(worker)

    # Processes

    def _start(self, *, background: bool = False) -> WorkerHandle:
        if self._fork_server is None or not self._fork_server.alive:
            self._forget_fork_server()
            self._fork_server = ForkServer(self._settings)
            if self._fork_server.alive:
                self._selector.register(
                    self._fork_server.control, selectors.EVENT_READ, self._fork_server.listen
                )
        worker = WorkerHandle(
            self._fork_server, self._settings, self._secrets, self._arrived, background=background
        )
        self._selector.register(
            worker.answer_read, selectors.EVENT_READ, partial(self._receive, worker)
        )
        self._watch.busy()
        if not self._fork_server.alive:
            # its descriptor is closed, and the next one opened may get the same number
            self._forget_fork_server()
        return worker

    def _arrived(self, worker: WorkerHandle) -> None:
        if worker.pidfd >= 0:
            self._selector.register(worker.pidfd, selectors.EVENT_READ, partial(self._died, worker))

    def _bury(self, worker: WorkerHandle) -> str:
        worker.await_birth()
        for descriptor in (worker.answer_read, worker.task_write, worker.pidfd):
            if descriptor >= 0 and descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
        self._outgoing.discard(worker)
        how = worker.bury(self._settings.folders)
        if self._fork_server is not None and not self._fork_server.alive:
            self._forget_fork_server()
        return how

    def _forget_fork_server(self) -> None:
        fork_server, self._fork_server = self._fork_server, None
        if fork_server is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(fork_server.control)
            fork_server.stop()


def _used_up(attempt: AttemptId, worker: WorkerHandle, used: int, limit: int) -> FailedOutcome:
    """Return the failed outcome of an attempt that exceeded its memory limit."""
    measures = Measures(seconds=time.monotonic() - worker.began, peak_memory_bytes=used)
    message = f"it used {used / 2**20:,.0f} MiB of memory, and may use {limit / 2**20:,.0f} MiB"
    hint = MEMORY_HINT
    if isinstance(worker.given[0].task, ComputeTask):
        hint = (
            "yield batches instead of one table, make partitions smaller, or set `memory_max`"
            " higher (an asset's, or that of [run])"
        )
    return FailedOutcome(
        attempt=str(attempt),
        measures=measures,
        error=BodyError(ErrorKind.RESOURCES, message, hint=hint, code="out_of_memory"),
    )
