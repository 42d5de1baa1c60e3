"""The simulator can fail: each defect that is planted is caught within SEEDS_MAX seeds, which hold
without it."""

from __future__ import annotations

import pytest

from simulation.planted import PLANTED
from simulation.play import play
from simulation.random_scenarios import scenario

SEEDS_MAX = 200
PLANTED_MIN = 20
CAUGHT_BY = {
    "batches_replace_publications": 9,
    "batches_without_inputs": 88,
    "claims_unchecked": 4,
    "dirty_flag_lost": 8,
    "plans_hear_nothing": 8,
    "poison_not_seen": 4,
    "pools_not_shared": 4,
    "promotions_are_stale_at_once": 8,
    "promotions_tell_nobody": 5,
    "staged_files_swept": 20,
    "timeouts_ignored": 4,
}
"""Seeds that are played first, where the very first ones don't catch it or take long. When one no
longer does, the others are played."""


def test_enough_is_planted() -> None:
    assert len(PLANTED) >= PLANTED_MIN
    assert set(CAUGHT_BY) <= set(PLANTED)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(PLANTED))
def test_what_is_planted_is_caught(name: str) -> None:
    """Catches an invariant that doesn't look."""
    with pytest.MonkeyPatch.context() as patch:
        leader = PLANTED[name](patch)
        seeds = (CAUGHT_BY.get(name, 0), *range(SEEDS_MAX))
        caught = next(
            (seed for seed in seeds if play(scenario(seed), leader).failure is not None), None
        )
    assert caught is not None, f"{name} isn't caught by {SEEDS_MAX} seeds"
    assert play(scenario(caught)).failure is None, f"seed {caught} fails without {name}"
