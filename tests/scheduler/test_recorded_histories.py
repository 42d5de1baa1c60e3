"""Cores of real runs decided like this once: today's decides the same, or the commit that changes
it says why (CONTRIBUTING.md).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.scheduler import AttemptPublished, AttemptUnsuccessful, DeliveryArrived
from headrace.scheduler.core import LeaderHistory, replay
from scripts.record_history import BYTES_MAX, HISTORIES, read

FILES = sorted(HISTORIES.glob("*.msgpack.zz"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition(".")[0])
def test_a_recorded_history_comes_to_the_same_decisions(path: Path) -> None:
    """Catches decisions that change without anybody's meaning it. Recorded again by `python -m
    scripts.record_history --labs`.
    """
    for history in read(path):
        result = replay(history)
        assert not result, f"epoch {history.epoch}: {result[0]}"


def test_the_recorded_ones_are_of_some_use() -> None:
    """Catches histories of runs in which nothing happened."""
    events = [
        event
        for path in FILES
        for history in read(path)
        for turn in history.turns
        for event in turn.events
    ]
    for kind in (DeliveryArrived, AttemptPublished, AttemptUnsuccessful):
        assert sum(isinstance(event, kind) for event in events) >= 3, kind
    assert all(path.stat().st_size <= BYTES_MAX for path in FILES)
    assert len(FILES) >= 5


def test_a_history_that_was_tampered_with_is_noticed() -> None:
    """A replay that compares nothing would pass everything."""
    (history, *_) = read(FILES[0])
    slower = LeaderHistory(history.epoch, 1, history.turns[:1] + history.turns[2:])
    assert replay(slower)
