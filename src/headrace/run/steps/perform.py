"""One task in a worker, whatever it is: the boundary between what users wrote and the process that runs it."""

from __future__ import annotations

from headrace.engine import Measures
from headrace.engine.produce import error_of
from headrace.run.messages import Answer, LookAt, Looked, Outcome, Produce, TakeIn, Task
from headrace.run.steps.look import look
from headrace.run.steps.produce import produce
from headrace.run.steps.take_in import take_in
from headrace.run.steps.workshop import Workshop


def perform(task: Task, workshop: Workshop) -> Answer:
    """Do one task. Whatever user code does, short of ending the process, becomes an answer."""
    try:
        match task:
            case TakeIn():
                return take_in(task, workshop)
            case Produce():
                return produce(task, workshop)
            case LookAt():
                return look(task, workshop)
    except BaseException as error:  # noqa: BLE001 - the one error boundary: nothing a task does ends the worker
        return _failed(task, error, workshop)


def _failed(task: Task, error: BaseException, workshop: Workshop) -> Answer:
    told = error_of(error)
    if isinstance(task, LookAt):
        return Looked(task.attempt, error=workshop.secrets.scrubbed(told.message), code="source_unavailable")
    attempt = task.scope.attempt if isinstance(task, Produce) else task.attempt
    return Outcome(attempt=attempt, state="failed", measures=Measures(), error=told)
