"""The fixtures of `clilab`, for every test here, and durations of trials that are given."""

from __future__ import annotations

import pytest
from clilab import call, filled, new, shop

from headrace.plan import trials
from headrace.plan.trials import Interval

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
