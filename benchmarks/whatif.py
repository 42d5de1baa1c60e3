"""How long `what-if` takes for a large project, and how good its forecasts of the past are.

Speed: 30 days of 200 assets in layers, as many samples of both variants as one answer plays, in one
process. Forecasts: pasts of several shapes (the volume varies, weekdays differ, an asset becomes
slower, workers are short, a pool is short), which the production core plays with durations that
this benchmark draws. What is tested is the time from arrival to delivery, with what was known then.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import NamedTuple

from benchmarks import scheduling
from benchmarks.harness import Figure, Measured, main
from headrace.model import Grain
from headrace.model.intervals import bounds_us, day_start_us, to_us
from headrace.scheduler import Graph
from headrace.slo.declared_promises import Terms
from headrace_advisor.analysis.backtest import backtest
from headrace_advisor.analysis.changes import Changes
from headrace_advisor.analysis.history import (
    History,
    NodePast,
    PastArrival,
    PastComputation,
)
from headrace_advisor.analysis.intervals import Span, day_and_slot, expected_arrivals
from headrace_advisor.analysis.sampling import Arrival, Drawn
from headrace_advisor.analysis.simulation import Simulation, Variant
from headrace_advisor.analysis.virtual_days import (
    Days,
    VirtualDays,
    published_before,
    simulated_graph,
)

FIRST = date(2026, 3, 2)
PAST_DAYS = 60
ASSETS, DAYS, SAMPLES, WORKERS = 200, 30, 12, 8
SECONDS_GOAL, ERROR_GOAL, OF_NAIVE_GOAL = 20.0, 25.0, 0.5
PASTS = 12
"""Number of pasts of each shape: one has 28 deliveries, which is too few for a percentage."""
COVERED_LEAST, COVERED_MOST = 75.0, 85.0


class Shape(NamedTuple):
    """A past: the number of assets and workers, and by how much durations vary, by what."""

    name: str
    assets: int = 25
    workers: int = 2
    volume: float = 0.4
    power: float = 1.0
    noise: float = 0.15
    weekend: float = 1.0
    slower_from: int = PAST_DAYS
    outage: int = -1


SHAPES = (
    Shape("volume"),
    Shape("volume, square root", power=0.5, volume=0.8),
    Shape("volume, many workers", workers=8),
    Shape("weekends", weekend=0.3, volume=0.3),
    Shape("slower since ten days", slower_from=PAST_DAYS - 10),
    Shape("noise", volume=0.3, noise=0.4),
    Shape("one day ten times as slow", outage=PAST_DAYS - 9),
)


def report(graph: Graph) -> Terms:
    """A consumer of the last asset."""
    last = graph.nodes[-1].name
    return Terms(
        consumer="report", owner="x", reads=(last,), per=Grain.DAY, timezone="UTC", due="07:30"
    )


def past_of(shape: Shape, graph: Graph, seed: int) -> History:
    """A past of this shape, played by the production core."""
    draw = random.Random(f"{seed} {shape.name}")
    usual = {node.name: draw.lognormvariate(4, 0.7) for node in graph.nodes}
    first = FIRST.toordinal()
    volume = {
        first + n: draw.lognormvariate(14, shape.volume)
        * (shape.weekend if (first + n) % 7 >= 5 else 1.0)
        for n in range(PAST_DAYS)
    }
    middle = statistics.median(volume.values())

    def seconds(name: str, day: int) -> float:
        slow = 2.0 if day - first >= shape.slower_from else 1.0
        slow *= 10.0 if day - first == shape.outage else 1.0
        rng = random.Random(f"{seed} {name} {day}")
        noise = rng.lognormvariate(0, shape.noise)
        of_volume = math.pow(volume[day] / middle, shape.power)
        return usual[name] * slow * noise * of_volume

    return played_past(graph, shape.workers, seconds, volume, draw)


def played_past(
    graph: Graph,
    workers: int,
    seconds: Callable[[str, int], float],
    volume: dict[int, float],
    draw: random.Random,
) -> History:
    """The past that follows from durations: (node, day) → seconds."""
    span = Span(day_start_us(FIRST, "UTC"), PAST_DAYS, "UTC")
    simulated = simulated_graph(graph)
    days = {
        (node.name, key): day
        for node in simulated.nodes
        for key, _, day, _ in expected_arrivals(node, span)
    }
    arrivals = [
        Arrival(end + int(3.6e9 * draw.uniform(3, 5)), node.name, key)
        for node in simulated.nodes
        if node.is_source
        for key, end, _, _ in expected_arrivals(node, span)
    ]
    before = published_before(simulated, span.start_us, {})
    played = VirtualDays(
        Days(simulated, workers, span.start_us, span.end_us),
        before,
        lambda name, key, _: Drawn(seconds(name, days[name, key]), ()),
    ).play(arrivals)
    pasts = {}
    for node in simulated.nodes:
        computations = [
            PastComputation(
                key,
                *day_and_slot(node, key, 0, "UTC"),
                (passage.ended_us - passage.began_us) / 1e6,
                (),
                passage.began_us,
                passage.ended_us,
            )
            for (name, key), passage in played.passages.items()
            if name == node.name
        ]
        arrived = [
            PastArrival(
                key,
                *day_and_slot(node, key, 0, "UTC"),
                at_us - bounds_us(key, Grain.DAY, "UTC")[1],
                at_us,
                volume[days[name, key]],
            )
            for (name, key), at_us in played.arrived.items()
            if name == node.name
        ]
        pasts[node.name] = NodePast(tuple(computations), tuple(arrived))
    last = date.fromordinal(FIRST.toordinal() + PAST_DAYS)
    now = to_us(datetime(last.year, last.month, last.day, 12, tzinfo=UTC))
    return History(now, "UTC", pasts)


def seconds_of_simulation(assets: int, days: int, samples: int) -> float:
    """Seconds of a simulation of both variants."""
    graph = scheduling.graph(assets)
    history = past_of(Shape("speed", workers=WORKERS), graph, 1)
    tomorrow = date.fromordinal(FIRST.toordinal() + PAST_DAYS + 1)
    consumers = [report(graph)]
    began = time.perf_counter()
    span = Span(day_start_us(tomorrow, "UTC"), days, "UTC")
    simulation = Simulation(history, graph, span, 1)
    now = Variant(graph, WORKERS, consumers, Changes())
    then = Variant(graph, 2 * WORKERS, consumers, Changes(workers=2 * WORKERS))
    results = simulation.run([now, then], samples)
    assert all(item.samples == samples for item in results), results
    return time.perf_counter() - began


def measure(*, quick: bool) -> Measured:
    """The time of one large simulation, and forecasts of all shapes."""
    size = (20, 3, 3) if quick else (ASSETS, DAYS, SAMPLES)
    took = seconds_of_simulation(*size)
    errors, ratios, covered, notes = [], [], [], {}
    for shape in SHAPES[:1] if quick else SHAPES:
        graph = scheduling.graph(shape.assets)
        tests = [
            backtest(past_of(shape, graph, seed), graph, [report(graph)], shape.workers, 1)
            for seed in range(1, 2 if quick else PASTS + 1)
        ]
        known = [tested for tested in tests if tested is not None]
        naive = [tested.naive_error for tested in known if tested.naive_error]
        assert len(naive) == len(tests)
        errors.append(100 * statistics.fmean(tested.median_error for tested in known))
        ratios.append(errors[-1] / 100 / statistics.fmean(naive))
        covered.append(100 * statistics.fmean(tested.coverage.share for tested in known))
        notes[shape.name] = (
            f"off by {errors[-1]:.1f} %, a week before {100 * statistics.fmean(naive):.1f} %; 80 %"
            f" intervals hold {covered[-1]:.0f} % of {sum(item.coverage.deliveries for item in known)}"
        )
    middle = (COVERED_LEAST + COVERED_MOST) / 2
    figures = [
        Figure(name="what_if_seconds", value=took, unit="s", goal=SECONDS_GOAL, runs=[took]),
        Figure(
            name="what_if_median_error",
            value=statistics.median(errors),
            unit="%",
            goal=ERROR_GOAL,
            runs=errors,
        ),
        Figure(
            name="what_if_error_of_naive",
            value=statistics.median(ratios),
            unit="ratio",
            goal=OF_NAIVE_GOAL,
            runs=ratios,
        ),
        Figure(
            name="what_if_coverage80_off",
            value=max(abs(share - middle) for share in covered),
            unit="%",
            goal=(COVERED_MOST - COVERED_LEAST) / 2,
            runs=covered,
        ),
    ]
    return Measured(figures, notes)


if __name__ == "__main__":
    main(__doc__, measure)
