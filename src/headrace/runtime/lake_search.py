"""Requests to a process that reads and rewrites files of the lake.

The process (`runtime.lake_process`) is separate because a process with the state database open
loads no DuckDB.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import Any, BinaryIO, TypeVar, cast

import msgspec

from headrace.compiler.frames import receive, send
from headrace.lake.erased_files import ErasedFile, ErasureScan
from headrace.model import LakeError
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ComputeTask

PROCESS = "headrace.runtime.lake_process"
"""Module of the process: it loads DuckDB, which this one must not."""
SECONDS_MAX = 3_600


class TableSearch(msgspec.Struct, frozen=True, tag="table"):
    """The files of a table of the lake."""

    scan: ErasureScan


class RebuildRequest(msgspec.Struct, frozen=True, tag="rebuild"):
    """A partition to compute again, to see whether it gives the same rows."""

    task: ComputeTask
    folders: Folders
    threads: int


class RebuiltPartition(msgspec.Struct, frozen=True):
    """The hash and number of the rows that a partition gives; None and why, if it gives none."""

    content_hash: str | None
    rows: int = 0
    why: str = ""


R = TypeVar("R")


def erased_files(scan: ErasureScan) -> tuple[ErasedFile, ...]:
    """Return the files of a table with rows to erase. Raises LakeError."""
    with contextlib.closing(LakeProcess(PROCESS)) as process:
        return process.ask(TableSearch(scan), tuple[ErasedFile, ...])


def rebuilt(request: RebuildRequest) -> RebuiltPartition:
    """Compute a partition, and publish nothing. Raises LakeError without an answer."""
    with contextlib.closing(LakeProcess(PROCESS)) as process:
        return process.ask(request, RebuiltPartition)


DONE, FAILED = b"\0", b"\1"
"""First byte of an answer: the result follows, or an error in words."""


class LakeProcess:
    """A process that answers requests, started for the first one; close it."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Any, kind: type[R]) -> R:
        """Return the result of a request. Raise LakeError for an error, or without an answer."""
        process = self._process = self._process or subprocess.Popen(
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        timer = threading.Timer(SECONDS_MAX, process.kill)
        timer.start()
        answer: bytes | None = None
        try:
            with contextlib.suppress(BrokenPipeError):
                send(cast("BinaryIO", process.stdin), msgspec.msgpack.encode(request))
                answer = receive(cast("BinaryIO", process.stdout))
        finally:
            timer.cancel()
            if answer is None:  # it has ended, or this process was interrupted
                process.kill()
        if answer is None:
            self.close()  # the next request starts another
            raise LakeError(f"the search of the lake ended with exit code {process.returncode}")
        if answer.startswith(FAILED):
            raise LakeError(answer[1:].decode())
        return msgspec.msgpack.decode(answer[1:], type=kind)

    def close(self) -> None:
        """End the process, which ends by itself when its standard input does."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError), self._process:
                self._process = None
