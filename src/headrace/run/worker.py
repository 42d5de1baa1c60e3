"""A worker process: takes tasks from a pipe, runs user code, stages and audits, answers. Knows no state.

Forked by `run.mother`, which has imported all that bodies need. The main thread runs bodies; a second one reads tasks,
so that the end of the leader (the pipe closes) ends this process and what it started, whatever the body does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

import msgspec

from headrace.engine.logs import Channel
from headrace.faults import Point, reached
from headrace.run.executors.settings import Settings
from headrace.run.frames import encode, tasks_inbox, write_all
from headrace.run.messages import Answer, Produce, Ready, Recall, Returned, Task
from headrace.run.steps.perform import perform
from headrace.run.steps.workshop import Workshop

READ_BYTES = 1 << 16


class Start(msgspec.Struct, frozen=True):
    """What a worker is given: the two pipes, those that catch what bodies print, and the settings."""

    tasks: int
    answers: int
    channel: Channel
    settings: Settings


def work(start: Start) -> NoReturn:
    """Run until the leader closes the pipe."""
    for fd in (start.tasks, start.answers, *start.channel.ends):
        os.set_inheritable(fd, False)  # a body's children must not hold the leader's pipes open
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    answers = _Answers(start.answers)
    threading.Thread(target=_receive, args=(start.tasks, tasks, answers), daemon=True).start()
    workshop = Workshop(start.settings, start.channel)
    answers.send(Ready(os.getpid()))
    while True:
        task = tasks.get()
        reached(Point.TASK_TAKEN)
        outcome = perform(task, workshop)
        reached(Point.TASK_DONE)
        answers.send(outcome)
        reached(Point.TASK_ANSWERED)


class _Answers:
    """The pipe to the leader, which both threads write to."""

    def __init__(self, fd: int) -> None:
        self._fd, self._lock = fd, threading.Lock()

    def send(self, message: Answer | Ready | Returned) -> None:
        data = encode(message)
        with self._lock:
            write_all(self._fd, data)


def _receive(fd: int, tasks: queue.SimpleQueue[Task], answers: _Answers) -> None:
    inbox = tasks_inbox()
    with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
        while data := os.read(fd, READ_BYTES):
            for message in inbox.feed(data):
                if isinstance(message, Recall):
                    answers.send(Returned(tuple(_not_begun(tasks))))
                else:
                    tasks.put(message)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(0, signal.SIGKILL)  # the leader is gone: end with everything that bodies started


def _not_begun(tasks: queue.SimpleQueue[Task]) -> Iterator[str]:
    """Take back what the main thread hasn't taken."""
    with contextlib.suppress(queue.Empty):
        while True:
            task = tasks.get_nowait()
            yield task.scope.attempt if isinstance(task, Produce) else task.attempt
