"""When a source usually delivers: which deliveries tell it, and from when one is late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_facts import node

from headrace.incidents.evidence.arrivals import (
    BlockedInterval,
    TimedArrival,
    expected_by,
    missed_partitions,
    usual_arrivals,
    usual_delay,
)
from headrace.model import Grain, Settings
from headrace.slo.blockage import Blocked, BlockReason
from headrace.store import Store, Transaction

MINUTE, HOUR = 60_000_000, 3_600_000_000
DAY = 24 * HOUR
BEGIN = 1_735_689_600_000_000
"""2025-01-01 00:00 UTC."""
SOURCE = node("src", Grain.DAY, source=True, timezone="UTC")


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    with (
        Store.open(tmp_path, Settings(name="t"), create=True) as store,
        store.write(None) as opened,
    ):
        yield opened


def ended(day: int) -> int:
    return BEGIN + day * DAY


def observed(tx: Transaction, at: int) -> None:
    tx.execute("insert into look (source, at, found) values ('src', ?, 0)", (at,))


def delivered(tx: Transaction, day: int, arrived: int, seen: int | None = None) -> None:
    tx.execute(
        "insert into delivery (source, partition, path, size_bytes, modified_us, claimed_at,"
        " observed_at, arrived_at, state) values ('src', ?, ?, 0, 0, ?, ?, ?, 'published')",
        (f"2025-01-{day:02}", f"x{arrived}", arrived, seen or arrived, arrived),
    )


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([2] * 14, 2 * HOUR + 30 * MINUTE),
        ([2] * 13, None),
        ([*range(1, 15)], 14 * HOUR + 21 * HOUR // 2),
        ([*range(15, 0, -1)], 15 * HOUR + 12 * HOUR),
        ([-3] * 14, -3 * HOUR + 30 * MINUTE),
    ],
)
def test_a_delivery_is_late_after_the_latest_with_a_margin(
    tx: Transaction, hours: list[int], expected: int | None
) -> None:
    """Would catch: a judgement from too few deliveries, from the usual instead of the latest, or
    with another margin."""
    observed(tx, 1)
    for day, late in enumerate(hours, 1):
        delivered(tx, day, ended(day) + late * HOUR)
    assert usual_delay(tx, SOURCE) == expected


def test_loaded_history_says_nothing_about_when_a_source_delivers(tx: Transaction) -> None:
    """Would catch: old intervals of the first observation, eight at once, or what arrived in a gap
    of the observations, taken for the usual."""
    observed(tx, ended(6))
    delivered(tx, 2, ended(6) - HOUR, ended(6))  # lay there when the source was declared
    delivered(tx, 3, ended(6) + 2 * HOUR)  # found later, and as old
    delivered(tx, 4, ended(6) - HOUR - 1, ended(6))  # long before that, known by its own date
    for day in range(8, 15):  # seven at once, as after a holiday
        delivered(tx, day, ended(15))
    for day in range(16, 24):  # eight: only the newest is of its time
        delivered(tx, day, ended(24))
    delivered(tx, 25, ended(25) + HOUR, ended(25) + 3 * HOUR)
    delivered(tx, 26, ended(26) + HOUR)
    tx.execute(
        "insert into look_gap (source, from_at, until_at) values ('src', ?, ?)",
        (ended(26), ended(26) + HOUR),
    )
    result = usual_arrivals(tx, SOURCE)
    days = [(arrival.ended_us - BEGIN) // DAY for arrival in result]
    assert days == [25, 23, *range(14, 7, -1), 4]
    assert result[0] == TimedArrival(ended(25), ended(25) + HOUR, ended(25) + 3 * HOUR)
    assert (result[0].delay_us, result[0].unseen_us) == (HOUR, 2 * HOUR)


def test_an_interval_is_expected_as_promised_and_else_as_usual() -> None:
    """Would catch: a usual delay in the place of a promise; a guess where nothing is known."""
    assert expected_by(SOURCE, "2025-01-03", 5 * HOUR) == ended(3) + 5 * HOUR
    assert expected_by(SOURCE, "2025-01-03", None) is None


def test_missing_data_is_missed_since_the_first_deadline_that_needed_it() -> None:
    """Would catch: the last deadline instead of the first, and held data taken for missing."""

    def interval(due: int, *by: tuple[BlockReason, str]) -> BlockedInterval:
        blocked = tuple(Blocked(block, None, name, "p", "s", "r") for block, name in by)
        return BlockedInterval("c", "i", due, blocked)

    missing, held = BlockReason.MISSING, BlockReason.PAUSED
    assert missed_partitions(
        [
            interval(20, (missing, "a"), (held, "b")),
            interval(10, (missing, "a")),
            interval(30, (missing, "a"), (missing, "c")),
        ]
    ) == {("a", "p"): 10, ("c", "p"): 30}
