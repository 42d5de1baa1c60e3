"""Programs and processes of an attempt: resolving a command, its process group, its cost."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from headrace.engine.attempts import InputData, Measures
from headrace.engine.failures import BodyFailed, failed
from headrace.lake import FileRef
from headrace.lake.sqltext import literal, source_sql, tables_in
from headrace.model.python_code import script_of
from headrace.plan.compiled import Environment, Program

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


# The programs of a command: what its first word resolves to, and the interpreter of that. No
# program is run to find out. A file is identified by its path and its hash; a Python interpreter
# also by its version and its packages, which lie next to it.

HASHED_BYTES_MAX = 512 * 1024 * 1024
"""Of larger programs no hash is recorded."""
FIRST_LINE_BYTES_MAX = 4096
_PYTHON = re.compile(r"(?:python|pypy)(\d+(?:\.\d+)*)?$")
_VERSION = re.compile(r"^version(?:_info)?\s*=\s*(\S+)", re.MULTILINE)


def program_versions(
    command: Sequence[str],
    *,
    folder: Path,
    variables: Mapping[str, str],
    imported: Collection[str],
    named: Collection[str],
) -> Environment:
    """What a command runs with. `folder` is where it starts, `variables` what it is given; `imported` are
    top-level names that its Python scripts import, `named` distributions."""
    running = tuple(_programs(command, folder, variables.get("PATH", os.defpath)))
    script = script_of(command)
    programs = running
    if script is not None and (folder / script).is_file():
        programs += (_program(script, folder / script, folder),)
    python = next((program for program in running if program.version is not None), None)
    if python is None:
        return Environment(running[-1].path or running[-1].name, dict.fromkeys(named), programs)
    packages = _packages(python, variables, imported, named)
    return Environment(f"Python {python.version}", packages, programs)


def _programs(command: Sequence[str], folder: Path, path: str) -> Iterator[Program]:
    """The program, then what interprets it if it is a script with a first line that says so."""
    result = _resolved(command[0], folder, path)
    yield _program(command[0], result, folder)
    words = _first_line(result) if result is not None else []
    if not words:
        return
    if Path(words[0]).name == "env":
        names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        name = names[0] if names else ""
        yield _program(name, _resolved(name, folder, path), folder)
    else:
        yield _program(words[0], _resolved(words[0], folder, path), folder)


def _resolved(name: str, folder: Path, path: str) -> Path | None:
    """As the system finds a program: by the PATH, or relative to the folder."""
    if os.sep in name:
        there = folder / name
        return there if there.is_file() else None
    result = shutil.which(name, path=path)
    return None if result is None else folder / result


def _program(name: str, path: Path | None, folder: Path) -> Program:
    if path is None:
        return Program(name, None, None, None)
    real = path.resolve()
    inside = real.is_relative_to(folder.resolve())
    text = real.relative_to(folder.resolve()).as_posix() if inside else str(real)
    return Program(name, text, _digest(real), _version(path, real), None if inside else str(path))


def _digest(path: Path) -> str | None:
    try:
        state = path.stat()
        return _hashed(path, state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError:
        return None


@functools.lru_cache(maxsize=64)
def _hashed(path: Path, changed_ns: int, size: int, inode: int) -> str | None:
    """Programs are large and seldom change: a file that looks as it did isn't read again."""
    del changed_ns, inode
    if size > HASHED_BYTES_MAX:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(path: Path, real: Path) -> str | None:
    """Of a Python: as its virtual environment says, else as its name does."""
    named = _PYTHON.match(real.name) or _PYTHON.match(path.name)
    if named is None:
        return None
    with_version = _VERSION.search(_text(path.parent.parent / "pyvenv.cfg"))
    if with_version is not None:
        return with_version[1]
    if real == Path(sys.executable).resolve():
        return ".".join(map(str, sys.version_info[:3]))
    return named[1]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first_line(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            line = file.readline(FIRST_LINE_BYTES_MAX)
    except OSError:
        return []
    return line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []


def _packages(python: Program, variables: Mapping[str, str], imported: Collection[str], named: Collection[str]) -> dict[str, str | None]:
    """The versions that lie in a Python's folders. Of a Python whose folders aren't known: null."""
    prefix = Path(python.found or "").parent.parent
    folders = [item for item in variables.get("PYTHONPATH", "").split(os.pathsep) if item]
    if prefix == Path(sys.prefix):
        folders += [item for item in sys.path if item]
    folders += [str(path) for path in sorted(prefix.glob("lib*/python*/*-packages"))]
    here = tuple(dict.fromkeys(folders))
    results: dict[str, str | None] = {}
    for name in imported:
        version = _installed(name, here)
        if version is not None:
            results[name] = version
    others = [name for name in imported if name not in results]
    if others:
        known = _by_import(here, tuple(_changed(Path(folder)) for folder in here))
        names = sorted({known[name] for name in others if name in known})
        results |= {name: _installed(name, here) for name in names}
    return results | {name: _installed(name, here) for name in named}


def _installed(name: str, folders: Sequence[str]) -> str | None:
    """The version of a distribution in these folders, the first that has it."""
    result = next(iter(metadata.distributions(name=name, path=list(folders))), None)
    return None if result is None else result.version


@functools.lru_cache(maxsize=16)
def _by_import(folders: tuple[str, ...], changed: tuple[int, ...]) -> Mapping[str, str]:
    """Top-level name → distribution. Reads the lists of all that is installed, anew when a folder has
    `changed`."""
    del changed
    results: dict[str, str] = {}
    for distribution in metadata.distributions(path=list(folders)):
        for file in distribution.files or ():
            top = file.parts[0].removesuffix(".py")
            if top.isidentifier():
                results.setdefault(top, distribution.metadata["Name"])
    return results


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


# A command runs in a process group of its own, which ends as a whole: when its first process
# ends, or when the worker dies.
# A worker that is killed can't clean up after itself. Therefore a guard leads the group: a shell
# that waits on a pipe of the worker and kills its group when the pipe closes. The guard is
# started before the command and reaped after it, so at no instant does the command run without a
# guard, and the number of the group can't be reused. A process that leaves the group on purpose
# (`setsid`) isn't caught.

_GUARD = 'trap "" HUP INT TERM; read -r _; kill -KILL 0'


class ProcessExit(msgspec.Struct, frozen=True):
    """How the first process ended: its exit code, or minus the signal; and what it and those that it waited for used."""

    code: int
    usage: resource.struct_rusage


def run_guarded(argv: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> ProcessExit:
    """Run the argument vector in `folder` until its first process ends, then end whatever of its group is left.

    Raises `BodyFailed` where it can't be started."""
    with _guarded_group() as group:
        process = _start(argv, folder, environment, group)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait for it once more
    return ProcessExit(process.returncode, usage)


@contextlib.contextmanager
def _guarded_group() -> Iterator[int]:
    """The number of a new group with a guard in it; everything in it is killed when the context ends."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    try:
        yield guard.pid
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
        if guard.stdin is not None:
            guard.stdin.close()


def _start(argv: Sequence[str], folder: Path, environment: Mapping[str, str], group: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(list(argv), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, process_group=group)
    except (OSError, ValueError) as error:
        raise _not_started(argv[0], folder, environment, error) from error


def _not_started(name: str, folder: Path, environment: Mapping[str, str], error: OSError | ValueError) -> BodyFailed:
    """Why the first word of a command can't be run, and what to write instead."""
    number = getattr(error, "errno", None)
    path = folder / name if "/" in name else Path(shutil.which(name, path=environment.get("PATH")) or name)
    if number == errno.ENOENT and path.is_file():
        return _refused(
            f"`{name}` is there, but the interpreter in its first line (`#!…`) isn't", "name the interpreter in the command itself"
        )
    if number == errno.ENOENT:
        where = "among the applied files" if "/" in name else f"on the PATH ({environment.get('PATH', '')})"
        return _refused(f"there is no `{name}` {where}", "install it where Headrace runs, or correct the command's first word")
    if number in (errno.EACCES, errno.ENOEXEC):
        return _refused(f"`{name}` can't be executed", f'name its interpreter: command: ["sh", "{name}"]')
    return failed(f"`{name}` can't be started: {error}", code="command_failed")


def _refused(message: str, hint: str) -> BodyFailed:
    """What no partition can start; whoever installs it changes no code."""
    return failed(message, code="command_failed", hint=hint, everywhere=True, machine=True)


# The cost of an attempt: seconds, CPU seconds, seconds spent waiting for a processor, peak
# memory, rows and bytes in and out.

_RESET_PEAK = b"5"
"""What makes Linux begin its record of the process's greatest memory anew (proc(5), clear_refs)."""
_STATUS_BYTES = 8192
_RUSAGE_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class Meter:
    """Measures what happens while it is entered, children that were waited for included.

    The peak is that of this process since it was entered where the kernel allows to begin the record anew (Linux), else the
    greatest that the process ever had: never less than the truth."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = self.processor_wait_seconds = 0.0
        self.peak_memory_bytes = 0
        self._started = self._cpu_before = self._waited_before = 0.0

    def __enter__(self) -> Self:
        if (record := _Record.of(os.getpid())) is not None:
            record.begin()
        self._cpu_before = _cpu_seconds()
        self._waited_before = _processor_wait_seconds()
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.seconds = time.perf_counter() - self._started
        self.cpu_seconds = _cpu_seconds() - self._cpu_before
        self.processor_wait_seconds = _processor_wait_seconds() - self._waited_before
        self.peak_memory_bytes = max(self.peak_memory_bytes, _peak_bytes())

    def child(self, peak_memory_bytes: int) -> None:
        """A child process's peak: what counts is the greater one, of it and of this process."""
        self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory_bytes)

    def measures(self, *, rows_in: int, bytes_in: int, rows_out: int, bytes_out: int) -> Measures:
        """The figures as they travel."""
        return Measures(
            rows_in=rows_in, rows_out=rows_out, bytes_in=bytes_in, bytes_out=bytes_out, seconds=self.seconds,
            cpu_seconds=self.cpu_seconds, processor_wait_seconds=self.processor_wait_seconds,
            peak_memory_bytes=self.peak_memory_bytes,
        )  # fmt: skip


def child_peak_bytes(usage: resource.struct_rusage) -> int:
    """The peak of memory of a child, from what `os.wait4` says of it."""
    return usage.ru_maxrss * _RUSAGE_UNIT_BYTES


def rows_and_bytes(session: DuckDBSession, inputs: Sequence[InputData]) -> tuple[int, int]:
    """Rows that the inputs hold, and bytes of the files that they are in (a file counts whole, even if one partition of it is
    read). Rows that the leader told are believed; the others are counted, from the files' footers where a file is read whole."""
    tables = list(tables_in(inputs))
    size = sum((session.data_folder / file.path).stat().st_size for data in tables for file in data.files)
    uncounted = [data for data in tables if data.rows is None and data.files]
    whole = [data for data in uncounted if all(map(_whole, data.files))]
    rows = sum(data.rows or 0 for data in tables) + _footer_rows(session, [file.path for data in whole for file in data.files])
    for data in uncounted:
        if data not in whole:
            rows += _number(session, f"SELECT count(*) FROM ({source_sql(data)})")
    return rows, size


def _whole(file: FileRef) -> bool:
    return file.partitions is None and file.snapshot_max is None and not file.deletes


def _footer_rows(session: DuckDBSession, paths: Sequence[str]) -> int:
    if not paths:
        return 0
    listed = ", ".join(literal(str(session.data_folder / path)) for path in paths)
    return _number(session, f"SELECT sum(num_rows) FROM parquet_file_metadata([{listed}])")


def _number(session: DuckDBSession, query: str) -> int:
    results = session.connection.execute(query).fetchone()
    return int(results[0]) if results else 0


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _processor_wait_seconds() -> float:
    """How long this thread could have run while others had the processors; 0 where the system
    doesn't count it. Second field of /proc/…/schedstat (Linux, Documentation/scheduler/sched-stats).
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        counted = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(counted, _STATUS_BYTES).split()[1]) / 1e9
        finally:
            os.close(counted)
    return 0.0


def _peak_bytes() -> int:
    record = _Record.of(os.getpid())
    told = record.peak_bytes() if record is not None else None
    return told or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RUSAGE_UNIT_BYTES


class _Record:
    """The kernel's record of a process's memory, its files kept open: they are read for each attempt."""

    def __init__(self) -> None:
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    @classmethod
    @functools.lru_cache(maxsize=1)
    def of(cls, pid: int) -> _Record | None:
        """This process's, whose id it is: a child that was forked has one of its own. None where the system has none."""
        del pid
        with contextlib.suppress(OSError):
            return cls()
        return None

    def begin(self) -> None:
        with contextlib.suppress(OSError):
            os.pwrite(self._clear, _RESET_PEAK, 0)

    def peak_bytes(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(os.pread(self._status, _STATUS_BYTES, 0).partition(b"VmHWM:")[2].split(maxsplit=1)[0]) * 1024
        return None
