"""F1: kill -9 of the runtime and of workers, at named points and at any moment: the same as
undisturbed, exactly once, nothing left.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from campaign import Campaign
from faults_lab import World

pytestmark = pytest.mark.long

KILLS, PARTS = 20, 4
"""The parts run side by side, where there are processes for it."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_killed_the_result_is_that_of_an_undisturbed_run(
    quiet: tuple[World, float], tmp_path: Path, part: int
) -> None:
    """Catches what is lost, published twice, exported by halves or left behind. `make faults` kills
    more often."""
    seed = int(os.environ.get("SEED") or random.randrange(2**32)) + part
    print(f"SEED={seed}")
    campaign = Campaign(tmp_path, quiet[0], seed, quiet[1])
    campaign.run(KILLS // PARTS)
    print(campaign.table())
    assert campaign.failures == []
    assert campaign.done >= KILLS // PARTS
