"""`headrace token`: create, list and revoke API tokens."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.declared_commands import HelpPrefix, terminal_command, unknown_action
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.errors import UsageError
from headrace.services.parameters import Argument, Reason
from headrace.services.responses.access import NewTokenResponse, TokenRow

_STYLES = {"valid": "good", "frozen": "bad", "expired": "dim", "revoked": "dim"}


@terminal_command(
    create="tokens:create_token",
    list="tokens:list_tokens",
    revoke="tokens:revoke_token",
    group="operate",
    summary="create, list and revoke API tokens",
)
def token_command(
    invocation: Invocation,
    what: Annotated[str, Argument("create|list|revoke", help="the action")],
    name: Annotated[
        str | None, Argument("[NAME]", help="of the program or agent that uses the token")
    ] = None,
    *,
    scopes: Annotated[list[str], HelpPrefix("of create: ")],
    expires: Annotated[str, HelpPrefix("of create: ")] = "30d",
    reason: Reason = None,
) -> int:
    """API tokens: each has a name, roles and an expiry, and its text is shown once.

    A program sends its token as `Authorization: Bearer TOKEN`; a command reads it from
    HEADRACE_TOKEN. Only the token's hash is stored.
    """
    from headrace.services import tokens

    if what == "list" and name is None:
        invocation.show(tokens.list_tokens(invocation.session), _render_tokens)
        return 0
    if name is None:
        raise UsageError(f"headrace token {what[:20]} needs a name", hint="headrace token list")
    if what == "create":
        created = tokens.create_token(
            invocation.session,
            name,
            scopes=scopes,
            expires=expires,
            reason=reason,
            progress=invocation.progress(),
        )
        invocation.show(created, _render_new_token)
        return 0
    if what == "revoke":
        revoked = tokens.revoke_token(
            invocation.session, name, reason=reason, progress=invocation.progress()
        )
        invocation.show(revoked, lambda row, page: page.say(f"the token {row.name} is revoked"))
        return 0
    raise unknown_action("token", what, ("create", "list", "revoke"))


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
