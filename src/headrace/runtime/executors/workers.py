"""The leader's end of worker processes: the fork server, worker handles, the memory monitor."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import NamedTuple

from headrace.engine.attempts import is_called_each
from headrace.engine.logs import OutputPipes
from headrace.model import PythonBody
from headrace.runtime import fork_server_start, worker_protocol
from headrace.runtime.folders import Folders
from headrace.runtime.messages import (
    Answer,
    ComputeTask,
    Returned,
    Task,
    WorkerReady,
)
from headrace.runtime.task_environments import environment_kind, with_handed
from headrace.runtime.worker_protocol import (
    BACKGROUND,
    FORK,
    REAP,
    REPLY,
    REQUEST,
    WorkerSettings,
    answers_inbox,
    encode_frame,
    encode_settings,
)
from headrace.scheduler import AttemptId
from headrace.security.audit import clean
from headrace.security.secrets import Secrets

# The leader's end of the fork server (`runtime.fork_server`).

STOP_SECONDS = 2.0
SILENT_SECONDS_MAX = 60.0
"""Time without a reply after which the fork server counts as stopped."""
SAID_MAX_BYTES, SAID_MAX = 4_096, 200
"""Of the last line that the process wrote: bytes to read, and characters to report."""
WhenStarted = Callable[[int, str], None]
"""Called with the new worker's process id, or with 0 and the reason why there is none."""


def strike(pid: int) -> None:
    """Kill a process and its process group, which may not exist yet."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


class ForkServer:
    """One fork server process.

    It starts when this is created, or was started ahead, and forks once its imports are done;
    nothing waits for it before. It may have ended already when this returns (`alive`): each `fork`
    then reports why.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.control, self._process, self._complaints = fork_server_start.take()
        self._said = ""
        self.control.settimeout(SILENT_SECONDS_MAX)
        self._waiting: deque[WhenStarted] = deque()
        self._reaped: list[tuple[int, int]] = []
        self._bytes = b""
        self.alive = True
        try:
            self.control.sendall(encode_settings(settings))
        except OSError:
            self._record_exit()

    def fork(
        self, descriptors: Sequence[int], started: WhenStarted, *, background: bool = False
    ) -> None:
        """Request a worker with these descriptors; a background worker gets low priority.

        `listen` or `reap` calls `started` when the reply arrives.
        """
        self._waiting.append(started)
        try:
            socket.send_fds(
                self.control, [REQUEST.pack(FORK, BACKGROUND if background else 0)], descriptors
            )
        except OSError:
            self._record_exit()

    def reap(self, pid: int) -> int | None:
        """Kill a worker and its children, wait for its end, and return its `os.waitpid` status.

        None if the fork server is gone, so that the status is unknown.
        """
        strike(pid)
        try:
            self.control.sendall(REQUEST.pack(REAP, pid))
        except OSError:
            self._record_exit()
        while self.alive and not self._reaped:
            self.listen()
        return self._reaped.pop()[1] if self._reaped else None

    def listen(self) -> None:
        """Process replies, waiting for one if there is none; detects the end of the process."""
        if not self._receive():
            self._record_exit()

    def _receive(self) -> bool:
        """Process the next replies; return False once the process has ended."""
        try:
            data = self.control.recv(64 * REPLY.size)
        except OSError:
            data = b""
        self._bytes += data
        while len(self._bytes) >= REPLY.size:
            kind, pid, status = REPLY.unpack_from(self._bytes)
            self._bytes = self._bytes[REPLY.size :]
            if kind == FORK:
                self._waiting.popleft()(
                    pid,
                    f"couldn't be forked: {errno.errorcode.get(status, status)}" if not pid else "",
                )
            else:
                self._reaped.append((pid, status))
        return bool(data)

    def last_words(self) -> str:
        """Return the last line written by the process or by a starting worker, after a colon.

        Empty if there is none.
        """
        if self._complaints.closed:
            return self._said
        size = os.fstat(self._complaints.fileno()).st_size
        text = os.pread(
            self._complaints.fileno(), SAID_MAX_BYTES, max(0, size - SAID_MAX_BYTES)
        ).decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f": {clean(lines[-1])[:SAID_MAX]}" if lines else ""

    def stop(self) -> None:
        """End the process. Its running workers lose only their fork server.

        `started` is called for the workers that it has forked by then.
        """
        if self._waiting:
            self._process.terminate()
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_WR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        while self._receive():
            pass
        self.control.close()
        self._said = self.last_words()
        self._complaints.close()
        self.alive = False

    def _record_exit(self) -> None:
        if self.alive:
            self.stop()
        how = (
            "couldn't be started: the process that starts workers ended with code"
            f" {self._process.returncode}{self.last_words()}"
        )
        while self._waiting:
            self._waiting.popleft()(0, how)


# One worker as the leader sees it: a process, its pipes, its tasks and its memory.

READ_BYTES = 1 << 16
WINDOW_SECONDS = 0.02
"""Work that a worker has queued, so that it needn't wait for a loop iteration of the leader.

An iteration takes a few milliseconds, including the sync of files.
"""
WINDOW_MAX = 32
WEIGHT = 0.3
"""Weight of the newest task in the running mean."""


class AssignedTask(NamedTuple):
    """A task that a worker has, or gets as soon as it reads its pipe."""

    attempt: AttemptId
    task: Task
    memory_max_bytes: int | None


class WorkerHandle:
    """A worker process that is starting, works, or has ended. Only `bury` waits for it."""

    unwanted = False
    """Whether it was ended on request, with the attempt that it worked at."""
    kind: Hashable = None
    """The environment that its tasks gave it (`environment_kind`); None without a relevant one."""

    def __init__(
        self,
        fork_server: ForkServer,
        settings: WorkerSettings,
        secrets: Secrets,
        arrived: Callable[[WorkerHandle], None],
        *,
        background: bool = False,
    ) -> None:
        """`secrets` resolves the values that tasks get.

        `arrived` is called when the process exists. A background worker has the lowest priority.
        """
        task_read, self.task_write = os.pipe()
        self.answer_read, answer_write = os.pipe()
        recall_read, self._recall_write = os.pipe()
        for descriptor in (self.task_write, self.answer_read, self._recall_write):
            os.set_blocking(descriptor, False)
        self._channel = OutputPipes.open()
        self._fork_server, self._secrets, self._arrived, self.background = (
            fork_server,
            secrets,
            arrived,
            background,
        )
        self._memory_max_bytes = settings.memory_of(background=background)
        self.started = time.monotonic()
        self.pid = 0
        """Process id; 0 until the process exists."""
        self.pidfd = -1
        """Descriptor that is readable when the process has ended; -1 if the system has none."""
        self.given: deque[AssignedTask] = deque()
        self._condemned: dict[AttemptId, str] = {}
        self._doomed = ""
        """Why it was ended; empty if it wasn't."""
        self._meant: AttemptId | None = None
        """The attempt for which it was ended."""
        self.over: tuple[int, int] | None = None
        """Used and allowed bytes, if it was ended because of its memory."""
        self.ready = False
        self.failure = ""
        """Why there is no process."""
        self.code: str | None = None
        """The applied version of the Python code that it has loaded."""
        self.python_tasks = 0
        self.began = self.idle_since = 0.0
        """When it could start its current task; when it last answered (monotonic seconds)."""
        self.recalled = False
        """Whether its unstarted tasks were recalled since its last answer."""
        self._mean: float | None = None
        """Running mean of seconds per task, weighted towards the newest."""
        self.rested = True
        """Whether its memory needn't be checked until it works again."""
        self._inbox, self._outbox = answers_inbox(), bytearray()
        fork_server.fork(
            [task_read, answer_write, recall_read, *self._channel.ends],
            self._started,
            background=background,
        )
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
                self.code = task.code
                self.python_tasks += len(task.scope.partitions)
        if not self.given:
            self.began = time.monotonic()
        self.given.append(AssignedTask(attempt, task, limit))
        self.rested = False
        self.kind = environment_kind(task) if self.kind is None else self.kind
        self._outbox += encode_frame(with_handed(task, os.environ, self._secrets))

    def flush(self) -> bool:
        """Send as much as possible without waiting; return whether that was everything.

        A dead worker is noticed elsewhere.
        """
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
        """Return the answers that have arrived, and whether there may be more at once.

        The second value is None at the end of the pipe. Raises ValueError or msgspec.DecodeError
        for anything but an answer.
        """
        try:
            data = os.read(self.answer_read, READ_BYTES)
        except BlockingIOError:
            return [], False
        return self._inbox.feed(data), True if data else None

    def answered(self, answer: Answer) -> AttemptId:
        """Return the attempt of an answer; end the worker if the next attempt is condemned.

        Raises ValueError if the answer is to another task.
        """
        if not self.given or answer.attempt != str(self.given[0].attempt):
            raise ValueError(f"nobody asked for {answer.attempt[:40]!r}")
        done = self.given.popleft()
        now = time.monotonic()
        self._mean = (
            now - self.began
            if self._mean is None
            else self._mean + WEIGHT * (now - self.began - self._mean)
        )
        self.began, self.recalled, self.idle_since = now, False, now
        self._condemned.pop(done.attempt, None)
        if self.given and (reason := self._condemned.get(self.given[0].attempt)) is not None:
            self._drop(reason)
        return done.attempt

    @property
    def window(self) -> int:
        """The number of tasks that it may have at a time.

        It is more than one if tasks are so short that the worker would wait for the next.
        """
        return (
            1
            if self._mean is None
            else min(WINDOW_MAX, 1 + int(WINDOW_SECONDS / max(self._mean, 1e-6)))
        )

    def recall(self) -> None:
        """Request its unstarted tasks, including those in its pipe."""
        self.recalled, self._mean = True, None
        # a recall is pending already, or the worker is dead, which is noticed elsewhere
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._recall_write, b".")

    def returned(self, attempts: Collection[str]) -> list[AssignedTask]:
        """Return the tasks that it gives back, in the order of their assignment."""
        back = [task for task in self.given if str(task.attempt) in attempts]
        for task in back:
            self.given.remove(task)
        return back

    def used(self) -> int:
        """Return the bytes of memory that the process itself uses."""
        return worker_protocol.memory_of_process(self.pid) if self.pid else 0

    # Its end

    def limit(self, used: int) -> bool:
        """End the process if its current task exceeds its memory limit.

        Returns whether it uses more than half of the limit.
        """
        allowed = self.given[0].memory_max_bytes if self.given else None
        if allowed is not None and used > allowed:
            self.over = (used, allowed)
            self.doom(
                f"was ended because it used {_mebibytes(used)} of memory, more than its limit of"
                f" {_mebibytes(allowed)}"
            )
        return allowed is not None and used > allowed / 2

    def condemn(self, attempt: AttemptId, reason: str) -> None:
        """End the process when it works at this attempt: now, or as soon as it starts it."""
        self._condemned[attempt] = reason
        if self.given[0].attempt == attempt:
            self._drop(reason)

    def _drop(self, reason: str) -> None:
        self.unwanted = True
        self.doom(reason)

    def doom(self, reason: str) -> None:
        """End the process and its current task."""
        if not self._doomed:
            self._doomed, self._meant = reason, self.given[0].attempt if self.given else None
            self._strike()

    def await_birth(self) -> None:
        """Wait until the process exists or has failed to start."""
        while not self.pid and not self.failure and self._fork_server.alive:
            self._fork_server.listen()

    def _strike(self) -> None:
        if self.pid:
            strike(self.pid)

    def bury(self, folders: Folders) -> str:
        """End the process and its children, save its last output, close the pipes.

        Returns how the process ended, as a clause.
        """
        status = self._fork_server.reap(self.pid) if self.pid else None
        if status is None and self.pidfd >= 0:  # without its fork server, only this tells its end
            with selectors.DefaultSelector() as selector:
                selector.register(self.pidfd, selectors.EVENT_READ)
                selector.select(STOP_SECONDS)
        if self.given:
            head = self.given[0]
            self._channel.rescue(
                folders.log(*head.attempt),
                head.task.now_us,
                self._secrets.redactor,
                _called_partitions(head.task),
            )
        _close(self.task_write, self.answer_read, self._recall_write, self.pidfd)
        self._channel.close()
        return self._how(status)

    def lost(self) -> tuple[AttemptId | None, tuple[AttemptId, ...]]:
        """Return the running attempt and the unstarted ones, after its end.

        Before it was ready, all count as unstarted. If it was ended for an attempt that was
        answered at the last instant, the next attempt isn't to blame.
        """
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


def _called_partitions(task: Task) -> tuple[str, ...]:
    """Return the partitions for each of which the task calls a function; empty for one call."""
    if isinstance(task, ComputeTask) and is_called_each(task):
        return task.scope.partitions
    return ()


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


# Reads the memory of busy workers at negligible cost, and more often when a worker comes near its
# limit.

LOOK_SECONDS = 0.25
NEAR_SECONDS = 0.02
"""Interval while a worker uses more than half of its limit."""
SCAN_SECONDS = 1.0
SCAN_SHARE = 0.01
"""Largest share of a processor for scanning all processes, which finds workers' children."""
RESTING_BYTES_MAX = 128 * 2**20
"""An idle worker that uses more memory is replaced, which costs milliseconds.

Asset code left the memory behind.
"""
IDLE_SECONDS = 30.0
IDLE_BYTES_MAX = 40 * 2**20
"""Memory that a worker may keep after IDLE_SECONDS; a new worker has half of it."""
START_SECONDS_MAX = 60.0


class MemoryMonitor:
    """Decides when to check the memory of workers, and checks it."""

    def __init__(self) -> None:
        self._next = math.inf
        self._next_scan = 0.0

    def busy(self) -> None:
        """Note that a worker has a task."""
        if self._next == math.inf:
            self._next = time.monotonic() + LOOK_SECONDS

    def left(self, seconds: float | None) -> float | None:
        """Return the seconds until the next check, at most `seconds`; None for no limit."""
        if self._next == math.inf:
            return seconds
        until = max(0.0, self._next - time.monotonic())
        return until if seconds is None else min(seconds, until)

    def due(self, now: float) -> bool:
        """Whether the next check is due."""
        return now >= self._next

    def check(self, workers: Sequence[WorkerHandle], now: float) -> list[WorkerHandle]:
        """End workers above their limit; return idle ones that keep too much memory."""
        working = [worker for worker in workers if worker.given and worker.pid]
        near = [worker.limit(worker.used()) for worker in working]
        if working and now >= self._next_scan:
            self._scan(working, now)
        fat = [
            worker
            for worker in workers
            if not worker.given and not worker.rested and _keeps_too_much(worker, now)
        ]
        self._next = self._when(workers, now, near=any(near))
        return fat

    def _when(self, workers: Sequence[WorkerHandle], now: float, *, near: bool) -> float:
        if any(worker.given or not worker.ready for worker in workers):
            return now + (NEAR_SECONDS if near else LOOK_SECONDS)
        return min(
            (worker.idle_since + IDLE_SECONDS for worker in workers if not worker.rested),
            default=math.inf,
        )

    def late(self, workers: Sequence[WorkerHandle], now: float) -> list[WorkerHandle]:
        """End and return workers that have been starting for too long."""
        late = [
            worker
            for worker in workers
            if not worker.ready and now - worker.started > START_SECONDS_MAX
        ]
        for worker in late:
            worker.doom(f"wasn't ready after {START_SECONDS_MAX:.0f} s")
        return late

    def _scan(self, working: Sequence[WorkerHandle], now: float) -> None:
        by_pid = {worker.pid: worker for worker in working}
        for pid, used in worker_protocol.memory_of_sessions(set(by_pid)).items():
            by_pid[pid].limit(used)
        self._next_scan = now + max(SCAN_SECONDS, (time.monotonic() - now) / SCAN_SHARE)


def _keeps_too_much(worker: WorkerHandle, now: float) -> bool:
    long = now >= worker.idle_since + IDLE_SECONDS
    worker.rested = long
    return worker.used() > (IDLE_BYTES_MAX if long else RESTING_BYTES_MAX)
