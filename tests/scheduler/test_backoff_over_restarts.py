"""What waits to be tried again, over the end of one leader and the start of the next."""

from __future__ import annotations

from driver import Driver, asset, source

from headrace.scheduler import ClockAdvanced, LoadedPartition
from headrace.scheduler import PartitionState as S

DAY = "2025-01-01"


def test_a_new_leader_tries_what_the_last_one_left_to_be_tried_again() -> None:
    """Would catch: a transient failure that is never tried again, because its alarm ended with its
    leader."""
    tracked_partitions = (
        LoadedPartition(node="flights", key=DAY, state=S.PUBLISHED, published=True),
        LoadedPartition(node="clean", key=DAY, state=S.WAITING, failures=2, not_before=5_000_000),
    )
    d = Driver(source("flights"), asset("clean", "flights"), tracked_partitions=tracked_partitions)
    d.ask()
    due = d.core.next_try()
    assert due == 5_000_000
    d.now = max(d.now, due)
    d.give(ClockAdvanced())
    assert d.work() == [("clean", DAY)]
