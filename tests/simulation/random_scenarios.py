"""Random scenarios: random graphs, and events at random times.

A graph has at least ASSETS_MIN assets, of every kind that the core treats differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.model.intervals import key_at_us, keys_between
from headrace.model.times import DaysOff
from headrace.scheduler.graph import ConsumerDeadline, Graph, GraphNode, NodeTrigger, Take
from simulation.account import batched, falsely_separable, memory_limited
from simulation.delivery_batches import file_deeds, file_deliveries, with_files
from simulation.oracle import span
from simulation.scenario import (
    DAY,
    HOUR,
    LASTS,
    MINUTE,
    SECOND,
    Deed,
    DeedKind,
    FaultKind,
    Generator,
    Scenario,
    SimulatedDelivery,
    SimulatedFault,
    SimulatedFaultPoint,
    SimulatedProjectChange,
)

# Random graphs.

ASSETS_MIN = 20
DAYS_DELIVERED = 8
HERE = Place(file="simulated")
WHOLE = PartitionSpec()
DAILY = PartitionSpec(grain=Grain.DAY)
GROWING = PartitionSpec(grain=Grain.DAY, key="region")
POOLS = {"warehouse": 2, "api": 1, "wide": 4}
REGIONS = ("x", "y", "z")
LISTED = PartitionSpec(grain=Grain.DAY, key="region", values=("x", "y"))
KEYED = PartitionSpec(key="region", values=("x", "y"))
WINDOWS = (
    ("America/New_York", 1_383_105_600),  # 2013-10-30: clocks go back on 11-03
    ("America/New_York", 1_362_286_800),  # 2013-03-03: forward on 03-10
    ("Europe/Berlin", 1_364_338_800),  # 2013-03-27: forward on 03-31
    ("Australia/Lord_Howe", 1_380_720_600),  # 2013-10-03: forward by half an hour on 10-06
    ("UTC", 1_359_417_600),  # 2013-01-29
)
"""Time zone, and the first midnight of the deliveries, in seconds since 1970-01-01 UTC."""


class SimulatedWindow:
    """The delivered range: DAYS_DELIVERED days in a zone."""

    def __init__(self, zone: str, first_us: int) -> None:
        self.zone, self.first_us = zone, first_us
        self.days = tuple(
            self.keys(Grain.DAY, first_us, first_us + DAYS_DELIVERED * DAY - 3 * HOUR)
        )[:DAYS_DELIVERED]

    def keys(self, grain: Grain, since_us: int, until_us: int) -> list[str]:
        """Return the partitions between two points in time."""
        return list(
            keys_between(
                key_at_us(since_us, grain, self.zone),
                key_at_us(until_us, grain, self.zone),
                grain,
                self.zone,
            )
        )


class Maker:
    """Adds nodes, one kind per method; assets read existing nodes."""

    def __init__(self, chance: Generator, window: SimulatedWindow) -> None:
        self._chance, self._window = chance, window
        self.nodes: list[GraphNode] = []

    # Sources

    def sources(self) -> None:
        """Add a source of each partitioning that assets need, some with promises."""
        days = self._window.days
        self._source("day", DAILY)
        self._source(
            "late",
            DAILY,
            expect_by=self._chance.choice(("06:00", "+2d 06:00", "+20m")),
            restate_within="2d",
        )
        self._source("other", DAILY, **self._chance.choice(self._promises()))
        self._source("off", DAILY, days_off=DaysOff(dates=frozenset(self._chance.sample(days, 2))))
        self._source("from", DAILY, start=self._chance.choice(days[:4]))
        self._source("ref", WHOLE)
        self._source("grown", GROWING)
        self._source("listed", LISTED)
        self._source("hour", PartitionSpec(grain=Grain.HOUR))
        self._source("week", PartitionSpec(grain=Grain.WEEK))

    def _promises(self) -> list[dict[str, Any]]:
        return [
            {"watermark": True},
            {"complete_after": "+2h"},
            {"complete_after": "+1d 06:00"},
            {"restate_within": "1d"},
        ]

    def _source(self, name: str, partition: PartitionSpec, **fields: Any) -> None:
        self.nodes.append(
            GraphNode(
                f"s_{name}", True, partition, self._window.zone, timeout_us=2 * HOUR, **fields
            )
        )

    # Assets

    def asset(self) -> None:
        """Add one asset of a random kind."""
        kinds: tuple[Callable[[], None], ...] = (
            self._same,
            self._same,
            self._same,
            self._lookback,
            self._previous,
            self._chained,
            self._coarser,
            self._finer,
            self._whole,
            self._whole_of_whole,
            self._grown,
            self._of_grown,
            self._listed,
            self._of_listed,
            self._by_key,
            self._hourly,
            self._of_hours,
            self._ordered,
            self._told,
            self._referring,
        )
        self._chance.choice(kinds)()

    def _add(self, partition: PartitionSpec, *inputs: InputSpec, **fields: Any) -> None:
        attempts = self._chance.choice((2, 3, 5))
        timeout = self._chance.choice((1, 3)) * HOUR
        name = f"a{sum(1 for node in self.nodes if not node.is_source):02}"
        fields = {
            "attempts_max": attempts,
            "timeout_us": timeout,
            **self._policies(name, inputs),
            **fields,
        }
        self.nodes.append(GraphNode(name, False, partition, self._window.zone, inputs, **fields))

    def _policies(self, name: str, inputs: tuple[InputSpec, ...]) -> dict[str, Any]:
        """Return random options of an asset, such as pools, that affect when it runs."""
        chance, results = self._chance, dict[str, Any]()
        if chance.chance(0.3):
            results["takes"] = tuple(
                Take(pool, chance.between(1, 3))
                for pool in chance.sample(tuple(POOLS), chance.between(1, 2))
            )
        if chance.chance(0.1):
            results["takes"] = (Take(f"node:{name}"),)
        if chance.chance(0.1):
            results["priority"] = chance.below(5)
        if chance.chance(0.15):
            due: dict[str, Any] = chance.choice(
                ({"due": "06:00"}, {"due": "+2d 09:00"}, {"due": "", "max_age": "30h"})
            )
            results["promises"] = (
                ConsumerDeadline("somebody", Grain.DAY, self._window.zone, after_us=0, **due),
            )
        if chance.chance(0.12):
            results["trigger"] = self._trigger(inputs[0].node)
        return results

    def _trigger(self, above: str) -> NodeTrigger:
        zone, chance = self._window.zone, self._chance
        latest = chance.chance(0.4)
        kinds: tuple[dict[str, Any], ...] = (
            {"cron": chance.choice(("30 2 * * *", "0 */7 * * *", "15 1 * * 1"))},
            {"every_us": chance.choice((5, 11)) * HOUR},
            {"arrival": ""},
            {"upstream": above},
            {"outside": True},
        )
        return NodeTrigger(timezone=zone, latest=latest, **chance.choice(kinds))

    def _pick(self, partition: PartitionSpec) -> str:
        """Return an existing node with that partitioning.

        Newer ones are more likely, so chains form.
        """
        among = [node.name for node in self.nodes if node.partition == partition]
        return self._chance.choice(among[-5:] if self._chance.chance(0.6) else among)

    def _daily(self) -> InputSpec:
        return reads(self._pick(DAILY))

    def _more(self) -> list[InputSpec]:
        """Return the additional inputs of a daily asset."""
        specs = []
        if self._chance.chance(0.3):
            specs.append(self._daily())
        if self._chance.chance(0.2):
            specs.append(reads(self._pick(WHOLE)))
        if self._chance.chance(0.15):
            specs.append(reads("s_late", optional=True))
        if self._chance.chance(0.1):
            specs.append(reads(self._pick(DAILY), mode=InputMode.ALL))
        return specs

    def _same(self) -> None:
        self._add(DAILY, *_distinct(self._daily(), *self._more()))

    def _lookback(self) -> None:
        self._add(DAILY, reads(self._pick(DAILY), lookback=self._chance.choice(("1d", "2d", "3d"))))

    def _previous(self) -> None:
        self._add(
            DAILY, *_distinct(self._daily(), reads(self._pick(DAILY), mode=InputMode.PREVIOUS))
        )

    def _chained(self) -> None:
        self._add(DAILY, self._daily(), chained=True)

    def _coarser(self) -> None:
        grain = self._chance.choice((*[Grain.WEEK, Grain.MONTH] * 5, Grain.QUARTER, Grain.YEAR))
        self._add(PartitionSpec(grain=grain), self._daily())

    def _finer(self) -> None:
        mode = self._chance.choice((InputMode.REQUIRED, InputMode.WITHIN))
        weekly = self._pick(PartitionSpec(grain=Grain.WEEK))
        self._add(DAILY, *_distinct(self._daily(), reads(weekly, mode=mode)))

    def _whole(self) -> None:
        self._add(WHOLE, self._daily())

    def _whole_of_whole(self) -> None:
        self._add(WHOLE, reads(self._pick(WHOLE)))

    def _grown(self) -> None:
        self._add(GROWING, reads(self._pick(GROWING)))

    def _of_grown(self) -> None:
        self._add(DAILY, reads(self._pick(GROWING)))

    def _listed(self) -> None:
        self._add(LISTED, reads(self._pick(self._chance.choice((LISTED, DAILY)))))

    def _of_listed(self) -> None:
        self._add(DAILY, reads(self._pick(LISTED)))

    def _by_key(self) -> None:
        self._add(KEYED, reads(self._pick(WHOLE)))

    def _hourly(self) -> None:
        self._add(PartitionSpec(grain=Grain.HOUR), reads("s_hour"))

    def _of_hours(self) -> None:
        self._add(DAILY, reads(self._pick(PartitionSpec(grain=Grain.HOUR))))

    def _ordered(self) -> None:
        # a waived partition that is requested again at the end would be waited for
        latest = {
            node.name for node in self.nodes if node.trigger is not None and node.trigger.latest
        }
        self._add(DAILY, self._daily(), depends=tuple({self._pick(DAILY)} - latest))

    def _told(self) -> None:
        self._add(DAILY, self._daily(), tells=True)

    def _referring(self) -> None:
        fields = self._chance.choice(({"rebuild_on_reference": True}, {"settled": True}))
        self._add(DAILY, self._daily(), reads(self._pick(WHOLE)), **fields)


def reads(node: str, **how: Any) -> InputSpec:
    """Return an input as declared."""
    return InputSpec(node=node, place=HERE, **how)


def _distinct(*inputs: InputSpec) -> list[InputSpec]:
    return list({spec.node: spec for spec in reversed(inputs)}.values())


def make_graph(chance: Generator) -> tuple[Graph, SimulatedWindow]:
    """Return a random graph, and the days delivered for it."""
    zone, first = chance.choice(WINDOWS)
    window = SimulatedWindow(zone, first * 1_000_000)
    maker = Maker(chance, window)
    maker.sources()
    for _ in range(ASSETS_MIN + chance.below(6)):
        maker.asset()
    limits = {f"node:{node.name}": 1 for node in maker.nodes if not node.is_source}
    return Graph(tuple(maker.nodes), {**POOLS, **limits}), window


# Deliveries, actions of operators and faults, each at a random time.

BACKLOG_DAYS = 4
FAULTS_MIN = 5
FAULTS_ALWAYS = (
    FaultKind.CRASH,
    FaultKind.STALL,
    FaultKind.COMMIT_FAILS,
    FaultKind.WORKERS_DIE,
    FaultKind.MESSAGE_LOST,
    FaultKind.CLOCK_FORWARD,
    FaultKind.DISK_FULL,
)
"""Faults that always find a target."""
DEEDS = tuple(
    kind for kind in DeedKind if kind not in (DeedKind.REFRESH, DeedKind.APPLY, DeedKind.BACKFILL)
)
BORROWED = "s_ref"


def scenario(seed: int) -> Scenario:
    """Return the scenario of a seed; the same in every process."""
    chance = Generator(seed)
    graph, window = make_graph(chance)
    graph = batched(seed, graph)
    began = window.first_us + BACKLOG_DAYS * DAY + chance.below(DAY)
    maker = _Maker(chance, graph, window, began)
    with_batches = batched(seed, with_files(seed, graph, window.zone))
    files = file_deliveries(seed, with_batches, window.first_us, began)
    file_requests = file_deeds(seed, with_batches, window.days, began)
    borrowed = frozenset({BORROWED} if chance.chance(0.2) else ())
    plans = tuple(_backfills(seed, graph, window, began))
    meanwhile = _meanwhile(seed, graph, window, plans)
    deliveries = tuple(
        sorted(
            (*maker.deliveries(borrowed), *meanwhile, *files),
            key=lambda delivery: (delivery.at, delivery.source, delivery.keys),
        )
    )
    assets = [node.name for node in graph.nodes if not node.is_source]
    return Scenario(
        seed=seed,
        graph=with_batches,
        slots=chance.between(1, 4),
        began=began,
        middle=window.first_us + BACKLOG_DAYS * DAY,
        deliveries=deliveries,
        deeds=tuple(
            sorted((*maker.deeds(borrowed), *plans, *file_requests), key=lambda item: item.at)
        ),
        faults=tuple(sorted(maker.faults(), key=lambda fault: fault.at)),
        change=maker.change(),
        coarse={name: chance.between(1, 3) for name in assets if chance.chance(0.3)},
        hashless=frozenset(name for name in assets if chance.chance(0.1)),
        brief=frozenset(name for name in assets if chance.chance(0.25)),
        borrowed=borrowed,
        together=chance.chance(0.7),
        unserved=frozenset(chance.sample(assets, 5) if chance.chance(0.5) else ()),
        poison=frozenset(
            (name, chance.choice(window.days)) for name in chance.sample(assets, chance.below(3))
        ),
        lying=falsely_separable(seed, with_batches),
        heavy=memory_limited(seed, with_batches),
    )


def _backfills(seed: int, graph: Graph, window: SimulatedWindow, began: int) -> Iterator[Deed]:
    """Yield some items, drawn independently of the rest of the scenario."""
    chance = Generator(seed ^ 0xBACF)
    assets = [
        node.name for node in graph.nodes if not node.is_source and node.partition.grain is not None
    ]
    for _ in range(chance.below(6)):
        first, last = sorted(chance.choice(window.days) for _ in range(2))
        nodes = tuple(chance.sample(assets, chance.between(1, 3)))
        yield Deed(
            began + chance.below(LASTS), DeedKind.BACKFILL, nodes, first, last, chance.below(1000)
        )


def _meanwhile(
    seed: int, graph: Graph, window: SimulatedWindow, plans: Sequence[Deed]
) -> Iterator[SimulatedDelivery]:
    """Deliver some inputs of a plan again while it is computed."""
    chance, nodes = Generator(seed ^ 0xDE11), {node.name: node for node in graph.nodes}
    for plan in plans:
        above = sorted(
            name
            for name in _upstream_of(nodes, plan.nodes)
            if nodes[name].is_source and nodes[name].partition == DAILY
        )
        days = [day for day in window.days if (plan.first or "") <= day <= (plan.last or "")]
        for _ in range(chance.below(5) if above else 0):
            at = plan.at + chance.below(2 * HOUR)
            yield SimulatedDelivery(
                at, chance.choice(above), (chance.choice(days),), chance.below(1 << 20)
            )


def _upstream_of(nodes: dict[str, GraphNode], names: Iterable[str]) -> set[str]:
    results, pending = set[str](), list(names)
    while pending:
        new = {spec.node for spec in nodes[pending.pop()].inputs} - results
        results |= new
        pending += new
    return results


class _Maker:
    """Draws the parts of a scenario one after the other."""

    def __init__(
        self, chance: Generator, graph: Graph, window: SimulatedWindow, began: int
    ) -> None:
        self._chance, self._graph, self._window, self._began = chance, graph, window, began
        self._daily = [
            node for node in graph.nodes if node.partition == PartitionSpec(grain=Grain.DAY)
        ]

    # Vendors

    def deliveries(self, borrowed: frozenset[str]) -> Iterator[SimulatedDelivery]:
        """Draw deliveries: most arrive once and in time.

        Some late, twice, bundled in one file, or never.
        """
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
            return [
                (key,)
                for key in window.keys(
                    Grain.WEEK, window.first_us - 7 * DAY, window.first_us + 7 * DAY
                )
            ]
        if cut.key is not None:
            regions = cut.values or REGIONS
            return [
                tuple(f"{day}/{item}" for item in self._some(regions, cut))
                for day in self._chance.sample(window.days, 5)
            ]
        days = [day for day in window.days if self._chance.chance(0.93)]
        return self._bundled(days, 3) if self._chance.chance(0.2) else [(day,) for day in days]

    def _some(self, regions: tuple[str, ...], cut: PartitionSpec) -> list[str]:
        return (
            list(regions)
            if cut == LISTED and self._chance.chance(0.9)
            else self._chance.sample(regions, self._chance.between(1, 3))
        )

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
        parts = (
            [(key,) for key in keys]
            if node.partition.key is not None and self._chance.chance(0.5)
            else [keys]
        )
        for part in parts:
            at += self._chance.below(HOUR)
            yield SimulatedDelivery(
                max(at, self._began), node.name, part, self._chance.below(1 << 20)
            )
            if self._chance.chance(0.3 if node.partition.grain is None else 0.16):
                again = max(at, self._began) + self._chance.below(
                    self._chance.choice((20 * MINUTE, 3 * DAY))
                )
                yield SimulatedDelivery(again, node.name, part, self._chance.below(1 << 20))

    # People

    def deeds(self, borrowed: frozenset[str]) -> Iterator[Deed]:
        """Draw 6 to 14 actions by people, at any time."""
        for _ in range(self._chance.between(6, 14)):
            deed = self._deed(self._chance.choice(DEEDS))
            yield deed
            if deed.kind in (DeedKind.RUN, DeedKind.RETRY, DeedKind.AGAIN) and self._chance.chance(
                0.4
            ):
                yield Deed(
                    deed.at + self._chance.below(20 * MINUTE),
                    DeedKind.CANCEL,
                    pick=self._chance.below(1000),
                )
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
        """Change the code of a few assets, and the settings of one; remove one without readers."""
        read = {spec.node for node in self._graph.nodes for spec in node.inputs} | {
            n for node in self._graph.nodes for n in node.depends
        }
        assets = [node for node in self._graph.nodes if not node.is_source]
        last = [node.name for node in assets if node.name not in read]
        gone = frozenset(self._chance.sample(last, 1) if self._chance.chance(0.5) else ())
        changed = [node for node in self._chance.sample(assets, 3) if node.name not in gone]
        return SimulatedProjectChange(tuple(self._altered(node) for node in changed), gone)

    def _altered(self, node: GraphNode) -> GraphNode:
        """Change the asset code, and sometimes the lookback."""
        if (
            node.chained
            or node.partition.grain is not Grain.DAY
            or len(node.inputs) != 1
            or node.partition.key is not None
        ):
            return node
        (spec,) = node.inputs
        if spec.lookback is None:
            return node
        return msgspec.structs.replace(
            node,
            inputs=(msgspec.structs.replace(spec, lookback=self._chance.choice(("1d", "2d"))),),
        )

    # Faults

    def faults(self) -> Iterator[SimulatedFault]:
        """Draw at least FAULTS_MIN faults."""
        for place in range(FAULTS_MIN + self._chance.below(7)):
            sure = place < FAULTS_MIN
            kind = self._chance.choice(FAULTS_ALWAYS if sure else tuple(FaultKind))
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
