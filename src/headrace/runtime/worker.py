"""A worker process: performs one task at a time for the leader.

It takes tasks from a pipe, runs user code, stages and audits, and answers. It has no access to the
state. The main thread reads tasks and runs them: handing each over from another thread would cost
two thread switches. A second thread sleeps on a separate pipe, on which the leader recalls tasks
that haven't begun. The end of that pipe means that the leader is gone: the thread then ends this
process and its children, whatever the asset code does.
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
    forks = AttemptForks.start(own_ends) if start.settings.restricted and available() else None
    tasks, answers = TaskPipe(start.tasks), _Answers(start.answers)
    threading.Thread(target=_listen, args=(start.recalls, tasks, answers), daemon=True).start()
    context = WorkerContext(start.settings, start.channel)
    context.forks = forks
    answers.send(WorkerReady(os.getpid()))
    while (task := tasks.take()) is not None:
        reached(FaultPoint.TASK_TAKEN)
        outcome = perform(task, context)
        reached(FaultPoint.TASK_DONE)
        answers.send(outcome)
        reached(FaultPoint.TASK_ANSWERED)
    _end()


class TaskPipe:
    """The pipe from the leader, and the tasks read from it that haven't begun.

    The thread with the lock reads: the main thread while it waits for a task, when there is nothing
    to give back.
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
