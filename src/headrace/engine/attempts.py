"""What an attempt at asset code is given, what it costs and how it fails.

These are the values that travel in messages, so this module imports neither DuckDB nor Arrow.
"""

from __future__ import annotations

import enum
import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.lake import FileRef, LakeColumn, LakeTable
from headrace.lake.tables import MergeRule, MergeState
from headrace.model import Body

# Errors, inputs, the scope of an attempt, and its measurements.


class ErrorKind(enum.StrEnum):
    """Why an attempt failed, as the retry policy needs it (SEMANTICS §6)."""

    TRANSIENT = "transient"
    RESOURCES = "resources"
    DETERMINISTIC = "deterministic"
    LOST_WORKER = "lost_worker"
    ENVIRONMENT = "environment"
    """No space, a read-only disk, no way to the lake: nobody's failure."""
    THROTTLED = "throttled"
    """A server asked to be left alone for a while."""
    CANCELLED = "cancelled"
    NOT_SEPARABLE = "not_separable"


class BodyError(msgspec.Struct, frozen=True, gc=False):
    """What went wrong in an attempt: in the user's terms, with the place in the user's file where it is known."""

    kind: ErrorKind
    message: str
    file: str | None = None
    line: int | None = None
    hint: str = ""
    code: str = ""
    """A problem code with a page of its own (`headrace explain CODE`), where there is one."""
    after_seconds: float | None = None
    """Of what waits: how long at least."""
    everywhere: bool = False
    """Whether it is the same in every partition: SQL that DuckDB can't parse or bind, a module that can't be imported, a program that
    isn't there."""
    machine: bool = False
    """Of what is the same everywhere: whether it is about what is installed, and may pass without a change of the code."""


class InputData(msgspec.Struct, frozen=True, gc=False):
    """One input as a body sees it: exactly the required partitions, and its columns without the system column."""

    name: str
    files: tuple[FileRef, ...]
    columns: tuple[LakeColumn, ...]
    rows: int | None = None
    """How many rows that is, where the leader knows it from the catalog; else the worker counts."""
    sql: str = ""
    """Of a view: its statement, over `inputs`."""
    inputs: tuple[InputData, ...] = ()


class AttemptScope(msgspec.Struct, frozen=True, gc=False):
    """What an attempt is for. `start` and `end` are ISO 8601 instants with offset; None for the partition `*` and for keys."""

    asset: str
    partitions: tuple[str, ...]
    grain: str | None
    start: str | None
    end: str | None
    timezone: str
    attempt: str
    parameters: dict[str, Any] = {}
    data_key: str | None = None
    """The key's value, where the data is cut by a key: what `$partition_key` is."""


class Measures(msgspec.Struct, frozen=True, gc=False):
    """What an attempt cost. Seconds are a monotonic clock's durations; memory is the worker's peak while it ran."""

    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    processor_wait_seconds: float = 0.0
    """Of `seconds`, how long it could have run while others had the processors; 0 where the system
    doesn't say so. Of the thread that runs the attempt: what its child processes waited isn't in it."""
    audit_seconds: float = 0.0
    publish_seconds: float = 0.0
    """Of the leader: from the turn that took the answer to the one that published it, synced files included."""
    peak_memory_bytes: int = 0


# Limits of the machine and of its processes, recognised by exceptions, by signals and by the text
# that programs print: memory, disk, file size, processor time, processes, open files. None of
# them is a mistake in the code that reached it.

LINES_LOOKED_AT = 50
"""So many of the last lines of a program's output may say why it ended."""
_BY_NUMBER = {
    errno.ENOMEM: "out of memory",
    errno.EFBIG: "file size limit",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
}
_STARTS = ("_execute_child", "_launch")
"""The functions of `subprocess` and `multiprocessing` that start a process."""
_BY_SIGNAL = {
    signal.SIGKILL: "out of memory",
    signal.SIGXFSZ: "file size limit",
    signal.SIGXCPU: "processor time limit",
}
"""SIGKILL is what the kernel sends where memory is used up."""
SHELL = 128
"""A shell adds this to the number of the signal that ended its command."""
_BY_WORDS = tuple(
    (name, re.compile(words))
    for name, words in (
        (
            "out of memory",
            r"\b(MemoryError|OutOfMemoryError|std::bad_alloc)\b|[Cc]annot allocate memory|heap out of memory",
        ),
        ("no space left", r"No space left on device|Disk quota exceeded"),
        ("file size limit", r"\[Errno 27\]|: File too large$|File size limit exceeded"),
        ("processor time limit", r"CPU time limit exceeded"),
        ("process limit", r"can't start new thread|fork\b.*Resource temporarily unavailable|\[Errno 11\]"),
        ("too many open files", r"Too many open files"),
    )
)  # fmt: skip
MEMORY_HINT = "set `memory_max` of [run] higher, if there is more memory"
"""What to do where Headrace's own code lacked memory."""
_HINTS = {
    "out of memory": "give it more memory, or make the partitions smaller",
    "no space left": "make room on the disk that it writes to",
    "file size limit": "raise the limit (`ulimit -f`), or write smaller files",
    "processor time limit": "raise the limit (`ulimit -t`), or make the partitions smaller",
    "process limit": "raise the limit (`ulimit -u`), or start fewer processes and threads",
    "too many open files": "raise the limit (`ulimit -n`), or open fewer files at once",
}


def reached_by(error: BaseException) -> str:
    """The limit that an exception says was reached; empty for every other exception."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError):
        if error.errno == errno.EAGAIN:
            return "process limit" if _starts_a_process(error) else ""
        return _BY_NUMBER.get(error.errno or 0, "")
    return "process limit" if str(error) == "can't start new thread" else ""


def _starts_a_process(error: BaseException) -> bool:
    """Whether it came from where a process is started: of a lock or a socket the same number says
    that somebody else has it, or that nothing is there yet."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_name in _STARTS


def ended_by(code: int) -> str:
    """The limit that a program's end says was reached: `code` is its exit code, or minus the signal."""
    number = -code if code < 0 else code - SHELL
    return _BY_SIGNAL.get(number, "") if number > 0 else ""  # type: ignore[call-overload]


def named_in(said: str) -> str:
    """The limit that an error's words tell of; empty where they tell of none."""
    return next((name for name, words in _BY_WORDS if words.search(said)), "")


def hint_for(limit: str) -> str:
    """What to do about a limit."""
    return _HINTS.get(limit, "")


def as_said(error: BodyError, lines: Iterable[str]) -> BodyError:
    """A program's failure by its own code alone, with the limit that its last lines tell of. Of what
    it printed nothing else gets into the message: it may be data."""
    if error.code != "command_failed" or error.kind is not ErrorKind.DETERMINISTIC:
        return error
    said = [*lines][-LINES_LOOKED_AT:]
    limit = next((name for line in reversed(said) if (name := named_in(line))), "")
    if not limit:
        return error
    return msgspec.structs.replace(
        error,
        kind=ErrorKind.RESOURCES,
        message=f"{error.message}: {limit}, as it says itself",
        hint=hint_for(limit),
        everywhere=False,
        machine=False,
    )


# The environment of asset code (docs/how-to/secrets.md): a fixed list of names and nothing else
# of Headrace's own environment, because everything else in it may hold a secret. An asset gets
# more only through `environment:` and `secrets:`, and through `[run] pass_environment`.

COMMON = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR")
"""What any program may need, with all that begin with `LC_`."""
COMMON_PREFIX = "LC_"
OF_WORKERS = (
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX", "HEADRACE_FAULT", "HEADRACE_FAULT_ONCE", "HEADRACE_FAULT_TRACE",
)  # fmt: skip
"""What the worker itself needs to start, and to be tested: where Python and its libraries lie, and armed fault points. Python assets
run in a worker and see these as well; commands don't."""


class Handed(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What one attempt gets beyond the clean environment, sent to its worker through the pipe of tasks."""

    variables: dict[str, str] = {}
    """Name → value, those of secrets included."""
    secrets: tuple[str, ...] = ()
    """Names of variables whose values must not be kept anywhere."""
    missing: str = ""
    """Why a declared secret can't be handed over: the attempt can't begin."""


def common(environment: Mapping[str, str]) -> dict[str, str]:
    """What commands get of `environment`."""
    return {name: value for name, value in environment.items() if name in COMMON or name.startswith(COMMON_PREFIX)}


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """What workers, and so Python assets, get of `environment`."""
    return common(environment) | {name: environment[name] for name in OF_WORKERS if name in environment}


@contextmanager
def surrounded(handed: Handed | None) -> Iterator[None]:
    """While it is entered, the process's environment has what was handed over; afterwards it is as before."""
    if handed is None or not handed.variables:
        yield
        return
    before = dict(os.environ)
    os.environ.update(handed.variables)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name not in before]:
            del os.environ[name]
        os.environ.update(before)


# The part of a task and of the data folder that the engine reads. `runtime` defines both; the
# engine may not import it.


class BodyTask(Protocol):
    """The fields of `runtime.messages.ComputeTask` that a body needs; what they mean is said there."""

    @property
    def scope(self) -> AttemptScope: ...
    @property
    def body(self) -> Body: ...
    @property
    def sql(self) -> str | None: ...
    @property
    def code(self) -> str | None: ...
    @property
    def written(self) -> tuple[tuple[str, str | None], ...]: ...
    @property
    def inputs(self) -> tuple[InputData, ...]: ...
    @property
    def materialize(self) -> str: ...
    @property
    def partition_column(self) -> str | None: ...
    @property
    def table(self) -> LakeTable | None: ...
    @property
    def evolve(self) -> bool: ...
    @property
    def macros(self) -> dict[str, str]: ...
    @property
    def merge(self) -> MergeRule | None: ...
    @property
    def handed(self) -> Handed | None: ...
    @property
    def packages(self) -> tuple[str, ...]: ...
    @property
    def code_packages(self) -> tuple[str, ...]: ...
    @property
    def state(self) -> MergeState | None: ...


class DataFolders(Protocol):
    """Where things lie (`runtime.folders.Folders`). DuckDB must be allowed to read `temporary`."""

    @property
    def lake(self) -> Path: ...
    @property
    def code(self) -> Path: ...
    @property
    def files(self) -> Path: ...
    @property
    def temporary(self) -> Path: ...
    @property
    def project(self) -> Path: ...
