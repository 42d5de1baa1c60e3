"""Answers that are still good: a tag says of which state of the project a document is.

Fifty browsers that ask for the same page cost one; one that has it already is told so. What the clock alone changes (that somebody is late
by now, say) is noticed a few seconds later.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict

import msgspec

FRESH_SECONDS = 10
ANSWERS_MAX = 64
BYTES_MAX = 256 << 10
"""A larger answer isn't kept."""


class Answered(msgspec.Struct, frozen=True):
    """An encoded document; `agree` is the word for the plan that it is."""

    tag: str | None
    body: bytes
    agree: str | None = None


class ResponseCache:
    """The answers given last, by what was asked. Used by several threads."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, Answered] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, asked: str, tag: str) -> Answered | None:
        """What was answered, if it is still so."""
        with self._lock:
            result = self._answers.get(asked)
            return result if result is not None and result.tag == tag else None

    def put(self, asked: str, answered: Answered) -> None:
        """Keep an answer; the oldest goes."""
        if len(answered.body) > BYTES_MAX:
            return
        with self._lock:
            self._answers[asked] = answered
            self._answers.move_to_end(asked)
            if len(self._answers) > ANSWERS_MAX:
                self._answers.popitem(last=False)


def tag_of(asked: str, state: str) -> str:
    """A weak tag: two documents of one tag say the same, though not at the same `now`."""
    moment = int(time.time() // FRESH_SECONDS)
    return f'W/"{hashlib.sha256(f"{asked} {state} {moment}".encode()).hexdigest()[:32]}"'


def knows(sent: str, tag: str) -> bool:
    """Whether `If-None-Match` names a tag."""
    return any(item.strip() in (tag, "*") for item in sent.split(","))
