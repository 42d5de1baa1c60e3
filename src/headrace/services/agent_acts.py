"""Acts of agents: their ceilings, and the record of who acts, with which client and for whom.

Each act of an agent is recorded before it begins, in the audit trail, as `agent.acted`. The actor
is the token. The client and the person for whom it acts are what the agent says about itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.model.errors import OverCeiling
from headrace.model.nodes import AgentCeilings
from headrace.security.audit import Action, ActionOutcome, AuditEvent, Object, append
from headrace.services.command_context import CommandContext
from headrace.services.commands import leader_command, perform
from headrace.services.parameters import command_function
from headrace.services.permissions import trusted
from headrace.services.responses import Response
from headrace.services.session import Progress, ProjectSession, Silent
from headrace.store import Transaction
from headrace.store.queries import audit_trail

ARGUMENT_CHARACTERS_MAX = 2_000
"""Of the arguments of an act in the audit trail."""
CLAIM_CHARACTERS_MAX = 200
"""Of each text that an agent says about itself."""
HOUR_US = 3_600_000_000


class Consequence(msgspec.Struct, frozen=True):
    """What an act would do at most; None where it can't be known before."""

    partitions: int | None = None
    rows: int | None = None
    bytes: int | None = None


class AgentClaim(msgspec.Struct, frozen=True):
    """What an agent says about itself; nobody has verified it."""

    client: str = ""
    version: str = ""
    on_behalf_of: str = ""
    transport: str = ""


# What an act would do, by the commands that plan it; their modules are imported on first use.


def _of_backfill(session: ProjectSession, request: Any) -> Consequence:
    planned = command_function("backfills:preview_backfill")(
        session,
        request.select,
        exclude=request.exclude,
        first=request.first,
        last=request.last,
        since=request.since,
        mode=request.mode,
        only=request.only,
        allow_partial=request.allow_partial,
        reason=request.reason,
    )
    return Consequence(partitions=planned.partitions_total, bytes=planned.bytes_estimate)


def _of_run(session: ProjectSession, request: Any) -> Consequence:
    from headrace.services.run import RunArguments, partitions_of_run

    arguments = RunArguments(
        list(request.select),
        list(request.exclude),
        list(request.partitions),
        request.first,
        request.last,
        request.again,
        request.reason,
    )
    return Consequence(partitions=partitions_of_run(session, arguments))


def _of_fix(session: ProjectSession, request: Any) -> Consequence:
    planned = command_function("fix:preview_fix")(
        session,
        request.incident,
        again=request.again,
        convert=request.convert,
        as_is=request.as_is,
    )
    if planned.backfill is None:
        return Consequence()
    return Consequence(planned.backfill.partitions_total, None, planned.backfill.bytes_estimate)


def _of_apply(session: ProjectSession, request: Any) -> Consequence:
    planned = command_function("plans:plan")(session, keep=request.keep, progress=Silent())
    return Consequence(
        partitions=sum(step.partitions or 0 for step in planned.steps),
        bytes=planned.bytes_estimate,
    )


def _of_quarantine(session: ProjectSession, request: Any) -> Consequence:
    held = command_function("quarantine:list_quarantine")(session, request.target)
    return Consequence(rows=sum(row.rows or 0 for row in held))


CONSEQUENCES: Mapping[str, Callable[[ProjectSession, Any], Consequence]] = {
    "apply:apply_plan": _of_apply,
    "backfills:run_backfill": _of_backfill,
    "fix:run_fix": _of_fix,
    "quarantine_decisions:accept": _of_quarantine,
    "quarantine_decisions:drop": _of_quarantine,
    "run:run": _of_run,
}
"""Function → what its call would do. The other acts concern one thing that their caller names, or
what the schedule does anyway."""


def consequence(session: ProjectSession, function: str, request: Any) -> Consequence:
    """Return what a call of an act would do at most. Raise what the planning command raises."""
    estimate = CONSEQUENCES.get(function)
    if estimate is None:
        return Consequence()
    with trusted(session):
        return estimate(session, request)


def over_ceiling(ceilings: AgentCeilings, expected: Consequence) -> str:
    """Return which ceiling of `[mcp]` an act would exceed; empty if none."""
    for name, value, most in (
        ("partitions", expected.partitions, ceilings.partitions_max),
        ("rows", expected.rows, ceilings.rows_max),
        ("bytes", expected.bytes, ceilings.bytes_max),
    ):
        if value is not None and value > most:
            return (
                f"this would touch {value:,} {name}, and agents may touch {most:,} with one act"
                f" ([mcp] {name}_max)"
            )
    return ""


# The record of an act, which also counts the acts of an hour.


class ActArguments(msgspec.Struct, frozen=True):
    """An act as it is recorded; `denied` says why it isn't done."""

    tool: str
    claim: AgentClaim
    parameters: str
    reason: str
    expected: Consequence
    acts_per_hour: int
    denied: str = ""


class ActNoted(Response, frozen=True, kw_only=True):
    """Confirms that an act is recorded, or says that the token has acted too often."""

    acts: int
    """Acts of the token within the last hour, with this one."""
    exceeded: bool


def record_act(session: ProjectSession, arguments: ActArguments, progress: Progress) -> None:
    """Record an act in the audit trail.

    Raise Refused if the token has reached the acts that it may do within an hour.
    """
    noted: ActNoted = perform(session, "agent_act", arguments, progress)
    if noted.exceeded:
        raise OverCeiling(
            f"{session.actor} has acted {arguments.acts_per_hour} times within the last hour, and"
            " may do no more ([mcp] acts_per_hour)",
            hint="wait, or ask a person to do it; an admin raises acts_per_hour in headrace.toml",
        )


@leader_command("agent_act", ActArguments, ActNoted)
def _record(context: CommandContext, arguments: ActArguments, progress: Progress) -> ActNoted:
    del progress
    actor, most = context.actor, arguments.acts_per_hour
    with context.store.read() as tx:
        acts = audit_trail.count_since(
            tx,
            Action.AGENT_ACTED,
            (actor.type, actor.id),
            context.clock.now_us() - HOUR_US,
            limit=most + 1,
        )
    exceeded = acts >= most
    if acts > most:  # the first refusal is recorded, and no further ones
        return ActNoted(acts=acts, exceeded=True)
    denied = arguments.denied or ("more acts within an hour than allowed" if exceeded else "")

    def write(tx: Transaction, now: int) -> None:
        claim = arguments.claim
        event = AuditEvent(
            action=Action.AGENT_ACTED,
            actor=actor,
            object=Object("tool", arguments.tool),
            outcome=ActionOutcome.DENIED if denied else ActionOutcome.ALLOWED,
            reason=arguments.reason,
            after={
                "client": {"name": claim.client, "version": claim.version},
                "on_behalf_of": claim.on_behalf_of,
                "transport": claim.transport,
                "parameters": arguments.parameters,
                "expected": msgspec.to_builtins(arguments.expected),
                **({"denied": denied} if denied else {}),
            },
        )
        append(tx, now, event)

    context.tell(write=write)
    return ActNoted(acts=acts + 1, exceeded=exceeded)
