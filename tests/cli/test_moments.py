"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.cli.output import TimeFormatter, seconds

NOW = datetime(2013, 2, 14, 12, 20, tzinfo=UTC)


@pytest.fixture
def reader() -> TimeFormatter:
    return TimeFormatter.at(NOW, "America/New_York", replay=True)


def test_the_clock_names_zone_and_replay_once(reader: TimeFormatter) -> None:
    assert reader.clock() == "Thu 2013-02-14 07:20 America/New_York (replay clock)"
    assert (
        TimeFormatter.at(NOW, "America/New_York", replay=False).clock().endswith("America/New_York")
    )
    assert (
        TimeFormatter.at(NOW, "America/New_York", replay=True, utc=True).clock()
        == "Thu 2013-02-14 12:20 UTC (replay clock)"
    )


def test_a_date_is_there_whenever_it_is_not_today(reader: TimeFormatter) -> None:
    assert reader.time_text(datetime(2013, 2, 14, 5, 0, tzinfo=UTC)) == "00:00"
    assert reader.time_text(datetime(2013, 2, 14, 4, 59, tzinfo=UTC)) == "Wed 02-13 23:59", (
        "today is the project's zone's"
    )
    assert reader.time_text(datetime(2012, 12, 31, 12, 0, tzinfo=UTC)) == "2012-12-31 07:00"
    assert reader.time_text(None) == ""


def test_partitions_keep_their_keys(reader: TimeFormatter) -> None:
    assert reader.partition("2013-02-10") == "Sun 02-10"
    assert reader.partition("2012-02-10") == "Fri 2012-02-10"
    assert reader.partition("2013-W07") == "2013-W07"
    assert reader.partition("2013-02-31") == "2013-02-31", (
        "a key of another kind that looks like a date is shown as it is"
    )
    assert reader.partition(None) == "–"


def test_durations_have_a_unit() -> None:
    assert [seconds(value) for value in (None, 0.008, 2.06, 59.96, 180, 7_500)] == [
        "",
        "8.0 ms",
        "2.1 s",
        "1 min",
        "3 min",
        "2 h 05 min",
    ]
