"""Failures of tasks as they are answered: damaged input files, and words that may hold values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from headrace.engine.attempts import BodyError, ErrorKind
from headrace.engine.failures import ATTRIBUTABLE, without_words
from headrace.lake.files import DataCorrupted, check_file
from headrace.lake.schema import ValueMismatch
from headrace.lake.tables import FileRef, lost_with
from headrace.model.errors import LAKE_FILE
from headrace.runtime.messages import ComputeTask, FailedOutcome, IngestTask, Prune, Task
from headrace.runtime.steps.expected_schemas import declared_at

# A lake file that a task reads and that isn't as published. A failure because of it isn't the fault
# of code or data, and the task waits for the repair of the file.

_OF_FILES = re.compile(
    r"parquet|magic bytes|decompress|no such file|cannot open|no files found", re.IGNORECASE
)
"""Messages of DuckDB and Arrow about unreadable files; some don't contain the file's name."""


def attributed_to_damaged_files(answer: FailedOutcome, task: Task, lake: Path) -> FailedOutcome:
    """Return a failed task's answer; its error names a damaged input file if there is one."""
    error = answer.error
    if error.kind not in ATTRIBUTABLE or not _OF_FILES.search(error.message):
        return answer
    for path in dict.fromkeys(_paths(task)):
        wrong = _damage_of(lake / path)
        # files that were given up are being recomputed
        if wrong and lost_with(Path(path).name) is None:
            message = f"{LAKE_FILE}{path} {wrong}"
            body_error = BodyError(
                ErrorKind.ENVIRONMENT,
                message,
                hint="headrace incidents lists what repairs it",
                code=DataCorrupted.code,
            )
            return msgspec.structs.replace(answer, error=body_error)
    return answer


def of_declared_type(error: BaseException, task: Task) -> BodyError | None:
    """Return the error of a contract's type that published values can't take; None for others.

    Whoever declared the type answers for it, not the vendor whose delivery came first after that.
    """
    if not isinstance(error, ValueMismatch) or not isinstance(task, IngestTask | Prune):
        return None
    at = declared_at(task.promised or ()).get(error.columns[0])
    if at is None:
        return None
    table = task.source.name if isinstance(task, IngestTask) else task.table.name
    hint = (
        f'declare the type again that is published (see headrace sql "describe {table}"), and'
        f" convert `{error.columns[0]}` in an asset"
    )
    return BodyError(
        ErrorKind.DETERMINISTIC, f"{at}: {error}", hint=hint, code="configuration_error"
    )


def without_classified_values(answer: FailedOutcome, task: Task) -> FailedOutcome:
    """Return the answer of a failed task without the words of its error, if they may hold values.

    The words of asset code and of DuckDB quote values of rows. They are left out if an input has
    classified columns. Errors of every partition come before any row is read.
    """
    error = answer.error
    if (
        not isinstance(task, ComputeTask)
        or not task.classified_inputs
        or error.kind not in ATTRIBUTABLE
        or error.everywhere
        or error.code == DataCorrupted.code
    ):
        return answer
    message = without_words(error.message, task.classified_inputs)
    hint = f"whoever may read them finds what the code printed by: headrace logs {task.scope.asset}"
    return msgspec.structs.replace(
        answer, error=msgspec.structs.replace(error, message=message, hint=hint)
    )


def _damage_of(path: Path) -> str:
    """Return what is visibly wrong with a file, whatever was published; empty if nothing."""
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return check_file(path, size, 0).wrong


def _paths(value: Any) -> Iterator[str]:
    """Yield the paths of all lake files in a task."""
    if isinstance(value, FileRef):
        yield value.path
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _paths(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _paths(item)
