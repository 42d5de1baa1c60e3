"""Exports to files: written under another name, and renamed once complete on disk or sent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from headrace.connect.connectors import Unavailable
from headrace.connect.exports import fence
from headrace.connect.exports.registry import (
    Assignment,
    ExportFailed,
    Portion,
    Surroundings,
    Written,
    file_writer,
    unavailable,
)
from headrace.connect.filesystems import StorageLocation, errors_as_unavailable, open_location
from headrace.faults import FaultPoint, reached
from headrace.model.exports import ASSET_PLACEHOLDER, ExportFormat, path_of

# The name of an export while it is written: readers don't mistake it for a complete file, and a
# later attempt recognises the remains of an earlier one.


def unfinished_name(name: str, assignment: Assignment) -> str:
    """Return the name of an attempt's temporary file in the folder of its target `name`.

    Its length doesn't depend on the length of `name`.
    """
    return f".headrace-{_mark(name)}-{assignment.epoch}.{assignment.n}.tmp"


def left_behind(there: Iterable[str], name: str, assignment: Assignment) -> list[str]:
    """Return the existing names that belong to killed earlier attempts at the same target."""
    pattern = re.compile(rf"\.headrace-{_mark(name)}-(\d+)\.(\d+)\.tmp")
    results = ((item, pattern.fullmatch(item)) for item in there)
    return [
        item
        for item, match in results
        if match and (int(match[1]), int(match[2])) < (assignment.epoch, assignment.n)
    ]


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]


# Exports to a URL. Object stores show a file only when it is complete; elsewhere it is sent under
# another name and moved.

ATOMIC = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes whose files appear only when they are complete."""


def send_files(assignment: Assignment, files: Sequence[WrittenFile], around: Surroundings) -> None:
    """Send files to their URLs. Raises ExportFailed, WriterFenced."""
    for file in files:
        folder, _, name = file.target.rpartition("/")
        with _remote_errors(), errors_as_unavailable(file.label):
            place = open_location(folder, around.connection, around.secrets)
        if file.target.partition("://")[0] in ATOMIC:
            with (
                fence.lock_epoch(around.fence, assignment.leader),
                _remote_errors(),
                errors_as_unavailable(file.label),
            ):
                place.filesystem.put_file(str(file.path), place.inside(f"{place.url}/{name}"))
        else:
            _move_in(file, place, name, assignment, around)


def _move_in(
    file: WrittenFile,
    place: StorageLocation,
    name: str,
    assignment: Assignment,
    around: Surroundings,
) -> None:
    temporary = place.inside(f"{place.url}/{unfinished_name(name, assignment)}")
    try:
        with _remote_errors(), errors_as_unavailable(file.label):
            place.filesystem.makedirs(place.inside(place.url).rstrip("/"), exist_ok=True)
            there = [str(entry["name"]).rpartition("/")[2] for entry in place.entries("")]
            for old in left_behind(there, name, assignment):
                place.filesystem.rm_file(place.inside(f"{place.url}/{old}"))
            place.filesystem.put_file(str(file.path), temporary)
        with (
            fence.lock_epoch(around.fence, assignment.leader),
            _remote_errors(),
            errors_as_unavailable(file.label),
        ):
            place.filesystem.mv(temporary, place.inside(f"{place.url}/{name}"))
    except BaseException:
        with contextlib.suppress(Exception):
            place.filesystem.rm_file(temporary)
        raise


@contextlib.contextmanager
def _remote_errors() -> Iterator[None]:
    """Turn a storage's error into an ExportFailed; missing permissions may be granted later."""
    try:
        yield
    except Unavailable as error:
        if error.code == "configuration_error":
            raise ExportFailed(str(error), hint="headrace explain configuration_error") from error
        raise unavailable(str(error)) from error


# Exports to local folders, and the choice between local folders and URLs.

NAME_BYTES_MAX = 255
_MISTAKES = (errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
"""Errors that waiting doesn't fix. ENOTDIR isn't one: a mount may be missing for a while."""


class WrittenFile(NamedTuple):
    """A file that was written to a temporary path, and the portions in it."""

    path: Path
    target: str
    label: str
    """The target in a form that may be shown, without secrets."""
    portions: tuple[Portion, ...]


def export_files(
    assignment: Assignment, portions: Sequence[Portion], around: Surroundings
) -> tuple[Written, ...]:
    """Write an interval's files, and replace existing ones.

    Raises ExportFailed, WriterFenced, and DuckDB's errors.
    """
    around.temporary.mkdir(parents=True, exist_ok=True)
    files = [_make(assignment, group, around) for group in _grouped(assignment, portions)]
    reached(FaultPoint.EXPORT_WRITTEN)
    try:
        if "://" in (assignment.export.path or ""):
            send_files(assignment, files, around)
        else:
            _publish_files(assignment, files, around)
        return tuple(_written(file) for file in files)
    finally:
        for file in files:
            file.path.unlink(missing_ok=True)


def _grouped(assignment: Assignment, portions: Sequence[Portion]) -> list[tuple[Portion, ...]]:
    """Group portions by file: one each, but a workbook without `{asset}` in its name has all."""
    whole = assignment.export.format is ExportFormat.EXCEL and ASSET_PLACEHOLDER not in (
        assignment.export.path or ""
    )
    return [tuple(portions)] if whole else [(portion,) for portion in portions]


def _make(
    assignment: Assignment, portions: tuple[Portion, ...], around: Surroundings
) -> WrittenFile:
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
    return WrittenFile(
        path, path_of(export.path, start, asset), path_of(assignment.label, start, asset), portions
    )


def _written(written_file: WrittenFile) -> Written:
    with written_file.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    asset = written_file.portions[0].asset if len(written_file.portions) == 1 else ""
    return Written(
        written_file.label,
        asset,
        written_file.path.stat().st_size,
        digest,
        sum(portion.rows for portion in written_file.portions),
    )


# Local folders


def _publish_files(
    assignment: Assignment, files: Sequence[WrittenFile], around: Surroundings
) -> None:
    staged: list[tuple[Path, Path]] = []
    try:
        for file in files:
            target = around.root / file.target
            with _system_errors(file.label):
                staged.append((_stage(file.path, target, assignment), target))
        reached(FaultPoint.EXPORT_STAGED)
        with fence.lock_epoch(around.fence, assignment.leader):
            for (temporary, target), file in zip(staged, files, strict=True):
                with _system_errors(file.label):
                    temporary.replace(target)
                    _sync_folder(target.parent)
                reached(FaultPoint.EXPORT_RENAMED)
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def _stage(source: Path, target: Path, assignment: Assignment) -> Path:
    """Copy a file next to its target under a temporary name, and sync it to disk."""
    if len(os.fsencode(target.name)) > NAME_BYTES_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    if target.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    _make_folder(target.parent)
    for name in left_behind(
        (path.name for path in target.parent.glob(".headrace-*.tmp")), target.name, assignment
    ):
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
    """Create the folder and its parents, each synced to disk."""
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
def _system_errors(target: str) -> Iterator[None]:
    """Turn an error of the system into an ExportFailed."""
    try:
        yield
    except OSError as error:
        message = f"{target} can't be written: {error.strerror or error}"
        if error.errno in _MISTAKES:
            raise ExportFailed(
                message, hint="write `to:` so that it names a file in a folder"
            ) from error
        raise unavailable(message) from error
