"""What is made of a node: all that a new publication of it changes, in order."""

from __future__ import annotations

from headrace.plan import Compiled
from headrace.plan.views import is_view


def downstream(compiled: Compiled, node: str, exported: tuple[str, ...]) -> list[str]:
    """The node, and all that is computed of it, in order; exports of what it changes too."""
    results = {node}
    for name in compiled.order:
        declared = compiled.nodes[name]
        if results & {*(spec.node for spec in declared.inputs), *declared.depends}:
            results.add(name)
    reading = [name for name in exported if results & set(compiled.project.consumers[name].reads)]
    return [*(name for name in compiled.order if name in results and not is_view(compiled.project, name)), *reading]


def reached_from(compiled: Compiled, names: set[str]) -> set[str]:
    """These nodes, and all that read from them."""
    reached = set(names)
    for name in compiled.order:
        if reached & {spec.node for spec in compiled.nodes[name].inputs}:
            reached.add(name)
    return reached
