"""The simulator can fail: each defect that is planted is caught within SEEDS_MAX seeds, which hold without it."""

from __future__ import annotations

import pytest
from planted import PLANTED

from headrace.schedule.simulation.happenings import scenario
from headrace.schedule.simulation.playing import play

SEEDS_MAX = 200
PLANTED_MIN = 20


def test_enough_is_planted() -> None:
    assert len(PLANTED) >= PLANTED_MIN


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_what_is_planted_is_caught(name: str) -> None:
    """Catches an invariant that doesn't look."""
    with pytest.MonkeyPatch.context() as patch:
        leader = PLANTED[name](patch)
        caught = next((seed for seed in range(SEEDS_MAX) if play(scenario(seed), leader).failure is not None), None)
    assert caught is not None, f"{name} isn't caught by {SEEDS_MAX} seeds"
    assert play(scenario(caught)).failure is None, f"seed {caught} fails without {name}"
