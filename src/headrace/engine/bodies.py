"""What goes into a body and what comes out, as values that travel in messages."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from headrace.lake import FileRef, LakeColumn


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
