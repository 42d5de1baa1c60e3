"""A judgement at once, in the transaction of what somebody did."""

from __future__ import annotations

from headrace.observe.watched import watched
from headrace.operations.session import Session
from headrace.plan import compile_lineage
from headrace.run.applying import Applied
from headrace.run.judging import Judged, judge
from headrace.store import Transaction


def judge_now(tx: Transaction, session: Session, applied: Applied, now: int, *, reported: bool = False) -> None:
    """Judge what is applied, with all that the transaction has written."""
    lineage = compile_lineage(applied.compiled, session.data_folder / "cache")
    judge(tx, Judged(applied.compiled.project, watched(applied.compiled), lineage.of), now, reported=reported)
