"""Acts of API tokens: their ceilings, and the record of who acts, with which client and for whom.

The ceilings of `[mcp]` hold for a token wherever it is used: as a tool for agents, over the HTTP
API, on the command line and in Python. Each act is recorded before it begins, in the audit trail,
as `agent.acted`. The actor is the token. The client and the person for whom it acts are what the
agent says about itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec

from headrace.access.permissions import Command, check, trusted
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import leader_command
from headrace.model import Refused
from headrace.model.errors import OverCeiling
from headrace.model.nodes import AgentCeilings
from headrace.project.parameters import FROM_THE_CALLER, command_function
from headrace.project.session import AgentClaim, Progress, ProjectSession, Silent
from headrace.responses import Response
from headrace.security.audit import Action, ActionOutcome, AuditEvent, Object, append
from headrace.store import Transaction
from headrace.store.queries import audit_trail

ARGUMENT_CHARACTERS_MAX = 2_000
"""Of the arguments of an act in the audit trail."""
CLAIM_CHARACTERS_MAX = 200
"""Of each text that an agent says about itself."""
HOUR_US = 3_600_000_000
DELIVERING = ("receive", "hook")
"""Commands by which programs of vendors deliver; they compute what the schedule does anyway."""


class Consequence(msgspec.Struct, frozen=True):
    """What an act would do at most; None where it can't be known before."""

    partitions: int | None = None
    rows: int | None = None
    bytes: int | None = None


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


def _of_needed(session: ProjectSession, request: Any) -> Consequence:
    backfills = [
        command_function("backfills:preview_backfill")(
            session, row.select, first=row.from_, last=row.to, mode=row.mode, reason=request.reason
        )
        for row in request.needed
    ]
    return Consequence(
        partitions=sum(planned.partitions_total for planned in backfills),
        bytes=sum(planned.bytes_estimate or 0 for planned in backfills),
    )


def _of_retry(session: ProjectSession, request: Any) -> Consequence:
    from headrace.services.run import failed_partitions

    return Consequence(partitions=len(failed_partitions(session, request.target)))


def _of_fix(session: ProjectSession, request: Any) -> Consequence:
    from headrace.repairs.contract_updates import ValueDecision
    from headrace.services.fix import fix

    by_tool = hasattr(request, "incident")  # `run_fix`; else `fix`
    planned = fix(
        session,
        request.incident if by_tool else request.target,
        dry_run=True,
        confirm=lambda _: False,
        progress=Silent(),
        again=request.again,
        decision=ValueDecision(tuple(request.convert), request.as_is)
        if by_tool
        else request.decision,
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
    "apply:apply": _of_apply,
    "apply:apply_plan": _of_apply,
    "apply:make_again": _of_needed,
    "backfills:backfill": lambda session, request: _of_backfill(session, request.arguments),
    "backfills:run_backfill": _of_backfill,
    "fix:fix": _of_fix,
    "fix:run_fix": _of_fix,
    "quarantine_decisions:accept": _of_quarantine,
    "quarantine_decisions:drop": _of_quarantine,
    "run:retry": _of_retry,
    "run:run": _of_run,
}
"""Function → what its call would do. The other acts concern one thing that their caller names, or
what the schedule does anyway."""


def admit(
    session: ProjectSession, needed: Command, function: str, given: Mapping[str, Any]
) -> None:
    """Check a call of a command's function by a token, and record it as an act.

    `function` is its path in `COMMANDS`, `given` are all arguments. Raise what the check
    raises, OverCeiling for an act beyond a ceiling of `[mcp]`, and what the command raises that
    plans the act.
    """
    ceilings = session.settings.mcp
    is_exempt = session.identity.name.removeprefix("token:") in ceilings.exempt
    if needed.name in DELIVERING or given.get("dry_run"):
        check(session, needed, given)
        return
    noted = ActArguments(
        tool=tool_name(needed.name),
        claim=session.claim or AgentClaim(),
        parameters=_parameters_text(given),
        reason=str(given.get("reason") or getattr(given.get("arguments"), "reason", "")),
        expected=Consequence(),
        acts_per_hour=None if is_exempt else ceilings.acts_per_hour,
    )
    progress = given.get("progress") or Silent()
    try:
        check(session, needed, given)
    except Refused as refused:
        if session.claim is not None:  # others are refused at once, without waiting for a leader
            record_act(session, msgspec.structs.replace(noted, denied=str(refused)), progress)
        raise
    expected = Consequence() if is_exempt else _consequence(session, function, given)
    denied = over_ceiling(ceilings, expected)
    record_act(session, msgspec.structs.replace(noted, expected=expected, denied=denied), progress)
    if denied:
        raise OverCeiling(
            denied,
            hint=f"select fewer partitions, or ask a person to run `headrace {needed.name}`; an"
            " admin raises the ceiling in headrace.toml",
        )


def tool_name(command: str) -> str:
    """Return the name of a command as a tool: `fix preview` is `fix_preview`."""
    return re.sub(r"\W+", "_", command).strip("_")


def _consequence(session: ProjectSession, function: str, given: Mapping[str, Any]) -> Consequence:
    """Return what a call would do at most. Raise what the planning command raises."""
    estimate = CONSEQUENCES.get(function)
    if estimate is None:
        return Consequence()
    with trusted(session):
        return estimate(session, SimpleNamespace(**given))


def _parameters_text(given: Mapping[str, Any]) -> str:
    """Return the given arguments for the audit trail, shortened."""
    given = {
        name: value
        for name, value in given.items()
        if name not in FROM_THE_CALLER and value and not callable(value)
    }
    text = msgspec.json.encode(given, enc_hook=str).decode()
    cut = len(text) > ARGUMENT_CHARACTERS_MAX
    return text[: ARGUMENT_CHARACTERS_MAX - 1] + "…" if cut else text


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
    acts_per_hour: int | None
    """None for a token that no ceiling holds."""
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
    noted: ActNoted = _record.perform(session, progress, arguments)
    if noted.exceeded:
        raise OverCeiling(
            f"{session.actor} has acted {arguments.acts_per_hour} times within the last hour, and"
            " may do no more ([mcp] acts_per_hour)",
            hint="wait, or ask a person to do it; an admin raises acts_per_hour in headrace.toml",
        )


@leader_command("agent_act", ActNoted)
def _record(context: CommandContext, arguments: ActArguments) -> ActNoted:
    actor, most = context.actor, arguments.acts_per_hour
    acts, exceeded = 0, False
    if most is not None:
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
