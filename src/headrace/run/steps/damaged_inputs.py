"""A file of the lake that a task was to read and that isn't there as it was published: then nothing that
failed over it is the fault of code or data, and the task waits for the repair of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from headrace.engine.bodies import BodyError, ErrorKind
from headrace.lake.folders import lost_with
from headrace.lake.intact import look
from headrace.lake.tables import FileRef
from headrace.model.clauses import LAKE_FILE
from headrace.run.messages import Task, TaskOutcome

_PUT_DOWN = (ErrorKind.DETERMINISTIC, ErrorKind.TRANSIENT)
_OF_FILES = re.compile(r"parquet|magic bytes|decompress|no such file|cannot open|no files found", re.IGNORECASE)
"""What DuckDB and Arrow say of a file that can't be read, some of it without its name."""


def put_down_to_files(answer: TaskOutcome, task: Task, lake: Path) -> TaskOutcome:
    """The answer of a task that failed; its error is that of a damaged file where it was given one."""
    error = answer.error
    if error is None or error.kind not in _PUT_DOWN or not _OF_FILES.search(error.message):
        return answer
    for path in dict.fromkeys(_paths(task)):
        wrong = _wrong(lake / path)
        if wrong and lost_with(Path(path).name) is None:  # what was given up is being made again
            message = f"{LAKE_FILE}{path} {wrong}"
            body_error = BodyError(ErrorKind.ENVIRONMENT, message, hint="headrace incidents lists what repairs it", code="data_corrupted")
            return msgspec.structs.replace(answer, error=body_error)
    return answer


def _wrong(path: Path) -> str:
    """What is wrong with a file, as far as that shows without knowing what was published; empty for nothing."""
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return look(path, size, 0).wrong


def _paths(value: Any) -> Iterator[str]:
    """The files of the lake that are named anywhere in a task."""
    if isinstance(value, FileRef):
        yield value.path
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _paths(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _paths(item)
