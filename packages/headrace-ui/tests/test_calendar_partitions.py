"""Partitions of a node as its calendar shows them, on both databases."""

from __future__ import annotations

import pytest
from written_rows import partition, published, quarantined

from headrace.store import Store
from headrace.store.queries import quarantine
from headrace_ui.queries import calendar_partitions
from headrace_ui.queries.calendar_partitions import Day


@pytest.fixture
def filled(store: Store) -> Store:
    """Node `a` has a partition of each calendar state, `b` one published partition."""
    with store.write(None) as tx:
        published(tx, 1, "a", "d1")
        published(tx, 2, "a", "d2", verdict="warned")
        published(tx, 3, "a", "d3")
        published(tx, 4, "a", "d4")
        published(tx, 5, "b", "d1")
        partition(tx, "a", "d3", "published", stale=True, since=33)
        partition(tx, "a", "d4", "waiting", stale=True, proposed=True, since=44)
        partition(tx, "a", "d5", "waiting", reason="upstream late", since=55)
        partition(tx, "a", "d6", "failed", failures=2, not_before=99, reason="boom", since=66)
        quarantined(tx, 7, "a", "d7")
        partition(tx, "a", "d7", "held", since=77)
        quarantine.decide(tx, [1], "dropped", 78)
        quarantined(tx, 8, "a", "d8")
        partition(tx, "a", "d8", "held", since=88)
    return store


STATES = {
    "d1": "published",
    "d2": "warned",
    "d3": "stale",
    "d4": "stale",
    "d5": "waiting",
    "d6": "failed",
    "d7": "dropped",
    "d8": "held",
}


def test_a_calendar_shows_the_state_that_needs_an_action(filled: Store) -> None:
    """Would catch: a dropped delivery that still waits for a decision; a warned or stale day shown
    as published; counts that differ from the days."""
    with filled.read() as tx:
        assert calendar_partitions.calendar_states(tx, "a") == STATES
        assert list(calendar_partitions.calendar_states(tx, "a")) == sorted(STATES)
        assert calendar_partitions.calendar_states(tx, "b") == {"d1": "published"}
        assert calendar_partitions.calendar_counts(tx, "a") == {
            "published": 1,
            "warned": 1,
            "stale": 2,
            "waiting": 1,
            "failed": 1,
            "dropped": 1,
            "held": 1,
        }
        assert calendar_partitions.calendar_counts(tx, "a", "d2", "d5") == {
            "warned": 1,
            "stale": 2,
            "waiting": 1,
        }
        assert calendar_partitions.calendar_counts(tx, "a", "d7") == {"dropped": 1, "held": 1}


def test_days_of_a_calendar_come_newest_first_within_their_bounds(filled: Store) -> None:
    """Would catch: a bound that counts or doesn't; a visible publication's values at the wrong
    place; a partition that is only recomputed on request shown as fresh."""
    with filled.read() as tx:
        days = calendar_partitions.days_between(tx, "a", "d1", None, before=None, limit=99)
        assert {day.partition: day.state for day in days} == STATES
        assert [day.partition for day in days] == sorted(STATES, reverse=True)
        assert [
            day.partition
            for day in calendar_partitions.days_between(tx, "a", "d2", "d6", before="d6", limit=2)
        ] == ["d5", "d4"]
        assert [
            day.partition
            for day in calendar_partitions.days_between(tx, "a", "d5", "d6", before=None, limit=9)
        ] == ["d6", "d5"]
        by_key = {day.partition: day for day in days}
    assert by_key["d2"] == Day(
        "d2", "warned", True, False, None, 20, 0, 200, 2000, "warned", published_at=20
    )
    assert by_key["d4"] == Day("d4", "stale", True, True, None, 44, 0, 400, 4000, "passed", 40)
    assert by_key["d6"] == Day("d6", "failed", False, False, "boom", 66, 2, None, None, None, None)


def test_keys_and_counts_between_two_partitions(filled: Store) -> None:
    """Would catch: `keys_between` without its last key, `count_between` with it."""
    with filled.read() as tx:
        assert sorted(calendar_partitions.keys_between(tx, "a", "d2", "d4")) == ["d2", "d3", "d4"]
        assert calendar_partitions.count_between(tx, "a", "d2", "d4") == 2
        assert calendar_partitions.count_between(tx, "a", "d2", None) == 7
        assert calendar_partitions.count_between(tx, "c", "d1", None) == 0
