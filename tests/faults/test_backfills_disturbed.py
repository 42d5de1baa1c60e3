"""A backfill that is killed at any moment, or has no disk left: nothing half visible, and it comes
to the same in the end."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import backfills_lab as lab
import pytest
from test_full_disks import mounted, remount

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PROJECTS = 4
KILLS_MAX = 6
SPARE_BYTES = (16 * 1024, 200 * 1024, 500 * 1024)
"""What the disk has left when the backfill begins."""


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> lab.Wanted:
    return lab.undisturbed(tmp_path_factory.mktemp("backfilled"))


@pytest.mark.parametrize("part", range(PROJECTS))
def test_a_backfill_that_is_killed_comes_to_the_same(
    wanted: lab.Wanted, tmp_path: Path, part: int
) -> None:
    """Catches what is lost with the leader, published by halves or twice, or staged and left behind
    for ever."""
    seed = int(os.environ.get("SEED") or random.randrange(2**32)) + part
    print(f"SEED={seed - part}")
    chance = random.Random(seed)
    project = lab.applied(tmp_path / "project")
    struck = []
    for _ in range(KILLS_MAX):
        struck.append(lab.disturb(project, wanted, chance))
        lab.nothing_half_visible(project, wanted)
        if lab.plan_state(project) == "succeeded":
            break
    print(struck)
    lab.finish(project, wanted)


def test_a_disk_that_fills_up_in_the_middle(wanted: lab.Wanted, tmp_path: Path) -> None:
    """Catches a plan that publishes what fitted, one that is called done, and one that can't go on
    when there is space again."""
    for number, spare in enumerate(SPARE_BYTES):
        project = lab.declared(tmp_path / f"p{number}")
        with mounted(project.data):
            project.finish()
            lab.change(project)
            used = shutil.disk_usage(project.data).used
            remount(project.data, f"size={used + spare}")
            lab.said_why(project.run(*lab.command(project)))
            remount(project.data, "size=64m")
            lab.nothing_half_visible(project, wanted)
            lab.finish(project, wanted)
