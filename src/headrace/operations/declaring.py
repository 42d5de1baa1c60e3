"""Checks added to the files that declare their nodes. Comments, order and everything else stay as they are.

A file is written only if the project can still be read as before with the checks in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.model import Project
from headrace.operations.check_insertion import CannotWrite, inserted
from headrace.operations.check_texts import as_yaml
from headrace.operations.checks_responses import SuggestedCheckRow
from headrace.operations.session import ProjectSession, usable


def declare(session: ProjectSession, rows: Sequence[SuggestedCheckRow]) -> list[SuggestedCheckRow]:
    """Add the checks to the files of their nodes; each row with the file it went to.

    Raises CannotWrite, with the files as they were, where one can't take them.
    """
    project = usable(session.declared()).project
    before, after = _changed(session.root, project, rows)
    try:
        for file, text in after.items():
            (session.root / file).write_text(text, encoding="utf-8", newline="")
        _accepted(session, rows)
    except BaseException:
        for file, text in before.items():
            (session.root / file).write_text(text, encoding="utf-8", newline="")
        raise
    return [msgspec.structs.replace(row, written=_file(project, row.asset)) for row in rows]


def _changed(root: Path, project: Project, rows: Sequence[SuggestedCheckRow]) -> tuple[dict[str, str], dict[str, str]]:
    """Each file that changes, as it is and as it will be."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for asset in dict.fromkeys(row.asset for row in rows):
        file = _file(project, asset)
        if file not in before:
            before[file] = after[file] = (root / file).read_bytes().decode("utf-8")
        after[file] = inserted(after[file], file, asset, [_line(row) for row in rows if row.asset == asset])
    return before, after


def _line(row: SuggestedCheckRow) -> tuple[str, str]:
    return row.yaml, row.evidence


def _file(project: Project, name: str) -> str:
    node = project.sources.get(name) or project.assets[name]
    return node.place.file


def _accepted(session: ProjectSession, rows: Sequence[SuggestedCheckRow]) -> None:
    """Raises CannotWrite unless the files now declare what was to be added."""
    compilation = session.again(session.actor).declared()
    project = compilation.compiled.project if compilation.compiled is not None else None
    if project is None:
        text = next((problem.message for problem in compilation.problems), "")
        raise CannotWrite(f"with the checks the project can't be read: {text}", hint="add them by hand: headrace checks suggest")
    for row in rows:
        node = project.sources.get(row.asset) or project.assets[row.asset]
        ((kind, _),) = row.check.items()
        if not any(as_yaml(check) == row.yaml for check in node.checks if check.kind == kind):
            raise CannotWrite(f"{row.asset} can't be given `{row.yaml}`", hint=f"add it to {node.place.file} by hand")
