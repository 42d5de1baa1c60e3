"""Room in pools: what an attempt takes beside a worker. Declared pools, and limits of nodes and owners, are the same thing here.

What is taken follows from the attempts that run, each of which holds it until it ends, or until its lease lapses: nothing counts up and
down, so nothing can be lost by a missed message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from headrace.schedule.graph import GraphNode

LAPSE_US = 60_000_000
"""So long after its time-out an attempt whose end nobody heard of doesn't hold anything any more."""
OF_NODE = "node:"
OF_OWNER = "owner:"

Takes = tuple[tuple[str, int], ...]
"""Pool and slots of each that an attempt at a node needs."""


class PoolLease(NamedTuple):
    """What an attempt holds."""

    takes: Takes
    expires_at: int

    def holds(self, now: int) -> bool:
        """Whether it hasn't lapsed."""
        return now < self.expires_at + LAPSE_US


def takes_of(node: GraphNode, pools: Mapping[str, int]) -> Takes:
    """What an attempt at a node takes. Of a pool that is smaller it takes all; one that isn't declared has room for everybody."""
    return tuple((take.pool, min(take.slots, pools[take.pool])) for take in node.takes if take.pool in pools)


class PoolCapacity:
    """What is free at an instant, as attempts are given out by urgency."""

    def __init__(self, pools: Mapping[str, int], leases: Iterable[PoolLease], now: int, elsewhere: Takes = ()) -> None:
        """`elsewhere`: what another core's attempts hold of the same pools."""
        self._pools = pools
        self._taken: dict[str, int] = {}
        if pools:
            self.take(elsewhere)
            for lease in leases:
                if lease.takes and lease.holds(now):
                    self.take(lease.takes)

    def take(self, takes: Takes) -> None:
        """Somebody takes slots."""
        for pool, slots in takes:
            self._taken[pool] = self._taken.get(pool, 0) + slots

    def taken(self, pool: str) -> int:
        """How many slots of a pool aren't free."""
        return self._taken.get(pool, 0)

    def short(self, takes: Takes) -> list[str]:
        """The pools that haven't enough room."""
        return [pool for pool, slots in takes if self._taken.get(pool, 0) + slots > self._pools[pool]]

    def wait(self, takes: Takes) -> None:
        """What is most urgent and has no room keeps what is free until there is enough, so that smaller ones can't pass it for ever.
        What waits only for its own node keeps nothing: nobody else can take that."""
        if not all(pool.startswith(OF_NODE) for pool in self.short(takes)):
            self.take(takes)
