"""`pause` and `resume`: whether the scheduler starts anything of the selected nodes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated

from headrace.access.permissions import OPERATE, SEE, command
from headrace.acts import commands
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import evaluate_now, leader_command
from headrace.model import Project, ProjectError, UsageError
from headrace.model.causes import CauseKind
from headrace.model.export_problems import exported
from headrace.model.intervals import to_us
from headrace.model.times import Duration
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.project.parameters import Excluded, Option, Reason, Selected
from headrace.project.selection import NOTHING_SELECTED, selected
from headrace.project.session import Progress, ProjectSession
from headrace.responses.interventions import PauseResponse, PauseRow
from headrace.scheduler import Paused, Resumed
from headrace.security.audit import Action, Actor, AuditEvent, Object, append_all, rfc3339
from headrace.store import Transaction
from headrace.store.clock import instant
from headrace.store.queries import incidents, scheduling
from headrace.store.queries.scheduling import Pause

# Shared by `pause` and `resume`: the selected nodes, the audit entries, and the list of pauses.


def list_pauses(
    session: ProjectSession, project: Project | None, tx: Transaction, now_us: int
) -> list[PauseRow]:
    """Return all pauses in force."""
    return [_row(session, project, pause) for pause in scheduling.pauses_in_force(tx, now_us)]


def scheduled(project: Project, names: Collection[str]) -> tuple[str, ...]:
    """Return the scheduled nodes among the names: sources, assets but views, exported consumers."""
    return tuple(name for name in names if _is_scheduled(project, name))


def audited(
    tx: Transaction,
    now_us: int,
    action: Action,
    actor: Actor,
    project: Project,
    changed: Sequence[Pause],
    reason: str,
) -> None:
    """Append an audit entry for each node."""
    events = [
        AuditEvent(
            action=action,
            actor=actor,
            object=Object(project.kind(pause.node) or "node", pause.node),
            reason=reason,
            after={"until": None if pause.until is None else rfc3339(instant(pause.until))}
            if action is Action.NODE_PAUSED
            else None,
            before={"reason": pause.reason, "by": pause.actor}
            if action is Action.NODE_RESUMED
            else None,
        )
        for pause in changed
    ]
    if events:
        append_all(tx, now_us, events)


def _is_scheduled(project: Project, name: str) -> bool:
    if name in project.consumers:
        return exported(project, name) is not None
    return project.node(name) is not None and not is_view(project, name)


def _row(session: ProjectSession, project: Project | None, pause: Pause) -> PauseRow:
    until: datetime | None = None if pause.until is None else session.instant(pause.until)
    return PauseRow(
        node=pause.node,
        kind=None if project is None else project.kind(pause.node),
        reason=pause.reason,
        by=pause.actor,
        since=session.instant(pause.since),
        until=until,
    )


# `pause`: the scheduler starts nothing of the selected nodes; running attempts go on.


@command("pause", OPERATE, of="select", http="POST /pause do_pause", session="pause")
def pause(
    session: ProjectSession,
    select: Selected,
    *,
    exclude: Excluded = (),
    reason: Annotated[
        str,
        Option("--reason", metavar="TEXT", help="why; who finds it paused reads it"),
    ],
    until: Annotated[
        str | None,
        Option(
            "--until", metavar="T", help="a time, or from now: 2h, 3d; then it resumes by itself"
        ),
    ] = None,
    progress: Progress,
) -> PauseResponse:
    """Start nothing of the selected nodes any more. Running attempts go on.

    Raise Refused without a reason, UsageError for no or an unknown selection or an invalid time.
    """
    if not select:
        raise UsageError(
            "nothing was selected to be paused",
            hint="headrace pause '*' --reason TEXT pauses everything",
        )
    text = commands.required_reason(reason, "pause", "who finds it paused at night has to know why")
    return _pause.perform(session, progress, list(select), list(exclude), text, until)


@command("pauses", SEE, lists=True, http="GET /paused paused", session="paused")
def paused(session: ProjectSession) -> PauseResponse:
    """Return the pauses in force."""
    rows = []
    if session.store is not None:
        now_us, project = (
            session.clock.now_us(),
            session.compiled.project if session.compiled is not None else None,
        )
        with session.store.read() as tx:
            rows = list_pauses(session, project, tx, now_us)
    return PauseResponse(now=session.now(), clock=session.clock.kind, changed=[], paused=rows)


@leader_command("pause", PauseResponse)
def _pause(
    context: CommandContext, select: list[str], exclude: list[str], reason: str, until: str | None
) -> PauseResponse:
    applied = context.applied()
    if applied is None:
        raise ProjectError(
            "nothing is applied yet, so nothing runs that could be paused", hint="headrace apply"
        )
    project = applied.compiled.project
    selection = selected(context.session, select, exclude, compiled=applied.compiled)
    if not selection:
        raise UsageError(NOTHING_SELECTED, hint="headrace ls shows what there is")
    names = [name for name in selection if not is_view(project, name)]
    if not names:
        raise UsageError(
            "nothing was selected that runs: a view is computed when it is read",
            hint="pause what it reads",
        )
    now_us = context.clock.now_us()
    ends_at = None if until is None else lapses_at(context, until, now_us)
    pauses = [Pause(name, reason, context.actor.id, now_us, ends_at) for name in names]

    def write(tx: Transaction, now: int) -> None:
        scheduling.end_expired_pauses(tx, now)
        scheduling.put_pauses(tx, pauses)
        audited(tx, now, Action.NODE_PAUSED, context.actor, project, pauses, reason)

    context.tell(Paused(scheduled(project, names), reason, ends_at), write=write)
    with context.store.read() as tx:
        return PauseResponse(
            now=context.now(),
            clock=context.clock.kind,
            changed=names,
            paused=list_pauses(context.session, project, tx, context.clock.now_us()),
        )


def lapses_at(context: CommandContext, text: str, now_us: int) -> int:
    """Return the end of a pause in µs, from a duration (`2h` from now) or a time.

    Raise UsageError for an invalid or a past time.
    """
    try:
        result = Duration.parse(text).after_us(now_us, context.session.timezone)
    except UsageError:
        result = to_us(context.session.parse_time(text, "--until"))
    if result <= now_us:
        raise UsageError(
            f"--until {text[:40]} is over already", hint=f"it is {context.now():%Y-%m-%d %H:%M}"
        )
    return result


# `resume`: paused nodes may run again.


@command(
    "resume",
    OPERATE,
    of="select",
    http="POST /resume do_resume",
    session="resume",
    group="act",
    summary="let paused assets run again",
)
def resume(
    session: ProjectSession,
    select: Selected,
    *,
    exclude: Excluded = (),
    reason: Reason = None,
    progress: Progress,
) -> PauseResponse:
    """Let paused nodes run again.

    Raise UsageError if nothing is selected, or none of the selected nodes is paused.
    """
    if not select:
        raise UsageError(
            "resume needs a selection",
            hint="headrace pause lists what is paused; `headrace resume '*'` resumes all",
        )
    text = (reason or "").strip()
    return _resume.perform(session, progress, list(select), list(exclude), text)


@leader_command("resume", PauseResponse)
def _resume(
    context: CommandContext, select: list[str], exclude: list[str], reason: str
) -> PauseResponse:
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing is paused", hint="headrace apply")
    with context.store.read() as tx:
        held = {
            pause.node: pause for pause in scheduling.pauses_in_force(tx, context.clock.now_us())
        }
    ended = _ended(context, select, exclude, applied.compiled, held)
    project: Project = applied.compiled.project

    def write(tx: Transaction, now: int) -> None:
        scheduling.end_expired_pauses(tx, now)
        scheduling.end_pauses(tx, [pause.node for pause in ended], now)
        audited(tx, now, Action.NODE_RESUMED, context.actor, project, ended, reason)
        if any(incident.kind == CauseKind.PAUSED for incident in incidents.open_incidents(tx)):
            evaluate_now(tx, context.session, applied, now)

    names = [pause.node for pause in ended]
    context.tell(Resumed(scheduled(project, names)), write=write)
    with context.store.read() as tx:
        return PauseResponse(
            now=context.now(),
            clock=context.clock.kind,
            changed=names,
            paused=list_pauses(context.session, project, tx, context.clock.now_us()),
        )


def _ended(
    context: CommandContext,
    select: list[str],
    exclude: list[str],
    compiled: Compiled,
    held: dict[str, Pause],
) -> list[Pause]:
    """Return the pauses to end, including those of named nodes that are no longer declared."""
    undeclared = [name for name in select if name in held and compiled.project.node(name) is None]
    rest = [text for text in select if text not in undeclared]
    names = [
        *undeclared,
        *(selected(context.session, rest, exclude, compiled=compiled) if rest else ()),
    ]
    results = [held[name] for name in names if name in held]
    if not results:
        raise UsageError("nothing of that is paused", hint="headrace pause lists what is")
    return results
