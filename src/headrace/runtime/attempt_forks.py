"""Python assets in a process of their own: forked for an attempt, restricted, ended with it.

A worker has threads and open databases, so it can't be forked safely. Before it starts any, it
forks one process that stays without threads (`_serve`), and asks that one to fork for each attempt.
The fork gives up its rights before it loads any code of the asset
(docs/decisions/0147-asset-code-is-restricted.md). It stages rows in a folder of its own, below the
table's; the worker checks what it reports and moves the files.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import sysconfig
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec

from headrace.engine import landlock, sandbox
from headrace.engine.attempts import BodyError, Measures, is_called_each, surrounded
from headrace.engine.command import output_files
from headrace.engine.compute import AssetOutput, compute, error_of
from headrace.engine.failures import BodyFailed, failed
from headrace.engine.isolation import Capture, LogListener
from headrace.engine.landlock import Access
from headrace.engine.logs import LogFile, OutputPipes, WorkerClock
from headrace.lake import FileRef, tables
from headrace.lake.session import DuckDBSession, open_spare
from headrace.lake.sqltext import tables_in
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ComputeTask
from headrace.security.secrets import Secrets

INPUT_FILES_MAX = 200
"""Up to this many input files are allowed one by one, more by the folders of their tables."""
RESULT_BYTES_MAX = 256 * 1024 * 1024
MODULES_MAX = 5_000
READ_BYTES = 1 << 16
REQUEST_BYTES_MAX = 150_000
_ENDED = struct.Struct("<id")
"""The status of an ended attempt as of `os.waitpid`, and its processor seconds."""
_MODULE = re.compile(r"[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99}){0,9}", re.ASCII)
_STAGED = ".staged-"
"""How the folder begins in which an attempt stages rows, below its table's folder."""


class AttemptFolders(msgspec.Struct, frozen=True):
    """The folders of one attempt: the project's, and its own for files and temporary data."""

    project_folders: Folders
    own: str

    @property
    def lake(self) -> Path:
        """The lake, which the attempt reads its inputs from."""
        return self.project_folders.lake

    @property
    def code(self) -> Path:
        """Applied files."""
        return self.project_folders.code

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.project_folders.project

    @property
    def files(self) -> Path:
        """The folder for `materialize: files`; the worker moves what is in it."""
        return Path(self.own, "files")

    @property
    def temporary(self) -> Path:
        """Temporary files."""
        return Path(self.own, "tmp")


class ForkJob(msgspec.Struct, frozen=True):
    """What the fork of an attempt gets from its worker."""

    task: ComputeTask
    folders: AttemptFolders
    staged: str
    """Name of the folder in which rows are staged, below the table's."""
    read: tuple[str, ...]
    write: tuple[str, ...]
    ports: tuple[int, ...] | None
    threads: int
    memory_max_bytes: int | None


class ForkResult(msgspec.Struct, frozen=True):
    """What the fork answers. The code that it ran may have forged it."""

    measures: Measures
    lines: int
    output: AssetOutput | None = None
    error: BodyError | None = None
    modules: tuple[str, ...] = ()
    """Installed modules that the attempt imported, to be imported in advance from now on."""


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
                _serve(theirs, pipes)
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
        places = _Places.of(task, folders)
        try:
            job = _job(task, folders, places, threads, memory_max_bytes)
            data, status, cpu_seconds = self._answered(msgspec.msgpack.encode(job))
            if status != 0:
                self._pipes.rescue(places.log, task.now_us, log.redactor, task.scope.partitions)
                _end_alike(status)
            result = _checked(data, task, places)
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
        ended = self._control.recv(_ENDED.size, socket.MSG_WAITALL)
        if len(ended) < _ENDED.size:  # the process that forks was killed: another worker has one
            os._exit(1)
        status, seconds = _ENDED.unpack(ended)
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
        names = [name for name in modules[:MODULES_MAX] if _MODULE.fullmatch(name)]
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


class _Places(NamedTuple):
    """Folders that exist for one attempt."""

    lake: Path
    table_folder: str
    """The table's folder below the lake, with `/` at its end."""
    staged: str
    own: Path
    files: Path
    """The folder of published files."""

    @classmethod
    def of(cls, task: ComputeTask, folders: Folders) -> _Places:
        name = uuid.uuid4().hex
        known = task.table.folder if task.table is not None else ""
        table = known or f"{tables.SCHEMA_FOLDER}{tables.folder_of(task.scope.asset)}"
        places = cls(
            folders.lake, table, f"{_STAGED}{name}/", folders.temporary / name, folders.files
        )
        for folder in (places.staging, places.own / "tmp", places.own / "files"):
            folder.mkdir(parents=True)
        (places.own / "duckdb").mkdir(mode=0o700)
        return places

    @property
    def staging(self) -> Path:
        return self.lake / self.table_folder / self.staged

    @property
    def log(self) -> Path:
        return self.own / "log.jsonl"

    def remove(self) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)
        shutil.rmtree(self.own, ignore_errors=True)


def _job(
    task: ComputeTask, folders: Folders, places: _Places, threads: int, memory: int | None
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


# The answer of code that isn't trusted: paths in it are those of this attempt, or the answer is
# refused.


def _checked(data: bytes, task: ComputeTask, places: _Places) -> ForkResult:
    """Return the answer with its files moved to where they are published from.

    Raises `BodyFailed` for an answer that names files of others.
    """
    staged = f"{places.table_folder}{places.staged}"
    try:
        answer = msgspec.msgpack.decode(data)
        result = msgspec.convert(_renamed(answer, staged, places.table_folder), ForkResult)
        if result.output is not None:
            _check_paths(result.output, task, places)
            _move(result.output, places)
    except (msgspec.DecodeError, msgspec.ValidationError, OSError, _Forged) as error:
        raise failed(
            f"the asset's process gave an answer that can't be its own: {error}",
            code="body_failed",
            file=task.body.file,
            line=task.body.line,
            hint="its code must not write to Headrace's files and pipes",
        ) from error
    return result


class _Forged(Exception):
    """An answer names files that the attempt can't have written."""


def _renamed(value: Any, before: str, after: str) -> Any:
    """Return the answer with paths in the attempt's folder replaced by those of the table's."""
    if isinstance(value, str):
        return f"{after}{value[len(before) :]}" if value.startswith(before) else value
    if isinstance(value, dict):
        return {key: _renamed(item, before, after) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, before, after) for item in value]
    return value


def _check_paths(output: AssetOutput, task: ComputeTask, places: _Places) -> None:
    written = {f"{places.table_folder}{name}" for name in _staged_names(places)}
    mine, others = _named_paths(output)
    if not written.issuperset(mine) or not (written | _known_paths(task)).issuperset(others):
        raise _Forged("it names files of others")
    if output.table is not None and output.table.name != task.scope.asset:
        raise _Forged("it names another table")


def _known_paths(task: ComputeTask) -> set[str]:
    """Return the files of the table that a merge starts from."""
    if task.state is None:
        return set()
    return {file.ref.path for file in task.state.files} | {path for path, _ in task.state.seen}


def _named_paths(output: AssetOutput) -> tuple[list[str], list[str]]:
    """Return the paths of new files in an answer, and those of files of the table."""
    mine = [output.staged.path] if output.staged is not None else []
    others = [file.path for file in output.files]
    if (replaced := output.replacement) is not None:
        mine += [each.path for each in replaced.deletes]
        others += [each.of for each in replaced.deletes]
        others += [*replaced.ended, *replaced.restored, *(path for path, _ in replaced.seen)]
    return mine, others


def _staged_names(places: _Places) -> list[str]:
    with os.scandir(places.staging) as entries:
        return [
            entry.name
            for entry in entries
            if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
            and entry.stat(follow_symlinks=False).st_nlink == 1
        ]


def _move(output: AssetOutput, places: _Places) -> None:
    for name in _staged_names(places):
        (places.staging / name).rename(places.lake / places.table_folder / name)
    if output.manifest is None:
        return
    outputs = output_files(places.own / "files", hidden=True)
    relative = {path.relative_to(places.own).as_posix(): path.stat().st_size for path in outputs}
    if relative != {file["path"]: file["size"] for file in output.manifest}:
        raise _Forged("it names other files than it wrote")
    for folder in (places.own / "files").glob("*/*"):
        target = places.files / folder.relative_to(places.own / "files")
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)


# The process that forks, and the fork.


def _serve(control: socket.socket, pipes: OutputPipes) -> NoReturn:
    """Fork for each request until the worker closes the socket. This process has no thread."""
    open_spare()
    _jobs()
    while True:
        kind, descriptors, *_ = socket.recv_fds(control, 1, 2)
        if kind == b"F":
            _fork(control, descriptors, pipes)
        elif kind == b"I":
            (size,) = struct.unpack("<I", control.recv(4, socket.MSG_WAITALL))
            _import_all(control.recv(size, socket.MSG_WAITALL).decode().split("\n"))
        else:
            os._exit(0)


@functools.cache
def _jobs() -> msgspec.msgpack.Decoder[ForkJob]:
    """Return the decoder of jobs, built once: it takes some milliseconds."""
    return msgspec.msgpack.Decoder(ForkJob)


def _fork(control: socket.socket, descriptors: list[int], pipes: OutputPipes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # libraries may have started threads
        pid = os.fork()
    if pid == 0:
        try:
            control.close()
            job_read, answer_write = descriptors
            _run(job_read, answer_write, pipes)
        finally:
            os._exit(1)
    for descriptor in descriptors:
        os.close(descriptor)
    _, status, usage = os.wait4(pid, 0)
    control.sendall(_ENDED.pack(status, usage.ru_utime + usage.ru_stime))


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
    new = [name for name in sys.modules if name not in loaded and _MODULE.fullmatch(name)]
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
        with (
            surrounded(task.handed),
            DuckDBSession(
                folders.lake,
                readable=[folders.temporary],
                timezone=task.scope.timezone,
                threads=job.threads,
                memory_max_bytes=job.memory_max_bytes,
                temporary_folder=Path(folders.own, "duckdb"),
            ) as session,
        ):
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
