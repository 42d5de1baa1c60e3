"""`pause`: nothing of the selected nodes is started any more; what runs goes on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.govern.audit import Action
from headrace.model import ProjectError, UsageError
from headrace.model.times import Duration
from headrace.model.zones import to_us
from headrace.operations import reasons
from headrace.operations.interventions import PauseResponse
from headrace.operations.paused import audited, listed, scheduled
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.selection import selected
from headrace.operations.session import ProjectSession
from headrace.plan.views import is_view
from headrace.schedule import Paused
from headrace.store import Transaction
from headrace.store.queries import pauses
from headrace.store.queries.pauses import Pause


class PauseArguments(msgspec.Struct, frozen=True):
    """What was typed; `until` is a time, or a duration from now."""

    select: list[str]
    exclude: list[str]
    reason: str
    until: str | None


def pause(
    session: ProjectSession, select: Sequence[str], *, exclude: Sequence[str], reason: str | None, until: str | None, progress: Progress
) -> PauseResponse:
    """Pause the selected nodes. Refused without a reason, UsageError for a selection or a time that there isn't."""
    text = reasons.given(reason, "pause", "who finds it standing still at night has to know why")
    arguments = PauseArguments(list(select), list(exclude), text, until)
    return perform(session, "pause", arguments, progress)  # type: ignore[no-any-return]


def paused(session: ProjectSession) -> PauseResponse:
    """What is paused now."""
    rows = []
    if session.store is not None:
        now_us, project = session.clock.now_us(), session.compiled.project if session.compiled is not None else None
        with session.store.read() as tx:
            rows = listed(session, project, tx, now_us)
    return PauseResponse(now=session.now(), clock=session.clock.kind, changed=[], paused=rows)


@leader_command("pause", PauseArguments, PauseResponse)
def _pause(context: CommandContext, arguments: PauseArguments, progress: Progress) -> PauseResponse:
    del progress
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing runs that could be paused", hint="headrace apply")
    project = applied.compiled.project
    names = [
        name
        for name in selected(context.session, arguments.select, arguments.exclude, compiled=applied.compiled)
        if not is_view(project, name)
    ]
    if not names:
        raise UsageError("nothing was selected that runs: a view is computed when it is read", hint="pause what it reads")
    now_us = context.clock.now_us()
    until = None if arguments.until is None else lapses_at(context, arguments.until, now_us)
    wanted = [Pause(name, arguments.reason, context.actor.id, now_us, until) for name in names]

    def write(tx: Transaction, now: int) -> None:
        pauses.end_those_over(tx, now)
        pauses.put(tx, wanted)
        audited(tx, now, Action.NODE_PAUSED, context.actor, project, wanted, arguments.reason)

    context.tell(Paused(scheduled(project, names), arguments.reason, until), write=write)
    with context.store.read() as tx:
        return PauseResponse(
            now=context.now(), clock=context.clock.kind, changed=names, paused=listed(context.session, project, tx, context.clock.now_us())
        )


def lapses_at(context: CommandContext, text: str, now_us: int) -> int:
    """`2h` from now, or a time, in microseconds. UsageError for what is no time, or over."""
    try:
        result = Duration.parse(text).after_us(now_us, context.session.timezone)
    except UsageError:
        result = to_us(context.session.parse_time(text, "--until"))
    if result <= now_us:
        raise UsageError(f"--until {text[:40]} is over already", hint=f"it is {context.now():%Y-%m-%d %H:%M}")
    return result
