"""One thing that was looked at, and how it stands."""

from __future__ import annotations

import enum
from typing import NamedTuple


class State(enum.StrEnum):
    """How bad it is: `fail` keeps something from running, `warn` may one night."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """A finding: what was looked at, how it stands, what to do where it isn't ok."""

    name: str
    state: State
    detail: str
    todo: str = ""


def ok(name: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(name, State.OK, detail)


def warn(name: str, detail: str, todo: str) -> Finding:
    """Works now, and may not one night."""
    return Finding(name, State.WARN, detail, todo)


def fail(name: str, detail: str, todo: str) -> Finding:
    """Keeps something from running."""
    return Finding(name, State.FAIL, detail, todo)


def skipped(name: str, detail: str) -> Finding:
    """Couldn't be looked at from here."""
    return Finding(name, State.SKIPPED, detail)
