"""The moment of judgement: what became due and was met, what isn't as it should be, and which causes that is put down to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeAlias

import msgspec

from headrace.model import Project
from headrace.observe import persist
from headrace.observe.availability.carrying import Carrying
from headrace.observe.blockage import Blockage
from headrace.observe.declared_promises import DeclaredPromises, Rhythms
from headrace.observe.diagnosis.attribution import diagnose
from headrace.observe.diagnosis.evidence import Evidence
from headrace.observe.diagnosis.graph import CauseGraph, graph_of
from headrace.observe.evaluation import Evaluation, EvaluationFacts, evaluate
from headrace.observe.facts import StoredFacts
from headrace.observe.incidents import faults, healing
from headrace.observe.incidents.closing import close, reopen
from headrace.observe.incidents.gathering import gather
from headrace.observe.incidents.keeping import IncidentUpdates, owners
from headrace.observe.incidents.reach import DownstreamIndex
from headrace.observe.notifications.queueing import queue
from headrace.observe.obligations import EvaluationContext
from headrace.observe.voices import speaks_for
from headrace.plan import Compiled
from headrace.plan.bodies import ColumnLineage
from headrace.store import Transaction
from headrace.store.queries import evidence as stored
from headrace.store.queries import incidents
from headrace.store.queries.incidents import Incident

EVIDENCE_MAX = 20_000
"""So much of what stands is judged at once, the newest."""
LinesOf: TypeAlias = Callable[[str], ColumnLineage]
RepairOf: TypeAlias = Callable[[Transaction, Compiled, Incident], tuple[str, Sequence[str]] | None]
"""What repairs an incident, as `incident` says it, and the commands to be typed then; None where nothing is left to repair."""

_log = logging.getLogger(__name__)


class VersionEvaluator:
    """What is judged: what is applied, what of it was promised, and what a node's columns come from. A leader keeps it for as long as
    that is applied: what follows from it alone is found once."""

    def __init__(
        self,
        project: Project,
        declared_promises: DeclaredPromises,
        lines: LinesOf,
        repair: Callable[[Transaction, Incident], tuple[str, Sequence[str]] | None],
    ) -> None:
        self.project, self.declared_promises, self._lines, self.repair = project, declared_promises, lines, repair
        self._rhythms = Rhythms({**declared_promises.nodes, **declared_promises.exports})
        self._speaks = speaks_for(project)

    def context(self, tx: Transaction) -> EvaluationContext:
        """What is judged with what a transaction sees."""
        return EvaluationContext(self.declared_promises, StoredFacts(tx), self._rhythms)

    def evaluation(self, tx: Transaction, context: EvaluationContext, now: int) -> Evaluation:
        """How consumers are served, as `status` evaluates it."""
        return evaluate(EvaluationFacts(tx, context, Carrying(lambda: self._lines), self._speaks), now)

    @cached_property
    def reach(self) -> DownstreamIndex:
        """What is below its nodes."""
        return DownstreamIndex(self.declared_promises)

    @cached_property
    def graph(self) -> CauseGraph:
        """What is made of what, by columns."""
        return graph_of(self.declared_promises, owners(self.project), self._known)

    def _known(self, node: str) -> ColumnLineage | None:
        """The lines of assets; an export has those of what it reads, and a source none."""
        return self._lines(node) if node in self.project.assets else None


def judge(tx: Transaction, evaluator: VersionEvaluator, now: int, run: int | None = None, *, reported: bool = False) -> None:
    """Write down what became due and what was met, and find the causes of what isn't. `run` is the run at whose end it is,
    `reported`: somebody has just said that something is wrong.

    What goes wrong with causes never undoes what is published in the same transaction."""
    context = evaluator.context(tx)
    persist.settle(tx, context, now)
    tx.execute("savepoint judging")
    try:
        _causes(tx, evaluator, context, now, run, reported=reported)
        _close(tx, evaluator, context, now)
    except Exception as error:  # noqa: BLE001
        tx.execute("rollback to savepoint judging")
        _say("causes couldn't be evaluated", error)
        _own_fault(tx, evaluator, error, now, run)
    tx.execute("release savepoint judging")
    _tell(tx, evaluator, context, now)


def _tell(tx: Transaction, evaluator: VersionEvaluator, context: EvaluationContext, now: int) -> None:
    """Queue what people are to be told of; what goes wrong with that undoes nothing either."""
    tx.execute("savepoint notifications")
    try:
        queue(tx, evaluator.project, context, evaluator.evaluation(tx, context, now), now, lambda incident: evaluator.repair(tx, incident))
    except Exception as error:  # noqa: BLE001
        tx.execute("rollback to savepoint notifications")
        _say("messages to people couldn't be queued", error)
    tx.execute("release savepoint notifications")


def _own_fault(tx: Transaction, evaluator: VersionEvaluator, error: Exception, now: int, run: int | None) -> None:
    """Say that causes couldn't be judged, if even that can be kept."""
    try:
        faults.keep(tx, IncidentUpdates(tx, evaluator.project, evaluator.reach, now, run), error, now)
    except Exception as broken:  # noqa: BLE001
        tx.execute("rollback to savepoint judging")
        _say("Headrace's own fault couldn't be recorded", broken)


def _say(what: str, error: Exception) -> None:
    """One line, and a traceback for those who have turned on debugging: a damaged state isn't read by its traceback."""
    _log.error(
        "%s (%s: %s); `headrace db check` says whether the state is whole",
        what,
        type(error).__name__,
        error,
        exc_info=_log.isEnabledFor(logging.DEBUG),
    )


def _causes(tx: Transaction, evaluator: VersionEvaluator, context: EvaluationContext, now: int, run: int | None, *, reported: bool) -> None:
    blockage = Blockage(context, now)
    result = gather(tx, evaluator.project, context, blockage, evaluator.reach, now)
    if result.touched or reported:
        rows = stored.standing(tx, EVIDENCE_MAX)
        evidence = result.seen | {row.id: msgspec.msgpack.decode(row.content, type=Evidence) for row in rows}
        keeping = IncidentUpdates(tx, evaluator.project, evaluator.reach, now, run, evaluator.graph)
        keeping.keep(diagnose(list(evidence.values()), evaluator.graph, now, keeping.open_causes()), evidence)
        healing.note(tx, evaluator.declared_promises.nodes, result.seen.values())


def _close(tx: Transaction, evaluator: VersionEvaluator, context: EvaluationContext, now: int) -> None:
    """End what is over, and open again what isn't."""
    reopen(tx, now)
    if incidents.count_open(tx):
        close(tx, context, Blockage(context, now), evaluator.evaluation(tx, context, now), now)
