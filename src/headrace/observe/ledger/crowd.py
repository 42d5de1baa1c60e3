"""Whether something that could begin now waits for room: all workers are busy, or a concurrency pool that it needs is full. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace.observe.ledger.declared import NodeTraits

NAMES_MAX = 3


class CurrentLeader(NamedTuple):
    """The leader that there is: since when it leads, how many attempts it runs at once, and the nodes of those under way, the
    oldest first."""

    since_us: int
    slots: int
    under_way: Sequence[str]


def crowded(name: str, traits: Mapping[str, NodeTraits], led: CurrentLeader) -> str | None:
    """What an attempt at a node waits for, and who holds it; None where there is room."""
    for pool, slots, size in traits.get(name, NodeTraits()).takes:
        holders = [other for other in led.under_way if _taken(other, pool, traits)]
        used = sum(_taken(other, pool, traits) for other in holders)
        if holders and used + slots > size:
            return f"waits for pool {pool}: {used} of {size} taken by {_names(holders)}"
    if len(led.under_way) >= led.slots:
        return f"waits for a slot: {len(led.under_way)} of {led.slots} taken by {_names(led.under_way)}"
    return None


def _taken(name: str, pool: str, traits: Mapping[str, NodeTraits]) -> int:
    return sum(slots for taken, slots, _ in traits.get(name, NodeTraits()).takes if taken == pool)


def _names(nodes: Sequence[str]) -> str:
    names = list(dict.fromkeys(nodes))
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return f"{', '.join(names[:NAMES_MAX])}{more}"
