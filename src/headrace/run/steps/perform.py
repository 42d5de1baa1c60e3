"""One task in a worker, whatever it is: the boundary between what users wrote and the process that runs it."""

from __future__ import annotations

from headrace.engine import Measures
from headrace.engine.produce import error_of
from headrace.run.messages import Outcome, Produce, TakeIn, Task
from headrace.run.steps.produce import produce
from headrace.run.steps.take_in import take_in
from headrace.run.steps.workshop import Workshop


def perform(task: Task, workshop: Workshop) -> Outcome:
    """Do one task. Whatever user code does, short of ending the process, becomes an outcome."""
    try:
        match task:
            case TakeIn():
                return take_in(task, workshop)
            case Produce():
                return produce(task, workshop)
    except BaseException as error:  # noqa: BLE001 - the one error boundary: nothing a task does ends the worker
        return Outcome(
            attempt=task.attempt if isinstance(task, TakeIn) else task.scope.attempt,
            state="failed",
            measures=Measures(),
            error=error_of(error),
        )
