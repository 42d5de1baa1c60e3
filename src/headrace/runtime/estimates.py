"""Estimates of how long a backfill takes, from past attempts or, without those, from guesses."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from headrace.model.nodes import Asset, CommandBody, PythonBody, SqlBody
from headrace.plan import Compiled
from headrace.plan.backfill_planning import STAGED
from headrace.plan.backfills import Backfill, BackfillSpan, Chosen
from headrace.runtime.graph import apart, graph_of
from headrace.scheduler import AttemptState, Graph, GraphNode, Target
from headrace.scheduler.calibration import PlanTiming, calibrated
from headrace.scheduler.estimates import (
    UNKNOWN_SPREAD,
    Estimate,
    Pace,
    PlannedWork,
    Sample,
    Timed,
    batch_pace,
    estimate,
    estimate_with_load,
    single_pace,
)
from headrace.store import Transaction, lease
from headrace.store.queries import applied_versions as versions_kept
from headrace.store.queries import attempts, backfill_plans
from headrace.store.queries.attempts import PlanAttempt
from headrace.store.queries.backfill_plans import PlanRecord

# Guesses for backfills with too little history: by the kind of code, the bytes of its inputs and
# the machine's speed.

BYTES_A_SECOND = 20e6
"""Bytes per second at which a delivery is parsed, profiled and written, and an input is read."""
SOURCE = Pace(seconds_attempt=0.0, seconds_partition=0.018, spread=1.0, count=0)
SQL = Pace(seconds_attempt=0.03, seconds_partition=0.0012, spread=1.0, count=0)
PYTHON = Pace(seconds_attempt=0.0, seconds_partition=0.012, spread=1.0, count=0)
COMMAND = Pace(seconds_attempt=0.0, seconds_partition=0.15, spread=1.0, count=0)
"""Seconds that attempts at small partitions take on the machine of `operations/machine.py`.

A command starts a process; Python code is a call in a running worker.
"""
EXPORT = PYTHON
BASIS = "a guess by kind of code, bytes and machine: too little like it has run here"


def guessed_paces(
    compiled: Compiled, graph: Graph, slowness: float, bytes_of: Mapping[str, float]
) -> dict[str, Pace]:
    """Return the guessed pace of each node on this machine.

    `slowness` is the machine's, `bytes_of` the mean bytes of a source's deliveries, which also
    stand for its readers' input.
    """
    results = {}
    largest = max(bytes_of.values(), default=0.0)
    for node in graph.nodes:
        pace = _of_kind(compiled, node.name)
        read = (bytes_of.get(node.name, 0.0) if node.is_source else largest) / BYTES_A_SECOND
        results[node.name] = Pace(
            pace.seconds_attempt * slowness, (pace.seconds_partition + read) * slowness, 1.0, 0
        )
    return results


def _of_kind(compiled: Compiled, name: str) -> Pace:
    project = compiled.project
    if name in project.sources:
        return SOURCE
    asset: Asset | None = project.assets.get(name)
    if asset is None:
        return EXPORT
    match asset.body:
        case SqlBody():
            return SQL
        case PythonBody():
            return PYTHON
        case CommandBody():
            return COMMAND


LOOKED_BACK = 400
"""Maximum number of a plan's newest attempts that show how busy its workers are."""
INGESTED_MAX = 20_000
"""Maximum number of a plan's attempts searched for publications."""
REST_SECONDS_MIN, REST_TIMES = 5.0, 3.0
"""Gap in seconds, and as a multiple of the longest attempt, from which a plan counts as paused."""
START_SECONDS = 0.8
"""Default seconds until the first attempt.

In this time workers start, sources are observed, and partition states are loaded.
"""
GUESSED_FROM = 400
"""Maximum number of partitions simulated for a guess, which the first task of a backfill waits for.

With more of them the guess changes by some percent; it is wrong by more.
"""
START_WITHIN = 2.0
STARTS_MAX = 20
"""Maximum number of past commands that show how long the start takes here."""
PUBLISHING_SECONDS = 0.0005
"""Seconds per partition for publishing a step's staged partitions at once."""
VERSIONS_MAX = 5
"""Maximum number of versions, newest first, whose code is compared with the applied code."""
OWN_MIN = 4
"""Minimum number of a plan's own attempts at a node that outweigh all earlier ones."""
DOUBT = 4
"""Number of attempts whose observed worker load weighs as much as the simulation."""
FACTOR_MAX = 10.0
BEGINNING = 0.03
"""Share of a plan before which it is too early to expect a worker load."""

ENDED_MAX = 20
"""Maximum number of ended plans whose durations correct the next estimate."""


class _Said(msgspec.Struct, frozen=True):
    """The needed part of a stored estimate."""

    seconds: float
    known: bool = True
    simulated: float | None = None


_decoder = msgspec.msgpack.Decoder(Backfill)


def paces(tx: Transaction, compiled: Compiled, nodes: Iterable[str]) -> dict[str, Pace]:
    """Return the pace of each node with successful attempts."""
    return _paces(tx, compiled, _graph(tx, compiled, frozenset(nodes)))


class Machine(NamedTuple):
    """The machine for a backfill: its slowness, and the mean bytes of each source's deliveries.

    `slowness` is relative to the reference machine.
    """

    slowness: float
    bytes_of: Mapping[str, float]


def guess_backfill(compiled: Compiled, backfill: Backfill, slots: int, machine: Machine) -> float:
    """Return guessed seconds for a backfill without enough history.

    The guess has no error bounds.
    """
    names = {item.node for item in backfill.chosen}
    every = graph_of(compiled)
    graph = Graph(
        tuple(node for node in every.nodes if node.name in names), every.pools, by_node=True
    )
    paces = guessed_paces(compiled, graph, machine.slowness, machine.bytes_of)
    work = _work(backfill, graph)
    result = estimate(graph, work, paces, slots, simulated_max=GUESSED_FROM)
    seconds = 0.0 if result is None else result.seconds
    return seconds + START_SECONDS * machine.slowness


def start_seconds(tx: Transaction) -> float:
    """Return the seconds until a plan's first attempt runs.

    Zero if a server has workers, else the median of the newest commands that started work.
    """
    if lease.holder(tx) is not None:
        return 0.0
    results = attempts.start_delays(tx, STARTS_MAX)
    return statistics.median(results) if results else START_SECONDS


RUN_OUT_SECONDS = 0.5
"""Below this many seconds left, with no attempt ended, the guess counts as wrong."""


def _with_start(result: Estimate, start: float) -> Estimate:
    """Return the estimate with the start added, which may take half as long or twice."""
    return Estimate(
        result.seconds + start,
        result.low + start / START_WITHIN,
        result.high + start * START_WITHIN,
        result.basis,
    )


def estimate_backfill(
    tx: Transaction, compiled: Compiled, backfill: Backfill, slots: int
) -> Estimate | None:
    """Estimate how long a plan takes on `slots` workers; None without any history of its nodes."""
    graph = _graph(tx, compiled, {item.node for item in backfill.chosen})
    result = estimate(graph, _work(backfill, graph), _paces(tx, compiled, graph), slots)
    return (
        None if result is None else calibrated(_with_start(result, start_seconds(tx)), _ended(tx))
    )


def _ended(tx: Transaction) -> list[PlanTiming]:
    """Return simulated and actual durations of the newest plans that succeeded."""
    timings = []
    for text, started, finished in backfill_plans.timed(tx, ENDED_MAX):
        decoded = msgspec.json.decode(text, type=_Said)
        if not decoded.known:  # a guess corrects nothing
            continue
        simulated = decoded.seconds if decoded.simulated is None else decoded.simulated
        timings.append(PlanTiming(simulated, (finished - started) / 1_000_000))
    return timings


def remaining(
    tx: Transaction, compiled: Compiled, plan_row: PlanRecord, now: int
) -> Estimate | None:
    """Estimate a running plan's remaining time; None if it is unknown.

    `now` is in microseconds of the store's clock. The plan's progress corrects the expectation: the
    duration of its attempts, and its worker load.
    """
    backfill = _decoder.decode(plan_row.content)
    graph, slots = (
        _graph(tx, compiled, {item.node for item in backfill.chosen}),
        compiled.project.settings.workers,
    )
    took = _at_work(attempts.attempts_of_plan(tx, plan_row.id, limit=LOOKED_BACK), slots)
    known = _paces(tx, compiled, graph)
    known |= _own_paces(graph, took, {name for name, pace in known.items() if not pace.count}, now)
    work = _work(backfill, graph)
    whole = estimate_with_load(graph, work, known, slots)
    rest = estimate_with_load(graph, _left(tx, backfill, plan_row, work), known, slots)
    if whole is None or rest is None:
        return None
    left = rest.estimate.less(_begun(took, known, now) / max(1.0, rest.workers))
    result = (
        _corrected(left, busy_until(whole, rest), took, now) if took else left.less(-START_SECONDS)
    )
    ended = any(attempt.finished_at is not None for attempt in took)
    return result if ended or result.seconds >= RUN_OUT_SECONDS else None


def bytes_of(tx: Transaction, backfill: Backfill) -> int:
    """Return the bytes that a plan will write, by the mean size of published partitions.

    Nodes without published partitions count as 0.
    """
    return round(
        sum(
            item.partitions * attempts.mean_partition_bytes(tx, item.node)
            for item in backfill.chosen
        )
    )


# Work to be done


def _graph(tx: Transaction, compiled: Compiled, nodes: Iterable[str]) -> Graph:
    """Return the applied graph restricted to the computed nodes; views aren't computed."""
    names = set(nodes)
    graph = graph_of(compiled, apart=apart(tx, compiled))
    return Graph(
        tuple(node for node in graph.nodes if node.name in names), graph.pools, by_node=True
    )


def _paces(tx: Transaction, compiled: Compiled, graph: Graph) -> dict[str, Pace]:
    """Return each node's pace from attempts with the code that will run, else with unknown code.

    If all attempts ran other code, they say little: such a pace gets the spread of a node that
    never ran.
    """
    every = {node.name: attempts.durations_by_version(tx, node.name) for node in graph.nodes}
    codes = _newest_codes(tx, (version for results in every.values() for version, _ in results))
    samples = {name: [sample for _, sample in results] for name, results in every.items()}
    other_code = set()
    for name in every.keys() & compiled.project.assets.keys():
        fitting = _of_code(codes, name, every[name], compiled.nodes[name].fingerprint)
        samples[name] = fitting or samples[name]
        if not fitting:
            other_code.add(name)
    paces = _fitted(graph, samples)
    for name in other_code & paces.keys():
        paces[name] = replace(paces[name], spread=UNKNOWN_SPREAD, count=0)
    return paces


def _newest_codes(tx: Transaction, versions: Iterable[int | None]) -> dict[int, Mapping[str, str]]:
    """Return the fingerprints of nodes' code in the newest of these versions."""
    known = {version for version in versions if version is not None}
    newest = sorted(known, reverse=True)[:VERSIONS_MAX]
    return {version: versions_kept.fingerprints(tx, version) for version in newest}


def _code_of(codes: Mapping[int, Mapping[str, str]], version: int | None, node: str) -> str | None:
    """Return the fingerprint of a node's code in a version; None if unknown."""
    return None if version is None else codes.get(version, {}).get(node)


def _own_paces(
    graph: Graph, took: Iterable[PlanAttempt], changed: Collection[str], now: int
) -> dict[str, Pace]:
    """Return paces from a plan's own attempts, for nodes with at least OWN_MIN of them.

    For nodes with `changed` code, one ended attempt suffices, or the elapsed time of one under way.
    """
    samples: dict[str, list[Sample]] = {}
    under_way: dict[str, list[Sample]] = {}
    for attempt in took:
        seconds = max(0, (attempt.finished_at or now) - attempt.started_at) / 1_000_000
        sample = (max(1, len(attempt.partitions)), seconds)
        if attempt.finished_at is None:
            under_way.setdefault(attempt.node, []).append(sample)
        elif attempt.state in (AttemptState.STAGED, AttemptState.PUBLISHED):
            samples.setdefault(attempt.node, []).append(sample)
    enough = {
        name: results
        for name, results in samples.items()
        if name in changed or len(results) >= OWN_MIN
    }
    begun = {
        name: results
        for name, results in under_way.items()
        if name in changed and name not in samples
    }
    return _fitted(graph, begun | enough)


def _of_code(
    codes: Mapping[int, Mapping[str, str]],
    name: str,
    by_version: Iterable[tuple[int | None, Sample]],
    current: str | None,
) -> list[Sample]:
    """Return the samples of a node's current code, else those of unknown code."""
    by_code = [(_code_of(codes, version, name), sample) for version, sample in by_version]
    same = [sample for fingerprint, sample in by_code if fingerprint == current]
    return same or [sample for fingerprint, sample in by_code if fingerprint is None]


def _fitted(graph: Graph, samples: Mapping[str, Sequence[Sample]]) -> dict[str, Pace]:
    fitted = ((node.name, _pace_of(node, samples.get(node.name, ()))) for node in graph.nodes)
    return {name: pace for name, pace in fitted if pace is not None}


def _pace_of(node: GraphNode, samples: Sequence[Sample]) -> Pace | None:
    of = batch_pace if node.batch_max > 1 and not node.called_each else single_pace
    return of(samples)


def _work(backfill: Backfill, graph: Graph) -> PlannedWork:
    """Return the work in phases: ingestion, staged steps, then partitions made by production."""
    names = {node.name for node in graph.nodes}
    chosen = [item for item in backfill.chosen if item.node in names]
    staged = {item.node for item in chosen if item.how == STAGED}
    steps = [
        tuple(
            target
            for node, spans in step.spans.items()
            if node in staged
            for target in _targets(node, spans)
        )
        for step in backfill.steps
    ]
    phases = (
        _named(chosen, "taken_in"),
        *(steps or [_named(chosen, "staged")]),
        _named(chosen, "afterwards"),
    )
    return PlannedWork(
        phases,
        partitions={item.node: item.partitions for item in chosen},
        publishing=PUBLISHING_SECONDS,
    )


def _named(chosen: Sequence[Chosen], how: str) -> tuple[Target, ...]:
    return tuple(
        target for item in chosen if item.how == how for target in _targets(item.node, item.spans)
    )


def _targets(node: str, spans: Iterable[BackfillSpan]) -> list[Target]:
    return [Target(node, span.first, span.last) for span in spans]


def _left(tx: Transaction, backfill: Backfill, row: PlanRecord, work: PlannedWork) -> PlannedWork:
    """Return the work without the finished phases and partitions."""
    finished: dict[str, set[str]] = {}
    for overlay_row in backfill_plans.staged(tx, row.id):
        finished.setdefault(overlay_row.node, set()).add(overlay_row.partition)
    steps = len(work.phases) - 2
    ended = 1 + min(row.steps_done, steps) if finished or row.steps_done else 0
    if row.steps_done >= steps or not finished:
        for attempt in _published_in_production(tx, backfill, row):
            finished.setdefault(attempt.node, set()).update(attempt.partitions)
    return replace(work, ended=ended, done=finished)


def _published_in_production(
    tx: Transaction, backfill: Backfill, row: PlanRecord
) -> list[PlanAttempt]:
    """Return the published attempts at partitions that production computes for a plan.

    Those partitions aren't staged.
    """
    nodes = {item.node for item in backfill.chosen if item.how != STAGED}
    return [
        attempt
        for attempt in attempts.attempts_of_plan(tx, row.id, limit=INGESTED_MAX)
        if attempt.node in nodes and attempt.state == AttemptState.PUBLISHED
    ]


# A plan's own attempts


def _at_work(took: Sequence[PlanAttempt], slots: int) -> list[PlanAttempt]:
    """Return the attempts without those that wait in workers' pipes.

    Of the attempts under way, the first `slots` are taken as running, at the earliest since the
    last `slots` others have ended.
    """
    ended = sorted(
        (attempt.finished_at for attempt in took if attempt.finished_at is not None), reverse=True
    )
    since = ended[slots - 1] if len(ended) >= slots else 0
    running = sorted(
        (attempt for attempt in took if attempt.finished_at is None),
        key=lambda plan_attempt: plan_attempt.started_at,
    )[:slots]
    return [
        *(attempt for attempt in took if attempt.finished_at is not None),
        *(attempt._replace(started_at=max(attempt.started_at, since)) for attempt in running),
    ]


def _begun(took: Sequence[PlanAttempt], known: dict[str, Pace], now: int) -> float:
    """Return the elapsed seconds of running attempts, capped just below their expected duration."""
    return sum(
        min(
            (now - attempt.started_at) / 1_000_000,
            0.95 * known[attempt.node].of(len(attempt.partitions)),
        )
        for attempt in took
        if attempt.finished_at is None and attempt.node in known
    )


def busy_until(whole: Timed, rest: Timed) -> float:
    """Return the expected average worker load of a plan up to now.

    It differs from the whole plan's if the plan ends with sequential work, or in a pool with few
    slots.
    """
    passed = whole.estimate.seconds - rest.estimate.seconds
    busy = whole.workers * whole.estimate.seconds - rest.workers * rest.estimate.seconds
    if passed < BEGINNING * whole.estimate.seconds or busy <= 0:
        return whole.workers
    return busy / passed


def _corrected(left: Estimate, expected: float, took: Sequence[PlanAttempt], now: int) -> Estimate:
    """Correct the remaining time by the ratio of expected to observed worker load."""
    busy, since = _busy(took, now)
    if not busy or not expected:
        return left
    factor = expected / (busy / since)
    weight = len(took) / (len(took) + DOUBT)
    factor = min(FACTOR_MAX, max(1 / FACTOR_MAX, factor)) ** weight
    return left.scaled(
        factor, f"{left.basis}; times {factor:.2f}, by how busy its workers were kept"
    )


def _busy(took: Sequence[PlanAttempt], now: int) -> tuple[float, float]:
    """Return the workers' total busy seconds, and the seconds during which the plan was running."""
    spans = sorted(
        (attempt.started_at, now if attempt.finished_at is None else attempt.finished_at)
        for attempt in took
    )
    if not spans:
        return 0.0, 0.0
    rest = max(
        REST_SECONDS_MIN * 1_000_000, REST_TIMES * max(ended - began for began, ended in spans)
    )
    passed, until = 0, spans[0][0]
    for began, ended in spans:
        passed += max(0, ended - max(began, until)) + (
            began - until if 0 < began - until < rest else 0
        )
        until = max(until, ended)
    passed += now - until if now - until < rest else 0
    return sum(ended - began for began, ended in spans) / 1_000_000, max(1, passed) / 1_000_000


# The speed of this machine relative to the machine on which the guesses were measured.

REFERENCE_SECONDS = 0.0017
"""Seconds of the sample on the idle machine of `benchmarks/RESULTS.md` (2.5 GHz, 2 cores)."""
SPEED_SAMPLES = 7
"""Repetitions of the sample; the shortest counts, because caches are cold the first time."""
SLOWNESS_MAX = 10.0
SPEED_CACHE_SECONDS = 86_400
SPEED_FILE = "machine.json"
ROUNDS = 40
ROW = {
    "day": "2025-01-01",
    "customer": "c1",
    "amounts": list(range(60)),
    "name": "a row of a delivery",
}


def slowness(cache: Path) -> float:
    """Return this machine's slowness: its time for a sample divided by the reference machine's.

    Measuring takes about 15 ms; the result is cached in the folder `cache` for a day; without write
    access it is measured each time.
    """
    path = cache / SPEED_FILE
    known = _cached_speed(path)
    if known is not None:
        return known
    factor = min(
        SLOWNESS_MAX,
        max(
            1 / SLOWNESS_MAX,
            min(_sample_seconds() for _ in range(SPEED_SAMPLES)) / REFERENCE_SECONDS,
        ),
    )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"slowness": factor, "at": time.time()}), encoding="utf-8")
    except OSError:
        pass  # planning works without the cache
    return factor


def _cached_speed(path: Path) -> float | None:
    try:
        cached = json.loads(path.read_text(encoding="utf-8"))
        factor, at = float(cached["slowness"]), float(cached["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fits = 1 / SLOWNESS_MAX <= factor <= SLOWNESS_MAX
    return factor if fits and 0 <= time.time() - at < SPEED_CACHE_SECONDS else None


def _sample_seconds() -> float:
    """Return the CPU seconds of this process for typical work: encode, decode and sort rows.

    CPU time excludes other processes on the machine.
    """
    began = time.process_time()
    for number in range(ROUNDS):
        rows = [{**ROW, "id": (number * 7 + place) % 11} for place in range(5)]
        text = json.dumps(rows, sort_keys=True)
        sorted(json.loads(text), key=lambda row: (row["id"], row["day"]))
    return time.process_time() - began
