"""The process that rewrites files of the lake, and computes partitions again to compare them.

`python -m headrace.runtime.lake_process`, started by `runtime.lake_search`, reads requests from
standard input and answers each with its result (`compiler.frames`). A package with other requests
has such a process of its own.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import msgspec

from headrace.compiler.frames import receive, send
from headrace.engine.logs import OutputPipes
from headrace.lake.erasing import scan as scanned
from headrace.model import LakeError
from headrace.model.errors import first_line
from headrace.runtime.folders import Folders
from headrace.runtime.lake_search import (
    DONE,
    FAILED,
    RebuildRequest,
    RebuiltPartition,
    TableSearch,
)
from headrace.runtime.messages import FailedOutcome, HeldOutcome, RejectedOutcome, StagedOutcome
from headrace.runtime.steps.perform import perform
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.worker_protocol import WorkerSettings

_Staged = StagedOutcome | HeldOutcome | RejectedOutcome


def answer_all(kinds: Any, answered: Callable[[Any], Any]) -> int:
    """Answer requests of these kinds until the end of standard input."""
    while (data := receive(sys.stdin.buffer)) is not None:
        request = msgspec.msgpack.decode(data, type=kinds)
        try:
            answer = DONE + msgspec.msgpack.encode(answered(request))
        except (LakeError, OSError, MemoryError, duckdb.Error) as error:
            answer = FAILED + first_line(error)[:500].encode()
        send(sys.stdout.buffer, answer)
    return 0


def _answer(request: TableSearch | RebuildRequest) -> Any:
    return scanned(request.scan) if isinstance(request, TableSearch) else _rebuilt(request)


def _rebuilt(request: RebuildRequest) -> RebuiltPartition:
    (key,) = request.task.scope.partitions
    epoch, _, n = request.task.scope.attempt.partition(".")
    with worker(request.folders, request.threads) as context:
        outcome = perform(request.task, context)
    request.folders.log(int(epoch), int(n)).unlink(missing_ok=True)
    if isinstance(outcome, FailedOutcome):
        return RebuiltPartition(None, why=outcome.error.message)
    staged = outcome.staged if isinstance(outcome, _Staged) else None
    if staged is None:
        return RebuiltPartition(None, why="it gives no rows that can be published")
    (request.folders.lake / staged.path).unlink(missing_ok=True)
    part = next((part for part in staged.partitions if part.key == key), None)
    if part is None:
        return RebuiltPartition(None, why="it gives no rows")
    return RebuiltPartition(part.content_hash, part.rows)


@contextlib.contextmanager
def worker(folders: Folders, threads: int) -> Iterator[WorkerContext]:
    """Let this process do a worker's tasks, with that many threads."""
    channel = OutputPipes.open()
    context = WorkerContext(WorkerSettings(folders, threads, threads, None), channel)
    try:
        yield context
    finally:
        context.close()
        channel.close()


if __name__ == "__main__":
    sys.exit(answer_all(TableSearch | RebuildRequest, _answer))
