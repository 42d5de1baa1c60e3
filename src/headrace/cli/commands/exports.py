"""`headrace exports take-over CONSUMER`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.model.commands import command_line
from headrace.model.errors import UsageError
from headrace.operations.exports import TakeOverResponse


def command(
    invocation: Invocation,
    what: Annotated[str, Argument("take-over", help="what is done")],
    consumer: Annotated[str, Argument("CONSUMER", help="whose target it is")],
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="why; kept in the audit trail")] = None,
) -> int:
    """Take over the table that a consumer is exported to, from another project or from this one with a state that was lost. Rows of
    each interval are replaced when it is exported next; the other project is refused from then on."""
    from headrace.operations.exports import take_over

    if what != "take-over":
        hint = command_line("exports", "take-over", consumer, "--reason", "TEXT")
        raise UsageError(f"`headrace exports {what[:40]}` isn't known", hint=hint)
    invocation.show(take_over(invocation.session, consumer, reason=reason, progress=invocation.progress()), _render)
    return 0


def _render(response: TakeOverResponse, page: CommandOutput) -> None:
    page.say(f"✓ {response.target} is taken over for {response.consumer}: {response.reason}", "good")
    page.clock_note()
    page.next(command_line("retry", response.consumer))
