"""Responses of `approvals`, `approve` and `reject`."""

from __future__ import annotations

from datetime import datetime

from headrace.services.responses.base import Response


class NeededApprovalRow(Response, frozen=True, kw_only=True):
    """Whose approval a plan needs: `count` people with this permission, not the one who asked."""

    role: str
    of: str
    count: int


class ApprovalAnswerRow(Response, frozen=True, kw_only=True):
    """An answer: `approved` or `rejected`."""

    by: str
    at: datetime
    answer: str
    reason: str


class ConsequenceRow(Response, frozen=True, kw_only=True):
    """What the plan reaches. `rows` is null: it isn't known before the plan has run."""

    rows: int | None
    partitions: int
    consumers: list[str]
    domains: list[str]
    weakens: list[str]


class ApprovalRow(Response, frozen=True, kw_only=True):
    """A plan that needs or needed an approval. `id` is the backfill's number."""

    id: str
    plan_id: str | None
    kind: str
    asked_by: str
    reason: str
    asked_at: datetime
    expires_at: datetime
    rule: str
    """The line of policy that asks for the approval."""
    needs: list[NeededApprovalRow]
    given: list[ApprovalAnswerRow]
    state: str
    """`open`, `approved`, `rejected` or `expired`; `void` if the plan was cancelled or replaced."""
    consequence: ConsequenceRow
    next: str | None
    """The command that answers, or that shows the backfill."""
