"""A failing scenario in words: what is needed to understand it, and how to play it again."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.schedule.graph import GraphNode
from headrace.schedule.simulation.playing import SimulationFailure
from headrace.schedule.simulation.scenario import Scenario


def replaying(seed: int) -> str:
    """What to type to see it again."""
    return f"make simulate SEED={seed}    (python -m headrace.schedule.simulation --seed {seed})"


def told(scenario: Scenario, failure: SimulationFailure) -> Iterator[str]:
    """A scenario, in lines."""
    assets, happenings, faults = scenario.size
    yield f"seed {scenario.seed}: {failure.found}"
    yield f"  again: {replaying(scenario.seed)}"
    yield f"  as small as it was found: {assets} assets, {happenings} happenings, {faults} faults, {scenario.slots} slots"
    yield from (f"    {_node(node)}" for node in scenario.graph.nodes)
    happened = [(delivery.at, f"{delivery.source} delivers {', '.join(delivery.keys)}") for delivery in scenario.deliveries]
    happened += [
        (item.at, f"somebody asks to {item.kind} {', '.join(item.nodes)} {item.first or ''}..{item.last or ''}") for item in scenario.deeds
    ]
    happened += [(fault.at, f"fault: {fault.kind} at {fault.point}, {fault.size}") for fault in scenario.faults]
    yield from (f"    {(at - scenario.began) / 3_600_000_000:8.2f} h  {what}" for at, what in sorted(happened))


def _node(node: GraphNode) -> str:
    cut = node.partition
    said = [f"{cut.grain or ''}{' × ' + cut.key if cut.key else ''}" or "whole"]
    said += [f"{spec.node}{_how(spec.mode, spec.lookback, spec.optional)}" for spec in node.inputs]
    said += [f"after {name}" for name in node.depends]
    flags = ("chained", "tells", "settled", "watermark", "rebuild_on_reference")
    said += [flag for flag in flags if getattr(node, flag)]
    said += [
        f"{field}={getattr(node, field)}" for field in ("start", "complete_after", "restate_within", "expect_by") if getattr(node, field)
    ]
    if node.trigger is not None:
        said.append(f"trigger {node.trigger.cron or node.trigger.every_us or 'of an event'}{' latest' if node.trigger.latest else ''}")
    return f"{node.name}: {', '.join(said)}"


def _how(mode: str, lookback: str | None, optional: bool) -> str:
    return "".join(("" if mode == "required" else f" {mode}", f" {lookback}" if lookback else "", " optional" if optional else ""))
