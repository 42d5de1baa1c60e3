"""`headrace fix ID`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.agreeing import PLAN_HELP, agreed, refused_as_shown
from headrace.cli.contracting import AS_IS, CONVERT
from headrace.cli.fixing import plan, render
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument, Option
from headrace.model.errors import Refused
from headrace.operations.fix_responses import FixResponse

EXIT = {"planned": 0, "done": 0, "declined": 3}


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("ID", help="INC-1, as `headrace incidents` lists it")],
    dry_run: Annotated[bool, Option("--dry-run", help="show the plan; writes nothing at all")] = False,
    yes: Annotated[bool, Option("--yes", help="don't ask")] = False,
    convert: Annotated[list[str] | None, Option("--convert", metavar="EXPRESSION", help=CONVERT)] = None,
    as_is: Annotated[bool, Option("--as-is", help=AS_IS)] = False,
    again: Annotated[bool, Option("--again", help="compute it although neither code nor inputs have changed since")] = False,
    plan_id: Annotated[str | None, Option("--plan", metavar="PLAN_ID", help=PLAN_HELP)] = None,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="kept in the timeline and the audit trail")] = None,
) -> int:
    """Repair an incident: accept the names that a vendor uses now, read deliveries again, build what reads them beside production, publish.

    Exits 1 where the incident isn't over afterwards or a part of the repair failed, 3 where nobody agreed, a person has to do
    something first, or the same rows would come out because neither code nor inputs have changed since they were published.
    """
    from headrace.operations.contract_accept import ValueDecision
    from headrace.operations.fix import fix

    with refused_as_shown(invocation, render):
        response = fix(
            invocation.session,
            target,
            dry_run=dry_run,
            again=again,
            confirm=lambda response: _confirm(invocation, response, yes=yes),
            progress=invocation.progress(),
            plan_id=plan_id,
            reason=reason,
            decision=ValueDecision(tuple(convert or ()), as_is, reason),
        )
    invocation.show(response, render)
    return EXIT.get(response.fix, 1)


def _confirm(invocation: Invocation, response: FixResponse, *, yes: bool) -> bool:
    refused = Refused(
        f"this repairs {response.id} and nobody is there to ask", hint=f"headrace fix {response.id} --plan {response.plan_id} --yes"
    )
    return agreed(invocation, lambda page: plan(response, page), "Do this?", yes=yes, refused=refused)
