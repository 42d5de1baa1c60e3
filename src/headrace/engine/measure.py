"""What an attempt costs: seconds, CPU seconds, seconds without a processor, the peak of memory, rows and bytes in and out."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from headrace.engine.bodies import InputData, Measures
from headrace.lake import FileRef
from headrace.lake.inlining import source_sql, tables_in
from headrace.lake.session import literal

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

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
