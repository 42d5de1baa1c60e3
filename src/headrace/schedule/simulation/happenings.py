"""A whole scenario from a seed: what is delivered, what people do, and what goes wrong, each at a random time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from headrace.model import Grain, PartitionSpec
from headrace.schedule.graph import Graph, GraphNode
from headrace.schedule.simulation.batches import batched, heavy, lying
from headrace.schedule.simulation.generator import Generator
from headrace.schedule.simulation.graphs import DAILY, LISTED, REGIONS, SimulatedWindow, make_graph
from headrace.schedule.simulation.rules import span
from headrace.schedule.simulation.scenario import (
    DAY,
    HOUR,
    LASTS,
    MINUTE,
    SECOND,
    Deed,
    DeedKind,
    FaultKind,
    Scenario,
    SimulatedDelivery,
    SimulatedFault,
    SimulatedFaultPoint,
    SimulatedProjectChange,
)

BACKLOG_DAYS = 4
FAULTS_MIN = 5
SURE = (
    FaultKind.CRASH,
    FaultKind.STALL,
    FaultKind.COMMIT_FAILS,
    FaultKind.WORKERS_DIE,
    FaultKind.MESSAGE_LOST,
    FaultKind.CLOCK_FORWARD,
    FaultKind.DISK_FULL,
)
"""They find something to strike, whatever happens."""
DEEDS = tuple(kind for kind in DeedKind if kind not in (DeedKind.REFRESH, DeedKind.APPLY, DeedKind.BACKFILL))
BORROWED = "s_ref"


def scenario(seed: int) -> Scenario:
    """What a seed means; the same in every process."""
    chance = Generator(seed)
    graph, window = make_graph(chance)
    graph = batched(seed, graph)
    began = window.first_us + BACKLOG_DAYS * DAY + chance.below(DAY)
    maker = _Maker(chance, graph, window, began)
    borrowed = frozenset({BORROWED} if chance.chance(0.2) else ())
    plans = tuple(_backfills(seed, graph, window, began))
    meanwhile = _meanwhile(seed, graph, window, plans)
    deliveries = tuple(
        sorted((*maker.deliveries(borrowed), *meanwhile), key=lambda delivery: (delivery.at, delivery.source, delivery.keys))
    )
    assets = [node.name for node in graph.nodes if not node.is_source]
    return Scenario(
        seed=seed,
        graph=graph,
        slots=chance.between(1, 4),
        began=began,
        middle=window.first_us + BACKLOG_DAYS * DAY,
        deliveries=deliveries,
        deeds=tuple(sorted((*maker.deeds(borrowed), *plans), key=lambda item: item.at)),
        faults=tuple(sorted(maker.faults(), key=lambda fault: fault.at)),
        change=maker.change(),
        coarse={name: chance.between(1, 3) for name in assets if chance.chance(0.3)},
        hashless=frozenset(name for name in assets if chance.chance(0.1)),
        brief=frozenset(name for name in assets if chance.chance(0.25)),
        borrowed=borrowed,
        together=chance.chance(0.7),
        unserved=frozenset(chance.sample(assets, 5) if chance.chance(0.5) else ()),
        poison=frozenset((name, chance.choice(window.days)) for name in chance.sample(assets, chance.below(3))),
        lying=lying(seed, graph),
        heavy=heavy(seed, graph),
    )


def _backfills(seed: int, graph: Graph, window: SimulatedWindow, began: int) -> Iterator[Deed]:
    """Some, drawn by themselves: what else a seed means doesn't depend on them."""
    chance = Generator(seed ^ 0xBACF)
    assets = [node.name for node in graph.nodes if not node.is_source and node.partition.grain is not None]
    for _ in range(chance.below(6)):
        first, last = sorted(chance.choice(window.days) for _ in range(2))
        nodes = tuple(chance.sample(assets, chance.between(1, 3)))
        yield Deed(began + chance.below(LASTS), DeedKind.BACKFILL, nodes, first, last, chance.below(1000))


def _meanwhile(seed: int, graph: Graph, window: SimulatedWindow, plans: Sequence[Deed]) -> Iterator[SimulatedDelivery]:
    """While a plan is worked at, some of what it reads is delivered again."""
    chance, nodes = Generator(seed ^ 0xDE11), {node.name: node for node in graph.nodes}
    for plan in plans:
        above = sorted(name for name in _above(nodes, plan.nodes) if nodes[name].is_source and nodes[name].partition == DAILY)
        days = [day for day in window.days if (plan.first or "") <= day <= (plan.last or "")]
        for _ in range(chance.below(5) if above else 0):
            at = plan.at + chance.below(2 * HOUR)
            yield SimulatedDelivery(at, chance.choice(above), (chance.choice(days),), chance.below(1 << 20))


def _above(nodes: dict[str, GraphNode], names: Iterable[str]) -> set[str]:
    results, pending = set[str](), list(names)
    while pending:
        new = {spec.node for spec in nodes[pending.pop()].inputs} - results
        results |= new
        pending += new
    return results


class _Maker:
    """Draws one part after the other."""

    def __init__(self, chance: Generator, graph: Graph, window: SimulatedWindow, began: int) -> None:
        self._chance, self._graph, self._window, self._began = chance, graph, window, began
        self._daily = [node for node in graph.nodes if node.partition == PartitionSpec(grain=Grain.DAY)]

    # Vendors

    def deliveries(self, borrowed: frozenset[str]) -> Iterator[SimulatedDelivery]:
        """Most come in time and once; some late, twice, together in one file, or not at all."""
        for node in self._graph.nodes:
            if node.is_source and node.name not in borrowed:
                for keys in self._files(node):
                    yield from self._delivered(node, keys)

    def _files(self, node: GraphNode) -> list[tuple[str, ...]]:
        window, cut = self._window, node.partition
        if cut.grain is None:
            return [("*",)]
        if cut.grain is Grain.HOUR:
            day = window.first_us + self._chance.between(1, 5) * DAY
            return self._bundled(window.keys(Grain.HOUR, day - 2 * HOUR, day + 26 * HOUR), 6)
        if cut.grain is Grain.WEEK:
            return [(key,) for key in window.keys(Grain.WEEK, window.first_us - 7 * DAY, window.first_us + 7 * DAY)]
        if cut.key is not None:
            regions = cut.values or REGIONS
            return [tuple(f"{day}/{item}" for item in self._some(regions, cut)) for day in self._chance.sample(window.days, 5)]
        days = [day for day in window.days if self._chance.chance(0.93)]
        return self._bundled(days, 3) if self._chance.chance(0.2) else [(day,) for day in days]

    def _some(self, regions: tuple[str, ...], cut: PartitionSpec) -> list[str]:
        return list(regions) if cut == LISTED and self._chance.chance(0.9) else self._chance.sample(regions, self._chance.between(1, 3))

    def _bundled(self, keys: list[str], most: int) -> list[tuple[str, ...]]:
        results: list[tuple[str, ...]] = []
        while keys:
            count = self._chance.between(1, most)
            results.append(tuple(keys[:count]))
            keys = keys[count:]
        return results

    def _delivered(self, node: GraphNode, keys: tuple[str, ...]) -> Iterator[SimulatedDelivery]:
        ends = span(node, keys[-1])[1] if node.partition.grain is not None else self._began
        usual = ends + self._chance.between(20, 500) * MINUTE
        at = usual + self._chance.between(1, 4) * DAY if self._chance.chance(0.08) else usual
        parts = [(key,) for key in keys] if node.partition.key is not None and self._chance.chance(0.5) else [keys]
        for part in parts:
            at += self._chance.below(HOUR)
            yield SimulatedDelivery(max(at, self._began), node.name, part, self._chance.below(1 << 20))
            if self._chance.chance(0.3 if node.partition.grain is None else 0.16):
                again = max(at, self._began) + self._chance.below(self._chance.choice((20 * MINUTE, 3 * DAY)))
                yield SimulatedDelivery(again, node.name, part, self._chance.below(1 << 20))

    # People

    def deeds(self, borrowed: frozenset[str]) -> Iterator[Deed]:
        """Between six and fourteen, at any time."""
        for _ in range(self._chance.between(6, 14)):
            deed = self._deed(self._chance.choice(DEEDS))
            yield deed
            if deed.kind in (DeedKind.RUN, DeedKind.RETRY, DeedKind.AGAIN) and self._chance.chance(0.4):
                yield Deed(deed.at + self._chance.below(20 * MINUTE), DeedKind.CANCEL, pick=self._chance.below(1000))
        if self._chance.chance(0.4):
            yield Deed(self._moment(), DeedKind.APPLY)
        for name in sorted(borrowed):
            for _ in range(self._chance.between(1, 3)):
                yield Deed(self._moment(), DeedKind.REFRESH, (name,), pick=self._chance.below(9))

    def _moment(self) -> int:
        return self._began + self._chance.below(LASTS)

    def _deed(self, kind: DeedKind) -> Deed:
        among = [node.name for node in self._graph.nodes]
        if kind is DeedKind.FIRE:
            among = [node.name for node in self._graph.nodes if node.trigger is not None] or among
        if kind in (DeedKind.WITHDRAW, DeedKind.FIRE):
            nodes: tuple[str, ...] = (self._chance.choice(among),)
        else:
            nodes = tuple(self._chance.sample(among, self._chance.between(1, 12)))
        first, last = sorted(self._chance.choice(self._window.days) for _ in range(2))
        if kind not in (DeedKind.RUN, DeedKind.RETRY, DeedKind.AGAIN) or self._chance.chance(0.4):
            return Deed(self._moment(), kind, nodes, pick=self._chance.below(1000))
        return Deed(self._moment(), kind, nodes, first, last, self._chance.below(1000))

    def change(self) -> SimulatedProjectChange:
        """A few assets with another body; one with other settings; one that nobody reads is taken out."""
        read = {spec.node for node in self._graph.nodes for spec in node.inputs} | {n for node in self._graph.nodes for n in node.depends}
        assets = [node for node in self._graph.nodes if not node.is_source]
        last = [node.name for node in assets if node.name not in read]
        gone = frozenset(self._chance.sample(last, 1) if self._chance.chance(0.5) else ())
        changed = [node for node in self._chance.sample(assets, 3) if node.name not in gone]
        return SimulatedProjectChange(tuple(self._altered(node) for node in changed), gone)

    def _altered(self, node: GraphNode) -> GraphNode:
        """Another body, and sometimes another lookback."""
        if node.chained or node.partition.grain is not Grain.DAY or len(node.inputs) != 1 or node.partition.key is not None:
            return node
        (spec,) = node.inputs
        if spec.lookback is None:
            return node
        return msgspec.structs.replace(node, inputs=(msgspec.structs.replace(spec, lookback=self._chance.choice(("1d", "2d"))),))

    # What goes wrong

    def faults(self) -> Iterator[SimulatedFault]:
        """At least FAULTS_MIN."""
        for place in range(FAULTS_MIN + self._chance.below(7)):
            sure = place < FAULTS_MIN
            kind = self._chance.choice(SURE if sure else tuple(FaultKind))
            yield self._fault(kind, self._began + self._chance.below(LASTS // 3 if sure else LASTS))

    def _fault(self, kind: FaultKind, at: int) -> SimulatedFault:
        point = self._chance.choice(tuple(SimulatedFaultPoint))
        sizes = {
            FaultKind.STALL: self._chance.choice((2 * SECOND, 30 * SECOND, 20 * MINUTE, 3 * HOUR)),
            FaultKind.POWER_LOSS: self._chance.between(0, 4),
            FaultKind.DISK_FULL: self._chance.between(1, 120) * MINUTE,
            FaultKind.CLOCK_FORWARD: self._chance.choice((2 * SECOND, HOUR, DAY)),
            FaultKind.CLOCK_BACK: self._chance.choice((2 * SECOND, HOUR, DAY)),
            FaultKind.WORKER_DIES: self._chance.below(8),
        }
        return SimulatedFault(at, kind, point, sizes.get(kind, 0))
