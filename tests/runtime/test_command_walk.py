"""Whatever commands run and wherever they are killed: the event log, computed again, is the tables.
`make faults` walks longer."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from command_walk import Walk
from postgres_cluster import Database

STEPS, LONG_STEPS, PARTS = 12, 60, 4


def seeded() -> int:
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    return seed


@pytest.mark.long
@pytest.mark.timeout(240)
def test_after_each_command_the_log_comes_to_the_tables(tmp_path: Path) -> None:
    Walk(tmp_path, seeded()).go(STEPS)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_long_walk(part: int, tmp_path: Path) -> None:
    walk = Walk(tmp_path, seeded() + part)
    walk.go(LONG_STEPS)
    print(walk.told())
    assert walk.struck


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_a_long_walk_in_postgresql(
    postgresql: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_PASSWORD", postgresql.password)
    walk = Walk(tmp_path, seeded(), postgresql)
    walk.go(LONG_STEPS)
    print(walk.told())
    assert walk.struck
