"""Who may be given out ahead."""

from __future__ import annotations

from driver import DAY, Driver, asset, source

from headrace.schedule import Published
from headrace.schedule.admission import AHEAD, SAMPLES_MIN

DAYS = [f"2013-02-{d:02d}" for d in range(1, 20)]


def timed(d: Driver, seconds: float, times: int, *, slow: float = 0.0) -> None:
    for _ in range(times):
        attempt = next(iter(d.running))
        dispatch = d.running.pop(attempt)
        seconds = slow if dispatch.node == "slow" else seconds
        d.give(Published(attempt, tuple((key, True) for key in dispatch.keys), seconds))


def test_short_attempts_are_given_out_ahead_once_they_are_known_to_be_short() -> None:
    d = Driver(source("flights"), slots=2)
    d.ask()
    d.arrive("flights", *DAYS)
    assert len(d.running) == 1  # the first delivery sets what the others are held to
    timed(d, 0.002, SAMPLES_MIN)
    assert len(d.running) == 2 * AHEAD


def test_nothing_waits_behind_a_long_attempt_or_one_that_nobody_knows() -> None:
    """Catches a quick task that is stuck for an hour in the pipe of a busy worker."""
    d = Driver(source("flights"), source("slow"), asset("clean", "flights", partition=DAY), slots=2)
    d.ask()
    d.arrive("flights", *DAYS)
    timed(d, 0.002, SAMPLES_MIN)
    d.arrive("slow", *DAYS)
    while d.running:
        timed(d, 0.002, 1, slow=10.0)
        names = [x.node for x in d.running.values()]
        assert "slow" not in names or len(names) <= 2, names
