"""One task in a worker, whatever it is: the boundary between what users wrote and the process that runs it."""

from __future__ import annotations

import os

from headrace.engine import Measures
from headrace.engine.compute import error_of
from headrace.engine.environment import surrounded
from headrace.run.handing import with_handed
from headrace.run.messages import Answer, ComputeTask, ExportTask, IngestTask, ObserveTask, Prune, SourceObserved, Task, TaskOutcome
from headrace.run.scrubbing import scrubbed
from headrace.run.steps.compute import compute
from headrace.run.steps.damaged_inputs import put_down_to_files
from headrace.run.steps.export import export
from headrace.run.steps.ingest import ingest
from headrace.run.steps.keeping import kept
from headrace.run.steps.observe import observe
from headrace.run.steps.prune import prune
from headrace.run.steps.worker_context import WorkerContext


def perform(task: Task, context: WorkerContext) -> Answer:
    """Do one task. Whatever user code does, short of ending the process, becomes an answer, and no answer holds a secret."""
    if not isinstance(task, Prune) and task.handed is None:  # there is nobody between us and who asks
        task = with_handed(task, os.environ, context.secrets)
    given = None if isinstance(task, Prune) else task.handed
    if given is not None:
        for name in given.secrets:
            context.secrets.hide(given.variables[name])
    with surrounded(given):
        answer = _performed(task, context)
    if isinstance(answer, TaskOutcome):
        answer = put_down_to_files(answer, task, context.folders.lake)
    return scrubbed(answer, context.secrets)


def _performed(task: Task, context: WorkerContext) -> Answer:
    context.limit(task.memory_max_bytes if isinstance(task, ComputeTask) else None)
    try:
        match task:
            case IngestTask():
                return ingest(task, context)
            case ComputeTask():
                return kept(compute(task, context), context.folders)
            case ExportTask():
                return export(task, context)
            case ObserveTask():
                return observe(task, context)
            case Prune():
                return kept(prune(task, context), context.folders)
    except BaseException as error:  # noqa: BLE001 - the one error boundary: nothing a task does ends the worker
        return _failed(task, error)


def _failed(task: Task, error: BaseException) -> Answer:
    body_error = error_of(error)
    if isinstance(task, ObserveTask):
        return SourceObserved(task.attempt, error=body_error.message, code="source_unavailable")
    attempt = task.scope.attempt if isinstance(task, ComputeTask) else task.attempt
    return TaskOutcome(attempt=attempt, state="failed", measures=Measures(), error=body_error)
