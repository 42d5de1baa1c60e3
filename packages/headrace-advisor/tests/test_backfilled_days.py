"""A backfill beside simulated days: when it is done, and what it does to consumers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from advisor_lab import FIRST, HOUR_US, Past, coming, fan, node, report

from headrace.scheduler import Graph
from headrace.scheduler.estimates import Pace
from headrace_advisor.analysis.backfilled_days import BackfillWork, Partition
from headrace_advisor.analysis.changes import Changes
from headrace_advisor.analysis.simulation import Simulated, Simulation, Variant


def keys(count: int) -> tuple[str, ...]:
    """The first days of the past."""
    return tuple((FIRST + timedelta(days=n)).isoformat() for n in range(count))


def work(
    past: Past,
    *steps: Mapping[str, tuple[str, ...]],
    hour: float = 22,
    seconds: float = 600.0,
    afterwards: tuple[Partition, ...] = (),
    ingested: tuple[Partition, ...] = (),
) -> BackfillWork:
    """A backfill of the first simulated day, of attempts that take as long each."""
    paces = {item.name: Pace(0.0, seconds, 0.0, 10) for item in past.graph.nodes}
    at_us = coming(past).start_us + int(hour * HOUR_US)
    return BackfillWork(at_us, ingested, steps, afterwards, paces, 1.0)


def simulated(
    past: Past, backfill: BackfillWork, *, due: str = "09:00", samples: int = 5
) -> tuple[Simulated, Simulated]:
    """The days without and with the backfill."""
    consumers = [report(past.graph.nodes[-1].name, due)]
    variants = [
        Variant(past.graph, past.workers, consumers, Changes(), item) for item in (None, backfill)
    ]
    now, then = Simulation(past.history(), past.graph, coming(past, 3), 1).run(variants, samples)
    return now, then


def hours(then: Simulated, backfill: BackfillWork) -> list[float]:
    """How long the backfill takes in each sample."""
    assert None not in then.backfilled_us
    return sorted((at - backfill.at_us) / HOUR_US for at in then.backfilled_us if at is not None)


def test_a_backfill_at_night_takes_what_its_attempts_take() -> None:
    """Would catch: partitions that aren't computed, or not on all workers; a night without one that
    is counted as one with it."""
    past = Past(fan(3), lambda *_: 60.0, workers=2)
    backfill = work(past, {"a0": keys(10), "a1": keys(10)})
    now, then = simulated(past, backfill)
    # 20 attempts of 10 minutes on 2 workers; samples are as much slower or faster as a whole
    assert hours(then, backfill)[2] == pytest.approx(10 / 6, rel=0.4)
    assert now.backfilled_us == [None] * 5
    assert then.busy_seconds - now.busy_seconds == pytest.approx(20 * 600 / 3, rel=0.4)
    assert now.missed == then.missed == [frozenset()] * 5


def test_steps_are_published_one_after_the_other_and_the_rest_afterwards() -> None:
    """Would catch: work of a later step that begins before the earlier one is published, and what
    production computes afterwards left out."""
    past = Past(fan(2), lambda *_: 60.0, workers=8)
    one = work(past, {"a0": keys(4)})
    both = work(past, {"a0": keys(4)}, {"a0": ("2026-03-10",)}, afterwards=(("last", keys(1)[0]),))
    short, long = (hours(simulated(past, item)[1], item)[2] for item in (one, both))
    assert long > short * 1.8


def test_production_goes_first() -> None:
    """Would catch: a backfill that slows production down, or one that isn't slowed down by it."""
    past = Past(fan(4), lambda name, _: 60.0 if name == "source" else 3000.0, workers=2)
    night, morning = (work(past, {"a0": keys(6)}, hour=hour, seconds=1200.0) for hour in (20, 5.1))
    now, then = simulated(past, morning)
    assert now.consumers == then.consumers
    quiet = simulated(past, night)[1]
    # four assets of 50 minutes keep two workers busy for 100 minutes
    assert hours(then, morning)[0] > hours(quiet, night)[0] + 1


def test_a_shared_pool_is_given_back_to_production() -> None:
    """Would catch: production that waits until the backfill is done, and slots that nobody gets."""
    past = Past(fan(2, pool="vendor"), lambda *_: 1200.0, workers=4)
    backfill = work(past, {"a0": keys(30)}, hour=4, seconds=900.0)
    now, then = simulated(past, backfill)
    assert now.consumers["report"].p50 == pytest.approx(then.consumers["report"].p50, abs=30)
    assert hours(then, backfill)[0] > 5


def test_afterwards_takes_productions_workers() -> None:
    """Would catch: consumers that are late because of what production recomputes, and that the
    answer calls in time."""
    past = Past(Graph((node("source"), node("last", "source"))), lambda *_: 1800.0, workers=1)
    backfill = work(
        past, afterwards=tuple(("last", key) for key in keys(20)), hour=4, seconds=1800.0
    )
    now, then = simulated(past, backfill, due="08:00")
    late = [after - before for before, after in zip(now.missed, then.missed, strict=True)]
    first = date.fromordinal(coming(past).first_day - 1).isoformat()
    assert all(("report", first) in items for items in late)


def test_deliveries_are_ingested_first() -> None:
    """Would catch: a backfill that waits for ever for deliveries, or doesn't wait for them."""
    past = Past(fan(1), lambda *_: 600.0)
    backfill = work(past, {"a0": keys(1)}, ingested=(("source", keys(1)[0]),), seconds=60.0)
    assert 0.15 < hours(simulated(past, backfill)[1], backfill)[0] < 0.7


def test_a_backfill_past_its_timeout_is_never_done() -> None:
    """Would catch: an endless simulation, and a backfill that counts as done without its rows."""
    past = Past(fan(1), lambda *_: 60.0)
    backfill = work(past, {"a0": keys(1)}, seconds=4 * 3600.0)
    assert simulated(past, backfill)[1].backfilled_us == [None] * 5
