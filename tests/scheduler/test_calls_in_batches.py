"""Code that is called once per partition is batched after successes only, and never twice in vain."""

from __future__ import annotations

from typing import Any

import pytest
from driver import Driver, asset, source

from headrace.model import Grain
from headrace.model.intervals import keys_between
from headrace.scheduler import (
    AttemptPublished,
    AttemptUnsuccessful,
    ClockAdvanced,
    FailureKind,
    GraphNode,
    LoadedPartition,
    PartitionState,
    WorkerLost,
)
from headrace.scheduler.attempts import calls_per_attempt
from headrace.scheduler.capacity import AttemptGroup

DAYS = list(keys_between("2013-01-01", "2013-10-27", Grain.DAY, "America/New_York"))
S = PartitionState


def called(**fields: Any) -> GraphNode:
    return asset("daily", "flights", batch_max=64, called_each=True, **fields)


def ready(slots: int = 1, **fields: Any) -> Driver:
    """All days of the source are published, and everything is asked for."""
    d = Driver(
        source("flights"),
        called(**fields),
        slots=slots,
        tracked_partitions=tuple(
            LoadedPartition(node="flights", key=day, state=S.PUBLISHED, published=True)
            for day in DAYS
        ),
    )
    d.ask()
    return d


def next_size(d: Driver, each: float = 0.001) -> int:
    """Publish the oldest running attempt, with seconds for each call; its size."""
    attempt, item = next(iter(d.running.items()))
    del d.running[attempt]
    changed = tuple((key, True) for key in item.keys)
    d.give(AttemptPublished(attempt, changed, each * len(item.keys)))
    return len(item.keys)


def finished(d: Driver, each: float = 0.001) -> list[int]:
    sizes = []
    while d.running:
        sizes.append(next_size(d, each))
    return sizes


def test_batches_grow_with_the_partitions_published_in_a_row() -> None:
    """Catches code that is called for many partitions before one was published, attempts ahead that
    are all of the size of the first, and batches that never grow."""
    sizes = finished(ready())
    assert sizes[0] == 1 and max(sizes) == 64
    assert all(size <= max(1, sum(sizes[:place])) for place, size in enumerate(sizes)), sizes
    assert len(sizes) <= 14, sizes


def test_long_calls_are_single_attempts_and_others_take_a_second() -> None:
    assert set(finished(ready(), each=0.06)) == {1}
    assert max(finished(ready(), each=0.04)) == 25


def test_one_slow_import_isnt_taken_for_the_duration_of_a_call() -> None:
    """Catches an average in which the first attempt counts for dozens of others."""
    node = called()
    assert calls_per_attempt([AttemptGroup(1, s) for s in (12.0, 0.01, 0.01)], node) == 64
    assert calls_per_attempt([AttemptGroup(1, s) for s in (0.01, 12.0, 12.0)], node) == 1
    assert calls_per_attempt([], node) == 1


def test_a_batch_has_the_timeout_of_one_call() -> None:
    """Catches calls that are ended because others before them took the time."""
    assert calls_per_attempt([AttemptGroup(1, 0.01)], called(timeout_us=500_000)) == 25


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.DETERMINISTIC,
        FailureKind.TRANSIENT,
        FailureKind.RESOURCES,
        FailureKind.THROTTLED,
        FailureKind.LOST_WORKER,
        None,
    ],
)
def test_an_unsuccessful_batch_is_split_at_once(kind: FailureKind | None) -> None:
    """Catches code that is called for the same partition in a second batch, whatever the cause, and
    other partitions that are batched right after a failure."""
    d = ready()
    before = []
    while len(next(iter(d.running.values())).keys) < 16:
        before.append(next_size(d))
    attempt, item = next(iter(d.running.items()))
    del d.running[attempt]
    if kind is FailureKind.LOST_WORKER:
        behind = tuple(d.running)
        d.running.clear()
        d.give(WorkerLost(attempt, behind, "it was killed"))
    else:
        state = S.REJECTED if kind is None else S.FAILED
        d.give(AttemptUnsuccessful(attempt, state, "no", kind, after_us=1_000_000))
    alone, after = set(item.keys), list[int]()
    for _ in range(1_000):
        for running in d.running.values():
            assert len(running.keys) == 1 or alone.isdisjoint(running.keys)
        if d.running:
            after.append(next_size(d))
        else:
            d.now += 600_000_000
            d.give(ClockAdvanced())
    assert 1 in after[:2], "one may have been given out ahead"
    assert max(after) >= 32, "batches grow again"
    assert sum(after) == len(DAYS) - sum(before)
