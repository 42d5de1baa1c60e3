"""The documents of `checks`, `checks challenge` and `checks suggest`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.operations.responses import Response


class CheckOutcomeRow(Response, frozen=True, kw_only=True):
    """What a check came to once: `passed`, `failed`, or `unchecked` where there were no rows."""

    partition: str
    outcome: str
    failing: int
    at: datetime
    attempt: str


class CheckStandingRow(Response, frozen=True, kw_only=True):
    """`checks`: one declared check and what it came to last. `state` is the outcome, or `never`; `verdict` is what that meant for
    the partition. `runs` and `failures` count the outcomes in `history`, newest first."""

    node: str
    check: str
    kind: str
    severity: str
    partition: str | None
    state: str
    verdict: str | None
    at: datetime | None
    reason: str | None
    owner: str
    rows: int | None
    failing: int | None
    runs: int
    failures: int
    file: str
    line: int
    history: list[CheckOutcomeRow]


class ChecksResponse(Response, frozen=True, kw_only=True):
    """One page of all checks, by node and in the order of the files; `next` is the cursor of the next page, null on the last."""

    now: datetime
    total: int
    checks: list[CheckStandingRow]
    next: str | None


class ChallengedCheckRow(Response, frozen=True, kw_only=True):
    """`checks challenge`: one check put to the test. `verdict` is null where the time was over before one was found; `partition` is
    whose rows were changed. `caught` says what it noticed."""

    check: str
    asset: str
    verdict: str | None
    mutations_tried: int
    mutations_caught: int
    cost_ms: float | None
    evidence: str
    kind: str
    severity: str
    partition: str | None
    rows: int | None
    caught: list[str]
    file: str
    line: int


class SuggestedCheckRow(Response, frozen=True, kw_only=True):
    """`checks suggest`: a check that would notice what none does. `check` is what is written, `yaml` the same as text.
    `written` is the file that it was added to, null unless that was asked for."""

    asset: str
    check: dict[str, Any]
    yaml: str
    evidence: str
    catches: list[str]
    consumers: list[str]
    assets: list[str]
    written: str | None = None


class UnnoticedRow(Response, frozen=True, kw_only=True):
    """`checks challenge --unnoticed`: a fault that no check of its asset notices, with whom it would reach, and the check to add."""

    asset: str
    partition: str
    mutation: str
    says: str
    columns: list[str]
    rows: int
    rows_changed: int
    assets: list[str]
    consumers: list[str]
    suggestion: str | None


class ChallengeResponse(Response, frozen=True, kw_only=True):
    """Everything that a challenge found out. `unfinished` names what was left when the time was over, `skipped` what has no rows."""

    checks: list[ChallengedCheckRow]
    noticed: dict[str, int]
    """What notices how many faults: `check`, `partition` (rows of another one), `contract`, `rows` and `empty` (of what is
    expected of a delivery), kinds of cause (as `null_spike`), `downstream` (a check of a later table). Each fault is counted
    once, where it is noticed first."""
    unnoticed: list[UnnoticedRow]
    suggestions: list[SuggestedCheckRow]
    unfinished: list[str]
    skipped: list[str]
    seconds: float
