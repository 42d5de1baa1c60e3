"""Python assets in a process of their own: forked for an attempt, restricted, ended with it.

A worker has threads and open databases, so it can't be forked safely. Before it starts any, it
forks one process that stays without threads (`fork_attempts`), and asks that one to fork for each
attempt. The fork stages rows in a folder of its own, below the table's; the worker checks what it
reports and moves the files (`fork_answers`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
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
from headrace.runtime.fork_messages import ENDED, MODULE, MODULES_MAX, AttemptFolders, ForkJob
from headrace.runtime.messages import ComputeTask

INPUT_FILES_MAX = 200
"""Up to this many input files are allowed one by one, more by the folders of their tables."""
RESULT_BYTES_MAX = 256 * 1024 * 1024
READ_BYTES = 1 << 16
REQUEST_BYTES_MAX = 150_000


class AttemptForks:
    """A worker's end of the process that forks for its attempts."""

    def __init__(self, control: socket.socket, pipes: OutputPipes) -> None:
        self._control, self._pipes = control, pipes

    @classmethod
    def start(cls, close: Sequence[int]) -> AttemptForks:
        """Fork the process; the caller has no thread yet. `close` are the worker's own pipes."""
        ours, theirs = socket.socketpair()
        pipes = OutputPipes.open()
        if os.fork() == 0:
            try:
                ours.close()
                for descriptor in close:
                    os.close(descriptor)
                serve(theirs, pipes)
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
        """Compute the task in a new fork. Raises `BodyFailed`.

        Ends this process as the fork ended if that gave no answer.
        """
        places = AttemptPlaces.of(task, folders)
        try:
            job = _job(task, folders, places, threads, memory_max_bytes)
            data, status, cpu_seconds = self._answered(msgspec.msgpack.encode(job))
            if status != 0:
                self._pipes.rescue(places.log, task.now_us, log.redactor, task.scope.partitions)
                _end_alike(status)
            result = checked(data, task, places)
            log.lines += result.lines
            self._import(result.modules)
            measures = msgspec.structs.replace(result.measures, cpu_seconds=cpu_seconds)
            if result.output is not None:
                return msgspec.structs.replace(result.output, measures=measures)
            failure = BodyFailed(result.error or error_of(RuntimeError("no result")))
            failure.measures = measures
            raise failure
        finally:
            places.remove()

    def _answered(self, job: bytes) -> tuple[bytes, int, float]:
        """Return the answer, the status of the ended fork, and its processor seconds."""
        job_read, job_write = os.pipe()
        answer_read, answer_write = os.pipe()
        try:
            socket.send_fds(self._control, [b"F"], [job_read, answer_write])
            os.close(job_read)
            os.close(answer_write)
            with contextlib.suppress(BrokenPipeError), os.fdopen(job_write, "wb") as jobs:
                jobs.write(job)
            data = self._until_its_end(answer_read)
        finally:
            os.close(answer_read)
        ended = self._control.recv(ENDED.size, socket.MSG_WAITALL)
        if len(ended) < ENDED.size:  # the process that forks was killed: another worker has one
            os._exit(1)
        status, seconds = ENDED.unpack(ended)
        return data, status, seconds

    def _until_its_end(self, descriptor: int) -> bytes:
        """Return what the fork writes until it ends; processes that it leaves may not."""
        data = bytearray()
        os.set_blocking(descriptor, False)
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        waiting.register(self._control, select.POLLIN)
        ended, is_open = False, True
        while not ended:
            ended = any(number != descriptor for number, _ in waiting.poll())
            if is_open and not _reads_on(descriptor, data):
                waiting.unregister(descriptor)
                is_open = False
        return bytes(data)

    def _import(self, modules: Sequence[str]) -> None:
        names = [name for name in modules[:MODULES_MAX] if MODULE.fullmatch(name)]
        while len(text := "\n".join(names).encode()) > REQUEST_BYTES_MAX:
            names = names[: len(names) // 2]
        if names:
            self._control.sendall(b"I" + struct.pack("<I", len(text)) + text)


def _reads_on(descriptor: int, data: bytearray) -> bool:
    """Add what can be read now; return whether there may be more later."""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(descriptor, READ_BYTES):
            if len(data) <= RESULT_BYTES_MAX:  # more makes the answer unreadable
                data += part
        return False
    return True


def _job(
    task: ComputeTask, folders: Folders, places: AttemptPlaces, threads: int, memory: int | None
) -> ForkJob:
    code_root = folders.code / (task.code or "")
    inputs = _input_paths(task, folders.lake)
    access = sandbox.access_of(
        task, folders, read=(code_root, *inputs), write=(places.own, places.staging)
    )
    _link_log(folders.log(*_attempt(task)), places.log)
    return ForkJob(
        task=task,
        folders=AttemptFolders(folders, str(places.own)),
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
