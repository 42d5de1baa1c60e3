"""A worker process: takes tasks from a pipe, runs user code, stages and audits, answers. Knows no state.

`python -m headrace.run.worker JSON`, started by `run.pool`. The main thread runs bodies; a second one reads tasks,
so that the end of the leader (the pipe closes) ends this process and what it started, whatever the body does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import signal
import sys
import threading
from typing import Any

import msgspec

from headrace.engine import BodyError, ErrorKind, Measures
from headrace.engine.logs import Channel
from headrace.run.frames import encode, read_task, write_all
from headrace.run.messages import Outcome, Produce, Ready, TakeIn, Task
from headrace.run.pool import Settings


class Start(msgspec.Struct, frozen=True):
    """The argument: the two pipes, those that catch what bodies print, and the settings."""

    tasks: int
    answers: int
    channel: Channel
    settings: Settings


def main() -> None:
    """Run until the leader closes the pipe."""
    start = msgspec.json.decode(sys.argv[1], type=Start)
    for fd in (start.tasks, start.answers, *start.channel.ends):
        os.set_inheritable(fd, False)  # a body's children must not hold the leader's pipes open
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(start.tasks, tasks), daemon=True).start()
    from headrace.run.steps.workshop import Workshop

    workshop = Workshop(start.settings, start.channel)
    write_all(start.answers, encode(Ready(os.getpid())))
    while True:
        outcome = perform(tasks.get(), workshop)
        write_all(start.answers, encode(outcome))


def _receive(fd: int, tasks: queue.SimpleQueue[Task]) -> None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        while (task := read_task(fd)) is not None:
            tasks.put(task)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(0, signal.SIGKILL)  # the leader is gone: end with everything that bodies started


def perform(task: Task, workshop: Any) -> Outcome:
    """Do one task. Whatever user code does, short of ending the process, becomes an outcome."""
    from headrace.run.steps.produce import produce
    from headrace.run.steps.take_in import take_in

    try:
        match task:
            case TakeIn():
                return take_in(task, workshop)
            case Produce():
                return produce(task, workshop)
    except BaseException as error:  # noqa: BLE001 - the one error boundary: nothing a task does ends the worker
        return Outcome(
            attempt=task.attempt if isinstance(task, TakeIn) else task.scope.attempt,
            state="failed",
            measures=Measures(),
            error=BodyError(
                kind=ErrorKind.RESOURCES if isinstance(error, MemoryError) else ErrorKind.DETERMINISTIC,
                message=f"{type(error).__name__}: {error}",
            ),
        )


if __name__ == "__main__":
    main()
