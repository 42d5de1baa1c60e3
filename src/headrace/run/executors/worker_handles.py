"""One worker as the leader sees it: a process, the pipes to it, what it was given and what it uses."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable
from typing import NamedTuple

from headrace.engine.logs import OutputPipes
from headrace.govern.secrets import Secrets
from headrace.model import PythonBody
from headrace.run.executors import memory
from headrace.run.executors.fork_servers import ForkServer, strike
from headrace.run.executors.settings import WorkerSettings
from headrace.run.folders import Folders
from headrace.run.frames import answers_inbox, encode
from headrace.run.handing import kind_of, with_handed
from headrace.run.messages import Answer, ComputeTask, Returned, Task, WorkerReady
from headrace.schedule import AttemptId

READ_BYTES = 1 << 16
WINDOW_SECONDS = 0.02
"""Behind the task that it is at, a worker has so much work that it needn't wait for the leader's turn: that is a few milliseconds, in
which files are synced as well."""
WINDOW_MAX = 32
WEIGHT = 0.3
"""Of the newest task in the running mean."""


class AssignedTask(NamedTuple):
    """A task that a worker has, or will have as soon as it reads."""

    attempt: AttemptId
    task: Task
    memory_max_bytes: int | None


class WorkerHandle:
    """A process that is starting, works, or has ended. Nothing here waits for it but `bury`."""

    unwanted = False
    """It was ended because nobody wants what it was to do."""
    kind: Hashable = None
    """What it was handed besides tasks (`run.handing.kind_of`); None for nothing that matters."""

    def __init__(
        self,
        fork_server: ForkServer,
        settings: WorkerSettings,
        secrets: Secrets,
        arrived: Callable[[WorkerHandle], None],
        *,
        background: bool = False,
    ) -> None:
        """`secrets` resolves what its tasks are handed. `arrived` is told when the process exists. One of the background gives way to all
        others."""
        task_read, self.task_write = os.pipe()
        self.answer_read, answer_write = os.pipe()
        recall_read, self._recall_write = os.pipe()
        for descriptor in (self.task_write, self.answer_read, self._recall_write):
            os.set_blocking(descriptor, False)
        self._channel = OutputPipes.open()
        self._fork_server, self._secrets, self._arrived, self.background = fork_server, secrets, arrived, background
        self._memory_max_bytes = settings.memory_of(background=background)
        self.started = time.monotonic()
        self.pid = 0
        """0 until the process exists."""
        self.pidfd = -1
        """Readable when the process has ended, where the system has that."""
        self.given: deque[AssignedTask] = deque()
        self._condemned: dict[AttemptId, str] = {}
        self._doomed = ""
        """Why it was ended, where it was."""
        self._meant: AttemptId | None = None
        """The attempt that it was ended for."""
        self.over: tuple[int, int] | None = None
        """It was ended because it used more than its limit: both in bytes."""
        self.ready = False
        self.failure = ""
        """Why there is no process."""
        self.code: str | None = None
        """The applied version of the Python that it has loaded."""
        self.python_tasks = 0
        self.began = self.idle_since = 0.0
        """When it could begin what it is at; when it gave its last answer."""
        self.recalled = False
        """Whether it was asked for what it hasn't begun, since its last answer."""
        self._mean: float | None = None
        """Seconds from task to task, the newest weighing most."""
        self.rested = True
        """Whether its memory needn't be looked at until it works again."""
        self._inbox, self._outbox = answers_inbox(), bytearray()
        fork_server.fork([task_read, answer_write, recall_read, *self._channel.ends], self._started, background=background)
        _close(task_read, answer_write, recall_read)
        self._channel.keep_reading()

    def _started(self, pid: int, failure: str) -> None:
        self.pid, self.failure = pid, failure
        if pid and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.pidfd = os.pidfd_open(pid)
        if pid:
            self._arrived(self)
        if self._doomed:
            self._strike()

    # Tasks

    def give(self, attempt: AttemptId, task: Task) -> None:
        """Queue a task; `flush` sends it."""
        limit = self._memory_max_bytes
        if isinstance(task, ComputeTask):
            limit = task.memory_max_bytes or limit
            if isinstance(task.body, PythonBody):
                self.code, self.python_tasks = task.code, self.python_tasks + 1
        if not self.given:
            self.began = time.monotonic()
        self.given.append(AssignedTask(attempt, task, limit))
        self.rested = False
        self.kind = kind_of(task) if self.kind is None else self.kind
        self._outbox += encode(with_handed(task, os.environ, self._secrets))

    def flush(self) -> bool:
        """Send what it takes without waiting; whether that was all. One that is dead already will be noticed elsewhere."""
        try:
            while self._outbox:
                sent = os.write(self.task_write, self._outbox)
                del self._outbox[:sent]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            self._outbox.clear()
        return True

    def read(self) -> tuple[list[Answer | WorkerReady | Returned], bool | None]:
        """Answers that have come in, and whether there may be more at once; None if there never will be. Raises ValueError or
        msgspec.DecodeError for what is no answer."""
        try:
            data = os.read(self.answer_read, READ_BYTES)
        except BlockingIOError:
            return [], False
        return self._inbox.feed(data), True if data else None

    def answered(self, answer: Answer) -> AttemptId:
        """Which attempt that is the answer to. What was condemned while it waited is begun now, and ended. Raises ValueError for an
        answer to something else."""
        if not self.given or answer.attempt != str(self.given[0].attempt):
            raise ValueError(f"nobody asked for {answer.attempt[:40]!r}")
        done = self.given.popleft()
        now = time.monotonic()
        self._mean = now - self.began if self._mean is None else self._mean + WEIGHT * (now - self.began - self._mean)
        self.began, self.recalled, self.idle_since = now, False, now
        self._condemned.pop(done.attempt, None)
        if self.given and (reason := self._condemned.get(self.given[0].attempt)) is not None:
            self._drop(reason)
        return done.attempt

    @property
    def window(self) -> int:
        """How many tasks it may have at a time: more than one where they are so short that it would wait for the next."""
        return 1 if self._mean is None else min(WINDOW_MAX, 1 + int(WINDOW_SECONDS / max(self._mean, 1e-6)))

    def recall(self) -> None:
        """Ask for the tasks that it hasn't begun, those that lie in its pipe included."""
        self.recalled, self._mean = True, None
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # it was asked already; it is dead, which is noticed elsewhere
            os.write(self._recall_write, b".")

    def returned(self, attempts: Collection[str]) -> list[AssignedTask]:
        """Tasks that it gives back, in the order in which it was given them."""
        back = [task for task in self.given if str(task.attempt) in attempts]
        for task in back:
            self.given.remove(task)
        return back

    def used(self) -> int:
        """Bytes of memory that the process itself uses."""
        return memory.of_process(self.pid) if self.pid else 0

    # Its end

    def limit(self, used: int) -> bool:
        """End the process if what it is at may not use so much; whether it uses more than half of what it may."""
        allowed = self.given[0].memory_max_bytes if self.given else None
        if allowed is not None and used > allowed:
            self.over = (used, allowed)
            self.doom(f"was ended because it used {_mebibytes(used)} of memory, more than its limit of {_mebibytes(allowed)}")
        return allowed is not None and used > allowed / 2

    def condemn(self, attempt: AttemptId, reason: str) -> None:
        """End the process as soon as it works at this attempt, and not what it is at now."""
        self._condemned[attempt] = reason
        if self.given[0].attempt == attempt:
            self._drop(reason)

    def _drop(self, reason: str) -> None:
        self.unwanted = True
        self.doom(reason)

    def doom(self, reason: str) -> None:
        """End the process with what it is at."""
        if not self._doomed:
            self._doomed, self._meant = reason, self.given[0].attempt if self.given else None
            self._strike()

    def await_birth(self) -> None:
        """Wait until it is known whether there is a process."""
        while not self.pid and not self.failure and self._fork_server.alive:
            self._fork_server.listen()

    def _strike(self) -> None:
        if self.pid:
            strike(self.pid)

    def bury(self, folders: Folders) -> str:
        """End the process with all that it started, keep what it printed last, and close the pipes; how it ended."""
        status = self._fork_server.reap(self.pid) if self.pid else None
        if self.given:
            head = self.given[0]
            self._channel.rescue(folders.log(*head.attempt), head.task.now_us, self._secrets.redactor)
        _close(self.task_write, self.answer_read, self._recall_write, self.pidfd)
        self._channel.close()
        return self._how(status)

    def lost(self) -> tuple[AttemptId | None, tuple[AttemptId, ...]]:
        """After its end: what it was at, and what it hadn't begun; that is all if it died before it was ready. Where it was ended for one
        attempt, and that was answered at the last moment, the next one isn't to blame."""
        attempts = [task.attempt for task in self.given]
        innocent = attempts[:1] != [self._meant] if self._doomed else not self.ready
        if innocent or not attempts:
            return None, tuple(attempts)
        return attempts[0], tuple(attempts[1:])

    def _how(self, status: int | None) -> str:
        if self._doomed:
            return self._doomed
        text = "" if self.ready else self._fork_server.last_words()
        if status is None:
            return self.failure or "ended, and so did the process that would know how"
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return f"exited with code {code}{text}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}{text}"
        return f"was ended by signal {-code}{text}"


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
