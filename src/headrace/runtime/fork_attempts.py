"""The process that forks for the attempts of one worker, and the forks.

It has no thread, and forks one process ahead, which waits for its attempt. That one gives up its
rights before it starts a thread or loads any code of the asset
(docs/decisions/0147-asset-code-is-restricted.md).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import socket
import struct
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec

from headrace.engine import landlock
from headrace.engine.attempts import Measures, is_called_each, surrounded
from headrace.engine.compute import AssetOutput, compute, error_of
from headrace.engine.failures import BodyFailed
from headrace.engine.isolation import Capture, LogListener
from headrace.engine.landlock import Access
from headrace.engine.logs import LogFile, OutputPipes, WorkerClock
from headrace.lake import tables
from headrace.lake.session import DuckDBSession, open_spare, parser
from headrace.runtime.fork_messages import ENDED, MODULE, MODULES_MAX, ForkJob, ForkResult
from headrace.security.secrets import Secrets


def serve(control: socket.socket, pipes: OutputPipes) -> NoReturn:
    """Fork for each request until the worker closes the socket. This process has no thread."""
    open_spare()
    _jobs()
    ahead = _fork_ahead(control, pipes)
    while True:
        kind, descriptors, *_ = socket.recv_fds(control, 1, 2)
        if kind == b"F":
            ended = ahead.perform(descriptors)
            control.sendall(ended)
        elif kind == b"I":
            (size,) = struct.unpack("<I", control.recv(4, socket.MSG_WAITALL))
            ahead.discard()
            _import_all(control.recv(size, socket.MSG_WAITALL).decode().split("\n"))
        else:
            os._exit(0)
        ahead = _fork_ahead(control, pipes)


class _Ahead(NamedTuple):
    """A process that waits for its attempt."""

    pid: int
    channel: socket.socket

    def perform(self, descriptors: list[int]) -> bytes:
        """Give it its attempt, and return how it ended."""
        # it may have been killed while it waited, which its status says
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self.channel, [b"F"], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.channel.close()
        _, status, usage = os.wait4(self.pid, 0)
        return ENDED.pack(status, usage.ru_utime + usage.ru_stime)

    def discard(self) -> None:
        """End it without an attempt."""
        self.channel.close()
        os.waitpid(self.pid, 0)


def _fork_ahead(control: socket.socket, pipes: OutputPipes) -> _Ahead:
    """Fork a process for the next attempt, which then needn't wait for it."""
    ours, theirs = socket.socketpair()
    gc.freeze()  # a collection in the fork would copy all that it looks through
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # libraries may have started threads
        pid = os.fork()
    if pid == 0:
        try:
            control.close()
            ours.close()
            _touch_database()
            kind, descriptors, *_ = socket.recv_fds(theirs, 1, 2)
            if kind != b"F":
                os._exit(0)
            theirs.close()
            job_read, answer_write = descriptors
            _run(job_read, answer_write, pipes)
        finally:
            os._exit(1)
    theirs.close()
    return _Ahead(pid, ours)


def _touch_database() -> None:
    """Copy the memory that a query uses, shared with the forking process, before it is needed."""
    with parser() as connection:
        connection.execute("SELECT 1").fetchall()


@functools.cache
def _jobs() -> msgspec.msgpack.Decoder[ForkJob]:
    """Return the decoder of jobs, built once: it takes some milliseconds."""
    return msgspec.msgpack.Decoder(ForkJob)


def _import_all(names: Sequence[str]) -> None:
    """Import installed modules, each of which the next forks then have.

    The names come from asset code, so only modules of Python and of installed packages count.
    """
    for name in names:
        if name not in sys.modules and _is_installed(name.partition(".")[0]):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


@functools.lru_cache(maxsize=1_000)
def _is_installed(top: str) -> bool:
    with contextlib.suppress(Exception):
        spec = importlib.util.find_spec(top)
        origin = spec.origin or "" if spec is not None else ""
        return any(origin.startswith(f"{folder}{os.sep}") for folder in _installed_folders())
    return False


def _installed_folders() -> list[str]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(name) for name in names]
    return [*folders, *map(os.path.realpath, folders), str(Path(__file__).parents[2])]


def _run(job_read: int, answer_write: int, pipes: OutputPipes) -> NoReturn:
    """Give up all rights but the attempt's, run its code, answer, and end."""
    os.set_inheritable(answer_write, False)
    with os.fdopen(job_read, "rb") as jobs:
        job = _jobs().decode(jobs.read())
    rules = landlock.ruleset(Access(job.read, job.write, job.ports))
    landlock.restrict(rules)
    os.close(rules)
    loaded = set(sys.modules)
    result = _result(job, pipes)
    new = [name for name in sys.modules if name not in loaded and MODULE.fullmatch(name)]
    result = msgspec.structs.replace(
        result, modules=tuple(name for name in new if _is_of_package(name))[:MODULES_MAX]
    )
    with os.fdopen(answer_write, "wb") as answers:
        answers.write(msgspec.msgpack.encode(result))
    os._exit(0)


def _is_of_package(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and any(
        file.startswith(f"{folder}{os.sep}") for folder in _installed_folders()
    )


_never_closed: list[DuckDBSession] = []
"""The fork's session: its end closes it for nothing, and the worker removes its folder."""


def _result(job: ForkJob, pipes: OutputPipes) -> ForkResult:
    task, folders = job.task, job.folders
    secrets = Secrets(folders.project)
    if task.handed is not None:
        for name in task.handed.secrets:
            secrets.hide(task.handed.variables[name])
    os.chdir(folders.temporary)  # the worker's folder is out of reach
    os.environ["TMPDIR"] = str(folders.temporary)
    tables.STAGED_BELOW = job.staged
    log = LogFile(Path(folders.own, "log.jsonl"), WorkerClock(task.now_us), secrets.redactor)
    listener = LogListener(pipes)
    try:
        with surrounded(task.handed):
            session = DuckDBSession(
                folders.lake,
                readable=[folders.temporary],
                timezone=task.scope.timezone,
                threads=job.threads,
                memory_max_bytes=job.memory_max_bytes,
                temporary_folder=Path(folders.own, "duckdb"),
            )
            _never_closed.append(session)
            output = _computed(job, session, log, pipes, listener)
    except BodyFailed as failure:
        return ForkResult(failure.measures, log.lines, error=failure.error)
    except BaseException as error:  # noqa: BLE001 - as the worker's own boundary
        return ForkResult(Measures(), log.lines, error=error_of(error))
    return ForkResult(output.measures, log.lines, output)


def _computed(
    job: ForkJob, session: DuckDBSession, log: LogFile, pipes: OutputPipes, listener: LogListener
) -> AssetOutput:
    @contextlib.contextmanager
    def captured(place: int, partition: str) -> Iterator[None]:
        call_log = log.of_call(place, partition)
        try:
            with Capture(pipes, call_log, listener):
                yield
        finally:
            log.lines += call_log.lines

    if is_called_each(job.task):
        return compute(job.task, session, job.folders, log=log, captured=captured)
    with Capture(pipes, log, listener):
        return compute(job.task, session, job.folders, log=log)
