"""`quarantine`: held and rejected data that waits, with the reason, some of its rows, and what to do."""

from __future__ import annotations

from pathlib import Path

from headrace.model import Project, Source
from headrace.operations import targets
from headrace.operations.documents import CheckRow, QuarantineRow
from headrace.operations.glimpse import glimpse
from headrace.operations.session import Session
from headrace.store import Transaction
from headrace.store.queries import attempts, checks, deliveries
from headrace.store.queries import quarantine as stored
from headrace.store.queries.quarantine import Quarantined


def quarantine(session: Session, target: str | None) -> list[QuarantineRow]:
    """What waits now, by node and partition; of one asset, source or partition where `target` names it.

    UsageError for a target that there isn't.
    """
    project = session.project()
    node, partition = targets.target(target, project) if target else (None, None)
    if session.store is None:
        return []
    with session.store.read() as tx:
        return [_row(session, tx, project, one) for one in stored.waiting(tx, node=node, partition=partition)]


def _row(session: Session, tx: Transaction, project: Project, one: Quarantined) -> QuarantineRow:
    node = project.node(one.node)
    delivery = None if one.delivery_id is None else deliveries.get(tx, one.delivery_id)
    attempt = attempts.get(tx, one.epoch, one.n)
    return QuarantineRow(
        node=one.node,
        partition=one.partition,
        state=one.state,
        verdict=(attempt.verdict if attempt else None) or one.state,
        at=session.instant(one.at),
        reason=one.reason,
        owner=node.owner if node else None,
        rows=one.rows,
        path=None if one.path is None else shown_path(session, session.data_folder / one.path),
        delivery=delivery.path if delivery else None,
        sample=list(one.sample or glimpse(session.data_folder, one.path, delivery.path if delivery else None)),
        checks=_failed(tx, one),
        attempt=f"{one.epoch}.{one.n}",
        todo=_todo(project, one, delivery.path if delivery else None),
    )


def _failed(tx: Transaction, one: Quarantined) -> list[CheckRow]:
    return [
        CheckRow(name=c.name, kind=c.kind, severity=c.severity, outcome=c.outcome, rows=c.rows, failing=c.failing, detail=c.detail)
        for c in checks.of_attempt(tx, one.epoch, one.n)
        if c.partition == one.partition and c.outcome == "failed"
    ]


def shown_path(session: Session, path: Path) -> str:
    """Relative to the project where it lies inside, else absolute."""
    return path.relative_to(session.root).as_posix() if path.is_relative_to(session.root) else str(path)


def _todo(project: Project, one: Quarantined, delivery: str | None) -> str:
    node = project.node(one.node)
    if node is None:
        return "nothing: what it belonged to is no longer declared"
    if isinstance(node, Source):
        if node.connector:
            return f"ask {node.owner} for the data as it was agreed: the next look finds it; or declare it as it is in {node.place.file}"
        again = f"under the name {delivery}" if delivery else "where the source looks"
        return f"ask {node.owner} for the file as it was agreed; put it {again}, then: headrace tick"
    look = f"headrace try {one.node}@{one.partition} shows the result, headrace apply puts it in force"
    return f"correct {node.place.file}, its input or the check that failed; {look}"
