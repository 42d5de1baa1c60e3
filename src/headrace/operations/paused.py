"""What `pause` and `resume` share: which nodes a selection means, who is told, and the list of what is paused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from headrace.govern.audit import Action, Actor, AuditEvent, Object, append_all
from headrace.govern.canonical import rfc3339
from headrace.model import Project
from headrace.model.export_links import exported
from headrace.operations.interventions import PauseRow
from headrace.operations.session import ProjectSession
from headrace.plan.views import is_view
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import pauses
from headrace.store.queries.pauses import Pause


def listed(session: ProjectSession, project: Project | None, tx: Transaction, now_us: int) -> list[PauseRow]:
    """All that is paused now."""
    return [_row(session, project, pause) for pause in pauses.in_force(tx, now_us)]


def scheduled(project: Project, names: Collection[str]) -> tuple[str, ...]:
    """Those of the names that the core schedules: sources, assets that aren't views, and consumers that are exported to."""
    return tuple(name for name in names if _is_scheduled(project, name))


def audited(tx: Transaction, now_us: int, action: Action, actor: Actor, project: Project, changed: Sequence[Pause], reason: str) -> None:
    """An entry in the trail for each node."""
    events = [
        AuditEvent(
            action=action, actor=actor, object=Object(kind(project, pause.node) or "node", pause.node), reason=reason,
            after={"until": None if pause.until is None else rfc3339(instant(pause.until))} if action is Action.NODE_PAUSED else None,
            before={"reason": pause.reason, "by": pause.actor} if action is Action.NODE_RESUMED else None,
        )
        for pause in changed
    ]  # fmt: skip
    if events:
        append_all(tx, now_us, events)


def kind(project: Project | None, name: str) -> str | None:
    """`source`, `asset` or `consumer`; None for what isn't declared."""
    if project is None or project.node(name) is None:
        return None
    return "source" if name in project.sources else "asset" if name in project.assets else "consumer"


def _is_scheduled(project: Project, name: str) -> bool:
    if name in project.consumers:
        return exported(project, name) is not None
    return project.node(name) is not None and not is_view(project, name)


def _row(session: ProjectSession, project: Project | None, pause: Pause) -> PauseRow:
    until: datetime | None = None if pause.until is None else session.instant(pause.until)
    return PauseRow(
        node=pause.node,
        kind=kind(project, pause.node),
        reason=pause.reason,
        by=pause.actor,
        since=session.instant(pause.since),
        until=until,
    )
