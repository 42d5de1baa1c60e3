"""Random graphs: at least ASSETS_MIN assets, of every kind that the core treats in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.model.days_off import DaysOff
from headrace.model.intervals import key_at_us, keys_between
from headrace.schedule.graph import ConsumerDeadline, Graph, GraphNode, NodeTrigger, Take
from headrace.schedule.simulation.generator import Generator
from headrace.schedule.simulation.scenario import DAY, HOUR

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
"""Zone, and the first midnight of what is delivered, in seconds."""


class SimulatedWindow:
    """What is delivered: DAYS_DELIVERED days in a zone."""

    def __init__(self, zone: str, first_us: int) -> None:
        self.zone, self.first_us = zone, first_us
        self.days = tuple(self.keys(Grain.DAY, first_us, first_us + DAYS_DELIVERED * DAY - 3 * HOUR))[:DAYS_DELIVERED]

    def keys(self, grain: Grain, since_us: int, until_us: int) -> list[str]:
        """The partitions from one instant to another."""
        return list(keys_between(key_at_us(since_us, grain, self.zone), key_at_us(until_us, grain, self.zone), grain, self.zone))


class Maker:
    """Adds nodes, one kind a method; assets read what is there already."""

    def __init__(self, chance: Generator, window: SimulatedWindow) -> None:
        self._chance, self._window = chance, window
        self.nodes: list[GraphNode] = []

    # Sources

    def sources(self) -> None:
        """Of every cut that the assets need one, and some of those with promises of their own."""
        days = self._window.days
        self._source("day", DAILY)
        self._source("late", DAILY, expect_by=self._chance.choice(("06:00", "+2d 06:00", "+20m")), restate_within="2d")
        self._source("other", DAILY, **self._chance.choice(self._promises()))
        self._source("off", DAILY, days_off=DaysOff(dates=frozenset(self._chance.sample(days, 2))))
        self._source("from", DAILY, start=self._chance.choice(days[:4]))
        self._source("ref", WHOLE)
        self._source("grown", GROWING)
        self._source("listed", LISTED)
        self._source("hour", PartitionSpec(grain=Grain.HOUR))
        self._source("week", PartitionSpec(grain=Grain.WEEK))

    def _promises(self) -> list[dict[str, Any]]:
        return [{"watermark": True}, {"complete_after": "+2h"}, {"complete_after": "+1d 06:00"}, {"restate_within": "1d"}]

    def _source(self, name: str, partition: PartitionSpec, **fields: Any) -> None:
        self.nodes.append(GraphNode(f"s_{name}", True, partition, self._window.zone, timeout_us=2 * HOUR, **fields))

    # Assets

    def asset(self) -> None:
        """One more of a random kind."""
        kinds: tuple[Callable[[], None], ...] = (
            self._same, self._same, self._same, self._lookback, self._previous, self._chained, self._coarser, self._finer,
            self._whole, self._whole_of_whole, self._grown, self._of_grown, self._listed, self._of_listed, self._by_key,
            self._hourly, self._of_hours, self._ordered, self._told, self._referring,
        )  # fmt: skip
        self._chance.choice(kinds)()

    def _add(self, partition: PartitionSpec, *inputs: InputSpec, **fields: Any) -> None:
        attempts = self._chance.choice((2, 3, 5))
        timeout = self._chance.choice((1, 3)) * HOUR
        name = f"a{sum(1 for node in self.nodes if not node.is_source):02}"
        fields = {"attempts_max": attempts, "timeout_us": timeout, **self._policies(name, inputs), **fields}
        self.nodes.append(GraphNode(name, False, partition, self._window.zone, inputs, **fields))

    def _policies(self, name: str, inputs: tuple[InputSpec, ...]) -> dict[str, Any]:
        """What some assets say about when they run."""
        chance, results = self._chance, dict[str, Any]()
        if chance.chance(0.3):
            results["takes"] = tuple(Take(pool, chance.between(1, 3)) for pool in chance.sample(tuple(POOLS), chance.between(1, 2)))
        if chance.chance(0.1):
            results["takes"] = (Take(f"node:{name}"),)
        if chance.chance(0.1):
            results["priority"] = chance.below(5)
        if chance.chance(0.15):
            due: dict[str, Any] = chance.choice(({"due": "06:00"}, {"due": "+2d 09:00"}, {"due": "", "max_age": "30h"}))
            results["promises"] = (ConsumerDeadline("somebody", Grain.DAY, self._window.zone, after_us=0, **due),)
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
        """Something that is cut like that; newer ones more often, so that chains come of it."""
        among = [node.name for node in self.nodes if node.partition == partition]
        return self._chance.choice(among[-5:] if self._chance.chance(0.6) else among)

    def _daily(self) -> InputSpec:
        return reads(self._pick(DAILY))

    def _more(self) -> list[InputSpec]:
        """What a daily asset may read besides."""
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
        self._add(DAILY, *_distinct(self._daily(), reads(self._pick(DAILY), mode=InputMode.PREVIOUS)))

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
        # what was waived and is asked for again in the end would be waited for
        latest = {node.name for node in self.nodes if node.trigger is not None and node.trigger.latest}
        self._add(DAILY, self._daily(), depends=tuple({self._pick(DAILY)} - latest))

    def _told(self) -> None:
        self._add(DAILY, self._daily(), tells=True)

    def _referring(self) -> None:
        fields = self._chance.choice(({"rebuild_on_reference": True}, {"settled": True}))
        self._add(DAILY, self._daily(), reads(self._pick(WHOLE)), **fields)


def reads(node: str, **how: Any) -> InputSpec:
    """An input, as declared."""
    return InputSpec(node=node, place=HERE, **how)


def _distinct(*inputs: InputSpec) -> list[InputSpec]:
    return list({spec.node: spec for spec in reversed(inputs)}.values())


def make_graph(chance: Generator) -> tuple[Graph, SimulatedWindow]:
    """A graph, and the days that are delivered of it."""
    zone, first = chance.choice(WINDOWS)
    window = SimulatedWindow(zone, first * 1_000_000)
    maker = Maker(chance, window)
    maker.sources()
    for _ in range(ASSETS_MIN + chance.below(6)):
        maker.asset()
    limits = {f"node:{node.name}": 1 for node in maker.nodes if not node.is_source}
    return Graph(tuple(maker.nodes), {**POOLS, **limits}), window
