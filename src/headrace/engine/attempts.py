"""Inputs, cost and errors of an attempt at asset code.

These values travel in messages, so this module imports neither DuckDB nor Arrow.
"""

from __future__ import annotations

import enum
import errno
import os
import re
import signal
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from headrace.lake import FileRef, LakeColumn, LakeTable
from headrace.lake.tables import MergeRule, MergeState
from headrace.lake.types import parse, storable
from headrace.model import Body, PythonBody

if TYPE_CHECKING:
    import pyarrow as pa

# Errors, inputs, the scope of an attempt, and its measurements.


COMMAND_FAILED = "command_failed"
"""Code of a command's own failures."""


class ErrorKind(enum.StrEnum):
    """The kind of an attempt's failure; the retry policy depends on it (SEMANTICS §6)."""

    TRANSIENT = "transient"
    RESOURCES = "resources"
    DETERMINISTIC = "deterministic"
    LOST_WORKER = "lost_worker"
    ENVIRONMENT = "environment"
    """No space, a read-only disk or an unreachable lake: the asset isn't at fault."""
    THROTTLED = "throttled"
    """A server asked to wait before the next request."""
    CANCELLED = "cancelled"
    NOT_SEPARABLE = "not_separable"


class BodyError(msgspec.Struct, frozen=True, gc=False):
    """The error of an attempt, in the user's terms, with the place in the user's file if known."""

    kind: ErrorKind
    message: str
    file: str | None = None
    line: int | None = None
    hint: str = ""
    code: str = ""
    """A problem code with its own page (`headrace explain CODE`), if there is one."""
    after_seconds: float | None = None
    """The minimum time to wait before the next attempt, in seconds, if a server gave one."""
    everywhere: bool = False
    """Whether the error is the same in every partition.

    Examples are SQL that DuckDB can't parse or bind, a module that can't be imported, or a missing
    program.
    """
    machine: bool = False
    """Whether an error of every partition is about what is installed.

    It may then disappear without a change of the code.
    """


class InputData(msgspec.Struct, frozen=True, gc=False):
    """One input of an asset: exactly the required partitions, without the system column."""

    name: str
    files: tuple[FileRef, ...]
    columns: tuple[LakeColumn, ...]
    rows: int | None = None
    """The number of rows, if the leader knows it from the catalog; else the worker counts them."""
    sql: str = ""
    """The statement of a view, over `inputs`."""
    inputs: tuple[InputData, ...] = ()


class AttemptScope(msgspec.Struct, frozen=True, gc=False):
    """The subject of an attempt.

    `start` and `end` are ISO 8601 instants with offset; None for the partition `*` and for keys.
    """

    asset: str
    partitions: tuple[str, ...]
    grain: str | None
    start: str | None
    end: str | None
    timezone: str
    attempt: str
    parameters: dict[str, Any] = {}
    data_key: str | None = None
    """The key's value for data that is partitioned by key: the value of `$partition_key`."""


class Measures(msgspec.Struct, frozen=True, gc=False):
    """The cost of an attempt.

    Durations are in seconds of a monotonic clock, and exclude one another: `seconds` is without
    the audit. Memory is the worker's peak during the attempt.
    """

    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    processor_wait_seconds: float = 0.0
    """The part of `seconds` in which the attempt's thread waited for a processor.

    Child processes aren't included. 0 if the system doesn't report it.
    """
    audit_seconds: float = 0.0
    publish_seconds: float = 0.0
    """The leader's time from receiving the result to publishing it, including the sync of files."""
    environment_seconds: float = 0.0
    """How long the environment of `requirements` was waited for, before `seconds` began."""
    peak_memory_bytes: int = 0

    def apart_from_audit(self, seconds: float) -> Measures:
        """Return the measures of work that included an audit of that duration, told apart."""
        return msgspec.structs.replace(
            self, seconds=max(self.seconds - seconds, 0.0), audit_seconds=seconds
        )


# Limits of the machine and of its processes (memory, disk, file size, processor time, processes,
# open files), recognised by exceptions, signals and the text that programs print. Reaching one of
# them isn't a mistake in the asset's code.


class Limit(enum.StrEnum):
    """A limit, as messages name it."""

    OUT_OF_MEMORY = "out of memory"
    NO_SPACE = "no space left"
    FILE_SIZE = "file size limit"
    PROCESSOR_TIME = "processor time limit"
    PROCESSES = "process limit"
    OPEN_FILES = "too many open files"


LINES_LOOKED_AT = 50
"""The number of last lines of a program's output in which a limit is searched."""
_BY_NUMBER = {
    errno.ENOMEM: Limit.OUT_OF_MEMORY,
    errno.EFBIG: Limit.FILE_SIZE,
    errno.EMFILE: Limit.OPEN_FILES,
    errno.ENFILE: Limit.OPEN_FILES,
}
_STARTS = ("_execute_child", "_launch")
"""The functions of `subprocess` and `multiprocessing` that start a process."""
_BY_SIGNAL = {
    signal.SIGKILL: Limit.OUT_OF_MEMORY,
    signal.SIGXFSZ: Limit.FILE_SIZE,
    signal.SIGXCPU: Limit.PROCESSOR_TIME,
}
"""The kernel sends SIGKILL when memory runs out."""
SHELL = 128
"""The number that a shell adds to the signal that ended its command."""
_BY_WORDS = tuple(
    (name, re.compile(words))
    for name, words in (
        (
            Limit.OUT_OF_MEMORY,
            (
                r"\b(MemoryError|OutOfMemoryError|std::bad_alloc)\b|[Cc]annot allocate memory|heap"
                r" out of memory"
            ),
        ),
        (Limit.NO_SPACE, r"No space left on device|Disk quota exceeded"),
        (Limit.FILE_SIZE, r"\[Errno 27\]|: File too large$|File size limit exceeded"),
        (Limit.PROCESSOR_TIME, r"CPU time limit exceeded"),
        (
            Limit.PROCESSES,
            r"can't start new thread|fork\b.*Resource temporarily unavailable|\[Errno 11\]",
        ),
        (Limit.OPEN_FILES, r"Too many open files"),
    )
)
MEMORY_HINT = "set `memory_max` of [run] higher, if there is more memory"
"""The hint when Headrace's own code ran out of memory."""
_HINTS = {
    Limit.OUT_OF_MEMORY: "give it more memory, or make the partitions smaller",
    Limit.NO_SPACE: "make room on the disk that it writes to",
    Limit.FILE_SIZE: "raise the limit (`ulimit -f`), or write smaller files",
    Limit.PROCESSOR_TIME: "raise the limit (`ulimit -t`), or make the partitions smaller",
    Limit.PROCESSES: "raise the limit (`ulimit -u`), or start fewer processes and threads",
    Limit.OPEN_FILES: "raise the limit (`ulimit -n`), or open fewer files at once",
}


def reached_by(error: BaseException) -> Limit | None:
    """Return the limit that an exception reports; None for all other exceptions."""
    if isinstance(error, MemoryError):
        return Limit.OUT_OF_MEMORY
    if isinstance(error, OSError):
        if error.errno == errno.EAGAIN:
            return Limit.PROCESSES if _starts_a_process(error) else None
        return _BY_NUMBER.get(error.errno or 0)
    return Limit.PROCESSES if str(error) == "can't start new thread" else None


def _starts_a_process(error: BaseException) -> bool:
    """Return whether the exception comes from starting a process.

    Locks and sockets use the same error number for resources that are busy or not ready.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_name in _STARTS


def ended_by(code: int) -> Limit | None:
    """Return the limit that a program's end indicates.

    `code` is its exit code, or minus the number of the signal that ended it.
    """
    number = -code if code < 0 else code - SHELL
    return _BY_SIGNAL.get(number) if number > 0 else None  # type: ignore[call-overload]


def named_in(text: str) -> Limit | None:
    """Return the limit that an error's text names; None if it names none."""
    return next((limit for limit, words in _BY_WORDS if words.search(text)), None)


def hint_for(limit: Limit | None) -> str:
    """Return the hint for a limit; empty for none."""
    return "" if limit is None else _HINTS[limit]


def as_said(error: BodyError, lines: Iterable[str]) -> BodyError:
    """Return a program's failure with the limit that its last lines name.

    Only failures by the program's own exit code are changed. Nothing else of the output gets into
    the message, because it may be data.
    """
    if error.code != COMMAND_FAILED or error.kind is not ErrorKind.DETERMINISTIC:
        return error
    last_lines = [*lines][-LINES_LOOKED_AT:]
    limit = next((name for line in reversed(last_lines) if (name := named_in(line))), None)
    if limit is None:
        return error
    return msgspec.structs.replace(
        error,
        kind=ErrorKind.RESOURCES,
        message=f"{error.message}: {limit}, as it says itself",
        hint=hint_for(limit),
        everywhere=False,
        machine=False,
    )


# The values that asset code gets besides the clean environment (`headrace.clean_environment`).


class Handed(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Variables that an attempt gets besides the clean environment, sent through the task pipe."""

    variables: dict[str, str] = {}
    """Names and values, including those of secrets."""
    secrets: tuple[str, ...] = ()
    """Names of the variables whose values must never be stored."""
    missing: str = ""
    """The reason why a declared secret is unavailable; then the attempt can't begin."""
    unreachable: bool = False
    """Whether the secret's manager can't be reached, and a later attempt may succeed."""


@contextmanager
def surrounded(handed: Handed | None) -> Iterator[None]:
    """Add the variables to the process's environment and restore it on exit."""
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


class CodePackages(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Distributions whose versions are stored with an attempt at Python or a command."""

    imported: tuple[str, ...] = ()
    """Imported top-level names."""
    named: tuple[str, ...] = ()
    """Other distributions, as the asset names them."""


class CodeSandbox(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What asset code may reach beyond its inputs, where the system can restrict it."""

    on: bool = False
    """Whether it is restricted."""
    python: bool = False
    """Whether a Python asset runs in a restricted process of its own."""
    read: tuple[str, ...] = ()
    """Paths as declared: absolute, below `~`, or relative to the project."""
    write: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = None
    """TCP ports to connect to; None: all."""
    hosts: tuple[str, ...] | None = None
    """Hosts to connect to over a proxy, besides the ports; None: no proxy."""
    private_addresses: tuple[str, ...] = ()
    """Networks of private addresses that hosts may have."""


# The parts of a task and of the data folder that the engine reads. `runtime` defines both, and the
# engine may not import it.


class BodyTask(Protocol):
    """The fields of `runtime.messages.ComputeTask` that the engine reads; see there."""

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
    def call_inputs(self) -> tuple[tuple[InputData, ...], ...]: ...
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
    def packages(self) -> CodePackages: ...
    @property
    def sandbox(self) -> CodeSandbox: ...
    @property
    def state(self) -> MergeState | None: ...
    @property
    def function(self) -> dict[str, Any]: ...
    @property
    def lock(self) -> str | None: ...


def is_called_each(task: BodyTask) -> bool:
    """Return whether the task is a batch that calls a Python function once per partition."""
    return isinstance(task.body, PythonBody) and len(task.scope.partitions) > 1


def declared_types(task: BodyTask) -> tuple[tuple[str, str], ...]:
    """Return the columns of Python or a command whose types are declared, with these types.

    A name alone declares none. Raises UnsupportedType.
    """
    return tuple(
        (name, storable(parse(kind), name).text) for name, kind in task.written if kind is not None
    )


class ComputedRows(msgspec.Struct, frozen=True):
    """The rows that asset code computed, to be staged while the context that gave them is open."""

    select: Callable[[], tuple[str, Hashable]]
    """Makes the rows readable for DuckDB, once.

    Returns a SELECT over them, and a value that determines their columns: equal values mean equal
    columns. The value is None if that isn't known.
    """
    batch: pa.RecordBatch | None = None
    """All of the rows, if they are few and in memory."""
    place: Callable[[str, str], str] = lambda column, value: ""  # noqa: ARG005
    """Returns a clause that says where a column has this text, empty if that isn't known."""


class DataFolders(Protocol):
    """Folders of a project (`runtime.folders.Folders`). DuckDB must be able to read `temporary`."""

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
