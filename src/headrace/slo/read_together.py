"""Facts that are read by name: those of several names by one statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

Fact = TypeVar("Fact")
_FIRST_MAX = 16
"""At most this many names are read first, besides the one that is asked for."""


class ReadTogether(Generic[Fact]):
    """Facts by name, in a transaction that doesn't change them.

    Each statement reads twice as many names that will be asked for as the one before: a glance
    reads little, and a large project needs few statements.
    """

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, Fact]]) -> None:
        self._read, self._more = read, _FIRST_MAX
        self._known: dict[str, Fact] = {}
        self.expected: Sequence[str] = ()
        """The names that will be asked for."""

    def of(self, name: str) -> Fact:
        """Return the fact of a name."""
        if name not in self._known:
            others = (other for other in self.expected if other not in self._known)
            names = dict.fromkeys([name, *islice(others, self._more)])
            self._known |= self._read(list(names))
            self._more *= 2
        return self._known[name]
