"""Answers to plans that wait for an approval."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.queries.backfill_plans import PlanRecord
from headrace.store.transaction import Transaction


class ApprovalAnswer(NamedTuple):
    """One answer: `approved` or `rejected`. The time is in microseconds since 1970 UTC."""

    answer: str
    actor: str
    reason: str
    answered_at: int


def add(tx: Transaction, plan: int, *, answer: str, actor: str, reason: str, now: int) -> None:
    """Store an answer."""
    tx.execute(
        "insert into approval_answer (plan_id, answer, actor, reason, answered_at)"
        " values (?, ?, ?, ?, ?)",
        (plan, answer, actor, reason, now),
    )


def answers(tx: Transaction, plan: int) -> list[ApprovalAnswer]:
    """Return the answers to a plan, oldest first."""
    rows = tx.execute(
        "select answer, actor, reason, answered_at from approval_answer where plan_id = ?"
        " order by id",
        (plan,),
    )
    return [ApprovalAnswer(*row) for row in rows]


def plans(tx: Transaction, limit: int) -> list[PlanRecord]:
    """Return the newest plans that wait for an approval or have an answer, newest first."""
    columns = ", ".join(PlanRecord.__struct_fields__)
    rows = tx.execute(
        f"select {columns} from plan where state = 'awaiting_approval'"
        " or id in (select plan_id from approval_answer) order by id desc limit ?",
        (limit,),
    )
    return [PlanRecord(*row) for row in rows]
