"""A problem of a declaration: what is wrong, where, and what to write instead."""

from __future__ import annotations

import enum

from headrace.model.nodes import Place, Value


class ProblemLevel(enum.StrEnum):
    """An error stops `apply`; a warning doesn't."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Value, kw_only=True):
    """One thing that `validate` reports. `code` is stable and has a page (`headrace explain CODE`)."""

    code: str
    message: str
    hint: str = ""
    place: Place
    level: ProblemLevel = ProblemLevel.ERROR
