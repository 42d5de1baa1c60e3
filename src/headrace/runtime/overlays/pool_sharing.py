"""Declared pools, shared between production and backfills.

Each core is told the slots that the others hold, and backfills give way to production.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from headrace.runtime.overlays.overlay import Overlay, PostCommitActions
from headrace.scheduler import Core, Elsewhere
from headrace.store import Transaction


class Sharing:
    """Shares pools among the cores of one leader. `pools` is name → slots."""

    def __init__(self, pools: Mapping[str, int]) -> None:
        self._pools = pools
        self._known = Elsewhere()
        """What production's core was told last."""

    def settle(
        self, tx: Transaction, production: Core, overlays: Sequence[Overlay], now: int
    ) -> PostCommitActions:
        """Make backfills give way where production needs slots; tell each what the others hold."""
        actions, short = PostCommitActions(), frozenset(production.short())
        for overlay in overlays:
            actions.add(overlay.share(tx, self.unavailable(production, overlays, overlay), now))
        # after `share`, so that they don't take the slots again
        for item in overlays if short else ():
            actions.add(item.give_way(tx, short, now))
        return actions

    def unavailable(
        self, production: Core, overlays: Iterable[Overlay], besides: Overlay | None = None
    ) -> tuple[tuple[str, int], ...]:
        """Return the slots that a backfill can't use.

        These are held by production and other backfills, or needed by production. A backfill must
        know them before it decides anything.
        """
        short = production.short()
        needed = tuple((pool, slots) for pool, slots in self._pools.items() if pool in short)
        others = (other.core.held() for other in overlays if other is not besides)
        return _sum((production.held(), *others, needed))

    def news(self, overlays: Iterable[Overlay]) -> Elsewhere | None:
        """Return the event with the slots that backfills hold, if they have changed; else None."""
        held = Elsewhere(_sum(overlay.core.held() for overlay in overlays))
        if held == self._known:
            return None
        self._known = held
        return held


def _sum(holdings: Iterable[tuple[tuple[str, int], ...]]) -> tuple[tuple[str, int], ...]:
    total = Counter[str]()
    for held in holdings:
        total.update(dict(held))
    return tuple(sorted(total.items()))
