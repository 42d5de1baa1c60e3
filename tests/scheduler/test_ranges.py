"""Ranges against plain sets, and numbers of intervals against the calendar."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from headrace.model import Grain, PartitionSpec
from headrace.model.intervals import key_at, next_key
from headrace.scheduler.ranges import (
    IntegerSet,
    PartitionSet,
    interval_exists,
    key_of_number,
    number_of,
)

ZONES = (
    "America/New_York",
    "UTC",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Sao_Paulo",
)


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_a_set(seed: int) -> None:
    """Catches edges that are one off where runs grow together or fall apart."""
    rng = random.Random(seed)
    runs, plain = IntegerSet(), set[int]()
    for _ in range(400):
        number = rng.randint(0, 40)
        if rng.random() < 0.5:
            runs.add(number)
            plain.add(number)
        else:
            runs.discard(number)
            plain.discard(number)
        assert list(runs) == sorted(plain)
        assert len(runs) == len(plain)
        assert runs.edges == IntegerSet.of(plain).edges
        assert (number in runs) == (number in plain)
        assert runs.before(number) == max((item for item in plain if item < number), default=None)
        assert runs.after(number) == min((item for item in plain if item > number), default=None)
    other = {rng.randint(0, 40) for _ in range(15)}
    assert list(runs - IntegerSet.of(other)) == sorted(plain - other)
    assert list(runs & IntegerSet.of(other)) == sorted(plain & other)
    assert list(runs | IntegerSet.of(other)) == sorted(plain | other)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("grain", list(Grain))
def test_following_intervals_have_following_numbers(grain: Grain, zone: str) -> None:
    """Over changes of the clock, of the date line, and of the year. Catches an interval that stands
    for another, and numbers that leave gaps, which would cost memory."""
    before_change = (
        datetime(2011, 9, 28, tzinfo=UTC)
        if zone == "Australia/Lord_Howe"
        else datetime(2011, 12, 27, tzinfo=UTC)
    )
    key = key_at(before_change, grain, zone)
    rest, keys, numbered = PartitionSet(PartitionSpec(grain=grain), zone), [], 0
    for _ in range(200):
        keys.append(key)
        rest.add(key)
        number = number_of(key, grain, zone)
        numbered += number is not None
        assert number is None or key_of_number(number, grain, zone) == key
        assert interval_exists(key, grain, zone)
        key = next_key(key, grain, zone)
    assert sorted(rest) == sorted(keys)
    assert all(key in rest for key in keys)
    assert numbered >= 198
    assert sum(len(runs.edges) for runs in rest.runs.values()) <= 6
    for key in keys:
        rest.discard(key)
    assert not rest


@pytest.mark.parametrize(
    "zone", ["Australia/Lord_Howe", "America/New_York", "America/Sao_Paulo", "Africa/Cairo"]
)
def test_hours_of_a_year_are_told_apart(zone: str) -> None:
    """Each has its own number or its own name, in the doubled hour and the half one."""
    key = key_at(datetime(2013, 1, 1, tzinfo=UTC), Grain.HOUR, zone)
    rest, count = PartitionSet(PartitionSpec(grain=Grain.HOUR), zone), 0
    while key < "2014":
        assert key not in rest
        rest.add(key)
        count += 1
        key = next_key(key, Grain.HOUR, zone)
    assert len(rest) == count
    assert len(rest.named) <= 1


def test_hostile_keys_keep_their_names() -> None:
    """Keys are data: what looks like a key of the grain and isn't written like one is another
    partition."""
    rest = PartitionSet(PartitionSpec(grain=Grain.DAY, key="region"), "UTC")
    keys = [
        "2013-02-11/a",
        "2013-02-11/a/b",
        "2013-02-11/",
        "20130211/a",
        "2013-W07-1/a",
        "٢013-02-11/a",
        "2013-02-30/a",
        "*",
        "",
    ]
    for key in keys:
        rest.add(key)
    assert sorted(rest) == sorted(keys)
    assert sorted(rest.runs) == ["", "a", "a/b"]
    deliveries = PartitionSet(PartitionSpec(by_delivery=True), "UTC")
    for key in ["000000000001", "1", "000000000003", "²", "0000000000001"]:
        deliveries.add(key)
    assert set(deliveries.named) == {"1", "²", "0000000000001"}
    assert (
        deliveries.before("000000000003") == "000000000001"
        and deliveries.after("000000000001") == "000000000003"
    )
    assert deliveries.before("000000000001") is None and deliveries.after("000000000003") is None


def test_ten_thousand_days_are_two_numbers() -> None:
    rest, key = PartitionSet(PartitionSpec(grain=Grain.DAY), "UTC"), "1999-01-01"
    for _ in range(10_000):
        rest.add(key)
        key = next_key(key, Grain.DAY, "UTC")
    assert [len(runs.edges) for runs in rest.runs.values()] == [2]
    assert len(rest) == 10_000
