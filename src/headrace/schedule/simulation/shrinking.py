"""A scenario that fails, made smaller: parts are taken out for as long as the same invariant fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from headrace.schedule.graph import Graph
from headrace.schedule.simulation.scenario import Scenario

TRIES_MAX = 400
"""So many scenarios are played at most."""

Fails = Callable[[Scenario], bool]


def shrink(scenario: Scenario, fails: Fails, tries: int = TRIES_MAX) -> Scenario:
    """The smallest scenario found that `fails` in the same way; the same for the same scenario."""
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
    """Leave out halves of a list, then quarters, down to single ones."""
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
    """Leave out what nothing reads any more, from the end of the graph on."""
    for name in reversed([node.name for node in scenario.graph.nodes]):
        smaller = _without(scenario, name)
        if smaller is not None and still(smaller):
            scenario = smaller
    return scenario


def _without(scenario: Scenario, name: str) -> Scenario | None:
    nodes = tuple(node for node in scenario.graph.nodes if node.name != name)
    if any(name in node.depends or any(spec.node == name for spec in node.inputs) for node in nodes):
        return None
    change = scenario.change
    change = msgspec.structs.replace(
        change, changed=tuple(node for node in change.changed if node.name != name), removed=change.removed - {name}
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
    """A deed without one of its nodes; None where it was about that alone."""
    if name not in deed.nodes:
        return deed
    nodes = tuple(node for node in deed.nodes if node != name)
    return msgspec.structs.replace(deed, nodes=nodes) if nodes else None


def _plainer(scenario: Scenario, still: Fails) -> Scenario:
    """Leave out what makes single nodes special."""
    for smaller in _plainer_ones(scenario):
        scenario = smaller(scenario) if still(smaller(scenario)) else scenario
    return scenario


def _plainer_ones(scenario: Scenario) -> Iterator[Callable[[Scenario], Scenario]]:
    empty: tuple[tuple[str, object], ...] = (("coarse", {}), ("hashless", frozenset()), ("brief", frozenset()), ("poison", frozenset()))
    for field, value in empty:
        yield lambda item, field=field, value=value: msgspec.structs.replace(item, **{field: value})  # type: ignore[misc]
    for node in scenario.graph.nodes:
        for field in ("trigger", "takes", "promises", "priority", "depends"):
            if getattr(node, field):
                yield lambda item, name=node.name, field=field: _simplified(item, name, field)  # type: ignore[misc]


def _simplified(scenario: Scenario, name: str, field: str) -> Scenario:
    value: object = None if field in ("trigger", "priority") else ()
    nodes = (msgspec.structs.replace(n, **{field: value}) if n.name == name else n for n in scenario.graph.nodes)
    return msgspec.structs.replace(scenario, graph=Graph(tuple(nodes), scenario.graph.pools))
