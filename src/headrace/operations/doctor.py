"""`doctor`: everything that can be looked at before the night, instead of in it. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from headrace.model import HeadraceError
from headrace.operations.examinations.finding import ExaminationFinding, fail
from headrace.operations.examinations.machine import machine
from headrace.operations.examinations.outside import outside
from headrace.operations.examinations.project import project
from headrace.operations.examinations.state import state
from headrace.operations.inspections import ExaminationRow
from headrace.operations.session import ProjectSession

AREAS: tuple[tuple[str, Callable[[ProjectSession], Iterator[ExaminationFinding]]], ...] = (
    ("project", project),
    ("state", state),
    ("outside", outside),
    ("machine", machine),
)
"""In this order: the machine's come last, because they load DuckDB, and by then the state is closed."""


def doctor(session: ProjectSession) -> list[ExaminationRow]:
    """All findings. An area that can't be examined is a finding itself: the others are still made."""
    rows = []
    for area, examine in AREAS:
        try:
            rows += [_row(area, finding) for finding in examine(session)]
        except (HeadraceError, OSError) as error:
            rows.append(_row(area, fail(area, str(error), getattr(error, "hint", ""))))
        if area == "outside":
            session.close()
    return rows


def _row(area: str, finding: ExaminationFinding) -> ExaminationRow:
    return ExaminationRow(area=area, name=finding.name, state=finding.state.value, detail=finding.detail, todo=finding.todo or None)
