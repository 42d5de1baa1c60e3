"""Deadlines: what is urgent, what will be late, and what is to blame."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from driver import DAY, WHOLE, ZONE, Driver, asset, reads, source

from headrace.model import Grain, PartitionSpec
from headrace.model.intervals import from_us
from headrace.scheduler import ConsumerDeadline, Graph, GraphNode, NodeTrigger, PartitionState
from headrace.scheduler.dependencies import latest_safe_start, network_of, urgency
from headrace.scheduler.forecast import CurrentPartitionState, Outlook, PartitionForecaster

S = PartitionState
MINUTE, HOUR = 60_000_000, 3_600_000_000
KEY = "2013-02-11"
MIDNIGHT = 1360645200_000_000  # of 02-12 in New York


def promise(
    due: str = "07:00", after: int = 0, *, grain: Grain = Grain.DAY, **how: Any
) -> ConsumerDeadline:
    return ConsumerDeadline("report", grain, ZONE, due, after, **how)


def promised(*promises: ConsumerDeadline, partition: PartitionSpec = DAY) -> GraphNode:
    return asset("clean", partition=partition, promises=promises)


def local(at: int | None) -> str:
    return "" if at is None else from_us(at, ZONE).isoformat(timespec="minutes")


# By when something has to begin


@pytest.mark.parametrize(
    ("node", "key", "latest"),
    [
        (promised(promise(after=30 * MINUTE)), KEY, "2013-02-12T06:30-05:00"),
        (promised(promise(), promise("06:00")), KEY, "2013-02-12T06:00-05:00"),
        (promised(promise("", max_age="30h")), KEY, "2013-02-12T06:00-05:00"),
        (promised(promise(grain=Grain.MONTH)), KEY, "2013-03-01T07:00-05:00"),
        (
            promised(promise(), partition=PartitionSpec(grain=Grain.MONTH)),
            "2013-02",
            "2013-03-01T07:00-05:00",
        ),
        (
            promised(promise(), partition=PartitionSpec(grain=Grain.HOUR)),
            "2013-02-11T13:00-05:00",
            "2013-02-12T07:00-05:00",
        ),
        (promised(promise("02:30")), "2013-03-09", "2013-03-10T03:00-04:00"),
        (promised(promise(), partition=WHOLE), "*", "2013-02-12T07:00-05:00"),
        (promised(), KEY, ""),
    ],
)
def test_the_latest_safe_start(node: GraphNode, key: str, latest: str) -> None:
    assert local(latest_safe_start(node, key, MIDNIGHT + 4 * HOUR)) == latest


def test_what_is_promised_to_nobody_becomes_urgent_with_time() -> None:
    """Catches a node without a consumer that waits for ever behind those that have one."""
    assert urgency(promised(), KEY, MIDNIGHT) < urgency(
        promised(promise(grain=Grain.MONTH)), KEY, MIDNIGHT
    )
    assert urgency(promised(), KEY, MIDNIGHT) > urgency(promised(promise()), KEY, MIDNIGHT)


def test_the_earliest_deadline_runs_first() -> None:
    """Catches the order of declaration deciding who is late."""
    late, early = (
        asset("a", "flights", promises=(promise("09:00"),)),
        asset("b", "flights", promises=(promise("07:00"),)),
    )
    d = Driver(source("flights"), late, early, slots=1)
    d.ask()
    d.arrive("flights", KEY)
    assert [node for node, _ in d.work()] == ["flights", "b", "a"]


def test_what_takes_longest_from_there_runs_first() -> None:
    long, short = (
        asset("a", "flights", promises=(promise(after=MINUTE),)),
        asset("b", "flights", promises=(promise(after=HOUR),)),
    )
    d = Driver(source("flights"), long, short, slots=1)
    d.ask()
    d.arrive("flights", KEY)
    assert [node for node, _ in d.work()] == ["flights", "b", "a"]


# What will be late

GRAPH = Graph((
    msgspec.structs.replace(source("flights"), expect_by="05:00"),
    asset("clean", "flights"),
    asset("week", reads("clean", lookback="1d")),
    asset("report", "week"),
))  # fmt: skip
SECONDS = {"clean": 600.0, "week": 3_000.0, "report": 60.0}
DUE = MIDNIGHT + 7 * HOUR


class World:
    """Where partitions stand; the days before are there."""

    def __init__(self, graph: Graph = GRAPH, **stands: CurrentPartitionState) -> None:
        self.graph, self.stands = graph, stands
        self.seconds: dict[str, float] = SECONDS

    def stand(self, node: str, key: str) -> CurrentPartitionState | None:
        return (
            self.stands.get(node)
            if key == KEY
            else CurrentPartitionState(S.PUBLISHED, published=True)
        )

    def risk(
        self, now: int, paused: dict[str, int | None] | None = None, due: int = DUE
    ) -> Outlook | None:
        """When the report will be there, if that is too late."""
        outlook = PartitionForecaster(
            network_of(self.graph), self.stand, now, seconds=self.seconds, paused=paused
        ).of_all([("report", KEY)])
        return outlook if outlook.at is None or outlook.at > due else None


def blamed(risk: Outlook | None) -> tuple[str, str, str]:
    """When it will be there, and the longest link of the chain; the last where that
    stands still.
    """
    assert risk is not None
    step = (
        risk.steps[-1]
        if risk.at is None
        else max(risk.steps, key=lambda step: step.ends - step.begins)
    )
    return local(risk.at), step.node, step.why


def test_what_is_in_time_isnt_at_risk() -> None:
    assert World().risk(MIDNIGHT + HOUR) is None


def test_a_late_delivery_is_known_before_the_deadline() -> None:
    """10 min + 50 min + 1 min are left after the delivery: after 05:59 it can't be in time any
    more."""
    assert World().risk(MIDNIGHT + 5 * HOUR + 58 * MINUTE) is None
    risk = World().risk(MIDNIGHT + 6 * HOUR)
    assert blamed(risk) == (
        "2013-02-12T07:01-05:00",
        "flights",
        "was due 1 h 00 min ago and hasn't arrived",
    )


def test_a_chain_that_is_too_long_is_told_link_by_link() -> None:
    risk = World().risk(MIDNIGHT + HOUR, due=MIDNIGHT + 5 * HOUR + 30 * MINUTE)
    assert risk is not None
    assert [(step.node, local(step.ends)[11:16]) for step in risk.steps] == [
        ("flights", "05:00"),
        ("clean", "05:10"),
        ("week", "06:00"),
        ("report", "06:01"),
    ]
    assert risk.steps[2].why == "takes 50 min"


def test_what_stands_still_is_blamed_and_nothing_says_when() -> None:
    there = CurrentPartitionState(S.PUBLISHED, published=True)
    world = World(flights=there, clean=CurrentPartitionState(S.REJECTED, reason="row_count"))
    assert blamed(world.risk(MIDNIGHT + 5 * HOUR)) == ("", "clean", "was rejected: row_count")


def test_an_attempt_that_takes_longer_than_ever_is_blamed() -> None:
    there = CurrentPartitionState(S.PUBLISHED, published=True)
    world = World(
        flights=there, clean=CurrentPartitionState(S.RUNNING, began_at=MIDNIGHT + 5 * HOUR)
    )
    assert world.risk(MIDNIGHT + 5 * HOUR + 5 * MINUTE) is None
    risk = world.risk(MIDNIGHT + 6 * HOUR + 30 * MINUTE)
    assert blamed(risk) == (
        "2013-02-12T07:21-05:00",
        "clean",
        "runs for 1 h 30 min, longer than it ever takes",
    )


def test_a_pause_a_trigger_and_a_next_try_are_waited_for() -> None:
    there = CurrentPartitionState(S.PUBLISHED, published=True)
    world = World(flights=there)
    assert blamed(world.risk(MIDNIGHT + 5 * HOUR, {"week": None})) == ("", "week", "is paused")
    until = MIDNIGHT + 8 * HOUR
    assert blamed(world.risk(MIDNIGHT + 5 * HOUR, {"week": until})) == (
        "2013-02-12T08:51-05:00",
        "week",
        "is paused",
    )
    world = World(
        flights=there, clean=CurrentPartitionState(S.WAITING, not_before=MIDNIGHT + 7 * HOUR)
    )
    assert blamed(world.risk(MIDNIGHT + 5 * HOUR))[1:] == ("clean", "is tried again")
    nodes = tuple(
        msgspec.structs.replace(n, trigger=NodeTrigger(cron="0 8 * * *", timezone=ZONE))
        if n.name == "week"
        else n
        for n in GRAPH.nodes
    )
    assert blamed(World(Graph(nodes), flights=there).risk(MIDNIGHT + 5 * HOUR))[1:] == (
        "week",
        "waits for its trigger",
    )


def test_a_node_that_nobody_knows_takes_no_time() -> None:
    world = World()
    world.seconds = {}
    assert world.risk(MIDNIGHT + 6 * HOUR) is None


def test_a_long_chain_costs_no_stack() -> None:
    """Catches a forecast that ends in RecursionError over a thousand nodes in a row."""
    nodes = [source("n0"), *(asset(f"n{i}", f"n{i - 1}") for i in range(1, 2_000))]
    world = World(Graph(tuple(nodes)))
    forecast = PartitionForecaster(
        network_of(world.graph), lambda node, key: None, MIDNIGHT, seconds={}
    )
    assert forecast.of("n1999", KEY).at is not None
