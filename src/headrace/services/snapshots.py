"""The current state of everything in the applied project, and the graph around each node."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from headrace.model import Project
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.services.caches import cached_by_version
from headrace.services.session import ProjectSession
from headrace.slo.evaluation import Evaluation, EvaluationFacts, evaluate
from headrace.slo.facts import StateFacts
from headrace.slo.freshness import NodeStates, node_states
from headrace.slo.obligations import EvaluationContext
from headrace.slo.state_cache import StateCache
from headrace.slo.unsound import Carrying, lineage_of
from headrace.slo.wrong_periods import speaks_for
from headrace.store import Transaction

# The state of everything, evaluated once per state of the store. From one state to the next only
# changed nodes are evaluated.


class ProjectSnapshot(NamedTuple):
    """One snapshot of the applied project's state."""

    tx: Transaction
    facts: StateFacts
    context: EvaluationContext
    nodes: NodeStates

    def evaluation(self, session: ProjectSession, window: tuple[int, int]) -> Evaluation:
        """Evaluate the consumers now and over a window (start, now; in µs)."""
        assert session.compiled is not None
        began_us, now_us = window
        carry = Carrying(lineage_of(session.compiled))
        speaks = speaks_for(session.compiled.project)
        return evaluate(
            EvaluationFacts(self.tx, self.context, carry, speaks, began_us, self.nodes), now_us
        )


@contextmanager
def project_state(session: ProjectSession, now_us: int) -> Iterator[ProjectSnapshot]:
    """Open the state of the applied project; requires a store and an applied version.

    In an environment that borrows nodes, every call evaluates all nodes, because two stores change.
    """
    with session.facts() as (tx, facts):
        if session.borrowed:
            context = EvaluationContext(session.declared_promises, facts)
            yield ProjectSnapshot(tx, facts, context, node_states(context, now_us))
            return
        snapshot = cached_by_version(
            session, "kept", lambda: StateCache(session.declared_promises)
        ).at(tx, now_us)
        yield ProjectSnapshot(tx, snapshot.facts, snapshot.context, snapshot.nodes)


# Upstream and downstream nodes of each node in the applied graph, consumers included.


class EdgeIndex:
    """Edges by name, in both directions; consumers are downstream of their inputs."""

    def __init__(self, project: Project, compiled: Compiled) -> None:
        self._consumers = project.consumers
        self.above: dict[str, tuple[str, ...]] = {
            node.name: tuple(dict.fromkeys((*(spec.node for spec in node.inputs), *node.depends)))
            for node in compiled.nodes.values()
        }
        self.above |= {consumer.name: consumer.reads for consumer in project.consumers.values()}
        self.below: dict[str, list[str]] = {}
        for name, parents in self.above.items():
            for parent in parents:
                self.below.setdefault(parent, []).append(name)

    def consumers(self, name: str) -> list[str]:
        """Return all consumers downstream of a node, sorted by name."""
        return sorted(
            distance for distance in self.distances(name, self.below) if distance in self._consumers
        )

    def distances(
        self,
        name: str,
        edges: Mapping[str, list[str]] | Mapping[str, tuple[str, ...]],
        most: int | None = None,
    ) -> dict[str, int]:
        """Return every node within `most` steps along `edges`, nearest first, with its distance."""
        results, queue = {name: 0}, deque([name])
        while queue:
            item = queue.popleft()
            if most is not None and results[item] >= most:
                continue
            for other in edges.get(item, ()):
                if other not in results:
                    results[other] = results[item] + 1
                    queue.append(other)
        return results


def reach_of(session: ProjectSession, compiled: Compiled) -> EdgeIndex:
    """Return the applied project's edges, cached per version.

    Before the first apply they are those of `compiled`.
    """
    if session.version is None:
        return EdgeIndex(compiled.project, compiled)
    return cached_by_version(session, "reach", lambda: EdgeIndex(compiled.project, compiled))


# Everything that a new publication of a node affects, in topological order.


def downstream(compiled: Compiled, node: str, exported: tuple[str, ...]) -> list[str]:
    """Return the node, everything computed from it in topological order, and affected exports."""
    results = {node}
    for name in compiled.order:
        declared = compiled.nodes[name]
        if results & {*(spec.node for spec in declared.inputs), *declared.depends}:
            results.add(name)
    reading = [name for name in exported if results & set(compiled.project.consumers[name].reads)]
    return [
        *(
            name
            for name in compiled.order
            if name in results and not is_view(compiled.project, name)
        ),
        *reading,
    ]


def reached_from(compiled: Compiled, names: set[str]) -> set[str]:
    """Return the names and all nodes that read them, directly or indirectly."""
    reached = set(names)
    for name in compiled.order:
        if reached & {spec.node for spec in compiled.nodes[name].inputs}:
            reached.add(name)
    return reached
