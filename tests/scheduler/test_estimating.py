"""Estimates: the core decides, virtual workers carry out."""

from __future__ import annotations

import math
import time

import msgspec
import pytest
from driver import MONTH, WHOLE, asset, reads, source

from headrace.model import Grain, PartitionSpec
from headrace.runtime.estimates import busy_until
from headrace.scheduler import Graph, GraphNode, Take, Target, estimates
from headrace.scheduler.estimates import Estimate, Pace, PlannedWork, estimate, estimate_with_load

HOURS = PartitionSpec(grain=Grain.HOUR)
KEYED = PartitionSpec(grain=Grain.DAY, key="region")
PACE = Pace(0.9, 0.1, 0.2, 50)
"""A second for one partition."""


def january(*names: str) -> tuple[Target, ...]:
    return tuple(Target(name, "2013-01-01", "2013-01-31") for name in names)


def of(
    nodes: tuple[GraphNode, ...],
    *phases: tuple[Target, ...],
    slots: int = 1,
    pools: dict[str, int] | None = None,
    pace: Pace = PACE,
    **how: object,
) -> Estimate:
    result = estimate(
        Graph(nodes, pools or {}),
        PlannedWork(phases, **how),
        {node.name: pace for node in nodes},
        slots,
    )  # type: ignore[arg-type]
    assert result is not None
    return result


def test_workers_share_what_doesnt_wait_for_each_other() -> None:
    """A mean times a count; workers that are all taken to be busy although each day waits for the
    one before.
    """
    days, chain = asset("days"), asset("chain", "days", chained=True)
    assert of((days,), january("days"), slots=1).seconds == pytest.approx(31, rel=0.03)
    assert of((days,), january("days"), slots=4).seconds == pytest.approx(8, rel=0.03)
    assert of((chain,), january("chain"), slots=4).seconds == pytest.approx(31, rel=0.03)
    assert of((days, chain), january("days", "chain"), slots=4).seconds == pytest.approx(
        31, rel=0.06
    )


def test_a_pool_of_one_slot_is_one_worker() -> None:
    """An estimate that forgets what attempts take besides a worker."""
    nodes = (asset("a", takes=(Take("db"),)),)
    assert of(nodes, january("a"), slots=8, pools={"db": 1}).seconds == pytest.approx(31, rel=0.03)


def test_until_now_as_many_were_busy_as_that_part_needs() -> None:
    """A plan that ends one by one in a pool: it begins with all workers, and is said to be done in
    half its time.
    """
    nodes = (asset("a"), asset("b", "a", takes=(Take("one"),)))
    graph, paces = (
        Graph(nodes, {"one": 1}, by_node=True),
        {"a": Pace(0.0, 1.0, 0.2, 50), "b": Pace(0.0, 3.0, 0.2, 50)},
    )
    work = PlannedWork((january("a", "b"),))
    left = msgspec.structs.replace(
        work, done={"a": [f"2013-01-{day:02}" for day in range(1, 32)], "b": ["2013-01-01"]}
    )
    whole, rest = (
        estimate_with_load(graph, work, paces, 3),
        estimate_with_load(graph, left, paces, 3),
    )
    assert whole is not None and rest is not None
    assert whole.workers < 1.6
    assert busy_until(whole, rest) > 2.4
    assert busy_until(whole, whole) == whole.workers


def test_batches_cost_what_batches_cost() -> None:
    """Days that are computed together and counted one by one."""
    alone, together = (of((asset("a", batch_max=most),), january("a")).seconds for most in (1, 64))
    assert together < alone / 3


def test_phases_follow_each_other_and_what_was_made_counts_no_more() -> None:
    """Steps that overlap; a plan that is half done and said to be at its beginning."""
    nodes = (asset("a"), asset("b", "a"))
    item, two = january("a", "b"), tuple(Target(name, "2013-02-01", "2013-02-28") for name in "ab")
    assert of(nodes, item, two).seconds == pytest.approx(
        of(nodes, item).seconds + of(nodes, two).seconds, rel=0.01
    )
    done = {"a": [f"2013-01-{day:02}" for day in range(1, 32)], "b": ["2013-01-01", "no key"]}
    assert of(nodes, item, done=done).seconds == pytest.approx(30, rel=0.03)
    assert of(nodes, item, done={"a": done["a"], "b": done["a"]}) == Estimate(
        0.0, 0.0, 0.0, "nothing is to be made"
    )


def test_inputs_that_arent_planned_are_there() -> None:
    """A day that waits for ever for the seven before it, for a source, for a hole in the plan, for
    a month or for the day's hours.
    """
    nodes = (
        source("s"),
        asset("a", "s"),
        asset("week", reads("a", lookback="7d")),
        asset("month", "a", partition=MONTH),
        asset("hourly", "s", partition=HOURS),
        asset("daily", "hourly"),
        asset("all", "month", partition=WHOLE),
        asset("ranked", reads("all", mode="all"), "a"),
    )
    spans = (Target("a", "2013-01-05", "2013-01-05"), Target("a", "2013-01-09", "2013-01-09"))
    targets = (
        *spans,
        Target("week", "2013-01-01", "2013-01-10"),
        Target("month", "2013-01", "2013-01"),
        Target("all", "*", "*"),
        Target("hourly", "2013-01-05T00:00-05:00", "2013-01-05T23:00-05:00"),
        Target("daily", "2013-01-05", "2013-01-05"),
        Target("ranked", "2013-01-05", "2013-01-09"),
    )
    assert of(nodes, targets).seconds == pytest.approx(2 + 10 + 1 + 1 + 24 + 1 + 5, rel=0.03)


def test_keys_that_grow_are_counted_by_what_the_plan_says() -> None:
    """A partition of three regions that is taken for one; a table without time."""
    nodes = (
        asset("a", partition=KEYED),
        asset("b", "a", partition=KEYED),
        asset("c", partition=PartitionSpec(key="region")),
    )
    assert of(
        nodes, january("a", "b"), slots=2, partitions={"a": 93, "b": 93}
    ).seconds == pytest.approx(93, rel=0.05)
    first, last = Target("c", "AMER", "AMER"), Target("c", "EMEA", "EMEA")
    assert of(nodes, (first, last), partitions={"c": 20}).seconds == pytest.approx(20, rel=0.03)


@pytest.mark.parametrize("slots", [2, 8])
def test_a_part_is_simulated_and_the_rest_scaled(
    monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    """A scale that forgets that batches, layers and steps aren't proportional to days; a basis that
    hides that it was scaled."""
    nodes = tuple(asset(f"a{n}", *([f"a{n - 1}"] if n else []), batch_max=64) for n in range(8))
    whole = tuple(Target(node.name, "2012-01-01", "2013-12-31") for node in nodes)
    short = Pace(0.05, 0.01, 0.2, 50)
    scaled = of(nodes, whole, slots=slots, pace=short)
    monkeypatch.setattr(estimates, "SIMULATED_MAX", 100_000)
    exact = of(nodes, whole, slots=slots, pace=short)
    assert scaled.seconds == pytest.approx(exact.seconds, rel=0.12)
    assert "of 5,848 partitions simulated, the rest scaled" in scaled.basis
    assert exact.basis == f"simulated on {slots} workers with what 400 attempts took"


def test_durations_of_earlier_code_are_named_as_such() -> None:
    """Would catch: an estimate that comes from what 0 attempts took."""
    result = of(
        (asset("a"),), (Target("a", "2013-01-01", "2013-01-31"),), pace=Pace(0.0, 1.0, 0.2, 0)
    )
    assert result.basis.startswith("simulated on 1 worker with what attempts of earlier code took")


def test_much_work_is_estimated_at_once() -> None:
    """A plan of 10,000 days of 20 assets that nobody waits for."""
    nodes = tuple(asset(f"a{n}", *([f"a{n - 1}"] if n else []), batch_max=64) for n in range(20))
    begun = time.process_time()
    result = of(
        nodes, tuple(Target(node.name, "1990-01-01", "2017-05-18") for node in nodes), slots=2
    )
    assert time.process_time() - begun < 2.5  # about 0.3 s where nothing else runs
    assert "of 200,000 partitions" in result.basis


def test_what_never_ran_is_said_and_makes_the_interval_wide() -> None:
    """A figure that is as sure of what nobody knows."""
    nodes = (asset("known"), asset("new", "known"))
    work = PlannedWork((january("known", "new"),))
    unsure, sure = (
        estimate(Graph(nodes), work, paces, 1)
        for paces in ({"known": PACE}, {"known": PACE, "new": PACE})
    )
    assert unsure is not None and sure is not None
    assert unsure.seconds == pytest.approx(sure.seconds, rel=0.01)
    assert unsure.high / unsure.seconds > sure.high / sure.seconds > 1.1
    assert unsure.low < sure.low < sure.seconds
    assert "new never ran and is taken to be like the others" in unsure.basis
    assert estimate(Graph(nodes), work, {}, 1) is None


def test_four_of_five_lie_between() -> None:
    """An interval whose sides aren't alike in proportion, so that it promises too much on one of
    them.
    """
    result = of((asset("a"),), january("a"))
    assert math.isclose(result.seconds**2, result.low * result.high, rel_tol=1e-6)


def test_a_plan_of_which_most_never_ran_has_no_estimate() -> None:
    """Would catch: 20.3 s for what takes 5.5, since one source was known and eight assets were
    taken to be like it."""
    nodes = (asset("known"), asset("new", "known"), asset("newer", "new"))
    most = PlannedWork((january("known", "new", "newer"),))
    assert estimate(Graph(nodes), most, {"known": PACE}, 1) is None
    assert estimate(Graph(nodes), most, {"known": PACE, "new": PACE}, 1) is not None


def test_what_never_ran_is_taken_to_be_like_its_own_kind() -> None:
    """Would catch: SQL that is taken to be as slow as the processes beside it."""
    slow, quick = Pace(8.0, 0.0, 0.1, 20), Pace(0.05, 0.01, 0.1, 20)
    nodes = (
        asset("process"),
        asset("other"),
        asset("sql", batch_max=64),
        asset("new", batch_max=64),
    )
    paces = {"process": slow, "other": slow, "sql": quick}
    result = estimate(
        Graph(nodes), PlannedWork((january("sql", "new", "process", "other"),)), paces, 1
    )
    like_sql = estimate(
        Graph(nodes),
        PlannedWork((january("sql", "new", "process", "other"),)),
        paces | {"new": quick},
        1,
    )
    assert result is not None and like_sql is not None
    assert result.seconds == pytest.approx(like_sql.seconds, rel=0.01)
