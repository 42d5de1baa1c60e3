"""What is raised where something that must hold doesn't."""

from __future__ import annotations


class Violation(AssertionError):
    """Something that must hold doesn't: the name of the invariant, and what was found."""

    def __init__(self, name: str, result: str) -> None:
        super().__init__(f"{name}: {result}")
        self.name = name
