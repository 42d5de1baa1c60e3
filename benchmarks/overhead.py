"""What Headrace itself costs, beside the peers in the same run: tasks that do nothing, hops, days,
loading, readiness, idleness.

(a) 1,000 independent Python no-ops (`materialize: none`), beside them 1,000 that publish one row
each, and one asset that publishes a row for each of 2,000 days; (b) a chain of 100; (c) 365 days of one small SQL asset with two checks, published day by day;
(d) loading 1,000 and 10,000 Python assets, cold; (e) from the command to ready; (f) CPU and memory
of a server with two warm workers that has nothing to do. Two workers. A rate is that between the
first task's end and the last commit as the store has them: workers are there, as under a server.
Those from the first dispatch and of the whole command stand beside. Each peer runs in an
environment of its own, made once (`--peers none` leaves them out). Slow peers get fewer tasks:
their line says how many. The floor (benchmarks/floor.py) is two workers over pipes and a journal in
SQLite, without any policy.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from benchmarks import postgres
from benchmarks.floor import Floor, pool_rate
from benchmarks.harness import Figure, Measured, main
from benchmarks.ours import SLEEP_S, Ours
from benchmarks.peers import Found
from benchmarks.peers.measuring import KINDS, Peers

REPEATS = 5
GOALS: Mapping[str, tuple[float | None, Literal["<=", ">="], str]] = {
    "tasks_per_second": (5000, ">=", "/s"),
    "tasks_per_second_publishing": (2000, ">=", "/s"),
    "partitions_per_second_publishing": (2000, ">=", "/s"),
    "tasks_per_second_postgresql": (2000, ">=", "/s"),
    "hop_p50_ms": (0.3, "<=", "ms"),
    "hop_p95_ms": (1, "<=", "ms"),
    "partition_ms": (4, "<=", "ms"),
    "bookkeeping_percent": (5, "<=", "%"),
    "load_1000_seconds": (3, "<=", "s"),
    "load_10000_seconds": (15, "<=", "s"),
    "ready_seconds": (1, "<=", "s"),
    "idle_cpu_percent": (0.5, "<=", "%"),
    "idle_pss_mb": (150, "<=", "MB"),
    "floor_ratio": (None, "<=", "x"),
    "tasks_to_process_pool": (0.65, ">=", "x"),
    "tasks_on_postgresql_to_process_pool": (0.4, ">=", "x"),
}
"""Goal, which side of it is met, and unit."""
DURABILITY = {
    "headrace": (
        "every start, end and decision committed to SQLite (WAL, synchronous=NORMAL) or PostgreSQL"
        " before it counts; published files synced before they are registered"
    ),
    "floor": "starts, ends and a journal in SQLite (WAL, synchronous=NORMAL), committed in groups",
    "process pool": "none: all in memory",
}


def measure(*, quick: bool, peers: str) -> Measured:
    """Ours, the floors, and the peers that are named."""
    named = _named(peers, quick=quick)
    repeats = 1 if quick else REPEATS
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        ours = Ours(folder, repeats, quick)
        ours.measure()
        notes = dict(DURABILITY)
        _postgresql(ours, notes)
        against = _floors(folder, ours, repeats, quick=quick)
        measuring = Peers(folder / "peers", repeats=repeats, quick=quick)
        for peer in named:
            _add_figures(measuring.measure(peer), against, notes)
    figures = [
        _figure(name, runs, against.get(name, {}), ours.beside.get(name, {}))
        for name, runs in ours.runs.items()
    ]
    return Measured(figures, notes)


def _named(peers: str, *, quick: bool) -> Sequence[str]:
    if peers == "none" or (peers == "all" and quick):
        return ()
    named = list(KINDS) if peers == "all" else peers.split(",")
    if unknown := [name for name in named if name not in KINDS]:
        raise SystemExit(f"no such peer: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return named


def _postgresql(ours: Ours, notes: dict[str, str]) -> None:
    print("  headrace, PostgreSQL …", file=sys.stderr)
    try:
        with postgres.cluster() as fresh:
            ours.postgresql(fresh)
    except postgres.Missing as error:
        notes["headrace on PostgreSQL"] = f"not measured: {error}"


def _floors(folder: Path, ours: Ours, repeats: int, *, quick: bool) -> dict[str, dict[str, float]]:
    """The floors beside each figure; and how many times our rate goes into theirs."""
    print("  floors …", file=sys.stderr)
    tasks, sleeping = (100, 4) if quick else (5000, 100)
    against: dict[str, dict[str, float]] = {"floor_ratio": {}}
    rates, middles, lates, pools, pool_hops, overheads = [], [], [], [], [], []
    for _ in range(repeats):
        rates.append(_floor(folder, tasks, chained=False)[0])
        hops = sorted(1000 * hop for hop in _floor(folder, 100, chained=True)[1])
        middles.append(hops[len(hops) // 2])
        lates.append(hops[int(0.95 * len(hops))])
        rate, hops = pool_rate(100 if quick else 2000)
        pools.append(rate)
        pool_hops.append(1000 * statistics.median(hops))
        overheads.append(
            100
            * (sleeping / _floor(folder, sleeping, sleep=SLEEP_S)[0] / (SLEEP_S * sleeping / 2) - 1)
        )
    for figure in (
        "tasks_per_second",
        "tasks_per_second_publishing",
        "partitions_per_second_publishing",
        "tasks_per_second_postgresql",
    ):
        against[figure] = {
            "floor": statistics.median(rates),
            "process pool": statistics.median(pools),
        }
    against["hop_p50_ms"] = {
        "floor": statistics.median(middles),
        "process pool": statistics.median(pool_hops),
    }
    against["hop_p95_ms"] = {"floor": statistics.median(lates)}
    against["bookkeeping_percent"] = {"floor": statistics.median(overheads)}
    ours.runs["floor_ratio"] = [
        floor / rate for floor, rate in zip(rates, ours.runs["tasks_per_second"], strict=True)
    ]
    for figure, of in (
        ("tasks_to_process_pool", "tasks_per_second"),
        ("tasks_on_postgresql_to_process_pool", "tasks_per_second_postgresql"),
    ):
        if of in ours.runs:
            ours.runs[figure] = [
                rate / pool for rate, pool in zip(ours.runs[of], pools, strict=True)
            ]
    return against


def _floor(
    folder: Path, count: int, *, chained: bool = False, sleep: float = 0.0
) -> tuple[float, list[float]]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        return Floor(Path(name), count, chained, sleep).run()


def _add_figures(
    result: Found, against: dict[str, dict[str, float]], notes: dict[str, str]
) -> None:
    for figure, runs in result.figures.items():
        against.setdefault(figure, {}).update(
            {who: statistics.median(values) for who, values in runs.items() if values}
        )
    notes[result.peer] = "; ".join(
        part
        for part in (result.durability, result.missing and f"not measured: {result.missing}")
        if part
    )


def _figure(
    name: str, runs: list[float], peers: Mapping[str, float], beside: Mapping[str, list[float]]
) -> Figure:
    goal, compare, unit = GOALS.get(name, (None, "<=", "s"))
    against = {**{who: statistics.median(values) for who, values in beside.items()}, **peers}
    return Figure(
        name=name,
        value=statistics.median(runs),
        unit=unit,
        goal=goal,
        compare=compare,
        runs=runs,
        against=against,
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers",
        default="all",
        metavar="NAMES",
        help=f"none, all, or some of {','.join(KINDS)}; --quick takes none unless they are named",
    )


if __name__ == "__main__":
    main(__doc__, measure, _options)
