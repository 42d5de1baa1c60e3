"""The current state of everything in the applied project, and the graph around each node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.plan.node_graph import NodeGraph
from headrace.project.caches import cached_by_version
from headrace.project.session import ProjectSession
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


def node_graph(session: ProjectSession, compiled: Compiled) -> NodeGraph:
    """Return the applied project's graph, cached per version.

    Before the first apply it is that of `compiled`.
    """
    if session.version is None:
        return NodeGraph(compiled)
    return cached_by_version(session, "reach", lambda: NodeGraph(compiled))


def run_downstream(compiled: Compiled, node: str, exported: tuple[str, ...]) -> list[str]:
    """Return the names of a run of a node and everything downstream, in topological order.

    Views have nothing to run; of the consumers, those with an export.
    """
    reached = NodeGraph(compiled).downstream([node])
    return [
        name
        for name in (*compiled.order, *exported)
        if name in reached and not is_view(compiled.project, name)
    ]
