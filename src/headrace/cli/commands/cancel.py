"""`headrace cancel RUN`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.operations.interventions import CancelResponse


def command(
    invocation: Invocation,
    run: Annotated[str, Argument("RUN", help="`headrace runs` lists them")],
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="kept in the audit trail")] = None,
) -> int:
    """End a run that is under way. What is published stays; what no other run wants isn't started, and what runs is ended.

    Exits 1 where the run isn't under way.
    """
    from headrace.operations.cancel import cancel

    response = cancel(invocation.session, run, reason=reason, progress=invocation.progress())
    invocation.show(response, _render)
    return 0 if response.state == "cancelled" else 1


def _render(response: CancelResponse, page: CommandOutput) -> None:
    at = page.reader.moment(response.ended_at)
    if response.state == "cancelled":
        why = f": {response.reason}" if response.reason else ""
        page.say(f"✓ run {response.run_id} was cancelled by {response.by or 'somebody'} at {at}{why}", "good")
    elif response.state == "running":
        page.say(f"! run {response.run_id} isn't this leader's: it can't be cancelled", "warn")
    else:
        ended = f" at {at}" if response.ended_at else ""
        page.say(f"· run {response.run_id} isn't under way: it ended{ended}, {states.mark(response.state)}")
    page.clock_note()
    page.next(f"headrace runs {response.run_id}")
