"""What state an approval is in, and why: open, approved, rejected, expired or void."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import msgspec

from headrace.model.access import AccessRules, Permission, Role
from headrace.model.nodes import Asset, Consumer, Project, Source
from headrace.model.policy import EXPIRES_DAYS, EXPIRES_US, Approval, Need
from headrace.store import Transaction
from headrace.store.queries import applied_versions, backfill_plans
from headrace.store.queries import approvals as stored
from headrace.store.queries.approvals import ApprovalAnswer, ApprovalRequest, Subject
from headrace.store.queries.backfill_plans import PlanRecord

if TYPE_CHECKING:
    from headrace.security.access import Identity

OPEN, APPROVED, REJECTED, EXPIRED, VOID = "open", "approved", "rejected", "expired", "void"
AWAITING, CANCELLED = "awaiting_approval", "cancelled"
BACKFILL, APPLY, RELEASE, UNPUBLISH = "backfill", "apply", "release", "unpublish"
ERASE, CONTRACT = "erase", "contract"
PREFIX = "A"
"""How the ids of approvals begin that aren't a backfill's number."""
_ANYBODY = Need(role=Role.OWNER, of="affected")
"""The need of plans that were stored before rules had needs."""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that needs or needed an approval, whatever its kind."""

    id: str
    subject: Subject
    kind: str
    plan_id: str | None
    asked_by: str
    reason: str
    created_at: int
    version: int | None
    approval: Approval
    command: str
    """Shows the backfill, or does the approved plan."""
    answers: tuple[ApprovalAnswer, ...]
    waits: bool
    """Whether it still waits, if nobody rejected it and it isn't too old."""
    ended: str = ""
    """Why it doesn't wait any more although nobody answered; empty if it was approved."""
    used_at: int | None = None
    backfill: PlanRecord | None = None

    @property
    def expires_at(self) -> int:
        """When it can't be approved or done any more, in microseconds since 1970 UTC."""
        return self.created_at + EXPIRES_US

    @property
    def needs(self) -> tuple[Need, ...]:
        """Whose approvals it needs."""
        return self.approval.needs or (_ANYBODY,)


def key_of(need: Need) -> tuple[str, str]:
    """Return what identifies a need within a plan."""
    return (need.role.value, need.of)


def given(pending: Pending, need: Need) -> int:
    """Return how many people have met a need."""
    return sum(
        1
        for answer in pending.answers
        if answer.answer == APPROVED and key_of(need) in answer.meets
    )


def missing(pending: Pending) -> list[Need]:
    """Return the needs that too few people have met."""
    return [need for need in pending.needs if given(pending, need) < need.count]


def can_meet(
    need: Need,
    project: Project,
    rules: AccessRules | None,
    identity: Identity,
    *,
    env: str,
    today: date,
) -> bool:
    """Whether an identity has the role of a need for one of its nodes, or for the project.

    The role must hold for the whole project if none of the nodes is applied yet: whoever wrote them
    has chosen their owner and domain.
    """
    from headrace.security.access import has_role

    nodes: list[Source | Asset | Consumer | None] = [
        node for name in need.nodes if (node := project.node(name)) is not None
    ]
    return any(
        has_role(rules, identity, need.role, Permission.APPROVE, node, env=env, today=today)
        for node in nodes or [None]
    )


def state_of(pending: Pending, version: int | None, now_us: int) -> tuple[str, str]:
    """Return the state and, where it isn't open, why. `version` is the applied one."""
    rejected = next((item for item in pending.answers if item.answer == REJECTED), None)
    if rejected is not None:
        return REJECTED, f"{rejected.actor} rejected it: {rejected.reason}"
    if pending.used_at is not None:
        return APPROVED, "it was approved and done"
    if not pending.waits:
        return (VOID, pending.ended) if pending.ended else (APPROVED, "it was approved")
    if pending.version != version:
        return VOID, f"version {version} was applied after it was asked for"
    if now_us >= pending.expires_at:
        return EXPIRED, f"nobody did it within {EXPIRES_DAYS} days"
    if not missing(pending):
        return APPROVED, "it was approved"
    return OPEN, ""


class _Requested(msgspec.Struct, frozen=True):
    """What is read here of the arguments of a backfill."""

    plan_id: str | None = None


def of_backfill(tx: Transaction, record: PlanRecord) -> Pending:
    """Return a backfill that needs or needed an approval."""
    subject = Subject(plan=record.id)
    plan_id = msgspec.json.decode(record.request, type=_Requested).plan_id
    cancelled = record.state == CANCELLED and record.started_at is None
    return Pending(
        id=str(record.id),
        subject=subject,
        kind=BACKFILL,
        plan_id=plan_id,
        asked_by=record.actor,
        reason=record.reason,
        created_at=record.created_at,
        version=record.version,
        approval=_approval(record.needs),
        command=f"headrace backfills {record.id}",
        answers=tuple(stored.answers(tx, subject)),
        waits=record.state == AWAITING,
        ended="the backfill was cancelled" if cancelled else "",
        backfill=record,
    )


def of_request(tx: Transaction, request: ApprovalRequest) -> Pending:
    """Return a plan of another kind that needs or needed an approval."""
    subject = Subject(request=request.id)
    newer = stored.newer_of_kind(tx, request)
    return Pending(
        id=f"{PREFIX}{request.id}",
        subject=subject,
        kind=request.kind,
        plan_id=request.plan_id,
        asked_by=request.actor,
        reason=request.reason,
        created_at=request.created_at,
        version=request.version,
        approval=_approval(request.needs),
        command=request.command,
        answers=tuple(stored.answers(tx, subject)),
        waits=newer is None,
        ended="" if newer is None else f"a changed plan was asked for: {PREFIX}{newer}",
        used_at=request.used_at,
    )


def _approval(needs: str | None) -> Approval:
    return Approval("", "", 0) if needs is None else msgspec.json.decode(needs, type=Approval)


def waiting(tx: Transaction, now_us: int) -> list[str]:
    """Return the ids of the plans that can be approved now, oldest first in each kind."""
    version = version_now(tx)
    backfills = [str(plan.id) for plan in backfill_plans.awaiting(tx, now_us - EXPIRES_US)]
    requests = [of_request(tx, item) for item in stored.unused(tx, now_us - EXPIRES_US)]
    return backfills + [item.id for item in requests if state_of(item, version, now_us)[0] == OPEN]


def state_shown(tx: Transaction, record: PlanRecord, now_us: int) -> str:
    """Return a backfill's state; `void` or `expired` if it can't be approved any more."""
    if record.state != AWAITING:
        return record.state
    state, _ = state_of(of_backfill(tx, record), version_now(tx), now_us)
    return AWAITING if state == OPEN else state


def version_now(tx: Transaction) -> int | None:
    """Return the number of the applied version; None before the first `apply`."""
    return applied_versions.newest_id(tx) or None
