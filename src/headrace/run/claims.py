"""Which attempt may publish which partition: the newest that was given it (SEMANTICS §6).

Claims live in the leader's memory. A leader that has lost its lease commits nothing, whatever it remembers, since every
transaction checks its epoch; so nobody else ever has to read them.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.schedule import AttemptId


class LeaderClaims:
    """The claims of one leader."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], AttemptId] = {}

    def grant(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> None:
        """Give an attempt its partitions; whoever held one of them can't publish it any more."""
        for key in keys:
            self._holders[node, key] = attempt

    def held(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> bool:
        """Whether an attempt still holds all of its partitions."""
        return all(self._holders.get((node, key)) == attempt for key in keys)

    def release(self, attempt: AttemptId, node: str, keys: Sequence[str]) -> None:
        """An attempt has ended; what passed to a newer one stays that one's."""
        for key in keys:
            if self._holders.get((node, key)) == attempt:
                del self._holders[node, key]
