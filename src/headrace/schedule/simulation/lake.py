"""Staged files: those that no commit names are waste, and those that weren't synced are gone after a power cut."""

from __future__ import annotations


class Lake:
    """File number → content; what is `durable` survives a power cut."""

    def __init__(self) -> None:
        self.files: dict[int, int] = {}
        self.durable: set[int] = set()
        self.full_until = 0
        """Until when nothing can be staged, in true microseconds."""
        self._last = 0

    def stage(self, content: int) -> int:
        """Write a file; its number."""
        self._last += 1
        self.files[self._last] = content
        return self._last

    def sync(self, file: int) -> None:
        """It survives a power cut from now on."""
        if file in self.files:
            self.durable.add(file)

    def cut_power(self) -> None:
        """What wasn't synced is gone."""
        self.files = {file: content for file, content in self.files.items() if file in self.durable}

    def sweep(self, named: set[int]) -> None:
        """Remove what nothing names: half-finished attempts of leaders that are gone."""
        self.files = {file: content for file, content in self.files.items() if file in named}
        self.durable &= named
