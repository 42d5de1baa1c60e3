"""Plans are computed with ranges; here the same is computed one partition after the other, and must
come out alike.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from headrace.model import (
    Asset,
    Grain,
    InputMode,
    InputSpec,
    PartitionSpec,
    Place,
    Project,
    Settings,
    SqlBody,
    UsageError,
)
from headrace.model.intervals import GRAINS, bounds_us, key_at, key_of_date
from headrace.model.partitions import required
from headrace.model.times import DaysOff
from headrace.plan import Compiled, CompiledNode, NodeKind
from headrace.plan.backfill_planning import BackfillRequest, plan_backfill
from headrace.plan.backfills import Backfill, Mode, Publishes
from headrace.plan.partition_ranges import (
    _downstream_bounds,
    count_numbers,
    difference,
    edges_of,
    extent_of_keys,
    intersection,
    union,
)
from headrace.plan.timeline import NodeExtents, Timeline, limits_of
from headrace.runtime.overlays.partitions import keys_of
from headrace.scheduler import Graph, GraphNode

PLACE = Place(file="assets/x.sql")
START, DAYS = date(2024, 2, 1), 70
NOW = datetime(2024, 4, 11, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
ZONE = "Europe/Berlin"
"""Summer time begins within these days, 2024-03-31."""


def node(name: str, grain: Grain | None, *inputs: InputSpec, **more: Any) -> GraphNode:
    spec = PartitionSpec(grain=grain)
    return GraphNode(
        name=name, is_source=not inputs, partition=spec, timezone=ZONE, inputs=inputs, **more
    )


def reads(name: str, **more: Any) -> InputSpec:
    return InputSpec(node=name, place=PLACE, **more)


def compiled(graph: Graph, kinds: dict[str, str] | None = None) -> Compiled:
    assets = {
        node.name: Asset(
            name=node.name,
            owner="us",
            partition=node.partition,
            timezone=node.timezone,
            place=PLACE,
            body=SqlBody(text="select 1", file="x"),
            materialize=(kinds or {}).get(node.name, "table"),
        )
        for node in graph.nodes
        if not node.is_source
    }
    nodes = {
        node.name: CompiledNode(
            name=node.name, kind=NodeKind.SOURCE if node.is_source else NodeKind.ASSET
        )
        for node in graph.nodes
    }
    return Compiled(
        project=Project(settings=Settings(name="lab"), assets=assets),
        nodes=nodes,
        order=tuple(nodes),
    )


def extents_of(
    item: GraphNode, published: set[str], stale: set[str] = frozenset(), **more: set[str]
) -> NodeExtents:  # type: ignore[assignment]
    seen = extent_of_keys(item, published)
    rest = {name: extent_of_keys(item, keys) for name, keys in more.items()}
    known = extent_of_keys(item, set().union(published, *more.values()))
    return NodeExtents(
        known=known,
        visible=seen,
        usable=seen,
        fresh=extent_of_keys(item, published - stale),
        **rest,
    )


def days(first: int, count: int) -> set[str]:
    return {(START + timedelta(first + i)).isoformat() for i in range(count)}


def plan(
    graph: Graph,
    extents: dict[str, NodeExtents],
    names: list[str],
    first: str | None,
    last: str | None,
    mode: Mode,
    **more: Any,
) -> Backfill:
    timeline = Timeline(graph, extents, NOW_US)
    wanted = BackfillRequest(
        mode=mode,
        limits=limits_of([timeline.nodes[name] for name in names], first, last),
        only=more.pop("only", False),
    )
    return plan_backfill(timeline, compiled(graph, more.pop("kinds", None)), wanted, **more)


def made(graph: Graph, backfill: Backfill) -> dict[str, set[str]]:
    nodes = {node.name: node for node in graph.nodes}
    result = {item.node: set(keys_of(nodes[item.node], item.spans, ())) for item in backfill.chosen}
    assert {name: len(keys) for name, keys in result.items()} == {
        item.node: item.partitions for item in backfill.chosen
    }
    return result


# One partition after the other
# --------------------------------------------------------------------------------------------------


def by_hand(
    graph: Graph,
    published: dict[str, set[str]],
    stale: dict[str, set[str]],
    arrived: set[str],
    names: list[str],
    span: tuple[str, str],
    mode: Mode,
    *,
    only: bool,
) -> dict[str, set[str]]:
    nodes = {node.name: node for node in graph.nodes}
    chosen: dict[str, set[str]] = {}
    starts = {"s": bounds_us(min(published["s"] | arrived), Grain.DAY, ZONE)[0]}
    from_us = bounds_us(span[0], Grain.DAY, ZONE)[0]
    to_us = bounds_us(span[1], Grain.DAY, ZONE)[1]
    for node in graph.nodes:
        if node.is_source:
            every = arrived | (published["s"] if mode is Mode.ALL else set())
            result = {key for key in every if span[0] <= key <= span[1]}
            result = result if node.name in names else set()
            chosen[node.name] = result
            continue
        grain = node.partition.grain
        assert grain is not None
        every = {key_of_date(START + timedelta(i), grain) for i in range(-40, DAYS + 40)}
        starts[node.name] = _start_of(node, nodes, starts, every)
        result = set()
        for key in every:
            start, end = bounds_us(key, grain, ZONE)
            if end <= starts[node.name]:
                continue
            longer = all(
                GRAINS.index(nodes[spec.node].partition.grain) > GRAINS.index(grain)
                for spec in node.inputs
            )
            if longer and end > NOW_US:
                continue  # nothing but time says that it has come
            needs = [_needed(node, key, spec, nodes, starts) for spec in node.inputs]
            if any(
                k not in published[spec.node] | chosen[spec.node]
                for spec, keys in zip(node.inputs, needs, strict=True)
                for k in keys
            ):
                continue
            if not any(needs) and key not in published[node.name]:
                continue
            asked = node.name in names and start < to_us and end > from_us
            wanted = mode is Mode.ALL or key not in published[node.name] or key in stale[node.name]
            touched = not only and any(
                k in chosen[spec.node]
                for spec, keys in zip(node.inputs, needs, strict=True)
                for k in keys
            )
            if (asked and wanted) or touched:
                result.add(key)
        chosen[node.name] = result
    return {name: keys for name, keys in chosen.items() if keys}


def _start_of(
    item: GraphNode, nodes: dict[str, GraphNode], starts: dict[str, int], every: set[str]
) -> int:
    """When all inputs have started, and one has something to read."""
    latest, grain = max(starts[spec.node] for spec in item.inputs), item.partition.grain
    assert grain is not None
    reading = min(
        bounds_us(key, grain, ZONE)[0]
        for key in every
        if any(_needed(item, key, spec, nodes, starts) for spec in item.inputs)
    )
    return max(latest, reading)


def _needed(
    item: GraphNode, key: str, spec: InputSpec, nodes: dict[str, GraphNode], starts: dict[str, int]
) -> list[str]:
    """The input's partitions that aren't before its start."""
    source = nodes[spec.node]
    keys = required(
        item.partition, item.timezone, key, source.partition, source.timezone, spec
    ).keys
    assert keys is not None
    grain = source.partition.grain
    assert grain is not None
    return [k for k in keys if bounds_us(k, grain, ZONE)[1] > starts[spec.node]]


def scenario(seed: int) -> tuple[Graph, dict[str, set[str]], dict[str, set[str]], set[str]]:
    """A source of days, and assets of days, weeks and months that read each other in all ways."""
    chance = random.Random(seed)
    nodes = [node("s", Grain.DAY)]
    for i in range(chance.randint(1, 5)):
        grain = chance.choice([Grain.DAY, Grain.DAY, Grain.WEEK, Grain.MONTH])
        inputs = []
        for source in chance.sample(nodes, min(len(nodes), chance.choice([1, 1, 2]))):
            how: dict[str, Any] = chance.choice(
                [{}, {}, {"lookback": f"{chance.randint(1, 9)}d"}, {"mode": InputMode.PREVIOUS}]
            )
            inputs.append(reads(source.name, **how))
        nodes.append(node(f"a{i}", grain, *inputs))
    arrived = {key for key in days(0, DAYS) if chance.random() < chance.choice([0.02, 0.1])}
    published = {"s": {key for key in days(0, DAYS) - arrived if chance.random() < 0.97}}
    for item in nodes[1:]:
        assert item.partition.grain is not None
        every = {key_of_date(START + timedelta(i), item.partition.grain) for i in range(DAYS)}
        published[item.name] = {
            key for key in every if chance.random() < chance.choice([0.0, 0.5, 0.9])
        }
    stale = {
        name: {key for key in keys if chance.random() < 0.1} for name, keys in published.items()
    }
    return Graph(tuple(nodes)), published, stale, arrived


def test_ranges_come_to_what_counting_one_by_one_comes_to() -> None:
    """Would catch a range that is one too long, a gap that is bridged, and a partition chosen whose
    input can't be there.
    """
    first_seed, count = int(os.environ.get("HEADRACE_SEED", "1")), 60
    for seed in range(first_seed, first_seed + count):
        graph, published, stale, arrived = scenario(seed)
        chance = random.Random(-seed)
        names = sorted(
            chance.sample([node.name for node in graph.nodes], chance.randint(1, len(graph.nodes)))
        )
        a, b = sorted(chance.sample(range(DAYS), 2))
        span = ((START + timedelta(a)).isoformat(), (START + timedelta(b)).isoformat())
        mode, only = chance.choice([Mode.MISSING, Mode.ALL]), chance.random() < 0.3
        extents = {
            node.name: extents_of(
                node,
                published[node.name],
                stale[node.name],
                **({"arrived": arrived} if node.is_source else {}),
            )
            for node in graph.nodes
        }
        if not any(
            graph_node.partition.grain is Grain.DAY
            for graph_node in graph.nodes
            if graph_node.name in names
        ):
            continue
        try:
            result = made(graph, plan(graph, extents, names, *span, mode, only=only))
        except UsageError:
            result = {}
        assert result == by_hand(graph, published, stale, arrived, names, span, mode, only=only), (
            f"seed {seed}: {names} {span} {mode} {only}"
        )


# One rule after the other
# --------------------------------------------------------------------------------------------------


def whole_month(item: GraphNode, **more: set[str]) -> NodeExtents:
    return extents_of(item, days(0, 29), **more)


def test_a_chain_is_made_again_from_the_first_that_changes_and_afterwards() -> None:
    """Would catch a merge of which a day in the middle is replaced while later days keep what they
    made of it."""
    source = node("s", Grain.DAY)
    ledger = node("ledger", Grain.DAY, reads("s"), chained=True)
    report = node("report", Grain.DAY, reads("ledger"))
    aside = node("aside", Grain.DAY, reads("s"))
    graph = Graph((source, ledger, report, aside))
    extents = {node.name: whole_month(node) for node in graph.nodes}
    result = plan(
        graph,
        extents,
        ["ledger", "aside"],
        "2024-02-10",
        "2024-02-11",
        Mode.ALL,
        kinds={"ledger": "merge"},
    )
    assert {item.node: (item.partitions, item.how) for item in result.chosen} == {
        "ledger": (20, "afterwards"),
        "report": (20, "afterwards"),
        "aside": (2, "staged"),
    }
    assert [set(step.spans) for step in result.steps] == [{"aside"}]
    alone = plan(
        graph,
        extents,
        ["ledger"],
        "2024-02-10",
        "2024-02-11",
        Mode.ALL,
        kinds={"ledger": "merge"},
    )
    assert alone.publishes is Publishes.PER_PARTITION


def test_behind_a_gap_in_a_chain_nothing_can_be_made() -> None:
    source = node("s", Grain.DAY)
    ledger = node("ledger", Grain.DAY, reads("s"), chained=True)
    gone = "2024-02-12"
    extents = {
        "s": extents_of(source, days(0, 29) - {gone}),
        "ledger": extents_of(ledger, days(0, 5)),
    }
    result = plan(
        Graph((source, ledger)),
        extents,
        ["ledger"],
        "2024-02-01",
        "2024-02-29",
        Mode.MISSING,
        kinds={"ledger": "merge"},
    )
    assert [
        (item.partitions, item.spans[0].first, item.spans[-1].last) for item in result.chosen
    ] == [(6, "2024-02-06", "2024-02-11")]
    assert {item.why: item.partitions for item in result.skipped} == {
        "published, and not stale": 5,
        "the one before it isn't there": 17,
    }


def test_what_only_refers_to_the_whole_is_left_and_what_gathers_it_is_made() -> None:
    """Would catch a year of days made again for reference data, and a total over everything that
    keeps yesterday's figure.
    """
    source, planes = node("s", Grain.DAY), node("planes", None)
    a = node("a", Grain.DAY, reads("s"), reads("planes"))
    total = node("total", None, reads("a"))
    eager = node("eager", Grain.DAY, reads("s"), reads("total"), rebuild_on_reference=True)
    lazy = node("lazy", Grain.DAY, reads("s"), reads("total"))
    graph = Graph((source, planes, a, total, eager, lazy))
    extents = {
        node.name: whole_month(node) for node in graph.nodes if node.partition.grain is not None
    }
    extents |= {item.name: extents_of(item, {"*"}) for item in (planes, total)}
    result = plan(graph, extents, ["a"], "2024-02-10", "2024-02-11", Mode.ALL)
    assert {item.node: item.partitions for item in result.chosen} == {
        "a": 2,
        "total": 1,
        "eager": 29,
    }
    del extents["planes"]
    with pytest.raises(UsageError, match="nothing in that range"):
        plan(graph, extents, ["a"], "2025-02-10", "2025-02-11", Mode.ALL)
    blocked = plan(graph, extents, ["a"], "2024-02-10", "2024-02-11", Mode.ALL)
    assert (blocked.chosen, [item.why for item in blocked.skipped]) == (
        (),
        ["planes isn't there for it"],
    )


def test_a_day_that_a_calendar_leaves_empty_blocks_nothing() -> None:
    """Would catch months that never can be made because of their Sundays."""
    source = node(
        "s",
        Grain.DAY,
        days_off=DaysOff(
            dates=frozenset(day for day in days(0, 29) if date.fromisoformat(day).weekday() > 4)
        ),
    )
    clean, month = node("clean", Grain.DAY, reads("s")), node("month", Grain.MONTH, reads("clean"))
    work = {day for day in days(0, 29) if day not in source.days_off.dates}
    graph = Graph((source, clean, month))
    result = plan(
        graph,
        {"s": extents_of(source, work)},
        ["clean", "month"],
        "2024-02-01",
        "2024-02-29",
        Mode.MISSING,
    )
    assert {item.node: item.partitions for item in result.chosen} == {
        "clean": len(work),
        "month": 1,
    }
    assert result.skipped == ()
    short = {"s": extents_of(source, work - {"2024-02-14"})}
    assert "month" not in {
        item.node
        for item in plan(
            graph, short, ["clean", "month"], "2024-02-01", "2024-02-29", Mode.MISSING
        ).chosen
    }


def test_hours_of_the_days_on_which_clocks_are_set() -> None:
    """Would catch the doubled hour taken for one, and the hour that there isn't for one that is
    missing."""
    hourly = node("h", Grain.HOUR)
    daily = node("d", Grain.DAY, reads("h"))
    graph = Graph((hourly, daily))
    keys = set[str]()
    for day, hours in (("2024-03-31", 23), ("2023-10-29", 25), ("2024-02-11", 24)):
        start, end = bounds_us(day, Grain.DAY, ZONE)
        keys = {
            key_at(datetime.fromtimestamp(at / 1e6, UTC), Grain.HOUR, ZONE)
            for at in range(start, end, 3_600_000_000)
        }
        assert len(keys) == hours
        result = plan(
            graph,
            {"h": extents_of(hourly, set(), arrived=keys)},
            ["h", "d"],
            day,
            day,
            Mode.MISSING,
        )
        assert {item.node: item.partitions for item in result.chosen} == {"h": hours, "d": 1}, day
    item = plan(
        graph,
        {"h": extents_of(hourly, keys)},
        ["h", "d"],
        "2024-02-11T04:00:00Z",
        "2024-02-11T07:00+01:00",
        Mode.MISSING,
    )
    assert [(c.node, c.partitions) for c in item.chosen] == [("d", 1)]
    with pytest.raises(UsageError):
        plan(
            graph,
            {"h": extents_of(hourly, keys)},
            ["h", "d"],
            "2024-03-31T02:30",
            None,
            Mode.MISSING,
        )


def test_keys_of_the_data_are_made_one_by_one_and_gathered_once_all_are_there() -> None:
    """Would catch a key that is taken for all of its day, and a day gathered without one of its
    keys.
    """
    cut = PartitionSpec(grain=Grain.DAY, key="region")
    source = GraphNode(name="s", is_source=True, partition=cut, timezone=ZONE)
    clean = GraphNode(
        name="clean", is_source=False, partition=cut, timezone=ZONE, inputs=(reads("s"),)
    )
    daily = node("daily", Grain.DAY, reads("clean"))
    graph = Graph((source, clean, daily))
    keys = {f"{day}/{region}" for day in days(0, 3) for region in ("EMEA", "a/b '")}
    extents = {
        "s": extents_of(source, keys),
        "clean": extents_of(clean, keys - {"2024-02-02/EMEA"}),
    }
    result = plan(graph, extents, ["clean", "daily"], "2024-02-01", "2024-02-03", Mode.MISSING)
    assert {item.node: [(s.first, s.last) for s in item.spans] for item in result.chosen} == {
        "clean": [("2024-02-02/EMEA", "2024-02-02/EMEA")],
        "daily": [("2024-02-01", "2024-02-03")],
    }
    everything = plan(graph, extents, ["clean"], "2024-02-01", "2024-02-03", Mode.ALL, only=True)
    assert [
        (item.partitions, item.spans[0].first, item.spans[0].last) for item in everything.chosen
    ] == [(6, "2024-02-01", "2024-02-03")]
    one_key = plan(
        graph, extents, ["clean"], "2024-02-01/EMEA", "2024-02-02/EMEA", Mode.ALL, only=True
    )
    assert [item.partitions for item in one_key.chosen] == [2]
    lost = {"s": extents_of(source, keys - {"2024-02-02/EMEA"}, held={"2024-02-02/EMEA"})}
    made_of_it = plan(graph, lost, ["clean", "daily"], "2024-02-01", "2024-02-03", Mode.MISSING)
    assert {item.node: item.partitions for item in made_of_it.chosen} == {"clean": 5, "daily": 2}


def test_steps_hold_all_of_the_plan_once_and_never_come_before_what_they_read() -> None:
    """Would catch a partition that falls between two steps, and one that is published before its
    input is.
    """
    nodes = [node("s", Grain.DAY), node("a", Grain.DAY, reads("s"))]
    nodes += [
        node("w", Grain.WEEK, reads("a")),
        node("b", Grain.DAY, reads("a", lookback="9d"), reads("w", mode=InputMode.WITHIN)),
    ]
    graph = Graph(tuple(nodes))
    every = {(date(2000, 1, 3) + timedelta(i)).isoformat() for i in range(5_200)}
    result = plan(
        graph, {"s": extents_of(nodes[0], every)}, ["a", "w", "b"], "2000-01-03", None, Mode.MISSING
    )
    assert (result.publishes, len(result.steps)) == (Publishes.IN_STEPS, 3)
    by_name = {node.name: node for node in nodes}
    place = {
        (name, key): i
        for i, step in enumerate(result.steps)
        for name, spans in step.spans.items()
        for key in keys_of(by_name[name], spans, ())
    }
    assert len(place) == result.partitions
    for (name, key), step in place.items():
        item = by_name[name]
        for spec in item.inputs:
            source = by_name[spec.node]
            keys = required(item.partition, ZONE, key, source.partition, ZONE, spec).keys or ()
            assert all(place.get((spec.node, k), -1) <= step for k in keys), (name, key)


def test_ten_thousand_days_of_twenty_assets_cost_what_their_ranges_cost() -> None:
    """Would catch an enumeration: two hundred thousand partitions, and no more than some thousand
    calls into the calendar.
    """
    nodes = [node("s", Grain.DAY)]
    for i in range(20):
        nodes.append(
            node(
                f"a{i}",
                Grain.DAY,
                reads(nodes[-1].name, **({"lookback": "7d"} if i % 5 == 0 else {})),
            )
        )
    every = {(date(1996, 1, 1) + timedelta(i)).isoformat() for i in range(10_000)}
    extents = {"s": extents_of(nodes[0], every)}
    _downstream_bounds.cache_clear()
    result = plan(
        Graph(tuple(nodes)),
        extents,
        [node.name for node in nodes],
        "1996-01-01",
        None,
        Mode.MISSING,
    )
    assert result.partitions == 200_000
    assert sum(len(item.spans) for item in result.chosen) == 20
    assert _downstream_bounds.cache_info().misses < 500


def test_numbers_united_cut_and_taken_away_are_what_sets_are() -> None:
    """Would catch an edge that is counted on the wrong side."""
    chance = random.Random(7)
    for _ in range(300):
        item, other, third = (
            {n for n in range(30) if chance.random() < share} for share in (0.5, 0.3, 0.8)
        )
        a, b, c = map(edges_of, (item, other, third))
        assert union(a, b, c) == edges_of(item | other | third)
        assert intersection(a, b) == edges_of(item & other)
        assert difference(a, b) == edges_of(item - other)
        assert count_numbers(a) == len(item)


def test_what_fails_anyway_keeps_nothing_from_being_published() -> None:
    """Would catch one report that never worked keeping a year of everything else from being
    published; and one that is named and isn't tried, or was published once and is left as it was.
    """
    source, clean, report, total = (
        node("s", Grain.DAY),
        node("clean", Grain.DAY, reads("s")),
        node("report", Grain.DAY, reads("clean")),
        node("total", Grain.DAY, reads("clean"), reads("report", optional=True)),
    )
    graph = Graph((source, clean, report, total))
    broken = days(3, 2)
    extents = {
        "s": whole_month(source),
        "clean": extents_of(clean, days(0, 29), days(2, 5)),
        "report": extents_of(
            report, days(0, 29) - broken, days(5, 1), failed=broken | days(5, 1), hopeless=broken
        ),
        "total": whole_month(total),
    }
    result = plan(graph, extents, ["clean"], "2024-02-01", "2024-02-29", Mode.MISSING)
    assert made(graph, result) == {
        "clean": days(2, 5),
        "report": days(2, 5) - broken,
        "total": days(2, 5),
    }
    assert [
        (item.node, item.partitions)
        for item in result.skipped
        if "it is tried if it is named" in item.why
    ] == [("report", 2)]
    for names, mode in ((["clean", "report"], Mode.MISSING), (["clean"], Mode.ALL)):
        result = plan(graph, extents, names, "2024-02-01", "2024-02-29", mode)
        assert made(graph, result)["report"] >= broken
