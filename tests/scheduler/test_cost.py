"""What a decision costs, counted and not timed: as much as has changed, whatever there
is beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from driver import DAY, WHOLE, Driver, asset, source

from headrace.model import PartitionSpec
from headrace.scheduler import (
    ClockAdvanced,
    Core,
    DeliveryArrived,
    Dispatch,
    Graph,
    GraphNode,
    Loaded,
    LoadedPartition,
    PartitionState,
    Requested,
    SchedulerCheckpoint,
    Target,
    checkpoints,
)
from headrace.scheduler.partition_states import PartitionStates
from headrace.scheduler.states import AT_REST

FIRST = date(2013, 3, 1)
NOW = 1_800_000_000_000_000
KEYED = PartitionSpec(grain=DAY.grain, key="region")


def days(count: int) -> list[str]:
    return [(FIRST + timedelta(days=n)).isoformat() for n in range(count)]


def layers(assets: int) -> list[GraphNode]:
    """A source, and assets of which each reads the two before it."""
    nodes = [source("s")]
    for n in range(assets - 1):
        nodes.append(asset(f"a{n}", *dict.fromkeys([nodes[-1].name, nodes[max(0, n - 1)].name])))
    return nodes


def at_rest(nodes: list[GraphNode], keys: list[str]) -> Iterator[tuple[LoadedPartition, list[str]]]:
    return (
        (
            LoadedPartition(node=n.name, key="", state=PartitionState.PUBLISHED, published=True),
            keys,
        )
        for n in nodes
    )


def loaded(nodes: list[GraphNode], keys: list[str]) -> Core:
    graph, core = Graph(tuple(nodes)), Core(epoch=1, slots=2)
    core.handle(
        Loaded(graph, checkpoint=checkpoints.checkpoint_of_rows(graph, at_rest(nodes, keys))), NOW
    )
    return core


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often partitions are looked at in any partition states, by method."""
    counts: Counter[str] = Counter()
    for name in ("get", "known", "tracked", "add", "published", "_record"):
        method = getattr(PartitionStates, name)

        def counted(
            *args: object, _name: str = name, _method: object = method, **named: object
        ) -> object:
            counts[_name] += 1
            return _method(*args, **named)  # type: ignore[operator]

        monkeypatch.setattr(PartitionStates, name, counted)
    return counts


def everything(nodes: list[GraphNode], run: int, *, standing: bool = False) -> Requested:
    return Requested(tuple(Target(n.name) for n in nodes), run=run, standing=standing)


def test_what_is_published_leaves_no_partition_behind() -> None:
    """Of 6,000 partitions that were really made, one after another. Catches a field that nobody
    clears.
    """
    nodes = layers(20)
    d = Driver(*nodes)
    d.ask()
    d.arrive("s", *days(300))
    assert len(d.work()) == 6_000
    assert d.core.unsettled() == 0
    kept = d.core.checkpoint()
    assert all(len(edges) == 2 for node in kept.nodes.values() for edges in node.runs.values())
    assert checkpoints.checkpoint_size(kept) == 6_000
    assert len(checkpoints.encode_checkpoint(kept)) < 3_000


def test_partitions_at_rest_cost_nothing(looked: Counter[str]) -> None:
    """100 nodes × 1,000 days: neither to start from a checkpoint, nor to look for
    something to do."""
    nodes = layers(100)
    core = loaded(nodes, days(1_000))
    assert core.unsettled() == 0
    kept = checkpoints.decode_checkpoint(checkpoints.encode_checkpoint(core.checkpoint()))
    looked.clear()
    other = Core(epoch=2, slots=2)
    other.handle(Loaded(Graph(tuple(nodes)), checkpoint=kept), NOW)
    other.handle(everything(nodes, 1), NOW)
    assert looked.total() == 0, looked
    assert other.state_of("a7", days(1_000)[500]) is PartitionState.PUBLISHED


def test_starting_from_all_rows_looks_at_what_is_missing_only(looked: Counter[str]) -> None:
    """Catches looking through each input's partitions for what they make expected."""
    nodes, keys = layers(50), days(1_000)
    graph = Graph(tuple(nodes))
    gathered = checkpoints.checkpoint_of_rows(
        graph,
        (
            (row, [key for key in row_keys if (row.node, key) != ("a48", keys[7])])
            for row, row_keys in at_rest(nodes, keys)
        ),
    )
    looked.clear()
    core = Core(epoch=1, slots=2)
    core.handle(Loaded(graph, checkpoint=gathered), NOW)
    assert looked.total() < 20, looked
    assert core.state_of("a48", keys[7]) is PartitionState.WAITING
    assert core.unsettled() == 1


def test_a_delivery_costs_the_same_whatever_is_there(looked: Counter[str]) -> None:
    """Catches a cost that grows with the partitions that nothing happened to."""
    nodes, costs = layers(30), []
    for there in (10, 2_000):
        d = Driver(*nodes)
        d.core, d.now = loaded(nodes, days(there)), NOW
        d.ask()
        looked.clear()
        d.give(DeliveryArrived("s", (FIRST + timedelta(days=5_000)).isoformat()))
        d.give(ClockAdvanced())
        assert len(d.work()) == 30
        costs.append(Counter(looked))
    assert costs[0] == costs[1]
    assert costs[0].total() < 30 * 25


def test_what_only_comes_after_is_looked_at_by_name(looked: Counter[str]) -> None:
    """Catches 400 partitions that wait being gone through at each of 400 publications."""
    nodes = [source("s"), source("t"), asset("a", "s"), asset("b", "t", depends=("a",))]
    d = Driver(*nodes)
    d.ask()
    d.arrive("t", *days(400))
    d.arrive("s", *days(400))
    looked.clear()
    assert len(d.work()) == 1_600
    assert looked.total() < 1_600 * 25, looked


def test_keys_that_grow_take_a_run_each() -> None:
    """50 keys × 400 days are 50 runs, and asking which keys a day has doesn't list the days."""
    nodes = [source("s", KEYED), asset("a", "s", partition=KEYED), asset("total", "a")]
    keys = [f"{day}/r{n}" for day in days(400) for n in range(50)]
    graph = Graph(tuple(nodes))
    core = Core(epoch=1, slots=2)
    rows = [*at_rest(nodes[:2], keys), *at_rest(nodes[2:], days(400))]
    core.handle(Loaded(graph, checkpoint=checkpoints.checkpoint_of_rows(graph, rows)), NOW)
    assert core.unsettled() == 0
    kept = core.checkpoint()
    assert len(kept.nodes["a"].runs) == 50 and all(
        len(edges) == 2 for edges in kept.nodes["a"].runs.values()
    )


def test_a_node_without_inputs_is_expanded_once(looked: Counter[str]) -> None:
    """What time alone brings isn't gone through again at each pass, nor after a restart."""
    nodes = [asset("pulled", start="2013-03-01")]
    at = 1_370_000_000_000_000  # 2013-05-31
    core = Core(epoch=1, slots=2)
    core.handle(Loaded(Graph(tuple(nodes)), (), ()), at)
    core.handle(everything(nodes, 1), at)
    assert core.unsettled() == 91
    looked.clear()
    core.handle(everything(nodes, 2), at)
    assert looked["known"] <= 2, looked
    other = Core(epoch=2, slots=2)
    other.handle(Loaded(Graph(tuple(nodes)), checkpoint=core.checkpoint()), at)
    looked.clear()
    other.handle(everything(nodes, 1), at + 86_400_000_000)
    assert looked["add"] == 1
    assert other.unsettled() == 92


def test_a_long_chain_is_no_deep_stack() -> None:
    """1,500 assets one after another, with a calendar. Catches recursion along the graph."""
    nodes = [source("s")]
    for n in range(1_500):
        nodes.append(asset(f"a{n}", nodes[-1].name))
    nodes.append(asset("all", nodes[-1].name, partition=WHOLE))
    d = Driver(*nodes)
    d.ask()
    d.arrive("s", "2013-03-11")
    assert len(d.work()) == 1_502


def test_what_is_at_rest_is_only_looked_at() -> None:
    """Catches a change that would be made to all partitions at rest at once."""
    with pytest.raises(AttributeError):
        AT_REST.stale = True


def idle(nodes: list[GraphNode], checkpoint: SchedulerCheckpoint, looked: Counter[str]) -> Core:
    """A core that started from a checkpoint and was asked for everything, and what it looked at."""
    core = Core(epoch=2, slots=2)
    looked.clear()
    core.handle(Loaded(Graph(tuple(nodes)), checkpoint=checkpoint), NOW)
    core.handle(everything(nodes, 1), NOW)
    core.handle(everything(nodes, 2), NOW)
    return core


def test_stale_partitions_cost_an_idle_pass_nothing(looked: Counter[str]) -> None:
    """Catches a pass that visits each partition that is recomputed only on request."""
    nodes, costs = layers(3), []
    row = LoadedPartition(
        node="a1",
        key="",
        state=PartitionState.PUBLISHED,
        published=True,
        stale=True,
        proposed=True,
    )
    for there in (20, 2_000):
        keys = days(there)
        rows = [*at_rest(nodes[:2], keys), (row, keys)]
        core = idle(nodes, checkpoints.checkpoint_of_rows(Graph(tuple(nodes)), rows), looked)
        costs.append(Counter(looked))
        assert core.proposed(most=2) == [("a1", keys[0]), ("a1", keys[1])]
        assert core.unsettled() == there
        again = idle(nodes, core.checkpoint(), looked)
        assert again.is_proposed("a1", keys[-1])
        assert not again.is_proposed("a0", keys[-1])
        assert len(core.checkpoint().nodes["a1"].groups) == 1
        assert not core.checkpoint().tracked_partitions
    assert costs[0] == costs[1]
    assert costs[0].total() < 50


def test_partitions_that_miss_an_input_cost_an_idle_pass_nothing(looked: Counter[str]) -> None:
    """Catches a pass that visits each partition of which one input was never delivered, and one
    that overlooks those that may run."""
    nodes, costs = [source("s"), source("t"), asset("a", "s", "t")], []
    for there in (20, 2_000):
        keys = days(there)
        rows = [*at_rest(nodes[:1], keys), *at_rest(nodes[1:2], keys[:1])]
        core = idle(nodes, checkpoints.checkpoint_of_rows(Graph(tuple(nodes)), rows), looked)
        costs.append(Counter(looked))
        assert core.state_of("a", keys[-1]) is PartitionState.WAITING
        assert core.unsettled() == there
        assert core.state_of("a", keys[0]) is PartitionState.RUNNING
        assert [why.node for why in core.why("a", keys[1])] == ["t"]
        arrived = core.handle_all([DeliveryArrived("t", keys[-1]), ClockAdvanced()], NOW)
        assert [item.node for item in arrived if isinstance(item, Dispatch)] == ["t"]
    assert costs[0] == costs[1]
    assert costs[0].total() < 50
