"""F1 on the demo: real flights, views, reports and contracts; killed, it comes to what it comes to
undisturbed."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign import Campaign, undisturbed
from faults_lab import Project

KILLS = 10
DAYS = 4
NOW = "2013-01-05T07:20:00-05:00"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Project]:
    """Makes the demo's project as it is before its first run, all deliveries there."""
    template = Project(tmp_path_factory.mktemp("demo") / "p", now=None)
    template.root.parent.mkdir(exist_ok=True)
    made = template.run(
        "demo", str(template.root), "--days", str(DAYS), "--fault", "none", "--no-serve"
    )
    if made.code != 0:
        pytest.skip(f"the demo's data can't be fetched: {made.said[-300:]}")
    tables = [
        name
        for (name,) in template.sql(
            "select table_name from ducklake_table where end_snapshot is null order by 1"
        )
    ]
    shutil.rmtree(template.data)
    shutil.rmtree(template.root / "exports", ignore_errors=True)

    def make(root: Path) -> Project:
        shutil.copytree(template.root, root)
        project = Project(root, NOW)
        project.tables = tables
        project.differing = ["daily_report"]
        return project

    return make


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_demo_comes_to_the_same(demo: Callable[[Path], Project], tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    wanted, span = undisturbed(tmp_path, demo)
    campaign = Campaign(tmp_path, wanted, seed, span, demo)
    campaign.run(KILLS)
    print(campaign.table())
    assert campaign.failures == []
