"""`headrace backfills [ID]`, `headrace backfills pause|resume|cancel ID`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.backfilling import listed, render
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument, Option
from headrace.model.errors import UsageError

ACTIONS = ("pause", "resume", "cancel")


def command(
    invocation: Invocation,
    what: Annotated[str | None, Argument("[ID|pause|resume|cancel]", help="one of them, or what is done about it")] = None,
    plan: Annotated[str | None, Argument("[ID]", help="of pause, resume and cancel: its number")] = None,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="kept in the audit trail")] = None,
) -> int:
    """The backfills, newest first; one with what it changed; or pause, resume or cancel one. What is cancelled leaves nothing behind."""
    from headrace.operations import backfills

    if what in ACTIONS:
        if plan is None:
            raise UsageError(f"headrace backfills {what} needs the backfill's number", hint="headrace backfills lists them")
        response = backfills.act(invocation.session, what, plan, reason=reason, progress=invocation.progress())
        invocation.show(response, render)
        return int(what == "resume" and response.state != "succeeded")
    if plan is not None:
        raise UsageError(f"`headrace backfills {(what or '')[:40]}` isn't known", hint=f"one of {', '.join(ACTIONS)}, and a number")
    if what is None:
        invocation.show(backfills.backfills(invocation.session), listed)
    else:
        invocation.show(backfills.one(invocation.session, what), render)
    return 0
