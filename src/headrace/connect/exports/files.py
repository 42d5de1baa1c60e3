"""Exports to files: written under another name, and renamed once complete on disk or sent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
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
    unavailable,
    write_file,
)
from headrace.connect.filesystems import StorageLocation, errors_as_unavailable, open_location
from headrace.faults import FaultPoint, reached
from headrace.lake.files import file_digest, full_sync
from headrace.model.exports import holds_all, path_of
from headrace.model.partitions import command_line

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
_BLOCK_BYTES = 1 << 20
"""The bytes that are read at once to compare a file."""


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


def _to_send(
    assignment: Assignment, files: Sequence[WrittenFile], around: Surroundings
) -> list[WrittenFile]:
    """Return the files, with those marked that an erasure doesn't find at their URL any more.

    Raises ExportFailed if one has another content than was exported. A file that is replaced
    between this and the sending isn't noticed: URLs have no lock.
    """
    if not assignment.erases:
        return list(files)
    results = []
    for file in files:
        folder, _, name = file.target.rpartition("/")
        with _remote_errors(), errors_as_unavailable(file.label):
            place = open_location(folder, around.connection, around.secrets)
            sha256 = _remote_hash(place, name)
        if sha256 not in (None, assignment.replaces.get(file.label), file.sha256):
            raise _another_content(assignment, file.label)
        results.append(file._replace(gone=sha256 is None))
    return results


def _remote_hash(place: StorageLocation, name: str) -> str | None:
    """Return the hash of a file at a URL; None if it isn't there."""
    path = place.inside(f"{place.url}/{name}")
    if not place.filesystem.exists(path):
        return None
    digest = hashlib.sha256()
    with place.filesystem.open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


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
    sha256: str
    gone: bool = False
    """Whether an erasure leaves it out, because its target isn't there any more."""


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
            files = _to_send(assignment, files, around)
            send_files(assignment, [file for file in files if not file.gone], around)
        else:
            files = _publish_files(assignment, files, around)
        return tuple(_written(file) for file in files)
    finally:
        for file in files:
            file.path.unlink(missing_ok=True)


def _grouped(assignment: Assignment, portions: Sequence[Portion]) -> list[tuple[Portion, ...]]:
    """Group portions by file: one each, unless the format has all of them in one file."""
    whole = holds_all(assignment.export)
    return [tuple(portions)] if whole else [(portion,) for portion in portions]


def _make(
    assignment: Assignment, portions: tuple[Portion, ...], around: Surroundings
) -> WrittenFile:
    export = assignment.export
    assert export.path is not None
    assert export.format is not None
    path = around.temporary / f"{uuid.uuid4()}.export"
    try:
        write_file(export.format, around.session.connection, portions, path, export.options)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    start, asset = assignment.start, portions[0].asset
    target, label = path_of(export.path, start, asset), path_of(assignment.label, start, asset)
    return WrittenFile(path, target, label, portions, file_digest(path))


def _written(written_file: WrittenFile) -> Written:
    asset = written_file.portions[0].asset if len(written_file.portions) == 1 else ""
    return Written(
        written_file.label,
        asset,
        written_file.path.stat().st_size,
        written_file.sha256,
        sum(portion.rows for portion in written_file.portions),
        written_file.gone,
    )


# Local folders


def _publish_files(
    assignment: Assignment, files: Sequence[WrittenFile], around: Surroundings
) -> list[WrittenFile]:
    """Put files in place; return them, with those that an erasure leaves out marked."""
    before = _replaced_files(assignment, files, around) if assignment.erases else {}
    if assignment.erases:
        files = [file._replace(gone=before[file.label] is None) for file in files]
    staged: list[tuple[Path, Path, str]] = []
    try:
        for file in files:
            target = around.root / file.target
            if not file.gone:
                with _system_errors(file.label):
                    staged.append((_stage(file.path, target, assignment), target, file.label))
        reached(FaultPoint.EXPORT_STAGED)
        with fence.lock_epoch(around.fence, assignment.leader):
            for _, target, label in staged if assignment.erases else ():
                _check_unchanged(target, label, before[label], assignment)
            for temporary, target, label in staged:
                with _system_errors(label):
                    temporary.replace(target)
                    full_sync(target.parent)
                reached(FaultPoint.EXPORT_RENAMED)
    finally:
        for temporary, _, _ in staged:
            temporary.unlink(missing_ok=True)
    return list(files)


# An erasure replaces a file only if it is the one that the export wrote: another export may have
# replaced it since, and a file that somebody has deleted stays deleted.

_FileState = tuple[int, int, int, int]


def _replaced_files(
    assignment: Assignment, files: Sequence[WrittenFile], around: Surroundings
) -> dict[str, _FileState | None]:
    """Return what tells each file's content apart, by label; None for a file that isn't there.

    Raises ExportFailed for another content than was exported, and without the folder.
    """
    results: dict[str, _FileState | None] = {}
    for file in files:
        target = around.root / file.target
        with _system_errors(file.label):
            if not target.parent.is_dir():
                raise unavailable(f"the folder of {file.label} isn't there: make it if it is empty")
            state = results[file.label] = _state_of(target)
            expected = (assignment.replaces.get(file.label), file.sha256)
            if state is not None and not (_is_file(state) and file_digest(target) in expected):
                raise _another_content(assignment, file.label)
    return results


def _check_unchanged(
    target: Path, label: str, before: _FileState | None, assignment: Assignment
) -> None:
    with _system_errors(label):
        if _state_of(target) != before:
            raise _another_content(assignment, label)


def _state_of(target: Path) -> _FileState | None:
    try:
        status = target.lstat()
    except FileNotFoundError:
        return None
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns


def _is_file(state: _FileState) -> bool:
    """Whether it isn't a link, whose file would be left behind, or a pipe, which is never read."""
    return stat.S_ISREG(state[0])


def _another_content(assignment: Assignment, label: str) -> ExportFailed:
    again = command_line(
        "run",
        assignment.consumer,
        "--partition",
        assignment.interval,
        "--again",
        "--reason",
        "TEXT",
    )
    return ExportFailed(
        f"{label} has another content than was exported: somebody has changed it, or another export"
        " replaces it",
        hint=f"{again} exports it again; or delete it",
    )


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
        temporary.unlink(missing_ok=True)  # also a link that somebody has put there
        with source.open("rb") as read, temporary.open("xb") as out:
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
        full_sync(folder.parent)


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
