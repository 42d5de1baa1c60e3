"""What comes in and goes out: folders of sources and of exports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from headrace.connect.files import observe
from headrace.model import Consumer, HeadraceError, Source
from headrace.operations.examinations.finding import ExaminationFinding, fail, ok, skipped, warn
from headrace.operations.session import ProjectSession


def outside(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Each source and each export that is on this machine."""
    project = session.declared().project
    if project is None:
        return
    for source in project.sources.values():
        yield _source(session.root, source)
    for consumer in project.consumers.values():
        if consumer.export is not None:
            yield _export(session.root, consumer)


def _source(root: Path, source: Source) -> ExaminationFinding:
    name = f"source {source.name}"
    if source.files is None or "://" in source.files:
        return skipped(name, "is looked at by a worker; headrace connections test asks its connection")
    folder = _literal(root, source.files)
    if not folder.is_dir():
        return warn(
            name, f"there is no folder {_short(root, folder)}", f"mkdir -p {_short(root, folder)}, or mend `files:` in {source.place.file}"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        return fail(name, f"{_short(root, folder)} can't be read", "look at its owner and permissions")
    try:
        seen = observe(root, source, known={})
    except HeadraceError as error:
        return fail(name, str(error), error.hint)
    if not seen.seen:
        return warn(name, f"no file matches {source.files}", f"look into {_short(root, folder)}, or mend `files:` in {source.place.file}")
    return ok(name, f"{seen.seen:,} files match {source.files}")


def _export(root: Path, consumer: Consumer) -> ExaminationFinding:
    name = f"export {consumer.name}"
    target = (consumer.export or {}).get("to")
    if not isinstance(target, str) or "://" in target:
        return skipped(name, "goes elsewhere; headrace connections test asks its connection")
    folder = _literal(root, target)
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    if not os.access(there, os.W_OK | os.X_OK):
        return fail(name, f"{_short(root, there)} can't be written", "look at its owner and permissions")
    return ok(name, f"{_short(root, folder)} can be written")


def _literal(root: Path, pattern: str) -> Path:
    """The part of a pattern's folder that is written out."""
    path = root
    for part in Path(pattern).parts[:-1]:
        if any(sign in part for sign in "{*?["):
            break
        path /= part
    return path


def _short(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
