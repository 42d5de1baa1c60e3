"""The folders of a restricted attempt, and the check of what its process answers.

The answer comes from code that isn't trusted: paths in it are those of this attempt, or it is
refused.
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
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
    def of(cls, task: ComputeTask, folders: Folders) -> AttemptPlaces:
        name = uuid.uuid4().hex
        known = task.table.folder if task.table is not None else ""
        table = known or f"{tables.SCHEMA_FOLDER}{tables.folder_of(task.scope.asset)}"
        places = cls(
            folders.lake, table, f"{_STAGED}{name}/", folders.temporary / name, folders.files
        )
        for folder in (places.staging, places.own / "tmp", places.own / "files"):
            folder.mkdir(parents=True)
        (places.own / "duckdb").mkdir(mode=0o700)
        return places

    @property
    def staging(self) -> Path:
        return self.lake / self.table_folder / self.staged

    @property
    def log(self) -> Path:
        return self.own / "log.jsonl"

    def remove(self) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)
        shutil.rmtree(self.own, ignore_errors=True)


def checked(data: bytes, task: ComputeTask, places: AttemptPlaces) -> ForkResult:
    """Return the answer with its files moved to where they are published from.

    Raises `BodyFailed` for an answer that names files of others.
    """
    staged = f"{places.table_folder}{places.staged}"
    try:
        answer = msgspec.msgpack.decode(data)
        result = msgspec.convert(_renamed(answer, staged, places.table_folder), ForkResult)
        if result.output is not None:
            _check_paths(result.output, task, places)
            _move(result.output, places)
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


def _move(output: AssetOutput, places: AttemptPlaces) -> None:
    for name in _staged_names(places):
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
