"""Declared pools are shared between production and plans: each is told what the others hold, and plans give way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from headrace.run.overlays.overlay import Overlay, PostCommitActions
from headrace.schedule import Core, Elsewhere
from headrace.store import Transaction


class Sharing:
    """Of one leader's core. `pools`: name → slots."""

    def __init__(self, pools: Mapping[str, int]) -> None:
        self._pools = pools
        self._known = Elsewhere()
        """What production's core was told last."""

    def settle(self, tx: Transaction, production: Core, overlays: Sequence[Overlay], now: int) -> PostCommitActions:
        """Have plans give way where production is short, and tell each what the others hold."""
        actions, short = PostCommitActions(), frozenset(production.short())
        for overlay in overlays:
            actions.add(overlay.share(tx, self.taken(production, overlays, overlay), now))
        for item in overlays if short else ():  # they know by now that there is no room for what they give up
            actions.add(item.give_way(tx, short, now))
        return actions

    def taken(self, production: Core, overlays: Iterable[Overlay], besides: Overlay | None = None) -> tuple[tuple[str, int], ...]:
        """What isn't a plan's to take: what production and the other plans hold, and what production is short of. A plan has to know it
        before it decides anything."""
        short = production.short()
        wanted = tuple((pool, slots) for pool, slots in self._pools.items() if pool in short)
        others = (other.core.held() for other in overlays if other is not besides)
        return _sum((production.held(), *others, wanted))

    def news(self, overlays: Iterable[Overlay]) -> Elsewhere | None:
        """What production's core is to be told, if that has changed."""
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
