"""Exports to files: written whole under another name first, and renamed once all of it is on the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from headrace.connect.exports import fence
from headrace.connect.exports.registry import Assignment, ExportFailed, Portion, Surroundings, Written, file_writer, unavailable
from headrace.connect.exports.unfinished import left_behind, unfinished_name
from headrace.faults import FaultPoint, reached
from headrace.model.exports import ASSET, ExportFormat, path_of

NAME_BYTES_MAX = 255
_MISTAKES = (errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
"""What no waiting mends. A folder that isn't one may be again: something else lies where it was mounted."""


class WrittenFile(NamedTuple):
    """A file that was written where nobody looks, and what it is a file of."""

    path: Path
    target: str
    shown: str
    """The target as it may be told."""
    portions: tuple[Portion, ...]


def export_files(assignment: Assignment, portions: Sequence[Portion], around: Surroundings) -> tuple[Written, ...]:
    """Write an interval's files, and replace those that are there. Raises ExportFailed, Overtaken, and what DuckDB raises."""
    around.temporary.mkdir(parents=True, exist_ok=True)
    files = [_make(assignment, group, around) for group in _grouped(assignment, portions)]
    reached(FaultPoint.EXPORT_WRITTEN)
    try:
        if "://" in (assignment.export.path or ""):
            from headrace.connect.exports.remote import deliver as deliver_elsewhere

            deliver_elsewhere(assignment, files, around)
        else:
            _deliver(assignment, files, around)
        return tuple(_written(file) for file in files)
    finally:
        for file in files:
            file.path.unlink(missing_ok=True)


def _grouped(assignment: Assignment, portions: Sequence[Portion]) -> list[tuple[Portion, ...]]:
    """What goes into one file: each read has its own, but a workbook without `{asset}` in its name has them all."""
    whole = assignment.export.format is ExportFormat.EXCEL and ASSET not in (assignment.export.path or "")
    return [tuple(portions)] if whole else [(portion,) for portion in portions]


def _make(assignment: Assignment, portions: tuple[Portion, ...], around: Surroundings) -> WrittenFile:
    export = assignment.export
    assert export.path is not None
    assert export.format is not None
    path = around.temporary / f"{uuid.uuid4()}.export"
    try:
        file_writer(export.format)(around.session.connection, portions, path, export.options)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    start, asset = assignment.start, portions[0].asset
    return WrittenFile(path, path_of(export.path, start, asset), path_of(assignment.shown, start, asset), portions)


def _written(written_file: WrittenFile) -> Written:
    with written_file.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    asset = written_file.portions[0].asset if len(written_file.portions) == 1 else ""
    return Written(
        written_file.shown, asset, written_file.path.stat().st_size, digest, sum(portion.rows for portion in written_file.portions)
    )


# Folders of this machine ----------------------------------------------------------------------------------------------


def _deliver(assignment: Assignment, files: Sequence[WrittenFile], around: Surroundings) -> None:
    staged: list[tuple[Path, Path]] = []
    try:
        for file in files:
            target = around.root / file.target
            with _told(file.shown):
                staged.append((_stage(file.path, target, assignment), target))
        reached(FaultPoint.EXPORT_STAGED)
        with fence.held(around.fence, assignment.epoch):
            for (temporary, target), file in zip(staged, files, strict=True):
                with _told(file.shown):
                    temporary.replace(target)
                    _sync_folder(target.parent)
                reached(FaultPoint.EXPORT_RENAMED)
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def _stage(source: Path, target: Path, assignment: Assignment) -> Path:
    """Copy a file beside its target, under a name that nobody takes for it, and have it on the disk."""
    if len(os.fsencode(target.name)) > NAME_BYTES_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    if target.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    _make_folder(target.parent)
    for name in left_behind((path.name for path in target.parent.glob(".headrace-*.tmp")), target.name, assignment):
        (target.parent / name).unlink(missing_ok=True)
    temporary = target.parent / unfinished_name(target.name, assignment)
    try:
        with source.open("rb") as read, temporary.open("wb") as out:
            shutil.copyfileobj(read, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _make_folder(folder: Path) -> None:
    """The folder with those above it, each on the disk."""
    if folder.is_symlink() and not folder.exists():
        raise OSError(errno.ENOENT, f"{folder.name} is a link to what isn't there")
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _told(target: str) -> Iterator[None]:
    """What the system refuses, as what became of an export."""
    try:
        yield
    except OSError as error:
        message = f"{target} can't be written: {error.strerror or error}"
        if error.errno in _MISTAKES:
            raise ExportFailed(message, hint="write `to:` so that it names a file in a folder") from error
        raise unavailable(message) from error
