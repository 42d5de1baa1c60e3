"""`headrace backfill SELECT…`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.agreeing import PLAN_HELP, agreed, refused_as_shown
from headrace.cli.backfilling import plan, render
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Exclude, Option, Select, Selection
from headrace.cli.text import plural
from headrace.model.errors import Refused
from headrace.operations.backfill_responses import BackfillResponse

EXIT = {"planned": 0, "nothing_due": 0, "succeeded": 0, "declined": 3, "awaiting_approval": 3, "paused": 4, "cancelled": 4}


def command(
    invocation: Invocation,
    select: Selection = None,
    also: Select = None,
    exclude: Exclude = None,
    first: Annotated[str | None, Option("--from", metavar="K", help="first partition, included")] = None,
    last: Annotated[str | None, Option("--to", metavar="K", help="last partition, included")] = None,
    since: Annotated[str | None, Option("--since", metavar="T", help="with --mode failed: what failed since then")] = None,
    mode: Annotated[str, Option("--mode", metavar="missing|failed|all", help="missing: what isn't there or is stale")] = "missing",
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="kept in the audit trail")] = None,
    only: Annotated[bool, Option("--only", help="nothing of what reads them")] = False,
    allow_partial: Annotated[bool, Option("--allow-partial", help="publish what could be made though some of it failed")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="show the plan; writes nothing at all")] = False,
    yes: Annotated[bool, Option("--yes", help="don't ask")] = False,
    plan_id: Annotated[str | None, Option("--plan", metavar="PLAN_ID", help=PLAN_HELP)] = None,
) -> int:
    """Make partitions of the past, with all that reads them, beside production, and publish them at once.

    Exits 1 where some of it failed, 3 where policy asks for an approval or nobody agreed, 4 where somebody paused or cancelled it.
    """
    from headrace.operations.backfill import backfill

    with refused_as_shown(invocation, render):
        response = backfill(
        invocation.session, [*(select or []), *(also or [])], exclude=exclude or [], first=first, last=last, since=since, mode=mode,
        reason=reason, only=only, allow_partial=allow_partial, dry_run=dry_run,
        confirm=lambda response: _confirm(invocation, response, yes=yes), progress=invocation.progress(),
        plan_id=plan_id,
    )  # fmt: skip
    invocation.show(response, render)
    return EXIT.get(response.state, 1)


def _confirm(invocation: Invocation, response: BackfillResponse, *, yes: bool) -> bool:
    text = f"this makes {plural(response.partitions_total, 'partition')} again and nobody is there to ask"
    refused = Refused(text, hint=f"{response.command} --plan {response.plan_id} --yes")
    return agreed(invocation, lambda page: plan(response, page), "Do it?", yes=yes, refused=refused)
