"""`headrace keys`: show and rotate the keys of masks, and reverse a token."""

from __future__ import annotations

from headrace.cli.declared_commands import CommandGroup, ServiceCommand
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.responses.keys import KeyRotationRow, KeyVersionRow, RevealedResponse


def _render_status(rows: list[KeyVersionRow], page: CommandOutput) -> None:
    if not rows:
        page.say("there are no keys yet: the first mask that needs one creates it")
        return
    columns = [
        ColumnLayout("domain", gives=1, least=12),
        ColumnLayout("version", right=True),
        ColumnLayout("state"),
        ColumnLayout("data keys", right=True),
        ColumnLayout("root key"),
        ColumnLayout("created", drops=1),
    ]
    cells: list[list[str | StyledCell]] = [
        [
            StyledCell(row.domain, "bold"),
            str(row.version),
            StyledCell(row.state, "good" if row.state == "current" else "warn"),
            f"{row.data_keys:,}",
            row.root,
            page.times.time_text(row.created_at),
        ]
        for row in rows
    ]
    page.table(columns, cells)
    page.next("headrace keys rotate")


def _render_rotated(rows: list[KeyRotationRow], page: CommandOutput) -> None:
    if not rows:
        page.say("there are no keys to rotate")
    for row in rows:
        page.say(
            f"{row.domain}: version {row.version} is current;"
            f" {plural(row.data_keys, 'data key')} encrypted with it"
        )
    page.next("headrace keys status")


def _render_revealed(row: RevealedResponse, page: CommandOutput) -> None:
    page.raw(row.value)


keys_command = CommandGroup(
    """Keys of masks: one per domain, encrypted with the root key.

    `rotate` replaces them. Tokens stay the same. A rotation that was interrupted is continued.
    `reveal` prints the value behind a token of the method `token`, and records it first.
    """,
    {
        "status": ServiceCommand("keys:key_status", _render_status),
        "rotate": ServiceCommand("keys:rotate_keys", _render_rotated),
        "reveal": ServiceCommand("keys:reveal_token", _render_revealed),
    },
    group="operate",
    summary="show and rotate the keys of masks, reverse a token",
)
