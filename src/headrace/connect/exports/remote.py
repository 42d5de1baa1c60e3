"""Exports to a URL. Object stores show a file only once all of it was sent; elsewhere it is sent under another name and moved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headrace.connect.exports import fence
from headrace.connect.exports.registry import Assignment, ExportFailed, Surroundings, unavailable

if TYPE_CHECKING:
    from headrace.connect.exports.files import Made

ATOMIC = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl")
"""Schemes of which a file appears whole."""
REFUSED = ("file", "local", "http", "https", "data", "memory", "zip", "tar", "simplecache", "filecache", "blockcache")
"""Schemes that lead back to this machine, or that nothing can be written to."""


def deliver(assignment: Assignment, made: Sequence[Made], around: Surroundings) -> None:
    """Send files to where their URLs say. Raises ExportFailed, Overtaken."""
    for one in made:
        scheme = one.target.partition("://")[0].lower()
        if scheme in REFUSED or "::" in one.target:
            raise ExportFailed(f"nothing can be exported to {scheme}://", hint="write a path of the project, or a URL such as s3://…")
        with _told(one.shown, scheme), fence.held(around.fence, assignment.epoch):
            _send(one, scheme, around, assignment)


def _send(one: Made, scheme: str, around: Surroundings, assignment: Assignment) -> None:
    filesystem, path = _open(one.target, around)
    if scheme in ATOMIC:
        filesystem.put_file(str(one.path), path)
        return
    folder, slash, name = path.rpartition("/")
    mark = hashlib.sha256(name.encode()).hexdigest()[:16]
    temporary = f"{folder}{slash}.headrace-{mark}-{assignment.epoch}.{assignment.n}.tmp"
    if folder:
        filesystem.makedirs(folder, exist_ok=True)
    try:
        filesystem.put_file(str(one.path), temporary)
        filesystem.mv(temporary, path)
    except BaseException:
        if filesystem.exists(temporary):
            filesystem.rm_file(temporary)
        raise


def _open(url: str, around: Surroundings) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    options = {
        name: value for name, value in around.secrets.resolved(dict(around.connection)).items() if name not in ("type", "description")
    }
    filesystem, path = url_to_fs(url, **options)
    return filesystem, str(path)


@contextmanager
def _told(shown: str, scheme: str) -> Iterator[None]:
    try:
        yield
    except (ExportFailed, fence.Overtaken):
        raise
    except (ImportError, ValueError) as error:
        raise ExportFailed(f"{shown}: {error}", hint=f"pip install 'headrace[{scheme}]', if that is what is missing") from error
    except FileNotFoundError as error:
        raise unavailable(f"{shown} can't be written: there is no such bucket or folder") from error
    except Exception as error:  # each file system raises what its library raises
        raise unavailable(f"{shown} can't be written: {type(error).__name__}: {error}") from error
