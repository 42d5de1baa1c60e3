"""An asset with another query: its file's new text, and the project compiled with it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from headrace.compiler.project_files import ChangedFiles, read_ordinary
from headrace.extension import Asset, ProjectSession, UsageError
from headrace.model import SqlBody
from headrace.model.files import FILE_BYTES_MAX, FileKind
from headrace.plan import Compiled
from headrace.project.session import usable

_HEADER = "/* headrace"


class ChangedProject(NamedTuple):
    """A project with other contents for some files: the files, and what they compile to."""

    files: ChangedFiles
    compiled: Compiled


def compiled_with(session: ProjectSession, contents: dict[str, bytes]) -> ChangedProject:
    """Compile a project with other contents for some files; nothing is written.

    Raise InvalidProject if it has errors then.
    """
    files = ChangedFiles(session.root, contents)
    return ChangedProject(files, usable(session.compile_files(files)))


def text_of(path: Path) -> str:
    """Return the text of a file of SQL. Raise UsageError if it can't be read."""
    try:
        return bytes_of(path, FILE_BYTES_MAX[FileKind.SQL]).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} isn't UTF-8") from error


def bytes_of(path: Path, limit: int) -> bytes:
    """Return the content of an ordinary file of at most `limit` bytes. Raise UsageError."""
    try:
        data = read_ordinary(path, limit + 1)
    except OSError as error:
        reason = error.strerror or "it isn't an ordinary file"
        raise UsageError(f"{path} can't be read: {reason}") from error
    if len(data) > limit:
        raise UsageError(f"{path} has more than {limit:,} bytes")
    return data


def with_query(session: ProjectSession, asset: Asset, text: str) -> dict[str, bytes]:
    """Return the asset's file with another query: a whole file with its header, or the query."""
    assert isinstance(asset.body, SqlBody)
    body = asset.body
    if text.lstrip().startswith(_HEADER):
        return {body.file: text.encode()}
    current = text_of(session.root / body.file)
    if body.text not in current:
        raise UsageError(
            f"{asset.name}: {body.file} doesn't hold its query as it was applied",
            hint="apply the file, or give a whole file with its header",
        )
    return {body.file: current.replace(body.text, text, 1).encode()}


def require_same_table(before: Compiled, after: Compiled, name: str) -> None:
    """Raise UsageError if a change is about more than the query, or doesn't change it."""
    old, new = before.project.assets[name], after.project.assets.get(name)
    if new is None:
        raise UsageError(f"the change declares no {name}", hint="write only the query")
    fields = ("partition", "materialize", "partition_by", "start")
    changed = [field for field in fields if getattr(old, field, None) != getattr(new, field, None)]
    if changed:
        raise UsageError(
            f"the change is about {', '.join(changed)} of {name}, too; a trial compares queries",
            hint="headrace plan shows what it changes",
        )
    if before.nodes[name].sql == after.nodes[name].sql:
        raise UsageError(f"the change leaves the query of {name} as it is")
