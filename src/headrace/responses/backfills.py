"""Responses of `backfill` and `backfills` (INTERFACE §3)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.model.policy import Approval
from headrace.responses.base import CheckRow, Response
from headrace.responses.plans import Affects, CountsRow, RefusedRow


class BackfillRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What is made of one node: so many partitions, from the first to the last, in `ranges` where
    there are gaps between.
    """

    asset: str
    partitions: int
    from_: str
    to: str
    ranges: int
    why: str
    how: str
    """`taken_in`, `staged` beside what readers see, or `afterwards`, one after the other."""
    kind: str = "asset"
    """`source`, `asset` or `export`."""
    published: int | None = None
    """Of a backfill that has ended: how many of its partitions are published, and their rows; null
    where the state doesn't keep that any more."""
    rows: int | None = None


class SkippedRow(Response, frozen=True, kw_only=True):
    """Partitions that were asked for, or read what is made, and aren't made."""

    asset: str
    partitions: int
    why: str


class EstimateRow(Response, frozen=True, kw_only=True):
    """How long it will take, in seconds: most probably, at best, at worst, and what
    that rests on.
    """

    seconds: float
    low: float | None
    high: float | None
    basis: str
    known: bool = True
    """False: too little like it has run here. The seconds are a guess without an interval: `low`
    and `high` are null."""
    simulated: float | None = None
    """Before it was corrected by what backfills that have ended took here."""


class ChangedTotals(Response, frozen=True, kw_only=True):
    """What is different now for readers: partitions whose content changed, and rows."""

    partitions: int
    rows_added: int
    rows_removed: int
    rows_changed: int


class ChangedRow(Response, frozen=True, kw_only=True):
    """The same of one node."""

    asset: str
    partitions: int
    rows_added: int
    rows_removed: int
    rows_changed: int


class FailureRow(Response, frozen=True, kw_only=True):
    """A partition that couldn't be made: `state` is `failed`, `held` or `rejected`, or `waiting`
    for one that is. `checks` are those that failed, `sample` some rows that broke them, `first`
    what has to be done before the backfill is gone on with."""

    asset: str
    partition: str
    state: str
    reason: str
    attempt: str | None
    checks: list[CheckRow]
    sample: list[dict[str, Any]]
    first: str | None


class BackfillResponse(Response, frozen=True, kw_only=True):
    """A backfill: what it makes, and where it stands. `id` is the number that `backfills` lists it
    by, null for what was only looked at; `plan_id` stands for what is done, and two backfills that
    do the same have the same one."""

    now: datetime
    clock: str
    id: str | None = None
    plan_id: str | None
    state: str
    """`planned`, `awaiting_approval`, `running`, `paused`, `succeeded`, `partial`, `failed`,
    `cancelled`; `void` or `expired` if it can't be approved any more; `nothing_due` where there is
    nothing to do, `declined` by who was asked, `refused` where it isn't the plan that was agreed
    to."""
    refused: RefusedRow | None = None
    mode: str
    reason: str
    by: str
    assets: list[BackfillRow]
    partitions_total: int
    counts: CountsRow
    """The same by sources, assets and exports."""
    made: CountsRow | None = None
    """Of a backfill that has ended: what it has published, counted the same way."""
    skipped: list[SkippedRow]
    estimate: EstimateRow | None
    bytes_estimate: int | None
    affects: Affects
    needs_approval: bool
    approval: Approval | None
    publishes: str
    steps: int
    steps_done: int
    command: str | None
    published: int
    failed: int
    redone: int
    changed: ChangedTotals | None
    """Null until something was published."""
    changes: list[ChangedRow]
    failures: list[FailureRow]
    remaining: EstimateRow | None
    """Of one that runs: how long it still takes."""
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    notes: list[str]


class PlanRowResponse(Response, frozen=True, kw_only=True):
    """One line of `backfills`; `id` is its number."""

    id: str
    plan_id: str
    state: str
    by: str
    reason: str
    assets: list[str]
    partitions_total: int
    published: int
    failed: int
    remaining: EstimateRow | None
    created_at: datetime
    finished_at: datetime | None


class BackfillsResponse(Response, frozen=True, kw_only=True):
    """`backfills`: the newest plans, newest first."""

    now: datetime
    clock: str
    backfills: list[PlanRowResponse]
