"""Warm workers: started once, given tasks over pipes, replaced when they die, hang or are killed."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from typing import Self

import msgspec

from headrace.engine.logs import Channel
from headrace.model import HeadraceError
from headrace.run.executors import Finished, Lost, Saw
from headrace.run.folders import Folders
from headrace.run.frames import Inbox, encode, write_all
from headrace.run.messages import Looked, Ready, Task
from headrace.schedule import AttemptId
from headrace.store.wake import Listener

READ_BYTES = 1 << 16
STARTS_MAX = 5
"""A worker that dies this often before it is ready isn't started again: its environment is broken."""
STOP_SECONDS = 2.0


class Settings(msgspec.Struct, frozen=True):
    """What a worker is started with."""

    folders: Folders
    threads: int
    share: int
    """Threads for a small task, that neighbours run beside."""
    memory_max_bytes: int | None


class Worker:
    """One process and the two pipes to it."""

    def __init__(self, settings: Settings) -> None:
        task_read, self.task_write = os.pipe()
        self.answer_read, answer_write = os.pipe()
        os.set_blocking(self.answer_read, False)
        self.channel = Channel.open()
        pipes = {"tasks": task_read, "answers": answer_write, "channel": self.channel}
        argument = msgspec.json.encode({**pipes, "settings": settings}).decode()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace.run.worker", argument],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(task_read, answer_write, *self.channel.ends),
            start_new_session=True,  # its children end with it, and the terminal's Ctrl-C is the leader's alone
        )
        os.close(task_read)
        os.close(answer_write)
        self.channel.keep_reading()
        self.inbox = Inbox()
        self.tasks: deque[AttemptId] = deque()
        self.ready = False
        self.now_us = 0
        """The store's time when it last got a task."""
        self.doomed = ""
        """Why we killed it, where we did."""

    def give(self, attempt: AttemptId, task: Task) -> None:
        """Queue a task; a worker that is dead already will be noticed by `Pool.wait`."""
        self.now_us = task.now_us
        self.tasks.append(attempt)
        with contextlib.suppress(BrokenPipeError):
            write_all(self.task_write, encode(task))

    def end(self) -> None:
        """Kill the process with all that it started, and close the pipes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.task_write)
        os.close(self.answer_read)
        self.channel.close()


class Pool:
    """`count` workers. Use it as a context manager."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings, self._count = settings, count
        self._workers: list[Worker] = []
        self._selector = selectors.DefaultSelector()
        self._failed_starts = 0

    @property
    def slots(self) -> int:
        """How many workers there are."""
        return self._count

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self, listener: Listener) -> None:
        """Let `wait` return early when somebody wakes the leader."""
        self._selector.register(listener, selectors.EVENT_READ, listener)

    def submit(self, attempt: AttemptId, task: Task) -> None:
        """Give a task to the worker with the least to do."""
        min(self._workers, key=lambda w: len(w.tasks)).give(attempt, task)

    def kill(self, attempt: AttemptId, reason: str) -> None:
        """End the worker that holds this attempt; `wait` tells of the loss."""
        for worker in self._workers:
            if attempt in worker.tasks:
                worker.doomed = reason
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.process.pid, signal.SIGKILL)

    def wait(self, seconds: float | None) -> list[Finished | Saw | Lost]:
        """What happened, waiting up to `seconds` (None: until something does) for the first of it."""
        news: list[Finished | Saw | Lost] = []
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, Listener):
                key.data.drain()
            else:
                self._receive(key.data, news)
        return news

    def stop(self) -> None:
        """End all workers: politely while they are idle, by force otherwise."""
        for worker in self._workers:
            self._selector.unregister(worker.answer_read)
            if not worker.tasks:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if not worker.tasks:
                    worker.process.wait(max(0.0, deadline - time.monotonic()))
            worker.end()
        self._workers.clear()
        self._selector.close()

    def _start(self) -> None:
        worker = Worker(self._settings)
        self._workers.append(worker)
        self._selector.register(worker.answer_read, selectors.EVENT_READ, worker)

    def _receive(self, worker: Worker, news: list[Finished | Saw | Lost]) -> None:
        try:
            data = os.read(worker.answer_read, READ_BYTES)
        except BlockingIOError:
            return
        try:
            answers = worker.inbox.feed(data)
        except (msgspec.DecodeError, ValueError) as error:
            worker.doomed, answers, data = f"it answered something that is no answer: {error}", [], b""
        for answer in answers:
            if isinstance(answer, Ready):
                worker.ready, self._failed_starts = True, 0
            elif isinstance(answer, Looked):
                news.append(Saw(worker.tasks.popleft(), answer))
            else:
                news.append(Finished(worker.tasks.popleft(), answer))
        if not data:
            news.append(self._replace(worker))

    def _replace(self, worker: Worker) -> Lost:
        self._selector.unregister(worker.answer_read)
        self._workers.remove(worker)
        self._rescue(worker)
        worker.end()
        if not worker.ready:
            self._failed_starts += 1
        if self._failed_starts >= STARTS_MAX:
            raise WorkersBroken(self._failed_starts, _how(worker))
        self._start()
        tasks = list(worker.tasks)
        return Lost(tasks[0] if tasks else None, tuple(tasks[1:]), _how(worker))

    def _rescue(self, worker: Worker) -> None:
        """What a dead worker printed last belongs to the attempt that it was at."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        if worker.tasks:
            epoch, n = worker.tasks[0]
            worker.channel.rescue(self._settings.folders.log(epoch, n), worker.now_us)


class WorkersBroken(HeadraceError):
    """Workers die before they are ready: something in the environment keeps them from starting."""

    def __init__(self, times: int, how: str) -> None:
        super().__init__(
            f"workers died {times} times before they were ready; the last one {how}",
            hint="python -m headrace.run.worker must be able to start: look at memory limits and at the installation",
        )


def _how(worker: Worker) -> str:
    if worker.doomed:
        return worker.doomed
    code = worker.process.returncode
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"
    return f"exited with code {code}"
