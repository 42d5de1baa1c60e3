"""`exports take-over`: a consumer's target is this project's from now on, whoever exported there before."""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.govern.audit import Action, AuditEvent, Object, append
from headrace.model import Project, ProjectError, UnknownName, UsageError
from headrace.model.exports import export_of
from headrace.model.reporting import did_you_mean
from headrace.operations import reasons
from headrace.operations.performing import CommandContext, leader_command, perform
from headrace.operations.progress import Progress
from headrace.operations.responses import Response
from headrace.operations.session import ProjectSession
from headrace.store import Transaction
from headrace.store.queries import export_targets


class TakeOverArguments(msgspec.Struct, frozen=True):
    """A consumer whose target is taken over, and why."""

    consumer: str
    reason: str


class TakeOverResponse(Response, frozen=True, kw_only=True):
    """`exports take-over`: what was exported there by another project is replaced, interval by interval."""

    now: datetime
    clock: str
    consumer: str
    target: str
    reason: str
    by: str


def take_over(session: ProjectSession, consumer: str, *, reason: str | None, progress: Progress) -> TakeOverResponse:
    """Take a consumer's target over. Refused without a reason; UsageError for a consumer that isn't exported to a table."""
    text = reasons.given(reason, "exports take-over", "another project may rely on exporting there")
    _target(session.project(), consumer)
    return perform(session, "exports", TakeOverArguments(consumer, text), progress)  # type: ignore[no-any-return]


@leader_command("exports", TakeOverArguments, TakeOverResponse)
def _take_over(context: CommandContext, arguments: TakeOverArguments, progress: Progress) -> TakeOverResponse:
    del progress
    applied = context.applied()
    if applied is None:
        raise ProjectError("nothing is applied yet, so nothing is exported", hint="headrace apply")
    target = _target(applied.compiled.project, arguments.consumer)

    def write(tx: Transaction, now: int) -> None:
        export_targets.takes_over(tx, arguments.consumer)
        what = AuditEvent(
            action=Action.EXPORT_TAKEN_OVER, actor=context.actor, object=Object("consumer", arguments.consumer),
            reason=arguments.reason, after={"target": target},
        )  # fmt: skip
        append(tx, now, what)

    context.tell(write=write)
    return TakeOverResponse(
        now=context.now(), clock=context.clock.kind, consumer=arguments.consumer, target=target, reason=arguments.reason,
        by=context.actor.id,
    )  # fmt: skip


def _target(project: Project, name: str) -> str:
    """Where the consumer's export goes."""
    consumer = project.consumers.get(name)
    if consumer is None:
        raise UnknownName(f"there is no consumer {name[:60]!r}", hint=did_you_mean(name, project.consumers) or "headrace status")
    export = export_of(consumer)
    if export is None:
        raise UsageError(f"{name} has no export", hint="add `export:` to the consumer, then headrace apply")
    if export.table is None:
        raise UsageError(
            f"{name} is exported to files, which whoever writes last replaces: there is nothing to take over",
            hint="only tables say which project exports there",
        )
    return export.shown
