"""A judgement at once, in the transaction of what somebody did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.model.environments import PRODUCTION
from headrace.observe.blockage import Blockage
from headrace.observe.declared_promises import declared_promises
from headrace.observe.facts import StoredFacts
from headrace.observe.incidents import gathering
from headrace.observe.obligations import EvaluationContext
from headrace.operations.repair_texts import repair_told
from headrace.operations.session import ProjectSession
from headrace.plan import compile_lineage
from headrace.run.applying import AppliedVersion
from headrace.run.judging import VersionEvaluator, judge
from headrace.store import Transaction
from headrace.store.queries import incidents

if TYPE_CHECKING:
    from headrace.operations.performing import CommandContext


def judge_now(tx: Transaction, session: ProjectSession, applied: AppliedVersion, now: int, *, reported: bool = False) -> None:
    """Judge what is applied, with all that the transaction has written."""
    lineage = compile_lineage(applied.compiled, session.data_folder / "cache")
    compiled = applied.compiled
    evaluator = VersionEvaluator(
        compiled.project, declared_promises(compiled), lineage.of, lambda tx, incident: repair_told(tx, compiled, incident)
    )
    judge(tx, evaluator, now, reported=reported)


def note_commands(context: CommandContext) -> None:
    """Write what somebody has just done in the timelines of the open incidents that it touches. A
    run that was asked for is written down with the evaluation at its end."""
    applied = context.applied() if context.session.env == PRODUCTION else None
    if applied is None:
        return
    with context.store.read() as tx:
        if not incidents.count_open(tx):
            return
    declared = declared_promises(applied.compiled)

    def write(tx: Transaction, now: int) -> None:
        evaluation_context = EvaluationContext(declared, StoredFacts(tx))
        gathering.note_commands(tx, evaluation_context, Blockage(evaluation_context, now), now)

    context.tell(write=write)
