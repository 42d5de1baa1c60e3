"""Exports to a URL. Object stores show a file only once all of it was sent; elsewhere it is sent under another name and moved."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headrace.connect.exports import fence
from headrace.connect.exports.registry import Assignment, ExportFailed, Surroundings, unavailable
from headrace.connect.exports.unfinished import left_behind, unfinished_name
from headrace.connect.kinds import Unavailable
from headrace.connect.places import StorageLocation, opened, told

if TYPE_CHECKING:
    from headrace.connect.exports.files import WrittenFile

ATOMIC = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes of which a file appears whole."""


def deliver(assignment: Assignment, files: Sequence[WrittenFile], around: Surroundings) -> None:
    """Send files to where their URLs say. Raises ExportFailed, Overtaken."""
    for file in files:
        folder, _, name = file.target.rpartition("/")
        with _said(), told(file.shown):
            place = opened(folder, around.connection, around.secrets)
        if file.target.partition("://")[0] in ATOMIC:
            with fence.held(around.fence, assignment.epoch), _said(), told(file.shown):
                place.filesystem.put_file(str(file.path), place.inside(f"{place.url}/{name}"))
        else:
            _move_in(file, place, name, assignment, around)


def _move_in(file: WrittenFile, place: StorageLocation, name: str, assignment: Assignment, around: Surroundings) -> None:
    temporary = place.inside(f"{place.url}/{unfinished_name(name, assignment)}")
    try:
        with _said(), told(file.shown):
            place.filesystem.makedirs(place.inside(place.url).rstrip("/"), exist_ok=True)
            there = [str(entry["name"]).rpartition("/")[2] for entry in place.entries("")]
            for old in left_behind(there, name, assignment):
                place.filesystem.rm_file(place.inside(f"{place.url}/{old}"))
            place.filesystem.put_file(str(file.path), temporary)
        with fence.held(around.fence, assignment.epoch), _said(), told(file.shown):
            place.filesystem.mv(temporary, place.inside(f"{place.url}/{name}"))
    except BaseException:
        with contextlib.suppress(Exception):
            place.filesystem.rm_file(temporary)
        raise


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """What a place refuses, as what became of an export: who isn't let in today may be tomorrow."""
    try:
        yield
    except Unavailable as error:
        if error.code == "configuration_error":
            raise ExportFailed(str(error), hint="headrace explain configuration_error") from error
        raise unavailable(str(error)) from error
