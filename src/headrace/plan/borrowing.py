"""What an environment needn't compute itself: nodes that are as they are in production are read from there, without a copy."""

from __future__ import annotations

from headrace.plan.comparing import changes
from headrace.plan.values import ChangeKind, Compiled

_HARMLESS = (ChangeKind.METADATA, ChangeKind.PROMISE)


def borrowed(production: Compiled | None, here: Compiled) -> frozenset[str]:
    """Nodes that give the same data under the same checks in both, and so does all that they read. None where nothing is applied
    in production."""
    if production is None:
        return frozenset()
    own = {change.node for change in changes(production, here) if change.change not in _HARMLESS} | _connected(production, here)
    for name in here.order:
        node = here.nodes[name]
        if any(spec.node in own for spec in node.inputs) or any(name in own for name in node.depends):
            own.add(name)
    return frozenset(name for name in here.order if name not in own)


def _connected(production: Compiled, here: Compiled) -> set[str]:
    """Sources whose connection is another one here."""
    theirs, ours = production.project.settings.connections, here.project.settings.connections
    return {
        source.name
        for source in here.project.sources.values()
        if (name := source.connector.get("connection")) is not None and theirs.get(name) != ours.get(name)
    }
