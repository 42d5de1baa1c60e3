"""What was worked out for one request and is still so for the next: of ten thousand nodes it takes a second to say how they stand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from headrace.operations.changing import state_of
from headrace.operations.session import ProjectSession

T = TypeVar("T")
SECONDS = 10
"""What the clock alone changes is noticed after so long at the latest."""


def remembered(session: ProjectSession, name: str, make: Callable[[], T]) -> T:
    """What `make` gives, or gave to an earlier session of the same memory while nothing in the store has changed."""
    return _known(session, name, f"{session.version} {state_of(session)} {int(time.time() // SECONDS)}", make)


def of_version(session: ProjectSession, name: str, make: Callable[[], T], word: str = "") -> T:
    """The same of what follows from what is applied, and from what `word` is of, alone."""
    return _known(session, name, f"{session.version} {word}", make)


def _known(session: ProjectSession, name: str, word: str, make: Callable[[], T]) -> T:
    known = session.memory.get(name)
    if known is not None and known[0] == word:
        value: T = known[1]
        return value
    result = make()
    session.memory[name] = (word, result)
    return result
