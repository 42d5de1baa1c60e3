"""`headrace freeze` and `unfreeze`: stop somebody, and let them work again."""

from __future__ import annotations

from headrace.cli.declared_commands import ServiceCommand
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.responses.access import FreezeResponse


def _render(response: FreezeResponse, page: CommandOutput) -> None:
    if not response.frozen:
        page.say("nobody is frozen", "good")
        return
    columns = [
        ColumnLayout("frozen"),
        ColumnLayout("since"),
        ColumnLayout("by"),
        ColumnLayout("why", gives=1, least=12),
    ]
    page.table(
        columns,
        [
            [StyledCell(row.who, "bad"), page.times.time_text(row.at), row.by, row.reason]
            for row in response.frozen
        ],
    )
    page.say("attempts that run go on, and so does scheduled work", "dim")


freeze_command = ServiceCommand("freezes:freeze", _render)
unfreeze_command = ServiceCommand("freezes:unfreeze", _render)
