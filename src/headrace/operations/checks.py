"""`checks`: every declared check with what it came to, last and before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from headrace.model import Asset, CheckSpec, Severity, Source, UsageError
from headrace.operations.checks_responses import CheckOutcomeRow, ChecksResponse, CheckStandingRow
from headrace.operations.cursors import cursor, place
from headrace.operations.selection import selected
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import checks as stored
from headrace.store.queries.checks import CheckOutcome

NEVER = "never"
_MEANT = {"reject": "rejected", "hold": "held", "warn": "warned", "quarantine_rows": "warned"}
"""What a blocking check's failure means for the partition."""


def checks(session: ProjectSession, select: Sequence[str], exclude: Sequence[str], limit: int) -> list[CheckStandingRow]:
    """The checks of what is selected, by node and in the order of the files, each with its newest `limit` outcomes.

    UsageError for a selection that names nothing, ProjectError where nothing is applied and the files have errors.
    """
    return _rows(session, _every(session, select, exclude), limit)


class CheckListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selections as commands take them; `history`: the outcomes that each check is shown with."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    history: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


def check_list(session: ProjectSession, query: CheckListQuery) -> ChecksResponse:
    """The same in pages. UsageError for a cursor that there isn't, too."""
    every = _every(session, query.select, query.exclude)
    places = [(node.name, check.name) for node, check in every]
    after = None if query.cursor is None else place(query.cursor, tuple[str, str])
    if after is not None and after not in places:
        raise UsageError("the check that this cursor names isn't there any more", hint="ask without one for the first page")
    first = 0 if after is None else places.index(after) + 1
    page = every[first : first + query.limit]
    more = first + len(page) < len(every)
    return ChecksResponse(
        now=session.now(), total=len(every), checks=_rows(session, page, query.history),
        next=cursor(places[first + len(page) - 1]) if more else None,
    )  # fmt: skip


_Declared = tuple[Source | Asset, CheckSpec]


def _every(session: ProjectSession, select: Sequence[str], exclude: Sequence[str]) -> list[_Declared]:
    """The checks of what is selected."""
    project = session.project()
    names = [name for name in selected(session, select, exclude, project=project) if name not in project.consumers]
    nodes = [project.sources.get(name) or project.assets[name] for name in names]
    return [(node, check) for node in nodes for check in node.checks]


def _rows(session: ProjectSession, declared: Sequence[_Declared], history: int) -> list[CheckStandingRow]:
    if session.store is None:
        return [_row(session, node, check, []) for node, check in declared]
    with session.store.read() as tx:
        return [_row(session, node, check, _outcomes(tx, node, check, history)) for node, check in declared]


def _outcomes(tx: Transaction, node: Source | Asset, check: CheckSpec, limit: int) -> list[CheckOutcome]:
    view = isinstance(node, Asset) and node.materialize == "view"
    return stored.of_check(tx, node.name, check.name, view=view, limit=limit)


def _row(session: ProjectSession, node: Source | Asset, check: CheckSpec, outcomes: Sequence[CheckOutcome]) -> CheckStandingRow:
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
    """In the words of the attempt's verdict, as the check was then."""
    if newest.outcome != "failed":
        return newest.outcome
    return _MEANT.get(node.on_fail, "rejected") if newest.severity == Severity.BLOCKING else "warned"


def _outcome(session: ProjectSession, outcome: CheckOutcome) -> CheckOutcomeRow:
    return CheckOutcomeRow(
        partition=outcome.partition,
        outcome=outcome.outcome,
        failing=outcome.failing,
        at=session.instant(outcome.at),
        attempt=f"{outcome.epoch}.{outcome.n}",
    )
