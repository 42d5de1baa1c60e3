"""Who may be given out ahead."""

from __future__ import annotations

from driver import DAY, WHOLE, Driver, asset, source

from headrace.checks.anomalies.expectations import HISTORY_HOLD_MIN
from headrace.scheduler import AttemptPublished, Target
from headrace.scheduler.attempts import HISTORY_NEEDED
from headrace.scheduler.capacity import AHEAD, RECENT_MIN, AttemptDurations

DAYS = [f"2013-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 20)]


def timed(d: Driver, seconds: float, times: int, *, slow: float = 0.0) -> None:
    for _ in range(times):
        attempt = next(iter(d.running))
        dispatch = d.running.pop(attempt)
        took = slow if dispatch.node == "slow" else seconds
        d.give(AttemptPublished(attempt, tuple((key, True) for key in dispatch.keys), took))


def test_short_attempts_are_given_out_ahead_once_they_are_known_to_be_short() -> None:
    d = Driver(source("flights"), slots=2)
    d.ask()
    d.arrive("flights", *DAYS)
    assert len(d.running) == 1  # the first delivery sets what the others are held to
    timed(d, 0.002, HISTORY_NEEDED)
    assert len(d.running) == 2 * AHEAD


def test_a_young_source_is_judged_by_what_is_published() -> None:
    """Catches deliveries that are given out before those they are judged by are published: on a
    quick machine a bad day of a history was judged by a handful of days and published."""
    assert HISTORY_NEEDED == HISTORY_HOLD_MIN
    d = Driver(source("flights"), slots=2)
    d.ask()
    d.arrive("flights", *DAYS)
    for _ in range(HISTORY_NEEDED - 1):
        timed(d, 0.002, 1)
        assert len(d.running) == 2


def test_a_young_asset_is_evaluated_by_what_is_published() -> None:
    """Catches days of a new asset that are dispatched before those that they are compared with are
    published: on a quick machine a day without rows was published."""
    d = Driver(source("flights"), asset("clean", "flights", partition=DAY), slots=2)
    d.ask(Target("flights"))
    d.arrive("flights", *DAYS)
    while d.running:
        timed(d, 0.002, 1)
    d.ask(Target("clean"))
    for _ in range(HISTORY_NEEDED - 1):
        timed(d, 0.002, 1)
        assert len(d.running) == 2
    timed(d, 0.002, 1)
    assert len(d.running) > 2


def test_nothing_is_given_out_beside_a_long_attempt_but_what_has_a_slot() -> None:
    """Catches a quick task that counts as running for an hour because all workers are busy."""
    d = Driver(source("flights"), source("slow"), asset("clean", "flights", partition=DAY), slots=2)
    d.ask()
    d.arrive("slow", *DAYS[:4])
    timed(d, 0.002, 2, slow=10.0)
    d.arrive("flights", *DAYS)
    while d.running:
        timed(d, 0.002, 1, slow=10.0)
        names = [x.node for x in d.running.values()]
        assert "slow" not in names or len(names) <= 2, names


def test_a_node_that_never_ran_is_taken_to_be_like_what_ran_last() -> None:
    """A thousand assets that each run once would otherwise never be known to be short."""
    d = Driver(*(asset(f"a{n}", partition=WHOLE) for n in range(200)), slots=2)
    d.ask()
    assert len(d.running) == 2
    timed(d, 0.001, RECENT_MIN)
    assert len(d.running) == 2 * AHEAD


def test_what_ran_long_once_is_not_short_until_it_is_known_to_be() -> None:
    durations = AttemptDurations()
    for _ in range(RECENT_MIN):
        durations.add("quick", 0.001)
    assert durations.short("new")
    durations.add("long", 1.0)
    assert not durations.short("long")
    assert not durations.short("new")  # until short ones have made up for it
