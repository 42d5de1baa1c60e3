"""Partitions that come in one file are ingested together."""

from __future__ import annotations

from driver import Driver, asset, source

from headrace.scheduler import ClockAdvanced, DeliveryArrived, FailureKind, PartitionState, Target

DAYS = [f"2013-02-{d:02d}" for d in range(1, 6)]


def bundled(d: Driver, bundle: str, *keys: str) -> None:
    for key in keys:
        d.give(DeliveryArrived("flights", key, bundle))


def dispatched(d: Driver) -> list[tuple[str, ...]]:
    return sorted(item.keys for item in d.running.values() if item.node == "flights")


def started() -> Driver:
    """A source of which one file was ingested, so that nothing waits to be the first."""
    d = Driver(source("flights"), asset("clean", "flights"), slots=3)
    d.ask()
    d.arrive("flights", "2013-01-31")
    d.work()
    return d


def test_a_file_of_many_days_is_one_attempt_in_the_order_of_time() -> None:
    """Catches a file that is read once a day, and one that starts with the first day that was heard
    of.
    """
    d = started()
    bundled(d, "month.csv", *reversed(DAYS[:3]))
    assert not d.running, "the rest of the file may not have been heard of yet"
    d.give(ClockAdvanced())
    assert dispatched(d) == [tuple(DAYS[:3])]
    assert d.work() == [
        *(("flights", key) for key in DAYS[:3]),
        *(("clean", key) for key in DAYS[:3]),
    ]


def test_the_first_file_of_a_source_is_one_attempt_as_well() -> None:
    """Catches `first alone` that tears the first bundle apart."""
    d = Driver(source("flights"), slots=3)
    bundled(d, "a", *DAYS[:2])
    bundled(d, "b", *DAYS[2:4])
    d.ask()
    assert dispatched(d) == [tuple(DAYS[:2])]
    d.work()
    assert [d.state("flights", key) for key in DAYS[:4]] == [PartitionState.PUBLISHED] * 4


def test_a_day_that_came_again_in_another_file_leaves_its_bundle() -> None:
    d = started()
    bundled(d, "month.csv", *DAYS[:3])
    d.give(DeliveryArrived("flights", DAYS[1]))
    d.give(ClockAdvanced())
    assert dispatched(d) == [(DAYS[0], DAYS[2]), (DAYS[1],)]


def test_a_bundle_that_fails_for_a_moment_is_tried_again_as_one() -> None:
    """Catches back-offs that spread the days of one file over several attempts."""
    d = started()
    bundled(d, "month.csv", *DAYS[:3])
    d.give(ClockAdvanced())
    [attempt] = d.running
    d.end(attempt, PartitionState.FAILED, FailureKind.TRANSIENT)
    at = d.core.next_try()
    assert at is not None
    d.now = at
    d.give(ClockAdvanced())
    assert dispatched(d) == [tuple(DAYS[:3])]


def test_a_lost_worker_puts_the_whole_file_back() -> None:
    d = started()
    bundled(d, "month.csv", *DAYS[:3])
    d.give(ClockAdvanced())
    [attempt] = d.running
    d.lose(attempt)
    assert dispatched(d) == [tuple(DAYS[:3])]


def test_a_held_file_waits_for_another_delivery_of_each_day() -> None:
    d = started()
    bundled(d, "month.csv", *DAYS[:2])
    d.give(ClockAdvanced())
    [attempt] = d.running
    d.end(attempt, PartitionState.HELD)
    d.ask()
    assert not d.running
    d.arrive("flights", DAYS[0])
    assert d.work() == [("flights", DAYS[0]), ("clean", DAYS[0])]


def test_only_the_days_that_were_asked_for_go_out() -> None:
    d = started()
    d.ask(Target("flights", DAYS[0], DAYS[1]))
    bundled(d, "month.csv", *DAYS[:3])
    d.give(ClockAdvanced())
    assert dispatched(d) == [tuple(DAYS[:2])]
