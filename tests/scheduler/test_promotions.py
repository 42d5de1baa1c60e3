"""What a plan made beside production becomes visible at once, and what a plan holds of pools is
seen.
"""

from __future__ import annotations

from datetime import date, time

import pytest
from driver import Driver, asset, reads, source

from headrace.model import PartitionSpec
from headrace.model.intervals import local_us
from headrace.scheduler import (
    ClockAdvanced,
    Elsewhere,
    LoadedPartition,
    NodeTrigger,
    PartitionState,
    Promoted,
    Take,
)
from headrace.scheduler.graph import GraphNode
from headrace.scheduler.requests import WaitKind

DAYS = [f"2013-02-{d:02d}" for d in range(1, 11)]
WHOLE = PartitionSpec()
S = PartitionState


def chain(
    *tracked_partitions: LoadedPartition, days: int = 5, more: tuple[GraphNode, ...] = ()
) -> Driver:
    """flights → clean → total, whose days are published; everything is asked for."""
    nodes = (source("flights"), asset("clean", "flights"), asset("total", "clean"), *more)
    there = [_there(node.name, day) for node in nodes[:3] for day in DAYS[:days]]
    own = {(tracked.node, tracked.key) for tracked in tracked_partitions}
    d = Driver(
        *nodes,
        tracked_partitions=(
            *tracked_partitions,
            *(tracked for tracked in there if (tracked.node, tracked.key) not in own),
        ),
    )
    d.ask()
    return d


def _there(node: str, key: str) -> LoadedPartition:
    return LoadedPartition(node=node, key=key, state=S.PUBLISHED, published=True)


def both(*days: str, changed: bool = True) -> Promoted:
    return Promoted(tuple((node, day, changed) for node in ("clean", "total") for day in days))


def test_nothing_of_it_is_stale_because_of_another_part() -> None:
    """Catches a backfill after which production computes everything once more."""
    d = chain()
    d.give(both(*DAYS[:3]))
    assert not d.running
    assert not d.marks
    assert d.core.unsettled() == 0


def test_what_reads_it_and_isnt_part_of_it_is_stale() -> None:
    """Catches `--only`, and a restated day that readers further down never hear of."""
    d = chain(more=(asset("month", "total", partition=WHOLE),))
    d.work()
    d.give(both(DAYS[1]))
    assert d.work() == [("month", "*")]
    d.give(Promoted((("clean", DAYS[2], True),)))
    assert d.work() == [("total", DAYS[2]), ("month", "*")]
    d.give(Promoted((("clean", DAYS[3], False),)))
    assert not d.running, "the same content again"


def test_what_was_missing_failed_or_waited_is_there_now() -> None:
    """Catches partitions that are computed although a plan has made them, and failures
    that stay.
    """
    failed = LoadedPartition(
        node="clean", key=DAYS[0], state=S.FAILED, failures=1, reason="it broke"
    )
    held = LoadedPartition(node="clean", key=DAYS[1], state=S.HELD)
    late = LoadedPartition(
        node="clean", key=DAYS[2], state=S.WAITING, failures=1, not_before=10**15
    )
    d = chain(failed, held, late)
    d.work()
    d.give(both(*DAYS[:3], DAYS[7]))
    assert not d.running
    assert {d.state(node, day) for node in ("clean", "total") for day in (*DAYS[:3], DAYS[7])} == {
        S.PUBLISHED
    }
    assert d.core.unsettled() == 0
    d.now = 2 * 10**15
    d.give(ClockAdvanced())
    assert not d.running


def test_what_is_queued_is_taken_out_of_the_queue() -> None:
    """Catches a partition that is computed again right after, and a run that never ends for it."""
    nodes = (source("flights"), asset("clean", "flights"), asset("total", "clean"))
    d = Driver(*nodes, tracked_partitions=tuple(_there("flights", day) for day in DAYS[:6]))
    d.ask()
    running = {key for item in d.running.values() for key in item.keys}
    rest = [day for day in DAYS[:6] if day not in running and d.state("clean", day) is S.WAITING]
    assert rest
    d.give(both(*rest))
    done = d.work()
    assert not [item for item in done if item[1] in rest]
    assert d.core.idle()


def test_production_that_is_at_it_does_it_again() -> None:
    """Catches an attempt's end that the core can't take, and rows of older inputs over
    newer ones."""
    d = chain(days=4)
    d.arrive("flights", DAYS[0], content="restated")
    d.publish(next(iter(d.running)))
    (attempt,) = d.running
    d.give(both(DAYS[0]))
    assert d.state("clean", DAYS[0]) is S.RUNNING
    d.publish(attempt)
    assert ("clean", DAYS[0]) in d.work()
    assert d.state("total", DAYS[0]) is S.PUBLISHED


def test_a_first_publication_says_which_columns_there_are() -> None:
    """Catches references that wait for ever for a first publication that a plan made."""
    d = Driver(
        source("flights"),
        asset("planes", "flights", partition=WHOLE),
        asset("clean", "flights", reads("planes")),
        slots=1,
    )
    d.ask()
    d.give(Promoted((("flights", DAYS[0], True), ("planes", "*", True))))
    assert d.work() == [("clean", DAYS[0])]


def test_what_is_too_old_is_proposed() -> None:
    """Catches `--only` over a year, after which production computes a year of everything below."""
    flights = GraphNode(
        "flights", True, source("x").partition, "America/New_York", restate_within="7d"
    )
    nodes = (flights, asset("clean", "flights"), asset("total", "clean"))
    d = Driver(
        *nodes, tracked_partitions=tuple(_there(node.name, day) for node in nodes for day in DAYS)
    )
    d.now = local_us(date(2013, 2, 13), time(), "America/New_York")
    d.ask()
    d.give(Promoted((("clean", DAYS[0], True), ("clean", DAYS[8], True))))
    assert d.core.proposed() == [("total", DAYS[0])]
    assert d.work() == [("total", DAYS[8])]


def test_a_chain_goes_on_from_what_was_promoted() -> None:
    """Catches `$self` that stands on a partition that isn't there any more."""
    d = chain(more=(asset("running", "clean", chained=True),))
    d.work()
    d.give(Promoted((("clean", DAYS[1], False), ("running", DAYS[1], True))))
    assert d.work() == [("running", DAYS[2])], "the next one, whose content is the same"


def test_triggers_that_follow_it_fire() -> None:
    d = chain(more=(asset("told", partition=WHOLE, trigger=NodeTrigger(upstream="total")),))
    d.work()
    d.give(both(DAYS[0]))
    assert d.work() == [("told", "*")]


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_what_others_hold_of_a_pool_is_taken(taken: int) -> None:
    """Catches more connections to a database than it was said to bear."""
    keys = PartitionSpec(key="n", values=tuple("abcdef"))
    d = Driver(asset("ware", partition=keys, takes=(Take("w"),)), slots=6, pools={"w": 3})
    d.give(Elsewhere((("w", taken),)))
    d.ask()
    assert len(d.running) == 3 - taken
    assert d.core.held() == ((("w", 3 - taken),) if taken < 3 else ())
    assert d.core.short() == ("w",)
    (reason,) = d.core.why("ware", "f")
    assert reason.kind is WaitKind.POOL
    assert "and other work" in reason.text
    d.give(Elsewhere())
    assert len(d.running) == 3
    assert d.core.short() == (), "it is short by its own doing"
