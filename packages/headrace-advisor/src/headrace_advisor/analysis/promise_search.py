"""The cheapest simulated way to deliver by a deadline in a share of the cases.

Ways are tried from the cheapest to the dearest: nothing, more slots of a pool, more workers, faster
code of the asset that takes the most time. Each is a simulation over the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from headrace_advisor.analysis.changes import Changes
from headrace_advisor.analysis.simulation import Simulated, next_bottleneck

FACTORS = (2, 4)
"""How many times as many slots and workers are tried, after one more."""
SPEED = 2.0
FASTER_MAX = 4
"""At most this many assets are made faster, one after the other."""
INSTANT = 1_000.0
"""The speed of a machine on which work takes next to nothing."""


class Way(NamedTuple):
    """A tried change. `kept` is the share in time, from 0 to 1, of the consumer that has least."""

    changes: Changes
    simulated: Simulated
    kept: float


class SearchResult(NamedTuple):
    """The cheapest way that reaches the share; if none does, the best one, and what is possible.

    `possible` is the share in time if all work took next to nothing, with the most workers tried.
    """

    way: Way
    reached: bool
    tried: int
    possible: float


class PromiseSearch:
    """Searches a way for some consumers; `simulate` plays changes over the same samples."""

    def __init__(
        self,
        simulate: Callable[[Changes], Simulated],
        consumers: Collection[str],
        share: float,
        workers: int,
        pools: Mapping[str, int],
    ) -> None:
        self._simulate, self._consumers, self._share = simulate, consumers, share
        self._workers, self._pools = workers, pools
        self._tried = 0

    def cheapest(self, base: Changes) -> SearchResult:
        """Return the cheapest way that reaches the share, with these changes in any case."""
        best = self._way(base)
        possible = self._way(
            replace(base, machine=INSTANT, workers=self._most(base.workers or self._workers))
        )
        if best.kept >= self._share or possible.kept < self._share:
            reached = best.kept >= self._share
            return SearchResult(best, reached, self._tried, max(best.kept, possible.kept))
        for way in self._ways(best):
            if way.kept >= self._share:
                return SearchResult(way, True, self._tried, possible.kept)
            best = max(best, way, key=lambda each: each.kept)
        return SearchResult(best, False, self._tried, possible.kept)

    def _ways(self, base: Way) -> Iterator[Way]:
        for name, slots in {**self._pools, **base.changes.pools}.items():
            for more in self._more(slots):
                pools = {**base.changes.pools, name: more}
                yield self._way(replace(base.changes, pools=pools))
        for more in self._more(base.changes.workers or self._workers):
            yield self._way(replace(base.changes, workers=more))
        yield from self._faster(base)

    def _faster(self, way: Way) -> Iterator[Way]:
        """Yield ways with the slowest asset twice as fast, then the next one."""
        for _ in range(FASTER_MAX):
            bottleneck = next_bottleneck(way.simulated)
            if bottleneck is None or bottleneck[0].kind != "asset":
                return
            name = bottleneck[0].name
            speeds = dict(way.changes.speeds)
            speeds[name] = speeds.get(name, 1.0) * SPEED
            way = self._way(replace(way.changes, speeds=speeds))
            yield way

    def _more(self, number: int) -> list[int]:
        return sorted({number + 1, *(number * factor for factor in FACTORS)})

    def _most(self, number: int) -> int:
        return self._more(number)[-1]

    def _way(self, changes: Changes) -> Way:
        self._tried += 1
        simulated = self._simulate(changes)
        shares = [simulated.consumers[name].kept or 0.0 for name in self._consumers]
        return Way(changes, simulated, min(shares, default=0.0))
