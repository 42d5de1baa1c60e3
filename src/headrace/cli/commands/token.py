"""`headrace token`: create, list and revoke API tokens."""

from __future__ import annotations

from headrace.cli.declared_commands import CommandGroup, ServiceCommand
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.responses.access import NewTokenResponse, TokenRow

_STYLES = {"valid": "good", "frozen": "bad", "expired": "dim", "revoked": "dim"}


def _render_new_token(response: NewTokenResponse, page: CommandOutput) -> None:
    page.raw(response.token)
    page.say(f"{response.name}: {', '.join(response.scopes)}")
    page.say(f"valid until {page.times.time_text(response.expires_at)}", "dim")
    page.say("store it now: only its hash is kept, and it can't be shown again", "warn")
    page.next(f"headrace token revoke {response.name}")


def _render_tokens(rows: list[TokenRow], page: CommandOutput) -> None:
    if not rows:
        page.say("there are no API tokens")
        page.next("headrace token create NAME --scope viewer")
        return
    columns = [
        ColumnLayout("token"),
        ColumnLayout("state"),
        ColumnLayout("scopes", gives=1, least=12),
        ColumnLayout("expires"),
        ColumnLayout("last used"),
        ColumnLayout("created by", drops=1),
    ]
    cells: list[list[str | StyledCell]] = [
        [
            StyledCell(row.name, "bold"),
            StyledCell(row.state, _STYLES[row.state]),
            ", ".join(row.scopes),
            page.times.time_text(row.expires_at),
            "never" if row.last_used_at is None else page.times.time_text(row.last_used_at),
            row.created_by,
        ]
        for row in rows
    ]
    page.table(columns, cells)
    page.next("headrace token create NAME --scope viewer")


def _render_revoked(row: TokenRow, page: CommandOutput) -> None:
    page.say(f"the token {row.name} is revoked")


token_command = CommandGroup(
    """API tokens: each has a name, roles and an expiry, and its text is shown once.

    A program sends its token as `Authorization: Bearer TOKEN`; a command reads it from
    HEADRACE_TOKEN. Only the token's hash is stored.
    """,
    {
        "create": ServiceCommand("tokens:create_token", _render_new_token),
        "list": ServiceCommand("tokens:list_tokens", _render_tokens),
        "revoke": ServiceCommand("tokens:revoke_token", _render_revoked),
    },
    group="operate",
    summary="create, list and revoke API tokens",
)
