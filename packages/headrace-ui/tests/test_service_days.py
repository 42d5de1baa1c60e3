"""Days of a consumer as strips draw them: the timeline of its availability, cut at local midnights."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from headrace.model.intervals import day_start_us
from headrace.slo.availability import score
from headrace.slo.timeline import EVER, Duty, ServiceHistory, Term, WrongPeriod
from headrace_ui.views.service_days import Day, days_until, service_days

HOUR = 3_600_000_000
BERLIN = "Europe/Berlin"


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


def history(*duties: Duty, **changes: object) -> ServiceHistory:
    return ServiceHistory(
        consumer="report",
        timezone="UTC",
        terms=(Term(us("2025-03-01"), EVER),),
        duties=duties,
        counted_us=min((duty.due_us for duty in duties), default=EVER),
        **changes,  # type: ignore[arg-type]
    )


def duty(day: str, met: str) -> Duty:
    """Due at 07:00 of the day."""
    at, due = us(met), us(f"{day}T07:00")
    return Duty(day, due - 7 * HOUR, due, ((at, EVER),), at)


def states(past: ServiceHistory, now: str, count: int) -> list[str | None]:
    return [day.state for day in service_days(past, days_until(us(now), count, "UTC"))]


def test_a_day_has_its_worst_state_and_the_first_day_counts_from_its_deadline() -> None:
    """Would catch: days before the promise drawn as served or late, a late hour that a served day
    hides, time after now."""
    past = history(
        duty("2025-03-02", "2025-03-02T06:00"),
        duty("2025-03-03", "2025-03-03T09:30"),
        duty("2025-03-04", "2025-03-04T06:00"),
        wrong=(WrongPeriod(us("2025-03-04T12:00"), us("2025-03-04T13:00"), us("2025-03-05"), 1),),
        blind=((us("2025-03-05T02:00"), us("2025-03-05T03:00")),),
    )
    now = "2025-03-05T12:00"
    assert states(past, now, 5) == [None, "served", "late", "wrong", "unknown"]
    days = service_days(past, days_until(us(now), 5, "UTC"))
    assert [dict(day.times) for day in days] == [
        {},
        {"served": 17 * HOUR},
        {"served": 21.5 * HOUR, "late": 2.5 * HOUR},
        {"served": 23 * HOUR, "wrong": HOUR},
        {"served": 11 * HOUR, "unknown": HOUR},
    ]


def test_an_exception_of_others_is_not_served_time() -> None:
    """Would catch: a day that the strip calls served and honest availability counts as lost."""
    past = history(
        duty("2025-03-02", "2025-03-02T06:00"),
        excepted=((us("2025-03-03"), us("2025-03-03T06:00")),),
    )
    assert states(past, "2025-03-04T00:01", 2) == ["excepted", "served"]


@pytest.mark.parametrize(
    ("now", "zone", "hours"),
    [
        ("2025-03-30T20:00", BERLIN, 20 + 1),  # the clock goes forward: 22:00 local, 21 h passed
        ("2025-10-27T01:00", BERLIN, 2),
        ("2025-10-26T22:30", BERLIN, 24.5),  # it went back: the day has 25 hours
    ],
)
def test_days_are_local_ones_on_which_clocks_change(now: str, zone: str, hours: float) -> None:
    """Would catch: days of 24 hours, of which one misses an hour of lateness and one counts it
    twice."""
    days = days_until(us(now), 3, zone)
    assert (days[-1].until_us - days[-1].from_us) / HOUR == hours
    assert all(before.until_us == after.from_us for before, after in pairwise(days))
    assert all(day.from_us == day_start_us(day.date, zone) for day in days)


def test_a_day_that_a_zone_skipped_is_left_out() -> None:
    """Would catch: an empty day in Samoa, which had no 30 December 2011."""
    days = days_until(us("2011-12-31T12:00"), 4, "Pacific/Apia")
    assert [day.date for day in days] == [date(2011, 12, 29), date(2011, 12, 31), date(2012, 1, 1)]


def test_at_midnight_today_has_no_time_yet() -> None:
    """Would catch: a day of no length, as which everything or nothing holds."""
    assert [day.date for day in days_until(us("2025-03-05"), 2, "UTC")] == [date(2025, 3, 4)]
    assert service_days(history(), []) == []


def test_random_days_add_up_to_availability() -> None:
    """Would catch: a strip that loses other minutes than the figure above it."""
    seed = random.randrange(1 << 32)
    print(f"{seed=}")
    draw = random.Random(seed)
    for _ in range(60):
        past = _random_history(draw)
        days: list[Day] = days_until(us("2025-03-20") + draw.randrange(72) * HOUR, 25, BERLIN)
        result = service_days(past, days)
        whole = score(past, days[0].from_us, days[-1].until_us)
        assert sum(sum(day.times.values()) for day in result) == whole.counted_us
        assert sum(day.lost_us for day in result) == whole.lost_us
        assert sum(day.times.get("served", 0) for day in result) == whole.served_us


def _random_history(draw: random.Random) -> ServiceHistory:
    def span() -> tuple[int, int]:
        began = us("2025-03-01") + draw.randrange(500) * HOUR
        return began, began + draw.randrange(1, 60) * HOUR

    duties = [
        duty(f"2025-03-{day:02}", f"2025-03-{day:02}T{draw.randrange(24):02}:00")
        for day in range(2, 20)
    ]
    wrong = tuple(WrongPeriod(*span(), us("2025-03-21"), 1) for _ in range(draw.randrange(3)))
    return history(
        *duties,
        wrong=wrong,
        blind=(span(),) if draw.random() < 0.5 else (),
        excepted=(span(),) if draw.random() < 0.5 else (),
    )
