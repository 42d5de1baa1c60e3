"""`headrace waive` and `exports`: decisions about a consumer's obligation and export target."""

from __future__ import annotations

from headrace.cli.declared_commands import CommandGroup, ServiceCommand
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import joined
from headrace.model.partitions import command_line
from headrace.services.interventions import TakeOverResponse, WaiveResponse

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


def _render_taken_over(response: TakeOverResponse, page: CommandOutput) -> None:
    page.say(
        f"✓ {response.target} is taken over for {response.consumer}: {response.reason}", "good"
    )
    page.clock_note()
    page.next(command_line("retry", response.consumer))


exports_command = CommandGroup(
    "Tables that exports write, outside of the lake.",
    {"take-over": ServiceCommand("interventions:take_over", _render_taken_over)},
    group="act",
    summary="take over the export target of a consumer",
)
