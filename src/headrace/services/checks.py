"""`checks`: declared checks with their newest outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.access.permissions import SEE, command
from headrace.model import Asset, CheckSpec, Severity, Source, UsageError
from headrace.project.caches import cursor_text, place
from headrace.project.parameters import Excluded, Option, Selected
from headrace.project.selection import selected
from headrace.project.session import ProjectSession
from headrace.responses import Response
from headrace.store import Transaction
from headrace.store.queries import quality as stored
from headrace.store.queries.quality import CheckOutcome


class CheckOutcomeRow(Response, frozen=True, kw_only=True):
    """One outcome of a check: `passed`, `failed`, or `unchecked` if there were no rows."""

    partition: str
    outcome: str
    failing: int
    at: datetime
    attempt: str


class CheckStandingRow(Response, frozen=True, kw_only=True):
    """`checks`: one declared check with its latest outcome.

    `state` is the outcome, or `never`; `verdict` is its consequence for the partition. `runs` and
    `failures` count the outcomes in `history`, newest first.
    """

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
    """One page of all checks, by node and in file order.

    `next` is the cursor of the next page, null on the last.
    """

    now: datetime
    total: int
    checks: list[CheckStandingRow]
    next: str | None


NEVER = "never"
_MEANT = {"reject": "rejected", "hold": "held", "warn": "warned", "quarantine_rows": "warned"}
"""The verdict of a partition whose blocking check fails, by `on_fail`."""


@command("checks", SEE, of="select", lists=True, http="GET /checks checks", session="checks")
def checks(
    session: ProjectSession,
    select: Selected = (),
    exclude: Excluded = (),
    history: Annotated[
        int,
        Option("--history", metavar="N", help="the outcomes that each check is shown with"),
        Meta(ge=1, le=1_000),
    ] = 10,
) -> list[CheckStandingRow]:
    """Return the checks of the selected nodes, each with its newest `history` outcomes.

    They come by node, in file order. Raise UsageError for a selection that matches nothing,
    ProjectError if nothing is applied and the files have errors.
    """
    return _rows(session, _every(session, select, exclude), history)


class CheckListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selections as in commands; `history` is the maximum number of outcomes per check."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    history: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


@command("checks list", SEE, lists=True, http="GET /checks/list check_list")
def check_list(session: ProjectSession, query: CheckListQuery) -> ChecksResponse:
    """Return one page of the checks. Also raise UsageError for an unknown cursor."""
    every = _every(session, query.select, query.exclude)
    places = [(node.name, check.name) for node, check in every]
    after = None if query.cursor is None else place(query.cursor, tuple[str, str])
    if after is not None and after not in places:
        raise UsageError(
            "the check that this cursor names isn't there any more",
            hint="ask without one for the first page",
        )
    first = 0 if after is None else places.index(after) + 1
    page = every[first : first + query.limit]
    more = first + len(page) < len(every)
    return ChecksResponse(
        now=session.now(),
        total=len(every),
        checks=_rows(session, page, query.history),
        next=cursor_text(places[first + len(page) - 1]) if more else None,
    )


_Declared = tuple[Source | Asset, CheckSpec]


def _every(
    session: ProjectSession, select: Sequence[str], exclude: Sequence[str]
) -> list[_Declared]:
    """Return the checks of the selected nodes, with their nodes."""
    project = session.project()
    names = [name for name in selected(session, select, exclude) if name not in project.consumers]
    nodes = [project.sources.get(name) or project.assets[name] for name in names]
    return [(node, check) for node in nodes for check in node.checks]


def _rows(
    session: ProjectSession, declared: Sequence[_Declared], history: int
) -> list[CheckStandingRow]:
    if session.store is None:
        return [_row(session, node, check, []) for node, check in declared]
    with session.store.read() as tx:
        return [
            _row(session, node, check, _outcomes(tx, node, check, history))
            for node, check in declared
        ]


def _outcomes(
    tx: Transaction, node: Source | Asset, check: CheckSpec, limit: int
) -> list[CheckOutcome]:
    view = isinstance(node, Asset) and node.materialize == "view"
    return stored.outcomes_of_check(tx, node.name, check.name, view=view, limit=limit)


def _row(
    session: ProjectSession,
    node: Source | Asset,
    check: CheckSpec,
    outcomes: Sequence[CheckOutcome],
) -> CheckStandingRow:
    newest = outcomes[0] if outcomes else None
    return CheckStandingRow(
        node=node.name,
        check=check.name,
        kind=check.kind,
        severity=check.severity,
        partition=newest.partition if newest else None,
        state=newest.outcome if newest else NEVER,
        verdict=_verdict(node, newest) if newest else None,
        at=session.instant(newest.at) if newest else None,
        reason=(newest.detail or None) if newest else None,
        owner=node.owner,
        rows=newest.rows if newest else None,
        failing=newest.failing if newest else None,
        runs=len(outcomes),
        failures=sum(outcome.outcome == "failed" for outcome in outcomes),
        file=check.place.file,
        line=check.place.line,
        history=[_outcome(session, outcome) for outcome in outcomes],
    )


def _verdict(node: Source | Asset, newest: CheckOutcome) -> str:
    """Return the verdict that follows from the check's outcome and its severity at that time."""
    if newest.outcome != "failed":
        return newest.outcome
    return (
        _MEANT.get(node.on_fail, "rejected") if newest.severity == Severity.BLOCKING else "warned"
    )


def _outcome(session: ProjectSession, outcome: CheckOutcome) -> CheckOutcomeRow:
    return CheckOutcomeRow(
        partition=outcome.partition,
        outcome=outcome.outcome,
        failing=outcome.failing,
        at=session.instant(outcome.at),
        attempt=f"{outcome.epoch}.{outcome.n}",
    )
