"""The environment of an asset with `requirements`, made before its attempt if it isn't there.

The attempt's own time begins afterwards, so that the wait is told apart in the delay ledger.
"""

from __future__ import annotations

import time

from headrace.engine.attempts import ErrorKind
from headrace.engine.failures import BodyFailed, failed
from headrace.engine.logs import LogFile
from headrace.model import HeadraceError
from headrace.model.plugins import ENVIRONMENTS, function_named
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ComputeTask


def in_environment(task: ComputeTask, folders: Folders, log: LogFile) -> tuple[ComputeTask, float]:
    """Return a task with a lock so that it runs with these packages, and the seconds that it took.

    A function of Python becomes a program that calls it. Raises `BodyFailed`.
    """
    begun = time.perf_counter()
    try:
        placed, report = function_named(ENVIRONMENTS, "python")(task, folders)
    except (HeadraceError, OSError) as error:
        raise _failed(task, error) from error
    if report:
        log.say("info", report)
        log.close()
    return placed, time.perf_counter() - begun


def _failed(task: ComputeTask, error: HeadraceError | OSError) -> BodyFailed:
    transient = getattr(error, "transient", isinstance(error, OSError))
    failure = failed(
        f"the environment of `requirements` can't be made: {error}",
        code="requirements_failed",
        kind=ErrorKind.TRANSIENT if transient else ErrorKind.DETERMINISTIC,
        hint=getattr(error, "hint", ""),
        file=task.lock,
        everywhere=not transient,
    )
    return failure if transient else failure.of_machine()
