"""The cheapest way to keep a deadline: what is tried, in which order, and what is said otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace_advisor.analysis.changes import Changes
from headrace_advisor.analysis.delivered import Waited
from headrace_advisor.analysis.promise_search import (
    FASTER_MAX,
    INSTANT,
    PromiseSearch,
    SearchResult,
)
from headrace_advisor.analysis.simulation import Outcome, Simulated

Kept = Callable[[Changes], float]


def _simulated(kept: float, slowest: str = "a") -> Simulated:
    consumers = {
        "report": Outcome(p50=1.0, p95=2.0, kept=kept, intervals=100),
        "other": Outcome(p50=1.0, p95=2.0, kept=0.0, intervals=100),
    }
    waits = {"report": {Waited("asset", slowest): 10.0}}
    return Simulated(consumers=consumers, waits=waits, busy_seconds=1.0, samples=10)


def _search(kept: Kept, base: Changes | None = None) -> tuple[SearchResult, list[Changes]]:
    tried: list[Changes] = []

    def simulate(changes: Changes) -> Simulated:
        tried.append(changes)
        slowest = "b" if changes.speeds.get("a", 1.0) >= 4 else "a"
        return _simulated(1.0 if changes.machine == INSTANT else kept(changes), slowest)

    search = PromiseSearch(simulate, ["report"], 0.99, workers=2, pools={"db": 1})
    return search.cheapest(base or Changes()), tried


def test_nothing_has_to_change() -> None:
    """Would catch: workers bought for a deadline that is kept as things are."""
    result, tried = _search(lambda _: 0.995)
    assert (result.reached, result.way.changes) == (True, Changes())
    assert len(tried) == result.tried == 2


@pytest.mark.parametrize(
    ("kept", "changes"),
    [
        (lambda c: 1.0 if c.pools.get("db", 1) >= 2 else 0.5, Changes(pools={"db": 2})),
        (lambda c: 1.0 if (c.workers or 2) >= 3 else 0.5, Changes(workers=3)),
        (lambda c: 1.0 if (c.workers or 2) >= 6 else 0.5, Changes(workers=8)),
        (lambda c: 1.0 if c.speeds.get("a", 1) >= 2 else 0.5, Changes(speeds={"a": 2.0})),
        (lambda c: 1.0 if c.speeds.get("b", 1) >= 2 else 0.5,
         Changes(speeds={"a": 4.0, "b": 2.0})),
    ],
)  # fmt: skip
def test_the_cheapest_way_comes_first(kept: Kept, changes: Changes) -> None:
    """Would catch: a dearer way than needed, or one that is never tried."""
    result, _ = _search(kept)
    assert result.reached
    assert result.way.changes == changes


def test_a_cheap_way_is_taken_before_a_dear_one() -> None:
    """Would catch: workers where slots of a pool are enough."""
    result, _ = _search(lambda c: 1.0 if c.pools or c.workers or c.speeds else 0.9)
    assert result.way.changes == Changes(pools={"db": 2})


def test_what_is_asked_for_stays() -> None:
    """Would catch: a search that forgets the other changes of the question."""
    base = Changes(dues={"report": "07:00"}, workers=4, pools={"db": 3})
    result, tried = _search(lambda c: 1.0 if c.workers == 5 else 0.5, base)
    assert result.way.changes == Changes(dues={"report": "07:00"}, workers=5, pools={"db": 3})
    assert all(changes.dues == base.dues for changes in tried)
    assert [c.pools["db"] for c in tried[2:5]] == [4, 6, 12]


def test_late_deliveries_can_not_be_bought_away() -> None:
    """Would catch: a search through all ways where nothing can help, or an answer that names one."""
    tried: list[Changes] = []

    def simulate(changes: Changes) -> Simulated:
        tried.append(changes)
        return _simulated(0.4)

    search = PromiseSearch(simulate, ["report"], 0.99, workers=2, pools={})
    result = search.cheapest(Changes())
    assert (result.reached, result.way.changes, result.possible) == (False, Changes(), 0.4)
    assert len(tried) == 2


def test_the_best_way_is_named_if_none_is_enough() -> None:
    """Would catch: an endless search, or the last way instead of the best one."""
    result, tried = _search(lambda c: 0.7 if c.workers == 3 else 0.5)
    assert not result.reached
    assert result.way.changes == Changes(workers=3)
    assert len(tried) == 2 + 2 + 3 + FASTER_MAX  # base and bound, slots, workers, code
