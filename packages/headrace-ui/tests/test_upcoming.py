"""The usual time of the next interval, from those that were delivered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headrace.model import Grain
from headrace.slo.declared_promises import Terms
from headrace.slo.obligations import Obligation
from headrace_ui.views.upcoming import PAST_MIN, usual_time

HOUR = 3_600_000_000
DAY = 24 * HOUR
TERMS = Terms("report", "core", ("revenue",), Grain.DAY, "UTC", "07:00", None)
BEGAN = datetime(2025, 2, 1, tzinfo=UTC)


def delivered(hours: list[float | None]) -> list[Obligation]:
    """One interval a day, each readable some hours after its end."""
    result = []
    for number, after in enumerate(hours):
        day = BEGAN + timedelta(days=number)
        end = int((day + timedelta(days=1)).timestamp() * 1_000_000)
        met = None if after is None else end + int(after * HOUR)
        result.append(Obligation(day.date().isoformat(), end + 7 * HOUR, met))
    return result


def test_the_usual_time_is_that_of_eight_of_ten_past_deliveries() -> None:
    """Would catch: one very late day that moves what is expected; days without data as zero."""
    past = delivered([4, 4.5, 5, 4, 4.2, None, 4.1, 4.3, 90, 4.4, 4])
    end = past[-1].due_at_us + DAY - 7 * HOUR
    usual = usual_time(TERMS, "2025-02-12", past, end - HOUR)
    assert usual is not None
    assert (usual.at_us, usual.deliveries) == (end + int(4.2 * HOUR), 10)
    assert (usual.low_us, usual.high_us) == (end + 4 * HOUR, end + 5 * HOUR)


def test_nothing_is_predicted_without_enough_deliveries() -> None:
    """Would catch: a prediction from a single morning."""
    past = delivered([4.0] * (PAST_MIN - 1))
    assert usual_time(TERMS, "2025-02-10", past, past[-1].due_at_us) is None
    assert usual_time(TERMS, "2025-02-10", [], 0) is None


@pytest.mark.parametrize("hours", [6, 30])
def test_nothing_is_predicted_before_now(hours: int) -> None:
    """Would catch: `usually at 04:00`, at 06:00, of what hasn't come."""
    past = delivered([4.0] * 9)
    now = past[-1].due_at_us + DAY - 7 * HOUR + hours * HOUR
    usual = usual_time(TERMS, "2025-02-10", past, now)
    assert usual is not None
    assert {usual.at_us, usual.low_us, usual.high_us} == {now}
