"""Play scenarios, many seeds in several processes; shrink and describe those that fail."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from headrace.scheduler.graph import Graph, GraphNode
from simulation.leader import SimulatedLeader
from simulation.random_scenarios import scenario
from simulation.scenario import Coverage, Scenario, Violation
from simulation.simulator import NoRest, Simulation

# Play one scenario, and report what went wrong.


class SimulationFailure(msgspec.Struct, frozen=True):
    """A violated invariant, or an error of the core."""

    invariant: str
    found: str


class SimulationResult(msgspec.Struct, frozen=True):
    """The result of a scenario."""

    events: int
    faults: int
    coverage: Coverage
    failure: SimulationFailure | None = None


def play(
    scenario: Scenario, leader_type: type[SimulatedLeader] = SimulatedLeader
) -> SimulationResult:
    """Play a scenario once; never raises for anything that the scenario reveals."""
    world = Simulation(scenario, leader_type=leader_type)
    failure = None
    try:
        world.run()
        world.watch.resting.at_rest()
        world.heal()
        world.watch.resting.at_the_end()
    except Violation as error:
        failure = SimulationFailure(error.name, str(error))
    except NoRest as error:
        failure = SimulationFailure("it_comes_to_rest", str(error))
    except Exception as error:  # noqa: BLE001 - any exception of the core is a finding
        failure = SimulationFailure(_name(error), f"{type(error).__name__}: {error}")
    return SimulationResult(
        world.told, sum(world.coverage.faults.values()), world.coverage, failure
    )


def _name(error: Exception) -> str:
    """Return where an error was raised; a shrunk scenario must fail in the same place."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return (
        f"{type(error).__name__} in {place.tb_frame.f_code.co_name}"
        if place is not None
        else type(error).__name__
    )


# Shrink a failing scenario: parts are removed as long as the same invariant fails.

TRIES_MAX = 400
"""Maximum number of scenarios played while shrinking."""

Fails = Callable[[Scenario], bool]


def shrink(scenario: Scenario, fails: Fails, tries: int = TRIES_MAX) -> Scenario:
    """Return the smallest scenario found that `fails` in the same way; deterministic."""
    left = [tries]

    def still(smaller: Scenario) -> bool:
        left[0] -= 1
        return left[0] >= 0 and fails(smaller)

    before = None
    while before != scenario and left[0] > 0:
        before = scenario
        for field in ("faults", "deeds", "deliveries"):
            scenario = _without_parts(scenario, field, still)
        scenario = _without_nodes(scenario, still)
        scenario = _plainer(scenario, still)
    return scenario


def _without_parts(scenario: Scenario, field: str, still: Fails) -> Scenario:
    """Remove halves of a list, then quarters, down to single items."""
    parts: tuple[Any, ...] = getattr(scenario, field)
    size = max(1, len(parts))
    while size:
        place = 0
        while place < len(parts):
            fewer = parts[:place] + parts[place + size :]
            smaller = msgspec.structs.replace(scenario, **{field: fewer})
            if still(smaller):
                scenario, parts = smaller, fewer
            else:
                place += size
        size //= 2
    return scenario


def _without_nodes(scenario: Scenario, still: Fails) -> Scenario:
    """Remove nodes without readers, from the end of the graph."""
    for name in reversed([node.name for node in scenario.graph.nodes]):
        smaller = _without(scenario, name)
        if smaller is not None and still(smaller):
            scenario = smaller
    return scenario


def _without(scenario: Scenario, name: str) -> Scenario | None:
    nodes = tuple(node for node in scenario.graph.nodes if node.name != name)
    if any(
        name in node.depends or any(spec.node == name for spec in node.inputs) for node in nodes
    ):
        return None
    change = scenario.change
    change = msgspec.structs.replace(
        change,
        changed=tuple(node for node in change.changed if node.name != name),
        removed=change.removed - {name},
    )
    deeds = tuple(_about_less(deed, name) for deed in scenario.deeds)
    return msgspec.structs.replace(
        scenario,
        graph=Graph(nodes, scenario.graph.pools),
        change=change,
        deliveries=tuple(delivery for delivery in scenario.deliveries if delivery.source != name),
        deeds=tuple(deed for deed in deeds if deed is not None),
        borrowed=scenario.borrowed - {name},
    )


def _about_less(deed: Any, name: str) -> Any:
    """Return an action without one of its nodes; None if it had no other."""
    if name not in deed.nodes:
        return deed
    nodes = tuple(node for node in deed.nodes if node != name)
    return msgspec.structs.replace(deed, nodes=nodes) if nodes else None


def _plainer(scenario: Scenario, still: Fails) -> Scenario:
    """Remove the special options of single nodes."""
    for smaller in _plainer_ones(scenario):
        scenario = smaller(scenario) if still(smaller(scenario)) else scenario
    return scenario


def _plainer_ones(scenario: Scenario) -> Iterator[Callable[[Scenario], Scenario]]:
    empty: tuple[tuple[str, object], ...] = (
        ("coarse", {}),
        ("hashless", frozenset()),
        ("brief", frozenset()),
        ("poison", frozenset()),
    )
    for field, value in empty:
        yield lambda item, field=field, value=value: msgspec.structs.replace(item, **{field: value})  # type: ignore[misc]
    for node in scenario.graph.nodes:
        for field in ("trigger", "takes", "promises", "priority", "depends"):
            if getattr(node, field):
                yield lambda item, name=node.name, field=field: _simplified(item, name, field)  # type: ignore[misc]


def _simplified(scenario: Scenario, name: str, field: str) -> Scenario:
    value: object = None if field in ("trigger", "priority") else ()
    nodes = (
        msgspec.structs.replace(n, **{field: value}) if n.name == name else n
        for n in scenario.graph.nodes
    )
    return msgspec.structs.replace(scenario, graph=Graph(tuple(nodes), scenario.graph.pools))


# A failing scenario as text: what is needed to understand it, and the command that replays it.


def replay_command(seed: int) -> str:
    """Return the command that replays a seed."""
    return f"make simulate SEED={seed}    (python -m simulation --seed {seed})"


def describe(scenario: Scenario, failure: SimulationFailure) -> Iterator[str]:
    """Yield the lines that describe a scenario."""
    assets, happenings, faults = scenario.size
    yield f"seed {scenario.seed}: {failure.found}"
    yield f"  again: {replay_command(scenario.seed)}"
    yield (
        f"  as small as it was found: {assets} assets, {happenings} happenings, {faults} faults,"
        f" {scenario.slots} slots"
    )
    yield from (f"    {_node(node)}" for node in scenario.graph.nodes)
    happened = [
        (delivery.at, f"{delivery.source} delivers {', '.join(delivery.keys)}")
        for delivery in scenario.deliveries
    ]
    happened += [
        (
            item.at,
            (
                f"somebody asks to {item.kind} {', '.join(item.nodes)}"
                f" {item.first or ''}..{item.last or ''}"
            ),
        )
        for item in scenario.deeds
    ]
    happened += [
        (fault.at, f"fault: {fault.kind} at {fault.point}, {fault.size}")
        for fault in scenario.faults
    ]
    yield from (
        f"    {(at - scenario.began) / 3_600_000_000:8.2f} h  {what}"
        for at, what in sorted(happened)
    )


def _node(node: GraphNode) -> str:
    cut = node.partition
    said = [f"{cut.grain or ''}{' × ' + cut.key if cut.key else ''}" or "whole"]
    said += [f"{spec.node}{_how(spec.mode, spec.lookback, spec.optional)}" for spec in node.inputs]
    said += [f"after {name}" for name in node.depends]
    flags = ("chained", "tells", "settled", "watermark", "rebuild_on_reference")
    said += [flag for flag in flags if getattr(node, flag)]
    said += [
        f"{field}={getattr(node, field)}"
        for field in ("start", "complete_after", "restate_within", "expect_by")
        if getattr(node, field)
    ]
    if node.trigger is not None:
        when = node.trigger.cron or node.trigger.every_us or "of an event"
        said.append(f"trigger {when}{' latest' if node.trigger.latest else ''}")
    return f"{node.name}: {', '.join(said)}"


def _how(mode: str, lookback: str | None, optional: bool) -> str:
    return "".join(
        (
            "" if mode == "required" else f" {mode}",
            f" {lookback}" if lookback else "",
            " optional" if optional else "",
        )
    )


# Play many seeds in several processes; failing ones are shrunk and described.

FAILURES_REPORTED_MAX = 3
"""Maximum number of failures to shrink; of the others only the seeds are listed."""
_GARBAGE = (200_000, 20, 20)
Play = Callable[[Scenario], SimulationResult]


class Many(msgspec.Struct):
    """The results of many seeds."""

    seeds: int = 0
    events: int = 0
    faults: int = 0
    fewest: tuple[int, int] = (1 << 60, 1 << 60)
    """Totals over all seeds: events, faults."""
    seconds: float = 0.0
    failed: dict[int, SimulationFailure] = {}

    def add(self, seed: int, played: SimulationResult) -> None:
        """Add the result of one seed."""
        self.seeds, self.events, self.faults = (
            self.seeds + 1,
            self.events + played.events,
            self.faults + played.faults,
        )
        self.fewest = min(self.fewest[0], played.events), min(self.fewest[1], played.faults)
        if played.failure is not None:
            self.failed[seed] = played.failure


def many(
    seeds: Iterable[int], processes: int = 1, progress: Callable[[Many], None] = lambda _: None
) -> tuple[Many, Coverage]:
    """Play seeds; `progress` gets the results so far after each seed."""
    result, coverage, began = Many(), Coverage(), time.perf_counter()
    for seed, played in _played(seeds, processes):
        result.add(seed, played)
        coverage.add(played.coverage)
        result.seconds = time.perf_counter() - began
        progress(result)
    return result, coverage


def _played(seeds: Iterable[int], processes: int) -> Iterator[tuple[int, SimulationResult]]:
    if processes == 1:
        yield from map(_one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes, _collect_seldom) as pool:
        yield from pool.imap_unordered(_one, seeds, chunksize=20)


def _collect_seldom() -> None:
    """Run the cycle collector rarely.

    A simulation takes some megabytes and soon ends; searching it for unreachable objects is most of
    the collector's work.
    """
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def _one(seed: int) -> tuple[int, SimulationResult]:
    return seed, play(scenario(seed))


def shrunk_failure(seed: int, failure: SimulationFailure, how: Play = play) -> Iterator[str]:
    """Yield the lines that describe a failing seed, after shrinking it."""

    def fails(item: Scenario) -> bool:
        again = how(item).failure
        return again is not None and again.invariant == failure.invariant

    small = shrink(scenario(seed), fails)
    yield from describe(small, how(small).failure or failure)


def summary(many: Many, coverage: Coverage) -> Iterator[str]:
    """Yield the lines that summarise all seeds."""
    played = f"{many.seeds} seeds, {many.events} events, {many.faults} faults"
    yield f"{played} in {many.seconds:.0f} s: {many.seeds / many.seconds:.1f} seeds/s"
    yield f"the least that a seed had: {many.fewest[0]} events, {many.fewest[1]} faults"
    yield from coverage.said()
    for place, (seed, failure) in enumerate(sorted(many.failed.items())):
        yield ""
        yield from (
            shrunk_failure(seed, failure)
            if place < FAILURES_REPORTED_MAX
            else [f"seed {seed}: {failure.found}"]
        )
    yield f"{len(many.failed)} of {many.seeds} seeds failed" if many.failed else "no seed failed"
