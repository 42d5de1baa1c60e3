"""One thing that was looked at, and how it stands."""

from __future__ import annotations

import enum
from typing import NamedTuple


class ExaminationState(enum.StrEnum):
    """How bad it is: `fail` keeps something from running, `warn` may one night."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class ExaminationFinding(NamedTuple):
    """A finding: what was looked at, how it stands, what to do where it isn't ok."""

    name: str
    state: ExaminationState
    detail: str
    todo: str = ""


def ok(name: str, detail: str) -> ExaminationFinding:
    """Nothing to do."""
    return ExaminationFinding(name, ExaminationState.OK, detail)


def warn(name: str, detail: str, todo: str) -> ExaminationFinding:
    """Works now, and may not one night."""
    return ExaminationFinding(name, ExaminationState.WARN, detail, todo)


def fail(name: str, detail: str, todo: str) -> ExaminationFinding:
    """Keeps something from running."""
    return ExaminationFinding(name, ExaminationState.FAIL, detail, todo)


def skipped(name: str, detail: str) -> ExaminationFinding:
    """Couldn't be looked at from here."""
    return ExaminationFinding(name, ExaminationState.SKIPPED, detail)
