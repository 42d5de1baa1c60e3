"""`headrace waive CONSUMER@K`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.text import joined
from headrace.operations.waive import WaiveResponse


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("CONSUMER@K", help="a consumer, and the interval that it waits for")],
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="why nobody needs it; kept in the audit trail")] = None,
) -> int:
    """Let an obligation go: nobody waits for that interval any more. It still counts as a promise that wasn't kept."""
    from headrace.operations.waive import waive

    invocation.show(waive(invocation.session, target, reason=reason, progress=invocation.progress()), _render)
    return 0


def _render(response: WaiveResponse, page: CommandOutput) -> None:
    page.say(f"✓ {response.consumer}@{response.interval}, due {page.reader.moment(response.due_at)}, is waived: {response.reason}", "good")
    if response.backlog:
        page.say(f"still missing: {joined(response.backlog, 6)}", indent=2)
    page.clock_note()
    page.next("headrace status")
