"""What is said of how consumers were served over a window."""

from __future__ import annotations

import pytest

from headrace.slo import availability
from headrace.slo.availability import AvailabilityScore, figures, totals

DAY_US = 86_400_000_000
SECOND_US = 1_000_000
WINDOW = availability.AvailabilityWindow("30d", 0, 30 * DAY_US, "UTC")


@pytest.mark.parametrize(
    ("lost_us", "unknown_us", "end"),
    [
        (0, 0, ""),
        (2 * SECOND_US, 0, "; under a minute lost"),
        (59 * SECOND_US, SECOND_US, "; under a minute lost, not all of it observed"),
        (60 * SECOND_US, 0, "; 1 minute lost"),
        (61 * SECOND_US, 0, "; 2 minutes lost"),
    ],
)
def test_seconds_arent_called_a_minute(lost_us: int, unknown_us: int, end: str) -> None:
    """Would catch: "1 minute lost" of the two seconds after the deadline that the work
    itself took."""
    score = _score(lost_us, unknown_us)
    for said in (
        availability.of_consumer(figures(score), WINDOW),
        availability.availability(totals([score]), WINDOW),
    ):
        assert said.partition("30 days")[2] == end


def _score(lost_us: int, unknown_us: int) -> AvailabilityScore:
    served = 30 * DAY_US - lost_us
    return AvailabilityScore(
        consumer="report",
        counted_us=30 * DAY_US,
        began_us=0,
        served_us=served,
        claimed_us=served,
        corrected_us=0,
        excepted_us=0,
        unknown_us=unknown_us,
        incidents=(),
        promised=0,
        met=0,
    )


@pytest.mark.parametrize(
    ("of", "text"), [(1, "; 3 minutes lost"), (2, "; 3 minutes lost in total")]
)
def test_minutes_of_several_consumers_are_said_to_be_added(of: int, text: str) -> None:
    """Would catch: 22,981 minutes lost each by two consumers, read as 45,962 minutes of a window."""
    summed = availability.AvailabilityTotals(
        honest="90.0", mean="95.0", of=of, began_us=0, lost_minutes=3, lost_us=180 * SECOND_US
    )
    assert availability.availability(summed, WINDOW).endswith(text)
