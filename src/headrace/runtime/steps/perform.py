"""Perform one task in a worker: the boundary between user code and its process."""

from __future__ import annotations

import os
import time

from headrace.engine import Measures
from headrace.engine.attempts import surrounded
from headrace.engine.compute import error_of
from headrace.lake.staging import stage_rewrite
from headrace.runtime.durable_files import with_durable_files
from headrace.runtime.messages import (
    Answer,
    ComputeTask,
    ExportTask,
    FailedOutcome,
    IngestBatchTask,
    IngestTask,
    ObserveTask,
    Prune,
    RewrittenFile,
    SourceObserved,
    StagedOutcome,
    Task,
)
from headrace.runtime.steps.compute import compute
from headrace.runtime.steps.export import export
from headrace.runtime.steps.failed_answers import (
    attributed_to_damaged_files,
    of_declared_type,
    without_classified_values,
)
from headrace.runtime.steps.ingest import ingest
from headrace.runtime.steps.ingest_batch import ingest_batch
from headrace.runtime.steps.sources import observe
from headrace.runtime.steps.worker_context import WorkerContext
from headrace.runtime.task_environments import with_handed
from headrace.runtime.worker_protocol import scrubbed

# Copies of files without replaced partitions. A backfill needs them before it can publish all of
# its partitions at once.


def prune(task: Prune, context: WorkerContext) -> StagedOutcome:
    """Copy each file without its replaced partitions, in the order of the files."""
    began, session = time.monotonic(), context.session(task.timezone)
    files = [
        RewrittenFile(file.path, stage_rewrite(session, file, task.table, without))
        for file, without in zip(task.files, task.without, strict=True)
    ]
    return StagedOutcome(
        attempt=task.attempt,
        measures=Measures(seconds=time.monotonic() - began),
        rewritten=tuple(files),
    )


# Perform a task. Every failure except the end of the process becomes an answer, and no answer
# contains a secret.


def perform(task: Task, context: WorkerContext) -> Answer:
    """Perform one task and return its answer.

    Any error of user code becomes an answer, unless it ends the process. No answer contains a
    secret.
    """
    # the caller runs in this process, so the environment is its own
    if not isinstance(task, Prune) and task.handed is None:
        task = with_handed(task, os.environ, context.secrets)
    handed_values = None if isinstance(task, Prune) else task.handed
    if handed_values is not None:
        for name in handed_values.secrets:
            context.secrets.hide(handed_values.variables[name])
    with surrounded(handed_values):
        answer = _performed(task, context)
    if isinstance(answer, FailedOutcome):
        answer = attributed_to_damaged_files(answer, task, context.folders.lake)
        answer = without_classified_values(answer, task)
    return scrubbed(answer, context.secrets)


def _performed(task: Task, context: WorkerContext) -> Answer:
    context.limit(task.memory_max_bytes if isinstance(task, ComputeTask) else None)
    try:
        match task:
            case IngestBatchTask():
                return ingest_batch(task, context)
            case IngestTask():
                return ingest(task, context)
            case ComputeTask():
                return with_durable_files(compute(task, context), context.folders)
            case ExportTask():
                return export(task, context)
            case ObserveTask():
                return observe(task, context)
            case Prune():
                return with_durable_files(prune(task, context), context.folders)
    except BaseException as error:  # noqa: BLE001 - the error boundary: no task ends the worker
        return _failed(task, error)


def _failed(task: Task, error: BaseException) -> Answer:
    body_error = of_declared_type(error, task) or error_of(error)
    if isinstance(task, ObserveTask):
        return SourceObserved(task.attempt, error=body_error.message, code="source_unavailable")
    attempt = task.scope.attempt if isinstance(task, ComputeTask) else task.attempt
    return FailedOutcome(attempt=attempt, measures=Measures(), error=body_error)
