"""`headrace cancel RUN`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.page import Page
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

    document = cancel(invocation.session, run, reason=reason, progress=invocation.progress())
    invocation.show(document, _render)
    return 0 if document.state == "cancelled" else 1


def _render(document: CancelResponse, page: Page) -> None:
    at = page.reader.moment(document.ended_at)
    if document.state == "cancelled":
        why = f": {document.reason}" if document.reason else ""
        page.say(f"✓ run {document.run_id} was cancelled by {document.by or 'somebody'} at {at}{why}", "good")
    elif document.state == "running":
        page.say(f"! run {document.run_id} isn't this leader's: it can't be cancelled", "warn")
    else:
        ended = f" at {at}" if document.ended_at else ""
        page.say(f"· run {document.run_id} isn't under way: it ended{ended}, {states.mark(document.state)}")
    page.clock_note()
    page.next(f"headrace runs {document.run_id}")
