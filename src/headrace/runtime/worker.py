"""A worker process: performs one task at a time for the leader.

It takes tasks from a pipe, runs user code, stages and audits, and answers. It has no access to the
state. The thread that runs a task also reads the next one: the main thread, or for SQL assets a
restricted one (engine/query_thread.py). Another thread sleeps on a separate pipe, on which the
leader recalls tasks that haven't begun. The end of that pipe means that the leader is gone: the
thread then ends this process and its children, whatever the asset code does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import threading
from collections import deque
from typing import NoReturn

import msgspec

from headrace.engine.logs import OutputPipes
from headrace.engine.sandbox import available
from headrace.faults import FaultPoint, reached
from headrace.model import SqlBody
from headrace.runtime.attempt_forks import AttemptForks
from headrace.runtime.messages import Answer, ComputeTask, Returned, Task, WorkerReady
from headrace.runtime.steps.perform import perform
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings, encode_frame, tasks_inbox, write_all

READ_BYTES = 1 << 16


class Start(msgspec.Struct, frozen=True):
    """The descriptors of a worker's pipes, the pipes that capture output, and its settings."""

    tasks: int
    answers: int
    recalls: int
    """A byte recalls all tasks that haven't begun."""
    channel: OutputPipes
    settings: WorkerSettings


def work(start: Start) -> NoReturn:
    """Perform tasks until the leader closes the pipe."""
    for fd in (start.tasks, start.answers, start.recalls, *start.channel.ends):
        # children of asset code must not hold the leader's pipes open
        os.set_inheritable(fd, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    own_ends = (start.tasks, start.answers, start.recalls, *start.channel.ends)
    forks = None
    if start.settings.restricted and available():
        forks = AttemptForks.start(own_ends, start.settings.folders)
    tasks, answers = TaskPipe(start.tasks), _Answers(start.answers)
    threading.Thread(target=_listen, args=(start.recalls, tasks, answers), daemon=True).start()
    context = WorkerContext(start.settings, start.channel)
    context.forks = forks
    answers.send(WorkerReady(os.getpid()))
    loop = _Loop(tasks, answers, context)
    task = tasks.take()
    while task is not None:
        task = loop.perform(task)
    _end()


class _Loop:
    """Performs tasks one after the other; those of SQL assets in the restricted thread.

    A thread goes on with tasks of its kind: two thread switches for each would cost up to
    milliseconds on a busy machine.
    """

    def __init__(self, tasks: TaskPipe, answers: _Answers, context: WorkerContext) -> None:
        self._tasks, self._answers, self._context = tasks, answers, context

    def perform(self, task: Task) -> Task | None:
        """Perform the task and those of its kind that follow; return the first of the other kind.

        None if the leader is gone.
        """
        if _is_query(task):
            return self._context.in_query_thread(lambda: self._perform_alike(task, queries=True))
        return self._perform_alike(task, queries=False)

    def _perform_alike(self, task: Task, *, queries: bool) -> Task | None:
        following: Task | None = task
        while following is not None and _is_query(following) is queries:
            reached(FaultPoint.TASK_TAKEN)
            outcome = perform(following, self._context)
            reached(FaultPoint.TASK_DONE)
            self._answers.send(outcome)
            reached(FaultPoint.TASK_ANSWERED)
            following = self._tasks.take()
        return following


def _is_query(task: Task) -> bool:
    return isinstance(task, ComputeTask) and isinstance(task.body, SqlBody)


class TaskPipe:
    """The pipe from the leader, and the tasks read from it that haven't begun.

    The thread with the lock reads: the one that waits for a task, when there is nothing to give
    back.
    """

    def __init__(self, fd: int) -> None:
        self._fd, self._lock = fd, threading.Lock()
        self._inbox, self._waiting = tasks_inbox(), deque[Task]()
        self._readable = select.poll()
        self._readable.register(fd, select.POLLIN)

    def take(self) -> Task | None:
        """Return the next task, waiting for it.

        None if the leader is gone or sends invalid data.
        """
        with self._lock, contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
            while not self._waiting:
                if not self._read():
                    return None
            return self._waiting.popleft()
        return None

    def take_back(self) -> tuple[str, ...]:
        """Remove all tasks that haven't begun and return their attempts.

        This includes tasks in the pipe.
        """
        with self._lock:
            while self._readable.poll(0) and self._read():
                pass
            back = tuple(
                task.scope.attempt if isinstance(task, ComputeTask) else task.attempt
                for task in self._waiting
            )
            self._waiting.clear()
        return back

    def _read(self) -> bool:
        """Read available data, waiting for some; return whether the leader is still there."""
        data = os.read(self._fd, READ_BYTES)
        self._waiting.extend(self._inbox.feed(data))
        return bool(data)


class _Answers:
    """The pipe to the leader, which both threads write to."""

    def __init__(self, fd: int) -> None:
        self._fd, self._lock = fd, threading.Lock()

    def send(self, message: Answer | WorkerReady | Returned) -> None:
        data = encode_frame(message)
        with self._lock:
            write_all(self._fd, data)


def _listen(fd: int, tasks: TaskPipe, answers: _Answers) -> None:
    """Give back unstarted tasks whenever the leader recalls them, until the leader is gone."""
    with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
        while os.read(fd, READ_BYTES):
            answers.send(Returned(tasks.take_back()))
    _end()


def _end() -> NoReturn:
    """End this process with all of its children, because the leader is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
