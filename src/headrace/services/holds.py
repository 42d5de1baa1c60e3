"""`hold`: legal holds, under which no data of a node is erased or retired."""

from __future__ import annotations

from typing import Annotated

from headrace.access.permissions import ADMINISTER, SEE, command
from headrace.acts import commands
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.model import UnknownName, UsageError
from headrace.model.errors import did_you_mean
from headrace.privacy.retention import hold_row
from headrace.project.parameters import Argument, Option, RequiredReason
from headrace.project.session import Progress, ProjectSession
from headrace.responses.retention import HoldRow
from headrace.security.audit import Action, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import holds as stored
from headrace.store.queries.holds import EVERYTHING, Hold

SHOWN_MAX = 200

HeldNode = Annotated[
    str | None, Argument("[NODE]", help="a source or an asset; `release NODE` ends its hold")
]
All = Annotated[bool, Option("--all", help="everything in this project")]


@command("hold list", SEE, session="holds")
def holds(session: ProjectSession) -> list[HoldRow]:
    """Return the legal holds (at most 200), newest first, those that were released too."""
    if session.store is None:
        return []
    with session.store.read() as tx:
        return [hold_row(session, hold) for hold in stored.every(tx, SHOWN_MAX)]


@command("hold", ADMINISTER, session="hold")
def hold(
    session: ProjectSession,
    node: HeldNode = None,
    *,
    all_: All = False,
    reason: RequiredReason,
    progress: Progress,
) -> HoldRow:
    """Set a legal hold: until it is released, `erase` and `retain:` remove nothing of the node.

    Raise Refused without a reason, UsageError without a node, and UnknownName.
    """
    text = commands.required_reason(reason, "hold", "somebody has to know when it may end")
    return _set.perform(session, progress, _held(session, node, all_=all_), text)


@command("hold release", ADMINISTER, session="release_hold")
def release(
    session: ProjectSession,
    node: HeldNode = None,
    *,
    all_: All = False,
    reason: RequiredReason,
    progress: Progress,
) -> HoldRow:
    """Release a legal hold. Raise as `hold` does, and UsageError if there is none."""
    text = commands.required_reason(reason, "hold release", "data may be removed from then on")
    held = _held(session, node, all_=all_, declared=False)
    return _release.perform(session, progress, held, text)


def _held(session: ProjectSession, node: str | None, *, all_: bool, declared: bool = True) -> str:
    if all_ == (node is not None):
        raise UsageError(
            "a hold is of one node, or of everything",
            hint="headrace hold NODE --reason TEXT, or headrace hold --all --reason TEXT",
        )
    if node is None:
        return EVERYTHING
    project = session.project()
    if declared and project.source_or_asset(node) is None:
        known = [*project.sources, *project.assets]
        raise UnknownName(
            f"there is no source or asset {node[:60]!r}",
            hint=did_you_mean(node, known) or "headrace ls",
        )
    return node


@leader_command("hold_set", HoldRow)
def _set(context: CommandContext, node: str, reason: str) -> HoldRow:
    results: list[Hold] = []

    def write(tx: Transaction, now: int) -> None:
        known = {hold.node for hold in stored.in_force(tx)}
        results.append(stored.set_hold(tx, node, reason=reason, actor=context.actor.id, now=now))
        if node not in known:
            append(tx, now, _event(context, Action.HOLD_SET, node, reason))

    context.tell(write=write)
    return hold_row(context.session, results[-1])


@leader_command("hold_release", HoldRow)
def _release(context: CommandContext, node: str, reason: str) -> HoldRow:
    with context.store.read() as tx:
        held = next((item for item in stored.in_force(tx) if item.node == node), None)
    if held is None:
        name = "everything" if node == EVERYTHING else node
        raise UsageError(f"{name} isn't under a legal hold", hint="headrace hold lists them")

    def write(tx: Transaction, now: int) -> None:
        stored.release(tx, held, reason=reason, actor=context.actor.id, now=now)
        append(tx, now, _event(context, Action.HOLD_RELEASED, node, reason))

    context.tell(write=write)
    with context.store.read() as tx:
        (row,) = [item for item in stored.every(tx, SHOWN_MAX) if item.id == held.id]
    return hold_row(context.session, row)


def _event(context: CommandContext, action: Action, node: str, reason: str) -> AuditEvent:
    return AuditEvent(
        action=action,
        actor=context.actor,
        object=Object("node", node),
        reason=reason,
    )
