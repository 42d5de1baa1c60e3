"""`checks`: every declared check with what it came to, last and before."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model import Asset, CheckSpec, Severity, Source
from headrace.operations.checks_documents import CheckOutcomeRow, CheckStandingRow
from headrace.operations.selection import selected
from headrace.operations.session import Session
from headrace.store import Transaction
from headrace.store.queries import checks as stored
from headrace.store.queries.checks import CheckOutcome

NEVER = "never"
_MEANT = {"reject": "rejected", "hold": "held", "warn": "warned", "quarantine_rows": "warned"}
"""What a blocking check's failure means for the partition."""


def checks(session: Session, select: Sequence[str], exclude: Sequence[str], limit: int) -> list[CheckStandingRow]:
    """The checks of what is selected, by node and in the order of the files, each with its newest `limit` outcomes.

    UsageError for a selection that names nothing, ProjectError where nothing is applied and the files have errors.
    """
    project = session.project()
    names = [name for name in selected(session, select, exclude, project=project) if name not in project.consumers]
    nodes = [project.sources.get(name) or project.assets[name] for name in names]
    if session.store is None:
        return [_row(session, node, check, []) for node in nodes for check in node.checks]
    with session.store.read() as tx:
        return [_row(session, node, check, _outcomes(tx, node, check, limit)) for node in nodes for check in node.checks]


def _outcomes(tx: Transaction, node: Source | Asset, check: CheckSpec, limit: int) -> list[CheckOutcome]:
    view = isinstance(node, Asset) and node.materialize == "view"
    return stored.of_check(tx, node.name, check.name, view=view, limit=limit)


def _row(session: Session, node: Source | Asset, check: CheckSpec, found: Sequence[CheckOutcome]) -> CheckStandingRow:
    newest = found[0] if found else None
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
        runs=len(found),
        failures=sum(one.outcome == "failed" for one in found),
        file=check.place.file,
        line=check.place.line,
        history=[_outcome(session, one) for one in found],
    )


def _verdict(node: Source | Asset, newest: CheckOutcome) -> str:
    """In the words of the attempt's verdict, as the check was then."""
    if newest.outcome != "failed":
        return newest.outcome
    return _MEANT.get(node.on_fail, "rejected") if newest.severity == Severity.BLOCKING else "warned"


def _outcome(session: Session, one: CheckOutcome) -> CheckOutcomeRow:
    return CheckOutcomeRow(
        partition=one.partition, outcome=one.outcome, failing=one.failing, at=session.instant(one.at), attempt=f"{one.epoch}.{one.n}"
    )
