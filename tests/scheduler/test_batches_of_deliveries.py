"""Deliveries of a source that has a history are ingested together, those before the first unusual
one.
"""

from __future__ import annotations

import msgspec
import pytest
from driver import Driver, source

from headrace.model import Grain
from headrace.model.intervals import keys_between
from headrace.scheduler import (
    AttemptPublished,
    ClockAdvanced,
    DeliveryArrived,
    FailureKind,
    LoadedPartition,
    PartitionState,
)
from headrace.scheduler.attempts import HISTORY_NEEDED, POISON_LOSSES_MAX, UNDELIVERED_MAX

DAYS = list(keys_between("2013-02-01", "2013-05-11", Grain.DAY, "America/New_York"))
OLD, NEW = DAYS[: HISTORY_NEEDED + 1], DAYS[HISTORY_NEEDED + 1 :]
S = PartitionState


def waiting(*days: str, published: int = HISTORY_NEEDED) -> Driver:
    """A source with some published days, and these days delivered at once."""
    d = Driver(
        msgspec.structs.replace(source("flights"), batch_max=64),
        slots=1,
        tracked_partitions=tuple(
            LoadedPartition(node="flights", key=day, state=S.PUBLISHED, published=True)
            for day in OLD[:published]
        ),
    )
    d.ask()
    for day in days[:-1]:
        d.core.handle(DeliveryArrived("flights", day), d.now)
    d.give(DeliveryArrived("flights", days[-1]))
    d.give(ClockAdvanced())
    return d


def dispatched(d: Driver) -> list[tuple[str, ...]]:
    return [item.keys for item in d.running.values()]


def test_deliveries_of_a_source_with_a_history_are_ingested_together() -> None:
    d = waiting(*NEW[:8])
    assert dispatched(d) == [tuple(NEW[:8])]
    assert d.work() == [("flights", day) for day in NEW[:8]]


def test_a_young_source_is_ingested_one_by_one() -> None:
    """Catches deliveries that are judged by fewer others, because these came with them."""
    d = waiting(*NEW[:8], published=HISTORY_NEEDED - 1)
    assert {len(keys) for keys in dispatched(d)} == {1}


@pytest.mark.parametrize("gap", [UNDELIVERED_MAX, UNDELIVERED_MAX + 1])
def test_days_without_a_delivery_may_lie_between(gap: int) -> None:
    """Catches sources without weekends of which at most five days come together."""
    d = waiting(NEW[0], NEW[1 + gap])
    assert len(dispatched(d)[0]) == (2 if gap == UNDELIVERED_MAX else 1)


def test_what_replaces_a_publication_is_ingested_alone() -> None:
    d = waiting(OLD[-1], *NEW[:3], published=len(OLD))
    assert dispatched(d) == [(OLD[-1],), tuple(NEW[:3])]


def test_given_back_deliveries_wait_and_the_first_of_them_is_alone() -> None:
    """Catches deliveries that are lost with an attempt that published the ones before them."""
    d = waiting(*NEW[:12])
    (attempt,) = d.running
    del d.running[attempt]
    d.give(AttemptPublished(attempt, tuple((day, True) for day in NEW[:3])))
    assert [d.state("flights", day) for day in NEW[:3]] == [S.PUBLISHED] * 3
    assert dispatched(d)[0] == (NEW[3],)
    assert max(map(len, dispatched(d))) <= 4
    assert sorted(d.work()) == [("flights", day) for day in NEW[3:12]]


def test_a_batch_that_publishes_nothing_begins_with_its_first_alone() -> None:
    d = waiting(*NEW[:5])
    (attempt,) = d.running
    del d.running[attempt]
    d.give(AttemptPublished(attempt, ()))
    assert dispatched(d)[0] == (NEW[0],)
    assert sorted(d.work()) == [("flights", day) for day in NEW[:5]]


@pytest.mark.parametrize("kind", [FailureKind.RESOURCES, FailureKind.DETERMINISTIC])
def test_a_failed_batch_is_halved(kind: FailureKind) -> None:
    d = waiting(*NEW[:8])
    d.end(next(iter(d.running)), S.FAILED, kind)
    assert max(map(len, dispatched(d))) == 4
    assert sorted(d.work()) == [("flights", day) for day in NEW[:8]]


def test_lost_workers_find_the_delivery_over_which_they_die() -> None:
    """Catches deliveries that fail for another one, and deaths that never end."""
    bad, deaths = NEW[5], 0
    d = waiting(*NEW[:8])
    while d.running:
        attempt, item = next(iter(d.running.items()))
        if bad in item.keys:
            d.lose(attempt)
            deaths += 1
        else:
            d.publish(attempt)
    assert d.state("flights", bad) is S.FAILED
    assert all(d.state("flights", day) is S.PUBLISHED for day in NEW[:8] if day != bad)
    assert deaths <= 3 + POISON_LOSSES_MAX + 1


@pytest.mark.parametrize("state", [S.HELD, S.REJECTED])
def test_one_file_of_several_days_is_held_like_one_delivery(state: PartitionState) -> None:
    """Catches a file that is ingested again for ever. It waits from before its source was declared
    by file names: it isn't a batch, which would be tried in halves."""
    d = waiting(NEW[0])
    d.work()
    for day in NEW[1:5]:
        d.core.handle(DeliveryArrived("flights", day, "month.csv"), d.now)
    d.give(ClockAdvanced())
    assert dispatched(d) == [tuple(NEW[1:5])]
    d.end(next(iter(d.running)), state)
    assert not d.running
    assert [d.state("flights", day) for day in NEW[1:5]] == [state] * 4
