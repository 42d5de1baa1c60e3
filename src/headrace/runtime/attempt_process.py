"""The process of one attempt at a Python asset: forked ahead, restricted, ended with the attempt.

Before its attempt comes, it rehearses one: its memory is shared with the process that forked it,
and the kernel copies each page at the first write, which made a short attempt take ten times as
long (docs/decisions/0147-restricted-code.md). It gives up its rights while it has one
thread, before it loads any code of the asset.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from headrace.engine import landlock, sandbox
from headrace.engine.attempts import AttemptScope, InputData, Measures, is_called_each, surrounded
from headrace.engine.compute import AssetOutput, compute, error_of
from headrace.engine.failures import BodyFailed
from headrace.engine.isolation import LOADER, Capture, LogListener, loaded_after
from headrace.engine.landlock import Access
from headrace.engine.logs import LogFile, OutputPipes, WorkerClock
from headrace.lake import PARTITION_COLUMN, FileRef, LakeColumn, tables
from headrace.lake.session import UnlockedSession, open_spare, parser
from headrace.model import PythonBody
from headrace.runtime.folders import Folders
from headrace.runtime.fork_messages import (
    SIZE,
    AttemptFolders,
    ForkJob,
    ForkResult,
    own_folder,
)
from headrace.runtime.installed_modules import installed_among
from headrace.runtime.messages import ComputeTask
from headrace.security.secrets import Secrets

THREAD_ENDS_MAX = 5.0
"""Seconds that the kernel may take to end a thread that was joined."""


def prepare(folders: Folders) -> None:
    """Do in the process that forks what the forked ones then needn't do."""
    _jobs()
    attempt = own_folder(folders, uuid.uuid4().hex)
    with contextlib.suppress(OSError):
        attempt.create()
        with _session(attempt) as session:
            for _ in range(REHEARSALS):
                rehearse(attempt, session)
    shutil.rmtree(attempt.own, ignore_errors=True)
    open_spare()  # its memory is shared until it is used
    with parser() as connection:
        connection.execute("SELECT 1").fetchall()


def wait(
    channel: socket.socket, pipes: OutputPipes, folders: AttemptFolders, parent: int
) -> NoReturn:
    """Rehearse, wait for the attempt, run it, answer, and wait to be ended.

    Ends without an attempt when the worker closes the channel, or with its `parent`.
    """
    landlock.end_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    os.setsid()  # signals to its own group reach nothing else
    try:
        session = _session(folders)
        rehearse(folders, session)
        rules = landlock.ruleset(sandbox.everywhere())
        landlock.give_up_privileges()
        job = _received(channel)
        _restrict(rules, job)
        os.chdir(folders.temporary)  # the worker's folder is out of reach
    except OSError as error:  # such as a full disk: it ends this attempt, not the worker
        result = ForkResult(Measures(), 0, error=error_of(error))
    else:
        os.environ["TMPDIR"] = str(folders.temporary)
        tables.STAGED_BELOW = job.staged
        last_module = next(reversed(sys.modules))
        result = _result(job, session, pipes)
        imported = installed_among(name for name, _ in loaded_after(last_module))
        result = msgspec.structs.replace(result, modules=imported)
    answer = msgspec.msgpack.encode(result)
    channel.sendall(SIZE.pack(len(answer)) + answer)
    channel.recv(1)
    os._exit(0)


def _session(folders: AttemptFolders) -> UnlockedSession:
    """Open a session for an attempt, still without the settings that it will bring."""
    return UnlockedSession(
        folders.lake, readable=[folders.temporary], threads=1, temporary_folder=folders.spill
    )


def _received(channel: socket.socket) -> ForkJob:
    size = channel.recv(SIZE.size, socket.MSG_WAITALL)
    if len(size) < SIZE.size:
        os._exit(0)
    return _jobs().decode(channel.recv(SIZE.unpack(size)[0], socket.MSG_WAITALL))


@functools.cache
def _jobs() -> msgspec.msgpack.Decoder[ForkJob]:
    """Return the decoder of jobs, built once: it takes some milliseconds."""
    return msgspec.msgpack.Decoder(ForkJob)


def _restrict(rules: int, job: ForkJob) -> None:
    """Give up all rights but the attempt's. Raises OSError."""
    # rules hold for this thread and for those that it starts
    if not is_alone():
        raise OSError("another thread runs that can't be restricted")
    landlock.allow(rules, Access(job.read, job.write))
    landlock.restrict(rules, ports=None)
    os.close(rules)
    if job.ports is not None:
        landlock.restrict_ports(job.ports)


def is_alone(patience: float = THREAD_ENDS_MAX) -> bool:
    """Whether this process has one thread, within `patience` seconds.

    `Thread.join` returns before the kernel has ended the thread: on a busy machine, the one of the
    rehearsal's log is still listed when the attempt comes.
    """
    end = time.monotonic() + patience
    while len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - paths take twice the time
        if time.monotonic() > end:
            return False
        time.sleep(0.0005)
    return True


def _result(job: ForkJob, session: UnlockedSession, pipes: OutputPipes) -> ForkResult:
    task, folders = job.task, job.folders
    secrets = Secrets(folders.project)
    if task.handed is not None:
        for name in task.handed.secrets:
            secrets.hide(task.handed.variables[name])
    log = LogFile(Path(folders.own, "log.jsonl"), WorkerClock(task.now_us), secrets.redactor)
    try:
        with surrounded(task.handed):
            session.lock(task.scope.timezone, job.threads, job.memory_max_bytes)
            output = computed(job, session, log, pipes, LogListener(pipes))
    except BodyFailed as failure:
        return ForkResult(failure.measures, log.lines, error=failure.error)
    except BaseException as error:  # noqa: BLE001 - as the worker's own boundary
        return ForkResult(Measures(), log.lines, error=error_of(error))
    return ForkResult(output.measures, log.lines, output)


def computed(
    job: ForkJob, session: UnlockedSession, log: LogFile, pipes: OutputPipes, listener: LogListener
) -> AssetOutput:
    """Run the asset's code, with its output captured, and stage its rows. Raises `BodyFailed`."""

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


# The rehearsal: an asset with one row reads a row and stages it.

REHEARSALS = 10
"""The number of rehearsals before the first fork: Python specialises bytecode that ran 8 times."""
_CODE = """
def rows(rows):
    print("rehearsed")
    return [{"n": each["n"]} for each in rows.to_pylist()]
"""


_VERSION = "v1"
"""The folder of the code, as that of an applied version."""
_COLUMNS = (LakeColumn(PARTITION_COLUMN, "VARCHAR", 1), LakeColumn("n", "BIGINT", 2))


def rehearse(folders: AttemptFolders, session: UnlockedSession) -> None:
    """Compute a small attempt of Headrace's own code, in a folder below the temporary one.

    Only once Arrow is loaded: importing it here would cost memory that the project may not need.
    """
    if "pyarrow.parquet" not in sys.modules:
        return
    folder = folders.temporary / "rehearsal"
    pipes = OutputPipes.open()  # an attempt may run that writes to the others
    listener = LogListener(pipes)
    try:
        _compute_in(folder, session, pipes, listener)
    except Exception:  # noqa: BLE001, S110 - without a rehearsal, an attempt only takes longer
        pass
    finally:
        listener.close()
        for descriptor in pipes.ends:
            os.close(descriptor)
        LOADER.forget()
        shutil.rmtree(folder, ignore_errors=True)


def _compute_in(
    folder: Path, session: UnlockedSession, pipes: OutputPipes, listener: LogListener
) -> None:
    folders = AttemptFolders(Folders(str(folder), str(folder)), str(folder))
    code, table = folders.code / _VERSION / "rows.py", folders.lake / "rows.parquet"
    for path in (code, table):
        path.parent.mkdir(parents=True)
    code.write_text(_CODE)
    table.write_bytes(_input_file())
    log = LogFile(folder / "log.jsonl", WorkerClock(0))
    with session.over(folders.lake):
        computed(_rehearsal_job(folders), session, log, pipes, listener)


@functools.cache
def _input_file() -> bytes:
    """Return a Parquet file with the row that the rehearsal reads."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [
        pa.field(column.name, kind, metadata={"PARQUET:field_id": str(column.id)})
        for column, kind in zip(_COLUMNS, (pa.string(), pa.int64()), strict=True)
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pydict({PARTITION_COLUMN: ["*"], "n": [1]}, pa.schema(fields)), sink
    )
    return bytes(sink.getvalue())


def _rehearsal_job(folders: AttemptFolders) -> ForkJob:
    task = ComputeTask(
        scope=AttemptScope("rows", ("*",), None, None, None, "UTC", "0.0"),
        body=PythonBody(file="rows.py", line=1, function="rows", takes_context=False),
        sql=None,
        code=_VERSION,
        inputs=(InputData("rows", (FileRef("rows.parquet"),), _COLUMNS, rows=1),),
        materialize="table",
        partition_column=None,
        table=None,
        evolve=False,
        checks=(),
        on_fail="reject",
    )
    return ForkJob(task, folders, "", (), (), None, threads=1, memory_max_bytes=None)
