"""How an operation says how far it is, without knowing whether anybody watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """One bar at a time, and lines beside it. Calls are cheap: an operation may advance thousands of times a second."""

    def start(self, what: str, total: int | None) -> None:
        """Begins a phase of `total` steps (None: unknown); ends the one before."""

    def advance(self, n: int = 1) -> None:
        """`n` further steps are done."""

    def ahead(self, text: str) -> None:
        """What is still to come of the phase, in a few words: shown with how far it is."""

    def note(self, line: str) -> None:
        """Something that a person should know now, in one line of plain text."""

    def finish(self) -> None:
        """Ends the phase; harmless where none was begun."""


class Silent:
    """Nobody watches."""

    def start(self, what: str, total: int | None) -> None:
        """Ignored."""

    def advance(self, n: int = 1) -> None:
        """Ignored."""

    def ahead(self, text: str) -> None:
        """Ignored."""

    def note(self, line: str) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""
