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
from typing import NoReturn

import msgspec

from headrace.engine.logs import Channel
from headrace.faults import Point, reached
from headrace.run.executors.settings import Settings
from headrace.run.frames import encode, read_task, write_all
from headrace.run.messages import Ready, Task
from headrace.run.steps.perform import perform
from headrace.run.steps.workshop import Workshop


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
    threading.Thread(target=_receive, args=(start.tasks, tasks), daemon=True).start()
    workshop = Workshop(start.settings, start.channel)
    write_all(start.answers, encode(Ready(os.getpid())))
    while True:
        task = tasks.get()
        reached(Point.TASK_TAKEN)
        outcome = perform(task, workshop)
        reached(Point.TASK_DONE)
        write_all(start.answers, encode(outcome))
        reached(Point.TASK_ANSWERED)


def _receive(fd: int, tasks: queue.SimpleQueue[Task]) -> None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        while (task := read_task(fd)) is not None:
            tasks.put(task)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(0, signal.SIGKILL)  # the leader is gone: end with everything that bodies started
