"""`headrace apply`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headrace.cli import asking, backfilling, planning
from headrace.cli.agreeing import agreed
from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.text import plural
from headrace.model.errors import Refused, UsageError
from headrace.operations.responses import ApplyResponse, PlanResponse

REFUSED = ("declined", "refused")
BACKFILLED = {"nothing_due": 0, "succeeded": 0, "declined": 3, "awaiting_approval": 3}


def command(
    invocation: Invocation,
    plan_id: Annotated[str | None, Argument("[PLAN_ID]", help="apply only this plan, as `headrace plan` names it")] = None,
    yes: Annotated[bool, Option("--yes", help="don't ask")] = False,
    backfill: Annotated[bool, Option("--backfill", help="and recompute what becomes stale; needs --reason")] = False,
    keep: Annotated[
        list[str] | None, Option("--keep", metavar="SELECT", help="put new code of these assets into force, and keep what is published")
    ] = None,
    reason: Annotated[
        str | None, Option("--reason", metavar="TEXT", help="why the past is recomputed, or kept; stands in the audit trail")
    ] = None,
) -> int:
    """Put what the files say into force: shows what changes, asks, and does it.

    What was computed by other code stays as it is for readers until somebody asks for more: with --backfill at once, else later.
    Exits 3 where nobody agreed, or something else would be applied by now than the plan that was agreed to.
    """
    from headrace.operations.apply import apply

    if backfill and not (reason or "").strip():
        raise UsageError("--backfill needs --reason", hint="say why published data is computed again: --reason TEXT")
    if keep and not (reason or "").strip():
        raise UsageError("--keep needs --reason", hint="say why the new code leaves published data as it is: --reason TEXT")
    response = apply(
        invocation.session, confirm=lambda plan: _confirm(invocation, plan, yes=yes),
        progress=invocation.progress(), plan_id=plan_id, keep=keep or (), reason=reason or "",
    )  # fmt: skip
    if backfill and response.state not in REFUSED:
        return _made_again(invocation, response, reason or "")
    invocation.show(response, _render)
    if response.backfills and not yes and not invocation.options.json and asking.somebody_there():
        text = asking.text("To make that again now, say why (nothing: not now): ")
        if text:
            return _made_again(invocation, response, text)
    return 3 if response.state in REFUSED else 0


def _made_again(invocation: Invocation, response: ApplyResponse, reason: str) -> int:
    """Do the backfills that it asks for, and show what came of them."""
    from headrace.operations.apply import make_again

    if not invocation.options.json:
        invocation.show(response, _applied)
    done = make_again(invocation.session, response.backfills, reason=reason, progress=invocation.progress())
    if invocation.options.json:
        invocation.show(msgspec.structs.replace(response, backfill=done[-1] if done else None), _render)
    for backfill_response in done:
        if not invocation.options.json:
            invocation.show(backfill_response, backfilling.render)
    return max((BACKFILLED.get(response.state, 1) for response in done), default=0)


def _confirm(invocation: Invocation, plan: PlanResponse, *, yes: bool) -> bool:
    text = f"this changes {plural(len(plan.changes), 'node')} and nobody is there to ask"
    refused = Refused(text, hint=f"headrace apply {plan.plan_id} --yes")
    return agreed(invocation, lambda page: _show(plan, page), "Apply this?", yes=yes, refused=refused)


def _show(plan: PlanResponse, page: CommandOutput) -> None:
    planning.show(plan, page)
    page.say(planning.identity(plan), "dim", indent=2)


def _render(response: ApplyResponse, page: CommandOutput) -> None:
    if response.refused is not None:
        planning.refused(response.refused, f"plan {response.plan_id} wasn't applied", "headrace plan", page)
        return
    _applied(response, page)
    planning.asked_for(response.backfills, {row.node for row in response.stale}, page)
    page.clock_note()
    page.next("headrace tick" if response.state == "applied" else "headrace status" if response.version else "headrace apply")


def _applied(response: ApplyResponse, page: CommandOutput) -> None:
    said = {
        "applied": (
            f"✓ applied as version {response.version}: {plural(len(response.plan.changes), 'change')} ({response.plan_id})",
            "good",
        ),
        "nothing": (f"· nothing to apply: the files are what version {response.version} is", ""),
        "declined": ("· nothing was applied", "warn"),
    }
    page.say(*said.get(response.state, (response.state, "")))
    for row in response.promoted:
        page.say(f"{row.node}: {plural(row.partitions, 'partition')} published as {row.environment} built them, nothing computed", indent=2)
