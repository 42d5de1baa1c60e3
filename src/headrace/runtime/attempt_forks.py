"""Python assets in a process of their own: forked for an attempt, restricted, ended with it.

A worker has threads and open databases, so it can't be forked safely. Before it starts any, it
forks one process that stays without threads (`fork_attempts`), which forks for each attempt ahead
of it. The attempt's process stages rows in a folder of its own, below the table's; the worker
checks what it reports, and copies or moves the files (`fork_answers`).
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from headrace.engine import sandbox
from headrace.engine.compute import AssetOutput, error_of
from headrace.engine.failures import BodyFailed
from headrace.engine.logs import LogFile, OutputPipes
from headrace.lake import FileRef
from headrace.lake.sqltext import tables_in
from headrace.runtime.folders import Folders
from headrace.runtime.fork_answers import AttemptPlaces, checked
from headrace.runtime.fork_attempts import serve
from headrace.runtime.fork_messages import (
    DONE,
    ENDED,
    EVENT,
    IMPORT,
    MODULE,
    MODULES_MAX,
    PACKET_BYTES_MAX,
    READY,
    SIZE,
    TAKEN,
    ForkJob,
    own_folder,
)
from headrace.runtime.messages import ComputeTask

INPUT_FILES_MAX = 200
"""Up to this many input files are allowed one by one, more by the folders of their tables."""
RESULT_BYTES_MAX = 256 * 1024 * 1024
READ_BYTES = 1 << 16
_PROCESSOR_CLOCK = 2
"""`CPUCLOCK_SCHED`: with the complement of a process id, its clock for clock_gettime(2)."""


class AttemptForks:
    """A worker's end of the process that forks for its attempts."""

    def __init__(self, control: socket.socket, pipes: OutputPipes) -> None:
        self._control, self._pipes = control, pipes
        self._ahead: deque[_Process] = deque()
        self._ended: dict[int, int] = {}
        """Process id → status, of processes whose end was told."""
        self._last: _Process | None = None
        self._imports = 0
        """The number of requests to import whose end wasn't told."""

    @classmethod
    def start(cls, close: Sequence[int], folders: Folders) -> AttemptForks:
        """Fork the process; the caller has no thread yet. `close` are the worker's own pipes."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = OutputPipes.open()
        if os.fork() == 0:
            try:
                ours.close()
                for descriptor in close:
                    os.close(descriptor)
                serve(theirs, pipes, folders)
            finally:
                os._exit(1)
        theirs.close()
        return cls(ours, pipes)

    def compute(
        self,
        task: ComputeTask,
        folders: Folders,
        log: LogFile,
        *,
        threads: int,
        memory_max_bytes: int | None,
    ) -> AssetOutput:
        """Compute the task in a process of its own. Raises `BodyFailed`.

        Ends this process as the attempt's ended if that gave no answer.
        """
        process = self._next()
        places = AttemptPlaces.of(task, folders, process.name)
        try:
            job = _job(task, folders, places, threads, memory_max_bytes)
            data = process.answered(msgspec.msgpack.encode(job))
            if data is None:
                self._end_as(process, task, places, log)
            cpu_seconds = process.cpu_seconds()
            result = checked(data, task, places, lambda: self._end(process))
            log.lines += result.lines
            self._import(result.modules)
        finally:
            process.kill()
            shutil.rmtree(places.staging, ignore_errors=True)  # again once the process has ended
            self._control.send(DONE + process.name.encode() + os.fsencode(places.staging))
        cpu_seconds = max(cpu_seconds, result.measures.cpu_seconds)  # that has its children
        measures = msgspec.structs.replace(result.measures, cpu_seconds=cpu_seconds)
        if result.output is not None:
            return msgspec.structs.replace(result.output, measures=measures)
        failure = BodyFailed(result.error or error_of(RuntimeError("no result")))
        failure.measures = measures
        raise failure

    def close(self) -> None:
        """Let the process that forks end, with all that it forked."""
        while self._ahead:
            self._ahead.popleft().kill()
        self._control.close()

    def _next(self) -> _Process:
        """Return a process that waits for an attempt, once the previous one has ended."""
        if self._last is not None:
            self._end(self._last)
        while self._imports or not self._ahead:
            self._receive()
        self._last = self._ahead.popleft()
        self._control.send(TAKEN)
        self._last.begin()
        return self._last

    def _end(self, process: _Process) -> int:
        """Kill the process, and return its status once it and what it started have ended."""
        process.kill()
        while process.pid not in self._ended:
            self._receive()
        status = self._ended[process.pid]
        self._ended.clear()
        self._ended[process.pid] = status
        return status

    def _end_as(
        self, process: _Process, task: ComputeTask, places: AttemptPlaces, log: LogFile
    ) -> NoReturn:
        status = self._end(process)
        with contextlib.suppress(OSError):  # the code may have put anything in place of its log
            self._pipes.rescue(places.log, task.now_us, log.redactor, task.scope.partitions)
        _end_alike(status)

    def _receive(self) -> None:
        """Receive one message of the process that forks."""
        data, descriptors = b"", list[int]()
        with contextlib.suppress(ConnectionResetError):
            data, descriptors, *_ = socket.recv_fds(self._control, EVENT.size, 2)
        if not data:  # it was killed: another worker has one
            os._exit(1)
        kind, pid, status, name = EVENT.unpack(data)
        if kind == READY:
            channel, descriptor = descriptors
            process = _Process(pid, name.decode(), socket.socket(fileno=channel), descriptor)
            self._ahead.append(process)
        elif kind == ENDED:
            self._ended[pid] = status
        else:
            self._imports -= 1
            while self._ahead:  # without these modules
                self._ahead.popleft().kill()

    def _import(self, modules: Sequence[str]) -> None:
        names = [name for name in modules[:MODULES_MAX] if MODULE.fullmatch(name)]
        while len(text := "\n".join(names).encode()) >= PACKET_BYTES_MAX:
            names = names[: len(names) // 2]
        if names:
            self._control.send(IMPORT + text)
            self._imports += 1


class _Process:
    """The process of one attempt, forked ahead."""

    def __init__(self, pid: int, name: str, channel: socket.socket, descriptor: int) -> None:
        self.pid, self.name = pid, name
        self._channel, self._descriptor = channel, descriptor
        self._clock = (~pid << 3) | _PROCESSOR_CLOCK
        self._began = 0.0
        self._is_open = True

    def begin(self) -> None:
        """Measure its processor time from here on: before, it rehearsed."""
        self._began = self._processor_seconds()

    def cpu_seconds(self) -> float:
        """Return the processor time of the attempt; 0 if the process has ended."""
        return max(self._processor_seconds() - self._began, 0.0)

    def _processor_seconds(self) -> float:
        try:
            return time.clock_gettime(self._clock)
        except OSError:
            return 0.0

    def answered(self, job: bytes) -> bytes | None:
        """Send the job and return the answer; None if the process ends without one.

        An answer that is too large is empty.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.sendall(SIZE.pack(len(job)) + job)
        data = bytearray()
        self._channel.setblocking(False)
        waiting = select.poll()
        waiting.register(self._channel, select.POLLIN)
        waiting.register(self._descriptor, select.POLLIN)
        ended = False
        while not ended:
            ended = any(number == self._descriptor for number, _ in waiting.poll())
            is_open = _reads_on(self._channel, data)
            if (answer := _answer_in(data)) is not None:
                return answer
            if not is_open and not ended:
                waiting.unregister(self._channel)
        return None

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._is_open:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            os.close(self._descriptor)
            self._channel.close()
            self._is_open = False


def _answer_in(data: bytearray) -> bytes | None:
    """Return the complete answer, which is empty if it is too large; None if bytes are missing."""
    if len(data) < SIZE.size:
        return None
    end = SIZE.size + SIZE.unpack_from(data)[0]
    if end > RESULT_BYTES_MAX:
        return b""
    return bytes(data[SIZE.size : end]) if len(data) >= end else None


def _reads_on(channel: socket.socket, data: bytearray) -> bool:
    """Add what can be read now; return whether there may be more later."""
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while part := channel.recv(READ_BYTES):
            data += part
            if len(data) > RESULT_BYTES_MAX + SIZE.size:
                return False
        return False
    return True


def _job(
    task: ComputeTask, folders: Folders, places: AttemptPlaces, threads: int, memory: int | None
) -> ForkJob:
    code_root = folders.code / (task.code or "")
    inputs = _input_paths(task, folders.lake)
    access = sandbox.access_beyond(
        task, folders, read=(code_root, *inputs), write=(places.own, places.staging)
    )
    _link_log(folders.log(*_attempt(task)), places.log)
    return ForkJob(
        task=task,
        folders=own_folder(folders, places.own.name),
        staged=places.staged,
        read=access.read,
        write=access.write,
        ports=access.ports,
        threads=threads,
        memory_max_bytes=memory,
    )


def _link_log(path: Path, link: Path) -> None:
    """Create the attempt's log, and a link to it in the attempt's folder, beside its spools."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    link.hardlink_to(path)


def _attempt(task: ComputeTask) -> tuple[int, int]:
    epoch, _, n = task.scope.attempt.partition(".")
    return int(epoch), int(n)


def _input_paths(task: ComputeTask, lake: Path) -> list[Path]:
    """Return the files that the task reads, or the folders of their tables if they are many."""
    inputs = [*task.inputs, *(data for call in task.call_inputs for data in call)]
    files: list[FileRef] = [file for data in tables_in(inputs) for file in data.files]
    files += [file.ref for file in task.state.files] if task.state is not None else []
    paths = {path for file in files for path in (file.path, *(each.path for each in file.deletes))}
    if len(paths) > INPUT_FILES_MAX:
        paths = {str(Path(path).parent) for path in paths}
    return [lake / path for path in sorted(paths)]


def _end_alike(status: int) -> NoReturn:
    """End this process as the fork ended, so that the leader sees how the code ended it."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)
