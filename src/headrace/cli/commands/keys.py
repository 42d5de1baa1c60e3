"""`headrace keys`: show and rotate the keys of masks, and reverse a token."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.declared_commands import HelpPrefix, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.errors import UsageError
from headrace.services.parameters import Argument, Reason
from headrace.services.responses.keys import KeyRotationRow, KeyVersionRow


@terminal_command(
    status="keys:key_status",
    rotate="keys:rotate_keys",
    reveal="keys:reveal_token",
    group="operate",
    summary="show and rotate the keys of masks, reverse a token",
)
def keys_command(
    invocation: Invocation,
    what: Annotated[str, Argument("status|rotate|reveal", help="the action")],
    what_of: Annotated[
        str | None,
        Argument("[DOMAIN|TOKEN]", help="of rotate: one domain (default: all); of reveal: a token"),
    ] = None,
    *,
    node: Annotated[str, HelpPrefix("of reveal: ")] = "",
    column: Annotated[str, HelpPrefix("of reveal: ")] = "",
    reason: Reason = None,
) -> int:
    """Keys of masks: one per domain, encrypted with the root key.

    `rotate` replaces them. Tokens stay the same. A rotation that was interrupted is continued.
    `reveal` prints the value behind a token of the method `token`, and records it first.
    """
    from headrace.services import keys

    if what == "status" and what_of is None:
        invocation.show(keys.key_status(invocation.session), _render_status)
        return 0
    if what == "rotate":
        rotated = keys.rotate_keys(
            invocation.session, what_of, reason=reason, progress=invocation.progress()
        )
        invocation.show(rotated, _render_rotated)
        return 0
    if what == "reveal" and what_of is not None:
        revealed = keys.reveal_token(
            invocation.session,
            what_of,
            node=node,
            column=column,
            reason=reason or "",
            progress=invocation.progress(),
        )
        invocation.show(revealed, lambda row, page: page.raw(row.value))
        return 0
    raise UsageError(
        f"`headrace keys {what[:40]}` isn't known, or lacks a word",
        hint="headrace keys status, keys rotate, or keys reveal TOKEN",
    )


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
