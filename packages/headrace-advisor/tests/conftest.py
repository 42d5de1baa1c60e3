"""The fixtures of `clilab`, for every test here, a store on disk, and given durations of trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from clilab import call, filled, new, shop

from headrace.model import Settings
from headrace.plan import trials
from headrace.plan.trials import Interval
from headrace.store import Store

__all__ = ["call", "filled", "new", "shop"]


@pytest.fixture
def durations(monkeypatch: pytest.MonkeyPatch) -> dict[str, Interval]:
    """The interval of each trial's durations: runs of 1 ms on a busy machine are inconclusive."""
    result = {"interval": Interval(-20.0, -25.0, -15.0)}
    measured = trials.change_of
    monkeypatch.setattr(
        trials,
        "change_of",
        lambda pairs: None if measured(pairs) is None else result["interval"],
    )
    return result


@pytest.fixture
def store(tmp_path: Path, state_settings: Settings) -> Iterator[Store]:
    with closing(Store.open(tmp_path, state_settings, create=True)) as opened:
        yield opened
