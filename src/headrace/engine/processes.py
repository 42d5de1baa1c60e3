"""Programs and processes of an attempt: how a command resolves, its process group, its cost."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from headrace.engine.attempts import COMMAND_FAILED, InputData, Measures
from headrace.engine.failures import BodyFailed, failed
from headrace.engine.landlock import Access
from headrace.engine.sandbox import restricted
from headrace.lake import FileRef
from headrace.lake.files import file_digest
from headrace.lake.sqltext import literal, source_sql, tables_in
from headrace.model.python_code import script_of
from headrace.plan.compiled import Environment, Program

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


# The programs of a command: the file of its first word, and that file's interpreter. No program is
# run to find out. A file is identified by its path and hash, a Python interpreter also by its
# version and the packages installed next to it.

HASHED_BYTES_MAX = 512 * 1024 * 1024
"""The size in bytes beyond which no hash of a program is recorded."""
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
    """Return the programs and packages that a command uses.

    `folder` is its working directory and `variables` its environment; `imported` are the top-level
    names that its Python scripts import, `named` are distributions.
    """
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
    """Return the program, and its interpreter if it is a script with a `#!` line."""
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
    """Find a program as the system does: on the PATH, or relative to the folder."""
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
    """Return the hash of a program, cached until the file changes, because programs are large."""
    del changed_ns, inode
    if size > HASHED_BYTES_MAX:
        return None
    return file_digest(path)


def _version(path: Path, real: Path) -> str | None:
    """Return a Python's version, from its virtual environment or else from its name."""
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


def _packages(
    python: Program, variables: Mapping[str, str], imported: Collection[str], named: Collection[str]
) -> dict[str, str | None]:
    """Return the versions of packages in a Python's folders; null if the folders aren't known."""
    here = _package_folders(python, variables)
    versions = {name: _installed(name, here) for name in imported}
    results: dict[str, str | None] = {
        name: version for name, version in versions.items() if version is not None
    }
    others = [name for name, version in versions.items() if version is None]
    for name in (*_distributions_of(others, here), *named):
        results[name] = _installed(name, here)
    return results


def _distributions_of(imported: Sequence[str], folders: tuple[str, ...]) -> list[str]:
    """Return the names of the distributions that have these top-level names."""
    if not imported:
        return []
    known = _by_import(folders, tuple(_changed(Path(folder)) for folder in folders))
    return sorted({known[name] for name in imported if name in known})


def _package_folders(python: Program, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the folders in which a Python looks for packages."""
    prefix = Path(python.found or "").parent.parent
    folders = variables.get("PYTHONPATH", "").split(os.pathsep)
    if prefix == Path(sys.prefix):
        folders += sys.path
    folders += map(str, sorted(prefix.glob("lib*/python*/*-packages")))
    return tuple(dict.fromkeys(filter(None, folders)))


def _installed(name: str, folders: Sequence[str]) -> str | None:
    """Return the version of a distribution, from the first of these folders that has it."""
    result = next(iter(metadata.distributions(name=name, path=list(folders))), None)
    return None if result is None else result.version


@functools.lru_cache(maxsize=16)
def _by_import(folders: tuple[str, ...], changed: tuple[int, ...]) -> Mapping[str, str]:
    """Return the distribution of each top-level name.

    Reads the file lists of all installed distributions, again only after a folder has `changed`.
    """
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


# A command runs in its own process group. The whole group ends when its first process ends or when
# the worker dies.
# A killed worker can't clean up after itself. Therefore a guard leads the group: a shell that waits
# on a pipe of the worker and kills its group when the pipe closes. The guard is started before the
# command and reaped after it, so the command never runs without a guard, and the number of the
# group can't be reused. A process that leaves the group on purpose (`setsid`) isn't killed.

_GUARD = 'trap "" HUP INT TERM; read -r _; kill -KILL 0'


class ProcessExit(msgspec.Struct, frozen=True):
    """The end of the first process.

    `code` is its exit code, or minus the number of the signal; `usage` covers it and the children
    that it waited for.
    """

    code: int
    usage: resource.struct_rusage


def run_guarded(
    argv: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    access: Access | None = None,
) -> ProcessExit:
    """Run the command in `folder` until its first process ends, then kill the rest of its group.

    It may reach no more than `access`; None: all that its user may. Raises `BodyFailed` if it can't
    be started.
    """
    with _guarded_group() as group:
        process = _start(argv, folder, environment, group, access)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(
            status
        )  # otherwise Popen would wait for it again
    return ProcessExit(process.returncode, usage)


@contextlib.contextmanager
def _guarded_group() -> Iterator[int]:
    """Return the number of a new, guarded process group, which is killed on exit."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield guard.pid
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()
        if guard.stdin is not None:
            guard.stdin.close()


def _start(
    argv: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    group: int,
    access: Access | None,
) -> subprocess.Popen[bytes]:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(argv),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            process_group=group,
        )

    try:
        return start() if access is None else restricted(access, start)
    except (OSError, ValueError) as error:
        raise _not_started(argv[0], folder, environment, error) from error


def _not_started(
    name: str, folder: Path, environment: Mapping[str, str], error: OSError | ValueError
) -> BodyFailed:
    """Return why the first word of a command can't be run, with a hint to correct it."""
    number = getattr(error, "errno", None)
    path = (
        folder / name
        if "/" in name
        else Path(shutil.which(name, path=environment.get("PATH")) or name)
    )
    if number == errno.ENOENT and path.is_file():
        return _refused(
            f"`{name}` is there, but the interpreter in its first line (`#!…`) isn't",
            "name the interpreter in the command itself",
        )
    if number == errno.ENOENT:
        where = (
            "among the applied files"
            if "/" in name
            else f"on the PATH ({environment.get('PATH', '')})"
        )
        return _refused(
            f"there is no `{name}` {where}",
            "install it where Headrace runs, or correct the command's first word",
        )
    if number == errno.EACCES and path.is_file() and os.access(path, os.X_OK):
        return failed(
            f"`{name}` is outside of what this asset may read",
            code=COMMAND_FAILED,
            hint=f"declare its installation: `sandbox: {{read: [{path.parent}]}}`",
            everywhere=True,
        )
    if number in (errno.EACCES, errno.ENOEXEC):
        return _refused(
            f"`{name}` can't be executed", f'name its interpreter: command: ["sh", "{name}"]'
        )
    return failed(f"`{name}` can't be started: {error}", code=COMMAND_FAILED)


def _refused(message: str, hint: str) -> BodyFailed:
    """Return a failure that every partition has and that installing software may repair."""
    return failed(message, code=COMMAND_FAILED, hint=hint, everywhere=True).of_machine()


# The cost of an attempt: seconds, CPU seconds, seconds of waiting for a processor, peak memory, and
# rows and bytes in and out.

_RESET_PEAK = b"5"
"""The value that resets Linux's record of a process's peak memory (proc(5), clear_refs)."""
_STATUS_BYTES = 8192
_RUSAGE_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class Meter:
    """Measures the cost of what happens inside the context, including children waited for.

    The peak memory is that of this process since the context began, if the kernel can reset its
    record (Linux). Otherwise it is the peak since the process started, which is never less.
    """

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self.cpu_seconds = _cpu_seconds() - self._cpu_before
        self.processor_wait_seconds = _processor_wait_seconds() - self._waited_before
        self.peak_memory_bytes = max(self.peak_memory_bytes, _peak_bytes())

    def child(self, peak_memory_bytes: int) -> None:
        """Record a child's peak memory in bytes; the greatest peak of all processes counts."""
        self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory_bytes)

    def measures(self, *, rows_in: int, bytes_in: int, rows_out: int, bytes_out: int) -> Measures:
        """Return the measurements as a message."""
        return Measures(
            rows_in=rows_in,
            rows_out=rows_out,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
            processor_wait_seconds=self.processor_wait_seconds,
            peak_memory_bytes=self.peak_memory_bytes,
        )


def child_peak_bytes(usage: resource.struct_rusage) -> int:
    """Return a child's peak memory in bytes, from the usage that `os.wait4` returned."""
    return usage.ru_maxrss * _RUSAGE_UNIT_BYTES


def rows_and_bytes(session: DuckDBSession, inputs: Sequence[InputData]) -> tuple[int, int]:
    """Return the number of rows of the inputs and the number of bytes of their files.

    A file counts with its full size even if only one partition of it is read. Rows that the leader
    sent are trusted; others are counted, from the footers of files that are read completely.
    """
    tables = list(tables_in(inputs))
    size = sum(
        (session.data_folder / file.path).stat().st_size for data in tables for file in data.files
    )
    uncounted = [data for data in tables if data.rows is None and data.files]
    whole = [data for data in uncounted if all(map(_whole, data.files))]
    rows = sum(data.rows or 0 for data in tables) + _footer_rows(
        session, [file.path for data in whole for file in data.files]
    )
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


def open_records() -> None:
    """Open the kernel's records of this process and thread, for a thread that can't do so later."""
    _processor_wait_seconds()
    _Record.of(os.getpid())


def _processor_wait_seconds() -> float:
    """Return how long this thread waited for a processor, in seconds; 0 if the system can't say.

    Source: the second field of /proc/…/schedstat (Linux, Documentation/scheduler/sched-stats).
    """
    waits = getattr(_THREAD, "waits", None)
    try:
        if waits is None or waits.pid != os.getpid():  # a forked child inherits the parent's
            waits = _THREAD.waits = _Waits()
        return int(os.pread(waits.descriptor, _STATUS_BYTES, 0).split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class _Waits:
    """The kernel's record of how long this thread waited; it stays open for the next attempt.

    Raises OSError if the system has none.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.close(self.descriptor)


_THREAD = threading.local()
"""Holds `waits` of each thread, which ends with the thread."""


def _peak_bytes() -> int:
    record = _Record.of(os.getpid())
    peak = record.peak_bytes() if record is not None else None
    return peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RUSAGE_UNIT_BYTES


class _Record:
    """The kernel's record of a process's memory; its files stay open for the next attempt."""

    def __init__(self) -> None:
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    @classmethod
    @functools.lru_cache(maxsize=1)
    def of(cls, pid: int) -> _Record | None:
        """Return the record of this process (`pid`), or None if the system has none.

        A forked child has a record of its own, so the cache is by `pid`.
        """
        del pid
        with contextlib.suppress(OSError):
            return cls()
        return None

    def begin(self) -> None:
        try:
            os.pwrite(self._clear, _RESET_PEAK, 0)
        except OSError:
            return

    def peak_bytes(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return (
                int(
                    os.pread(self._status, _STATUS_BYTES, 0)
                    .partition(b"VmHWM:")[2]
                    .split(maxsplit=1)[0]
                )
                * 1024
            )
        return None
