"""No space, and a server that asks for patience: nothing is spent, and it goes on by itself."""

from __future__ import annotations

import pytest
from driver import Driver, asset, source

from headrace.scheduler import ClockAdvanced, FailureKind, LoadedPartition, PartitionState

S, K = PartitionState, FailureKind
DAY = "2025-01-01"
THERE = (LoadedPartition(node="flights", key=DAY, state=S.PUBLISHED, published=True),)


@pytest.mark.parametrize("kind", [K.ENVIRONMENT, K.THROTTLED])
def test_ten_times_are_no_failure(kind: FailureKind) -> None:
    """Would catch: attempts that are spent within a second on a full disk and never come back."""
    d = Driver(
        source("flights"), asset("clean", "flights", attempts_max=2), tracked_partitions=THERE
    )
    d.ask()
    for _ in range(10):
        d.end(d.attempt("clean", DAY), S.FAILED, kind)
        assert (d.marks[-1].state, d.marks[-1].failures) == (S.WAITING, 0) and not d.running
        due = d.core.next_try()
        assert due is not None and due > d.now
        d.now = due
        d.give(ClockAdvanced())
    d.publish(d.attempt("clean", DAY))
    assert d.state("clean", DAY) is S.PUBLISHED


def test_partitions_that_were_computed_together_wait_together() -> None:
    """Would catch: a full disk that halves batches until each day is computed alone."""
    days = [f"2025-01-{day:02d}" for day in range(1, 9)]
    tracked_partitions = tuple(
        LoadedPartition(node="flights", key=day, state=S.PUBLISHED, published=True) for day in days
    )
    d = Driver(
        source("flights"),
        asset("clean", "flights", batch_max=64),
        tracked_partitions=tracked_partitions,
        slots=1,
    )
    d.ask()
    ((attempt, running),) = d.running.items()
    size = len(running.keys)
    d.end(attempt, S.FAILED, K.ENVIRONMENT)
    due = d.core.next_try()
    assert due is not None and size > 1
    d.now = due
    d.give(ClockAdvanced())
    assert max(len(item.keys) for item in d.running.values()) >= size


def test_a_new_leader_tries_at_once_what_only_waited() -> None:
    """Would catch: a disk that was mended between two ticks, of which the second waits
    nevertheless."""
    waits = LoadedPartition(
        node="clean", key=DAY, state=S.WAITING, failures=0, not_before=5_000_000_000
    )
    d = Driver(source("flights"), asset("clean", "flights"), tracked_partitions=(*THERE, waits))
    d.ask()
    assert d.work() == [("clean", DAY)]
