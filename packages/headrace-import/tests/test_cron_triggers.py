"""Cron expressions of Dagster and Prefect, which croniter reads, as triggers."""

from __future__ import annotations

from itertools import islice

import pytest

from headrace.model.times import times_after
from headrace_import.importers.command_projects import cron_trigger

DAY_US = 86_400_000_000
MONDAY_US = 19_723 * DAY_US  # 1 January 2024


@pytest.mark.parametrize(
    ("cron", "days"),
    [
        ("0 0 */2 * 1", [3, 5, 7, 8, 9]),
        ("0 0 1 * */4", [4, 7, 11, 14, 18]),
        ("0 0 */9 * *", [10, 19, 28, 32, 41]),
        ("0 0 * * 3", [3, 10, 17, 24, 31]),
    ],
)
def test_a_day_or_a_weekday_suffices(cron: str, days: list[int]) -> None:
    """Would catch: a schedule of each second day or Monday that becomes one of Mondays on such
    days."""
    trigger = cron_trigger(cron)
    assert trigger is not None
    times = islice(times_after(trigger["cron"], "UTC", MONDAY_US), len(days))
    assert [(time - MONDAY_US) // DAY_US + 1 for time in times] == days


@pytest.mark.parametrize("cron", ["0 7-7 * * *", "0 0 13-13,20 * *", "0 0 * * 5-5/2", "@daily"])
def test_what_libraries_read_in_several_ways_is_left_to_a_person(cron: str) -> None:
    """Would catch: a range of one value, which croniter takes for all, as that value."""
    assert cron_trigger(cron) is None
