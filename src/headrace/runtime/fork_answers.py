"""The folders of a restricted attempt, and the check of what its process answers.

The answer comes from code that isn't trusted: paths in it are those of this attempt, or it is
refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from headrace.engine.command import output_files
from headrace.engine.compute import AssetOutput
from headrace.engine.failures import failed
from headrace.lake import tables
from headrace.runtime.folders import Folders
from headrace.runtime.fork_messages import ForkResult
from headrace.runtime.messages import ComputeTask

_STAGED = ".staged-"
"""How the folder begins in which an attempt stages rows, below its table's folder."""
COPIED_BYTES_MAX, COPIES_MAX = 1024 * 1024, 4
"""1 MiB, 4 files: copying them takes less time than waiting for the end of a process."""


class AttemptPlaces(NamedTuple):
    """Folders that exist for one attempt."""

    lake: Path
    table_folder: str
    """The table's folder below the lake, with `/` at its end."""
    staged: str
    own: Path
    files: Path
    """The folder of published files."""

    @classmethod
    def of(cls, task: ComputeTask, folders: Folders, name: str) -> AttemptPlaces:
        """Create the folder for staged rows; the attempt's process created its own folder."""
        known = task.table.folder if task.table is not None else ""
        table = known or f"{tables.SCHEMA_FOLDER}{tables.folder_of(task.scope.asset)}"
        places = cls(
            folders.lake, table, f"{_STAGED}{name}/", folders.temporary / name, folders.files
        )
        places.staging.mkdir(parents=True)
        return places

    @property
    def staging(self) -> Path:
        return self.lake / self.table_folder / self.staged

    @property
    def log(self) -> Path:
        return self.own / "log.jsonl"


def checked(
    data: bytes, task: ComputeTask, places: AttemptPlaces, end: Callable[[], object]
) -> ForkResult:
    """Return the answer with its files copied or moved to where they are published from.

    `end` ends the process that answered, and all that it started: before that, they may write to
    files that are moved, but not to copies. Raises `BodyFailed` for an answer that names files of
    others.
    """
    staged = f"{places.table_folder}{places.staged}"
    try:
        answer = msgspec.msgpack.decode(data)
        result = msgspec.convert(_renamed(answer, staged, places.table_folder), ForkResult)
        if result.output is not None:
            _check_paths(result.output, task, places)
            _publish(result.output, places, end)
    except (msgspec.DecodeError, msgspec.ValidationError, OSError, _Forged) as error:
        raise failed(
            f"the asset's process gave an answer that can't be its own: {error}",
            code="body_failed",
            file=task.body.file,
            line=task.body.line,
            hint="its code must not write to Headrace's files and pipes",
        ) from error
    return result


class _Forged(Exception):
    """An answer names files that the attempt can't have written."""


def _renamed(value: Any, before: str, after: str) -> Any:
    """Return the answer with paths in the attempt's folder replaced by those of the table's."""
    if isinstance(value, str):
        return f"{after}{value[len(before) :]}" if value.startswith(before) else value
    if isinstance(value, dict):
        return {key: _renamed(item, before, after) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, before, after) for item in value]
    return value


def _check_paths(output: AssetOutput, task: ComputeTask, places: AttemptPlaces) -> None:
    written = {f"{places.table_folder}{name}" for name in _staged_names(places)}
    mine, others = _named_paths(output)
    if not written.issuperset(mine) or not (written | _known_paths(task)).issuperset(others):
        raise _Forged("it names files of others")
    if output.table is not None and output.table.name != task.scope.asset:
        raise _Forged("it names another table")


def _are_copied(names: Sequence[str], places: AttemptPlaces) -> bool:
    """Copy the files, and return whether they were small enough for that."""
    contents = [_content(places.staging / name) for name in names]
    if None in contents:
        return False
    for name, content in zip(names, contents, strict=True):
        target = places.lake / places.table_folder / name
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content or b"")
    return True


def _content(path: Path) -> bytes | None:
    """Return a file's content; None if it is larger than a copied one, or no regular file."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        content = file.read(COPIED_BYTES_MAX + 1)
    return content if len(content) <= COPIED_BYTES_MAX else None


def _known_paths(task: ComputeTask) -> set[str]:
    """Return the files of the table that a merge starts from."""
    if task.state is None:
        return set()
    return {file.ref.path for file in task.state.files} | {path for path, _ in task.state.seen}


def _named_paths(output: AssetOutput) -> tuple[list[str], list[str]]:
    """Return the paths of new files in an answer, and those of files of the table."""
    mine = [output.staged.path] if output.staged is not None else []
    others = [file.path for file in output.files]
    if (replaced := output.replacement) is not None:
        mine += [each.path for each in replaced.deletes]
        others += [each.of for each in replaced.deletes]
        others += [*replaced.ended, *replaced.restored, *(path for path, _ in replaced.seen)]
    return mine, others


def _staged_names(places: AttemptPlaces) -> list[str]:
    with os.scandir(places.staging) as entries:
        return [
            entry.name
            for entry in entries
            if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
            and entry.stat(follow_symlinks=False).st_nlink == 1
        ]


def _publish(output: AssetOutput, places: AttemptPlaces, end: Callable[[], object]) -> None:
    """Copy a few small files; move others, for which the attempt's processes have to end first."""
    names = _staged_names(places)
    if output.manifest is None and len(names) <= COPIES_MAX and _are_copied(names, places):
        return
    end()
    for name in names:
        (places.staging / name).rename(places.lake / places.table_folder / name)
    if output.manifest is None:
        return
    outputs = output_files(places.own / "files", hidden=True)
    relative = {path.relative_to(places.own).as_posix(): path.stat().st_size for path in outputs}
    if relative != {file["path"]: file["size"] for file in output.manifest}:
        raise _Forged("it names other files than it wrote")
    for folder in (places.own / "files").glob("*/*"):
        target = places.files / folder.relative_to(places.own / "files")
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
