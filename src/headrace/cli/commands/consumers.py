"""`headrace waive` and `exports`: decisions about a consumer's obligation and export target."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.declared_commands import ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import joined
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.services.interventions import TakeOverResponse, WaiveResponse
from headrace.services.parameters import Argument

# `headrace waive CONSUMER@K`


def _render_waived(response: WaiveResponse, page: CommandOutput) -> None:
    page.say(
        f"✓ {response.consumer}@{response.interval}, due"
        f" {page.times.time_text(response.due_at)}, is waived: {response.reason}",
        "good",
    )
    if response.backlog:
        page.say(f"still missing: {joined(response.backlog, 6)}", indent=2)
    page.clock_note()
    page.next("headrace status")


waive_command = ServiceCommand("interventions:waive", _render_waived)


# `headrace exports take-over CONSUMER`


@terminal_command(
    "interventions:take_over", group="act", summary="take over the export target of a consumer"
)
def exports_command(
    invocation: Invocation,
    what: Annotated[str, Argument("take-over", help="the action")],
    consumer: str,
    reason: str,
) -> int:
    """Take over a consumer's export table from another project, or from a lost state of this one.

    The next export of each interval replaces its rows. From then on, exports of the other project
    are refused.
    """
    from headrace.services.interventions import take_over

    if what != "take-over":
        hint = command_line("exports", "take-over", consumer, "--reason", "TEXT")
        raise UsageError(f"`headrace exports {what[:40]}` isn't known", hint=hint)
    invocation.show(
        take_over(invocation.session, consumer, reason=reason, progress=invocation.progress()),
        _render_taken_over,
    )
    return 0


def _render_taken_over(response: TakeOverResponse, page: CommandOutput) -> None:
    page.say(
        f"✓ {response.target} is taken over for {response.consumer}: {response.reason}", "good"
    )
    page.clock_note()
    page.next(command_line("retry", response.consumer))
