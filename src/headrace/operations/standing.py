"""How everything stands now, for all that shows it: judged once for a state of the store, and from one to the next only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from headrace.observe.availability.carrying import Carrying, lineage_of
from headrace.observe.evaluation import Evaluation, EvaluationFacts, evaluate
from headrace.observe.freshness import NodeStates, stood
from headrace.observe.kept import StateCache
from headrace.observe.obligations import EvaluationContext
from headrace.observe.state_facts import StateFacts
from headrace.observe.voices import speaks_for
from headrace.operations.remembering import of_version
from headrace.operations.session import ProjectSession
from headrace.store import Transaction


class ProjectSnapshot(NamedTuple):
    """One snapshot."""

    tx: Transaction
    facts: StateFacts
    context: EvaluationContext
    nodes: NodeStates

    def evaluation(self, session: ProjectSession, window: tuple[int, int]) -> Evaluation:
        """How consumers stand, and were served over a window (from, now)."""
        assert session.compiled is not None
        began_us, now_us = window
        carry = Carrying(lineage_of(session.compiled))
        speaks = speaks_for(session.compiled.project)
        return evaluate(EvaluationFacts(self.tx, self.context, carry, speaks, began_us, self.nodes), now_us)


@contextmanager
def standing(session: ProjectSession, now_us: int) -> Iterator[ProjectSnapshot]:
    """How everything that is applied stands. There must be a store, and something applied. In an environment that borrows nodes all are
    judged each time: two stores change."""
    with session.facts() as (tx, facts):
        if session.borrowed:
            context = EvaluationContext(session.declared_promises, facts)
            yield ProjectSnapshot(tx, facts, context, stood(context, now_us))
            return
        snapshot = of_version(session, "kept", lambda: StateCache(session.declared_promises)).at(tx, now_us)
        yield ProjectSnapshot(tx, snapshot.facts, snapshot.context, snapshot.nodes)
