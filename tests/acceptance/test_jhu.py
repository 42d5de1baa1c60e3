"""75 days of a vendor that announces nothing, from the first to the last: each of its faults is
seen, named and handled, what is none is let through, and readers end up with its own totals. The
data isn't part of the project: without it there is nothing to be run."""

from __future__ import annotations

import pytest
from jhu_lab import DATA, Story, difference

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not DATA.exists(), reason="../shared/data isn't here"),
]

FAULTS = {
    "grain changed under the same header": ({"2020-03-10"}, {"distribution_shift"}),
    "truncated file": ({"2020-04-01"}, {"volume_anomaly"}),
    "new header": ({"2020-03-22", "2020-03-23", "2020-03-24"}, {"schema_change"}),
    "wrong day's file": ({"2020-03-23", "2020-03-24"}, {"stale_data"}),
    "past rewritten": ({"2020-03-22"}, {"restatement"}),
    "time format rewritten": ({"2020-01-23"}, {"restatement", "format_change"}),
}
"""What the vendor did: partitions that it is found at, and names that are right for it."""
FALSE_MAX = 3
INCIDENTS = FAULTS | {
    "grain changed under the same header": (
        {"2020-03-10"},
        {"volume_anomaly", "distribution_shift", "reference_broken"},
    ),
    "wrong day's file": ({"2020-03-24"}, {"stale_data", "restatement", "volume_anomaly"}),
}
"""The same of incidents, one of which names what several of these bring about."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    story = Story(tmp_path_factory.mktemp("jhu"))
    story.begin()
    story.live()
    return story


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_seen_and_named(story: Story, fault: str) -> None:
    """Would catch: a fault of the vendor's that nobody hears of, or that goes by a wrong name."""
    days, kinds = FAULTS[fault]
    result = [item for item in story.seen() if item.partition in days]
    assert any(item.kind in kinds for item in result), result


def test_incidents_name_what_the_vendor_did(story: Story) -> None:
    """Would catch: who accepts a new header blamed for the file; a cut file told at another day; a
    person woken for nothing."""
    told = story.rows("select partition, kind from incident where node = 'daily'")
    named = [
        fault
        for fault, (days, kinds) in INCIDENTS.items()
        if any(key in days and kind in kinds for key, kind in told)
    ]
    assert named == list(INCIDENTS), told
    known = {day for days, _ in INCIDENTS.values() for day in days}
    assert (
        len([item for item in told if item[0] not in known and item[1] != "restatement"])
        <= FALSE_MAX
    ), told
    assert "configuration_error" not in {kind for _, kind in told}


def test_incidents_end_with_what_was_decided(story: Story) -> None:
    """Would catch: a column that nobody misses held against its vendor for ever; a rewritten past
    told of without by how much. Of one day readers see the old figures to the end, since nobody
    asks for them to be recomputed."""
    left = story.rows(
        "select kind, partition from incident where node = 'daily' and state <> 'resolved' and kind"
        " <> 'late_source'"
    )
    assert left == [("restatement", "2020-01-23")]
    assert story.rows(
        "select node, partition from partition where stale <> 0 and proposed <> 0"
    ) == [("cases", "2020-01-23")]
    told = story.rows(
        "select summary from incident where node = 'daily' and kind = 'restatement' and partition ="
        " '2020-03-22'"
    )
    assert told == [("restated: 3,417 rows added, 309 rows removed",)]


def test_one_command_accepts_the_new_header(story: Story) -> None:
    """Would catch: a new header that must be accepted day by day, or one that goes
    through unseen."""
    assert len(story.accepted) == 1
    assert set(story.accepted) <= FAULTS["new header"][0]


def test_columns_that_come_stop_nothing(story: Story) -> None:
    """Would catch: a column more that holds a delivery."""
    assert "2020-03-01" not in story.held


def test_at_most_three_days_are_held_for_nothing(story: Story) -> None:
    """Would catch: people who learn to look away. Byte-order marks, line ends, ways to write times
    and numbers hold nothing."""
    faulty = {day for days, _ in FAULTS.values() for day in days}
    wrong = {key: told for key, told in story.held.items() if key not in faulty}
    assert len(wrong) <= FALSE_MAX, wrong


def test_what_truncated_or_changed_its_grain_was_held(story: Story) -> None:
    """Would catch: half a file, or rows of another grain, that readers see."""
    assert {"2020-03-10", "2020-03-24", "2020-04-01"} <= set(story.held)


def test_what_was_restated_says_by_how_much(story: Story) -> None:
    """Would catch: a past that changes without a word, or rows that count as changed for how a
    number is written.
    """
    told = {item.partition: item.detail for item in story.seen() if item.kind == "restatement"}
    assert {"2020-01-23", "2020-02-17"} <= set(told)
    versions = [DATA / "restatements" / f"03-15-2020.v{number}.csv" for number in (1, 2)]
    rows, _, columns = told["2020-03-15"].partition("; ")
    assert rows == difference(*versions)
    assert columns.startswith("Confirmed: ")


def test_readers_end_up_with_the_vendors_own_totals(story: Story) -> None:
    """Would catch: a delivery that was read wrongly, lost, or corrected without being
    read again."""
    assert story.totals() == story.expected()


def test_state_lake_and_log_agree_in_the_end(story: Story) -> None:
    """Would catch: rows that the event log doesn't make again, files and publications
    that differ."""
    checked = story.headrace("db", "check", "--deep")
    assert checked["ok"], (checked["findings"], checked["differences"])
    assert story.headrace("audit", "verify")["reconciled"]
