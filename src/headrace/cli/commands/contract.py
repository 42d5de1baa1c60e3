"""`headrace contract show|diff|accept|infer NODE`."""

from __future__ import annotations

import sys
from typing import Annotated

from headrace.cli.agreeing import refused_as_shown
from headrace.cli.contracting import AS_IS, CONVERT, REASON, accepted, inferred
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument, Option
from headrace.model.errors import UsageError

ACTIONS = ("show", "diff", "accept", "infer")


def command(
    invocation: Invocation,
    action: Annotated[str, Argument("show|diff|accept|infer", help="what is done with a contract")],
    target: Annotated[str | None, Argument("[NODE[@K]]", help="a source, an asset to show; for accept, the partition that is held")] = None,
    map_: Annotated[list[str] | None, Option("--map", metavar="COLUMN=NAME", help="accept this pair, whatever is proposed")] = None,
    patch: Annotated[bool, Option("--patch", help="accept: write nothing, print the difference")] = False,
    write: Annotated[bool, Option("--write", help="infer: write contracts/SOURCE.odcs.yaml")] = False,
    yes: Annotated[bool, Option("--yes", help="accept: apply what else the files change, too")] = False,
    plan_id: Annotated[str | None, Option("--plan", metavar="PLAN_ID", help="accept: only this plan, as --patch names it")] = None,
    convert: Annotated[list[str] | None, Option("--convert", metavar="EXPRESSION", help=CONVERT)] = None,
    as_is: Annotated[bool, Option("--as-is", help=AS_IS)] = False,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help=REASON)] = None,
) -> int:
    """The contract of a source: accept writes the names that a vendor uses now into it, from the interval on that is held, applies it, and
    has the held deliveries re-ingested by the next tick; infer makes a contract of what is published, with the evidence of each rule."""
    if action not in ACTIONS:
        raise UsageError(f"`headrace contract {action[:40]}` isn't known", hint=f"one of {', '.join(ACTIONS)}")
    if target is None:
        raise UsageError(f"headrace contract {action} needs a source", hint="headrace ls 'source:*'")
    if action in ("show", "diff"):
        return _looked_at(invocation, action, target)
    if action == "infer":
        return _infer(invocation, target, write=write)
    from headrace.operations.contract_accept import ValueDecision, accept

    with refused_as_shown(invocation, accepted):
        response = accept(
            invocation.session,
            target,
            pairs=map_ or (),
            patch=patch,
            yes=yes,
            progress=invocation.progress(),
            plan_id=plan_id,
            decision=ValueDecision(tuple(convert or ()), as_is, reason),
        )
    if patch and not invocation.options.json:
        sys.stdout.write(response.diff)
        return 0
    invocation.show(response, accepted)
    return 0


def _looked_at(invocation: Invocation, action: str, target: str) -> int:
    from headrace.cli import contract_pages
    from headrace.operations import contract

    if action == "show":
        invocation.show(contract.show(invocation.session, target), contract_pages.shown, clock=False)
    else:
        invocation.show(contract.diff(invocation.session, target), contract_pages.differing)
    return 0


def _infer(invocation: Invocation, target: str, *, write: bool) -> int:
    from headrace.operations.contract_infer import infer

    response = infer(invocation.session, target, write=write)
    if not write and not invocation.options.json:
        sys.stdout.write(response.text)
        return 0
    invocation.show(response, inferred)
    return 0
