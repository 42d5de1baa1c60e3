"""Responses of `approvals`, `approve` and `reject`."""

from __future__ import annotations

from datetime import datetime

from headrace.responses.base import Response


class NeededApprovalRow(Response, frozen=True, kw_only=True):
    """Whose approval a plan needs: `count` people with this role, not the one who asked.

    `of` is as in the rule (`affected`, `changed`, `project`), `domain:NAME` or `owner:NAME`.
    """

    role: str
    of: str
    count: int
    given: int = 0
    """How many people have approved with this role."""
    owners: list[str] = []
    """The owners of the nodes in question: whom to ask."""
    text: str = ""
    """The same in words."""


class ApprovalAnswerRow(Response, frozen=True, kw_only=True):
    """An answer: `approved` or `rejected`."""

    by: str
    at: datetime
    answer: str
    reason: str


class ChangedContractRow(Response, frozen=True, kw_only=True):
    """A contract that takes back something which other domains read, in these versions."""

    node: str
    contract: str
    before: str
    after: str | None
    changes: list[str]
    domains: list[str]
    """The domains that read it."""


class ConsequenceRow(Response, frozen=True, kw_only=True):
    """What the plan reaches when it was asked for.

    `rows` are published rows that it replaces, unpublishes or releases. `stale` are partitions that
    become stale, or do once what they read is recomputed: until somebody asks for a backfill.
    """

    rows: int
    partitions: int
    stale: int
    consumers: list[str]
    domains: list[str]
    crossing: list[str] = []
    """Consumers whose domain isn't the one in which the change begins."""
    weakens: list[str]
    breaks: list[str] = []
    """Nodes of which a reader loses a column, or reads it with another type or meaning."""
    classified: list[str] = []
    """NODE.COLUMN of classified columns in the changed data."""
    contracts: list[ChangedContractRow] = []
    """Contracts that take back something which other domains read."""
    seconds: float | None = None
    """The estimated duration; null if it isn't known."""
    cost: float | None = None
    """The predicted cost in the currency of `[costs]`; null if it isn't known, or nothing is
    computed."""


class ApprovalRow(Response, frozen=True, kw_only=True):
    """A plan that needs or needed an approval.

    `id` is the number of a backfill; other plans have ids that begin with `A`. `kind` is
    `backfill`, `apply`, `release`, `unpublish`, `erase` or `contract`.
    """

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
    """`open`, `approved`, `rejected` or `expired`; `void` if the plan was cancelled or changed."""
    state_reason: str = ""
    """Why it isn't open; empty if it is."""
    consequence: ConsequenceRow
    next: str | None
    """The command that answers, that shows the backfill, or that does an approved plan."""
