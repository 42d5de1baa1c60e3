"""Responses of `checks challenge` and `checks suggest`."""

from __future__ import annotations

from typing import Any

from headrace.extension import Response


class ChallengedCheckRow(Response, frozen=True, kw_only=True):
    """`checks challenge`: the result for one check.

    `verdict` is null if time ran out before there was one; `partition` is the partition whose rows
    were mutated; `caught` lists the noticed faults.
    """

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
    """`checks suggest`: a check that would notice faults that no check notices.

    `check` is the check to add, `yaml` the same as text. `written` is the file that it was added
    to, null unless that was requested.
    """

    values_of_rows = ("check",)

    asset: str
    check: dict[str, Any]
    yaml: str
    evidence: str
    catches: list[str]
    consumers: list[str]
    assets: list[str]
    written: str | None = None


class UnnoticedRow(Response, frozen=True, kw_only=True):
    """`checks challenge --unnoticed`: a fault that none of its asset's checks notices.

    `assets` and `consumers` are those that the fault would reach; `suggestion` is the check to add.
    """

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
    """The result of a challenge.

    `unfinished` names the nodes left when time ran out, `skipped` the nodes without rows.
    """

    checks: list[ChallengedCheckRow]
    noticed: dict[str, int]
    """Number of faults by what notices them first.

    Keys are `check`, `partition` (rows of another partition), `contract`, `rows` and `empty` (the
    expected delivery), kinds of cause (such as `null_spike`), and `downstream` (a check of a later
    table).
    """
    unnoticed: list[UnnoticedRow]
    suggestions: list[SuggestedCheckRow]
    unfinished: list[str]
    skipped: list[str]
    seconds: float
