"""Projects with an invented past: the real core plays it, from durations that the lab draws."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from headrace.model import Grain, InputSpec, PartitionSpec, Place
from headrace.model.intervals import bounds_us, day_start_us, to_us
from headrace.scheduler import Graph, GraphNode
from headrace.scheduler.graph import Take
from headrace.slo.declared_promises import Terms
from headrace_advisor.analysis.history import (
    History,
    NodePast,
    PastArrival,
    PastComputation,
)
from headrace_advisor.analysis.intervals import Span, day_and_slot, expected_arrivals
from headrace_advisor.analysis.sampling import Arrival, Drawn
from headrace_advisor.analysis.virtual_days import (
    Days,
    Played,
    VirtualDays,
    published_before,
    simulated_graph,
)

DAY = PartitionSpec(grain=Grain.DAY)
FIRST = date(2026, 3, 2)
HOUR_US = 3_600_000_000


def node(name: str, *reads: str, pool: str = "", priority: int | None = None) -> GraphNode:
    """A daily node; without inputs, a source."""
    return GraphNode(
        name,
        not reads,
        DAY,
        "UTC",
        tuple(InputSpec(node=read, place=Place(file="x")) for read in reads),
        takes=(Take(pool),) if pool else (),
        priority=priority,
    )


def report(read: str, due: str = "09:00") -> Terms:
    return Terms(
        consumer="report", owner="x", reads=(read,), per=Grain.DAY, timezone="UTC", due=due
    )


@dataclass
class Past:
    """A past of `days` days from FIRST on; `seconds` gives a duration: (node, day) → seconds."""

    graph: Graph
    seconds: Callable[[str, int], float]
    days: int = 40
    workers: int = 2
    arrives: Callable[[str, int], int] = lambda _, __: 5 * HOUR_US
    volume: Callable[[int], float] = lambda _: 1e6
    played: Played = field(init=False)

    @property
    def now_us(self) -> int:
        last = date.fromordinal(FIRST.toordinal() + self.days)
        return to_us(datetime(last.year, last.month, last.day, 12, tzinfo=UTC))

    def history(self) -> History:
        span = Span(day_start_us(FIRST, "UTC"), self.days, "UTC")
        graph = simulated_graph(self.graph)
        arrivals = [
            Arrival(end + self.arrives(item.name, day), item.name, key)
            for item in graph.nodes
            if item.is_source
            for key, end, day, _ in expected_arrivals(item, span)
        ]

        def draw(name: str, key: str, at_us: int) -> Drawn:
            return Drawn(self.seconds(name, _day(key)), ())

        days = Days(graph, self.workers, span.start_us, span.end_us)
        usual = {item.name: self.seconds(item.name, span.first_day) for item in graph.nodes}
        before = published_before(graph, span.start_us, usual)
        self.played = VirtualDays(days, before, draw).play(arrivals)
        return History(self.now_us, "UTC", {item.name: self._past(item) for item in graph.nodes})

    def _past(self, item: GraphNode) -> NodePast:
        computations = [
            PastComputation(
                key,
                *day_and_slot(item, key, 0, "UTC"),
                (passage.ended_us - passage.began_us) / 1_000_000,
                (),
                passage.began_us,
                passage.ended_us,
            )
            for (name, key), passage in self.played.passages.items()
            if name == item.name
        ]
        arrivals = [
            PastArrival(
                key,
                *day_and_slot(item, key, 0, "UTC"),
                at_us - bounds_us(key, Grain.DAY, "UTC")[1],
                at_us,
                self.volume(_day(key)),
            )
            for (name, key), at_us in self.played.arrived.items()
            if name == item.name
        ]
        return NodePast(tuple(computations), tuple(arrivals))


def _day(key: str) -> int:
    """The day on which an interval ended."""
    return date.fromisoformat(key).toordinal() + 1


def spread(seed: int, deviation: float) -> Callable[[str, int], float]:
    """A factor by node and day, log-normal."""

    def factor(name: str, day: int) -> float:
        return random.Random(f"{seed} {name} {day}").lognormvariate(0, deviation)

    return factor


def coming(past: Past, days: int = 10) -> Span:
    """The days after the past."""
    tomorrow = date.fromordinal(FIRST.toordinal() + past.days + 1)
    return Span(day_start_us(tomorrow, "UTC"), days, "UTC")


def fan(width: int, *, pool: str = "") -> Graph:
    """A source, assets side by side, and one that reads them all."""
    names = [f"a{number}" for number in range(width)]
    nodes = [
        node("source"),
        *(node(name, "source", pool=pool) for name in names),
        node("last", *names),
    ]
    return Graph(tuple(nodes), {pool: 1} if pool else {})


def hours(values: Sequence[int]) -> list[float]:
    return [value / HOUR_US for value in values]
