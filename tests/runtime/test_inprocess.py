"""The executor of tests keeps to the contract that all keep to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from executor_contract import BODIES, AnyExecutor, ExecutorBench

from headrace.engine import BodyError, ErrorKind, Measures
from headrace.model import PythonBody
from headrace.runtime.executors import InProcess
from headrace.runtime.messages import Answer, ComputeTask, SourceObserved, Task, TaskOutcome


def perform(task: Task) -> Answer:
    """Call the function, and nothing around it."""
    if not isinstance(task, ComputeTask):
        return SourceObserved(task.attempt, error="nothing is looked at here")
    assert isinstance(task.body, PythonBody)
    module: dict[str, Any] = {}
    exec(BODIES, module)
    try:
        module[task.body.function]()
    except ValueError as error:
        failure = BodyError(ErrorKind.DETERMINISTIC, str(error)[:100])
        return TaskOutcome(
            attempt=task.scope.attempt, state="failed", measures=Measures(), error=failure
        )
    return TaskOutcome(attempt=task.scope.attempt, state="staged", measures=Measures())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ExecutorBench]:
    made = ExecutorBench(tmp_path)
    with InProcess(perform, slots=4) as made.executor:
        yield made


class TestInProcess(AnyExecutor):
    pass
