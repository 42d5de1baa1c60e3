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
from headrace.plan.backfills import Backfill, BackfillSpan, Chosen
from headrace.runtime.graph import apart, graph_of
from headrace.scheduler import Graph, Target
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
"""Of a delivery that is parsed, profiled and written, and of an input that is read."""
SOURCE = Pace(seconds_attempt=0.0, seconds_partition=0.018, spread=1.0, count=0)
SQL = Pace(seconds_attempt=0.03, seconds_partition=0.0012, spread=1.0, count=0)
PYTHON = Pace(seconds_attempt=0.0, seconds_partition=0.012, spread=1.0, count=0)
COMMAND = Pace(seconds_attempt=0.0, seconds_partition=0.15, spread=1.0, count=0)
"""What attempts at small partitions cost on the reference machine (at the end of this file): a command
starts a process, one of Python is a call in a worker that is there."""
EXPORT = PYTHON
BASIS = "a guess by kind of code, bytes and machine: too little like it has run here"


def guessed_paces(compiled: Compiled, graph: Graph, slowness: float, bytes_of: Mapping[str, float]) -> dict[str, Pace]:
    """Node → what attempts at it may take here. `slowness` is that of the machine, `bytes_of` the mean
    bytes of the deliveries that a source ingests, and of what is read of them."""
    results = {}
    largest = max(bytes_of.values(), default=0.0)
    for node in graph.nodes:
        pace = _of_kind(compiled, node.name)
        read = (bytes_of.get(node.name, 0.0) if node.is_source else largest) / BYTES_A_SECOND
        results[node.name] = Pace(pace.seconds_attempt * slowness, (pace.seconds_partition + read) * slowness, 1.0, 0)
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
"""So many of a plan's newest attempts say how busy its workers are kept."""
INGESTED_MAX = 20_000
"""So many of a plan's attempts are looked through for what they have published."""
REST_SECONDS_MIN, REST_TIMES = 5.0, 3.0
"""Nothing has run for so long, and for so many times as long as its longest attempt: then it was paused, or nobody worked at it."""
START_SECONDS = 0.8
"""Until the first attempt, where no other is known: workers are started, sources are looked at, what is known of all partitions is read."""
START_WITHIN = 2.0
STARTS_MAX = 20
"""So many commands say how long that takes here."""
PUBLISHING_SECONDS = 0.0005
"""What each partition costs when all that was staged of a step is published at once."""
VERSIONS_MAX = 5
"""The code of at most this many versions, the newest that made anything, is compared with the applied code."""
OWN_MIN = 4
"""So many attempts of a plan at a node say more of the rest than all that was before."""
DOUBT = 4
"""What this many attempts say of how busy workers are weighs as much as the simulation."""
FACTOR_MAX = 10.0
BEGINNING = 0.03
"""Of a plan: until then it is too early to say what should have been done."""

ENDED_MAX = 20
"""So many plans that have ended correct what the next one takes."""


class _Said(msgspec.Struct, frozen=True):
    """What is read of a kept estimate."""

    seconds: float
    known: bool = True
    simulated: float | None = None


class _Fingerprint(msgspec.Struct, frozen=True):
    fingerprint: str = ""


class _Fingerprints(msgspec.Struct, frozen=True):
    """What is read of a `Compiled`: 10,000 nodes in 12 ms, where the whole of it takes 55."""

    nodes: dict[str, _Fingerprint]


_decoder = msgspec.msgpack.Decoder(Backfill)


def paces(tx: Transaction, compiled: Compiled, nodes: Iterable[str]) -> dict[str, Pace]:
    """Node → how long attempts at it take, of those of which some succeeded."""
    return _paces(tx, compiled, _graph(tx, compiled, frozenset(nodes)))


class Machine(NamedTuple):
    """What is known of where a backfill will run: `slowness` against the reference machine, and the mean
    bytes of the deliveries that each source ingests."""

    slowness: float
    bytes_of: Mapping[str, float]


def guess_backfill(compiled: Compiled, backfill: Backfill, slots: int, machine: Machine) -> float:
    """Seconds, guessed for programs where too little has run to know: how far they are off isn't known."""
    names = {item.node for item in backfill.chosen}
    every = graph_of(compiled)
    graph = Graph(tuple(node for node in every.nodes if node.name in names), every.pools, by_node=True)
    paces = guessed_paces(compiled, graph, machine.slowness, machine.bytes_of)
    result = estimate(graph, _work(backfill, graph), paces, slots)
    seconds = 0.0 if result is None else result.seconds
    return seconds + START_SECONDS * machine.slowness


def start_seconds(tx: Transaction) -> float:
    """How long it takes here until a plan's first attempt runs: nothing where a server has workers, else
    what it took the newest commands that began to work."""
    if lease.holder(tx) is not None:
        return 0.0
    results = attempts.start_delays(tx, STARTS_MAX)
    return statistics.median(results) if results else START_SECONDS


RUN_OUT_SECONDS = 0.5
"""With less than this left of a plan of which no attempt has ended, the guess has run out."""


def _with_start(result: Estimate, start: float) -> Estimate:
    """The same with the seconds until it begins: that may take half as long, or twice."""
    return Estimate(result.seconds + start, result.low + start / START_WITHIN, result.high + start * START_WITHIN, result.basis)


def estimate_backfill(tx: Transaction, compiled: Compiled, backfill: Backfill, slots: int) -> Estimate | None:
    """How long a plan takes on `slots` workers; None where nothing is known of how long any of it takes."""
    graph = _graph(tx, compiled, {item.node for item in backfill.chosen})
    result = estimate(graph, _work(backfill, graph), _paces(tx, compiled, graph), slots)
    return None if result is None else calibrated(_with_start(result, start_seconds(tx)), _ended(tx))


def _ended(tx: Transaction) -> list[PlanTiming]:
    """What was simulated of the newest plans that have succeeded, and what they took."""
    timings = []
    for text, started, finished in backfill_plans.timed(tx, ENDED_MAX):
        said = msgspec.json.decode(text, type=_Said)
        if not said.known:  # a guess corrects nothing
            continue
        simulated = said.seconds if said.simulated is None else said.simulated
        timings.append(PlanTiming(simulated, (finished - started) / 1_000_000))
    return timings


def remaining(tx: Transaction, compiled: Compiled, plan_row: PlanRecord, now: int) -> Estimate | None:
    """How long a plan that runs still takes, in seconds from `now` (microseconds of the store's clock); None where nothing is known of
    it. What it has done corrects what was expected: how long its attempts take, and how busy its workers are kept."""
    backfill = _decoder.decode(plan_row.content)
    graph, slots = _graph(tx, compiled, {item.node for item in backfill.chosen}), compiled.project.settings.workers
    took = _at_work(attempts.attempts_of_plan(tx, plan_row.id, limit=LOOKED_BACK), slots)
    known = _paces(tx, compiled, graph)
    known |= _own_paces(graph, took, {name for name, pace in known.items() if not pace.count}, now)
    work = _work(backfill, graph)
    whole = estimate_with_load(graph, work, known, slots)
    rest = estimate_with_load(graph, _left(tx, backfill, plan_row, work), known, slots)
    if whole is None or rest is None:
        return None
    left = rest.estimate.less(_begun(took, known, now) / max(1.0, rest.workers))
    result = _corrected(left, busy_until(whole, rest), took, now) if took else left.less(-START_SECONDS)
    ended = any(attempt.finished_at is not None for attempt in took)
    return result if ended or result.seconds >= RUN_OUT_SECONDS else None


def bytes_of(tx: Transaction, backfill: Backfill) -> int:
    """How many bytes the partitions of a plan will have, as those that are published: nothing of nodes of which none is."""
    return round(sum(item.partitions * attempts.mean_partition_bytes(tx, item.node) for item in backfill.chosen))


# What is to be made


def _graph(tx: Transaction, compiled: Compiled, nodes: Iterable[str]) -> Graph:
    """Of the applied graph what is made, node by node. Views aren't in it, for nothing of them is."""
    names = set(nodes)
    graph = graph_of(compiled, apart=apart(tx, compiled))
    return Graph(tuple(node for node in graph.nodes if node.name in names), graph.pools, by_node=True)


def _paces(tx: Transaction, compiled: Compiled, graph: Graph) -> dict[str, Pace]:
    """What attempts with the code that will run took, else those of which it isn't known. Where all were made with other code, that says
    little: such a pace was learnt of none, and differs as that of a node that never ran."""
    every = {node.name: attempts.durations_by_version(tx, node.name) for node in graph.nodes}
    versions = sorted({item for results in every.values() for item, _ in results if item is not None}, reverse=True)
    codes = {version: _codes(tx, version) for version in versions[:VERSIONS_MAX]}
    samples: dict[str, list[Sample]] = {}
    changed = set()
    for name, results in every.items():
        every_one = [sample for _, sample in results]
        samples[name] = every_one
        if name in compiled.project.assets:
            same = [sample for item, sample in results if _made_with(codes, item, name) == compiled.nodes[name].fingerprint]
            unknown = [sample for item, sample in results if _made_with(codes, item, name) is None]
            samples[name] = same or unknown or every_one
            if not same and not unknown:
                changed.add(name)
    fitted = _fitted(graph, samples)
    return {name: replace(pace, spread=UNKNOWN_SPREAD, count=0) if name in changed else pace for name, pace in fitted.items()}


def _made_with(codes: Mapping[int, Mapping[str, str]], version: int | None, node: str) -> str | None:
    """The fingerprint of a node's code in a version; None where that isn't known."""
    return None if version is None else codes.get(version, {}).get(node)


def _codes(tx: Transaction, version: int) -> dict[str, str]:
    """Node → the fingerprint of its code in a version; nothing where that isn't kept any more."""
    applied = versions_kept.get(tx, version)
    if applied is None:
        return {}
    fingerprints = msgspec.msgpack.decode(applied.compiled, type=_Fingerprints)
    return {name: node.fingerprint for name, node in fingerprints.nodes.items()}


def _own_paces(graph: Graph, took: Iterable[PlanAttempt], changed: Collection[str], now: int) -> dict[str, Pace]:
    """Of the nodes of which a plan has made enough: what its own attempts took, whatever was before. Of those whose code has `changed` one
    is enough, or one that is under way, for as long as it is."""
    samples: dict[str, list[Sample]] = {}
    under_way: dict[str, list[Sample]] = {}
    for attempt in took:
        seconds = max(0, (attempt.finished_at or now) - attempt.started_at) / 1_000_000
        sample = (max(1, len(attempt.partitions)), seconds)
        if attempt.finished_at is None:
            under_way.setdefault(attempt.node, []).append(sample)
        elif attempt.state in ("staged", "published"):
            samples.setdefault(attempt.node, []).append(sample)
    enough = {name: results for name, results in samples.items() if name in changed or len(results) >= OWN_MIN}
    begun = {name: results for name, results in under_way.items() if name in changed and name not in samples}
    return _fitted(graph, begun | enough)


def _fitted(graph: Graph, samples: Mapping[str, Sequence[Sample]]) -> dict[str, Pace]:
    fitted = ((node.name, (batch_pace if node.batch_max > 1 else single_pace)(samples.get(node.name, ()))) for node in graph.nodes)
    return {name: pace for name, pace in fitted if pace is not None}


def _work(backfill: Backfill, graph: Graph) -> PlannedWork:
    """First what sources ingest, then each step, then what production makes one by one."""
    names = {node.name for node in graph.nodes}
    chosen = [item for item in backfill.chosen if item.node in names]
    staged = {item.node for item in chosen if item.how == "staged"}
    steps = [
        tuple(target for node, spans in step.spans.items() if node in staged for target in _targets(node, spans)) for step in backfill.steps
    ]
    phases = (_named(chosen, "taken_in"), *(steps or [_named(chosen, "staged")]), _named(chosen, "afterwards"))
    return PlannedWork(phases, partitions={item.node: item.partitions for item in chosen}, publishing=PUBLISHING_SECONDS)


def _named(chosen: Sequence[Chosen], how: str) -> tuple[Target, ...]:
    return tuple(target for item in chosen if item.how == how for target in _targets(item.node, item.spans))


def _targets(node: str, spans: Iterable[BackfillSpan]) -> list[Target]:
    return [Target(node, span.first, span.last) for span in spans]


def _left(tx: Transaction, backfill: Backfill, row: PlanRecord, work: PlannedWork) -> PlannedWork:
    """The same without what is done: the phases before the one that is worked at, and of that what was made."""
    made: dict[str, set[str]] = {}
    for overlay_row in backfill_plans.staged(tx, row.id):
        made.setdefault(overlay_row.node, set()).add(overlay_row.partition)
    steps, published = len(work.phases) - 2, row.steps_done >= len(work.phases) - 2
    ended = 1 + min(row.steps_done, steps) if made or row.steps_done else 0
    if published or not made:  # what production makes of the plan isn't staged
        there = {item.node for item in backfill.chosen if item.how != "staged"}
        for took in attempts.attempts_of_plan(tx, row.id, limit=INGESTED_MAX):
            if took.node in there and took.state == "published":
                made.setdefault(took.node, set()).update(took.partitions)
    return replace(work, ended=ended, done=made)


# What its own attempts say


def _at_work(took: Sequence[PlanAttempt], slots: int) -> list[PlanAttempt]:
    """Without the attempts that wait in the pipes of workers: of those that are under way, the ones that were given out first run, and
    not for longer than since as many others have ended as there are workers."""
    ended = sorted((attempt.finished_at for attempt in took if attempt.finished_at is not None), reverse=True)
    since = ended[slots - 1] if len(ended) >= slots else 0
    running = sorted((attempt for attempt in took if attempt.finished_at is None), key=lambda plan_attempt: plan_attempt.started_at)[:slots]
    return [
        *(attempt for attempt in took if attempt.finished_at is not None),
        *(attempt._replace(started_at=max(attempt.started_at, since)) for attempt in running),
    ]


def _begun(took: Sequence[PlanAttempt], known: dict[str, Pace], now: int) -> float:
    """Seconds that attempts which are under way have been at it; of one that takes longer than usual, nearly all."""
    return sum(
        min((now - attempt.started_at) / 1_000_000, 0.95 * known[attempt.node].of(len(attempt.partitions)))
        for attempt in took
        if attempt.finished_at is None and attempt.node in known
    )


def busy_until(whole: Timed, rest: Timed) -> float:
    """How many workers should have been at a plan until now, on average: not as many as over the whole, where it ends in a row, or in a
    pool that few have room in."""
    passed = whole.estimate.seconds - rest.estimate.seconds
    busy = whole.workers * whole.estimate.seconds - rest.workers * rest.estimate.seconds
    if passed < BEGINNING * whole.estimate.seconds or busy <= 0:
        return whole.workers
    return busy / passed


def _corrected(left: Estimate, expected: float, took: Sequence[PlanAttempt], now: int) -> Estimate:
    """Its workers have been kept less busy, or more, than was expected: they will be so for the rest."""
    busy, since = _busy(took, now)
    if not busy or not expected:
        return left
    factor = expected / (busy / since)
    weight = len(took) / (len(took) + DOUBT)
    factor = min(FACTOR_MAX, max(1 / FACTOR_MAX, factor)) ** weight
    return left.scaled(factor, f"{left.basis}; times {factor:.2f}, by how busy its workers were kept")


def _busy(took: Sequence[PlanAttempt], now: int) -> tuple[float, float]:
    """How many seconds workers were at attempts in all, and for how long somebody worked at the plan meanwhile."""
    spans = sorted((attempt.started_at, now if attempt.finished_at is None else attempt.finished_at) for attempt in took)
    if not spans:
        return 0.0, 0.0
    rest = max(REST_SECONDS_MIN * 1_000_000, REST_TIMES * max(ended - began for began, ended in spans))
    passed, until = 0, spans[0][0]
    for began, ended in spans:
        passed += max(0, ended - max(began, until)) + (began - until if 0 < began - until < rest else 0)
        until = max(until, ended)
    passed += now - until if now - until < rest else 0
    return sum(ended - began for began, ended in spans) / 1_000_000, max(1, passed) / 1_000_000


# The speed of this machine relative to the machine on which the guesses were measured.

REFERENCE_SECONDS = 0.0017
"""What the work below takes on the machine of `benchmarks/RESULTS.md` (2.5 GHz, 2 cores), with nothing beside it."""
SPEED_SAMPLES = 7
"""The work is done so many times, and the shortest counts: caches are cold the first time."""
SLOWNESS_MAX = 10.0
SPEED_CACHE_SECONDS = 86_400
SPEED_FILE = "machine.json"
ROUNDS = 40
ROW = {"day": "2025-01-01", "customer": "c1", "amounts": list(range(60)), "name": "a row of a delivery"}


def slowness(cache: Path) -> float:
    """How many times as long work takes here as on the reference machine. Measured in some 15 ms, and
    kept in the folder `cache` for a day; where that can't be written, measured each time."""
    path = cache / SPEED_FILE
    known = _cached_speed(path)
    if known is not None:
        return known
    factor = min(SLOWNESS_MAX, max(1 / SLOWNESS_MAX, min(_sample_seconds() for _ in range(SPEED_SAMPLES)) / REFERENCE_SECONDS))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"slowness": factor, "at": time.time()}), encoding="utf-8")
    except OSError:
        pass  # a folder that can't be written keeps nobody from planning
    return factor


def _cached_speed(path: Path) -> float | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        factor, at = float(said["slowness"]), float(said["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fits = 1 / SLOWNESS_MAX <= factor <= SLOWNESS_MAX
    return factor if fits and 0 <= time.time() - at < SPEED_CACHE_SECONDS else None


def _sample_seconds() -> float:
    """Seconds of this process (what runs beside it isn't counted) of work as orchestrating is: rows that
    are encoded, decoded and sorted."""
    began = time.process_time()
    for number in range(ROUNDS):
        rows = [{**ROW, "id": (number * 7 + place) % 11} for place in range(5)]
        text = json.dumps(rows, sort_keys=True)
        sorted(json.loads(text), key=lambda row: (row["id"], row["day"]))
    return time.process_time() - began
