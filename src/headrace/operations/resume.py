"""`resume`: what was paused may run again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.govern.audit import Action
from headrace.model import Project, ProjectError, UsageError
from headrace.observe.diagnosis.causes import CauseKind
from headrace.operations.interventions import PauseResponse
from headrace.operations.judging import judge_now
from headrace.operations.paused import audited, listed, scheduled
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.selection import selected
from headrace.operations.session import ProjectSession
from headrace.plan import Compiled
from headrace.schedule import Resumed
from headrace.store import Transaction
from headrace.store.queries import incidents, pauses
from headrace.store.queries.pauses import Pause


class ResumeArguments(msgspec.Struct, frozen=True):
    """What was typed."""

    select: list[str]
    exclude: list[str]
    reason: str


def resume(
    session: ProjectSession, select: Sequence[str], *, exclude: Sequence[str], reason: str | None, progress: Progress
) -> PauseResponse:
    """Let the selected nodes run again. UsageError for a selection of which nothing is paused."""
    arguments = ResumeArguments(list(select), list(exclude), (reason or "").strip())
    return perform(session, "resume", arguments, progress)  # type: ignore[no-any-return]


@leader_command("resume", ResumeArguments, PauseResponse)
def _resume(context: CommandContext, arguments: ResumeArguments, progress: Progress) -> PauseResponse:
    del progress
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing is paused", hint="headrace apply")
    with context.store.read() as tx:
        held = {pause.node: pause for pause in pauses.in_force(tx, context.clock.now_us())}
    ended = _ended(context, arguments, applied.compiled, held)
    project: Project = applied.compiled.project

    def write(tx: Transaction, now: int) -> None:
        pauses.end_those_over(tx, now)
        pauses.end(tx, [pause.node for pause in ended], now)
        audited(tx, now, Action.NODE_RESUMED, context.actor, project, ended, arguments.reason)
        if any(incident.kind == CauseKind.PAUSED for incident in incidents.open_ones(tx)):
            judge_now(tx, context.session, applied, now)

    names = [pause.node for pause in ended]
    context.tell(Resumed(scheduled(project, names)), write=write)
    with context.store.read() as tx:
        return PauseResponse(
            now=context.now(), clock=context.clock.kind, changed=names, paused=listed(context.session, project, tx, context.clock.now_us())
        )


def _ended(context: CommandContext, arguments: ResumeArguments, compiled: Compiled, held: dict[str, Pause]) -> list[Pause]:
    """The pauses that end: of the selected nodes, and of what is named although it isn't declared any more."""
    gone = [name for name in arguments.select if name in held and compiled.project.node(name) is None]
    rest = [text for text in arguments.select if text not in gone]
    names = [*gone, *(selected(context.session, rest, arguments.exclude, compiled=compiled) if rest else ())]
    results = [held[name] for name in names if name in held]
    if not results:
        raise UsageError("nothing of that is paused", hint="headrace pause lists what is")
    return results
