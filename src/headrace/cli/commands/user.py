"""`headrace user`: people who sign in to the server with a name and a password."""

from __future__ import annotations

import sys
from typing import Annotated

from headrace.cli.declared_commands import HelpPrefix, terminal_command, unknown_action
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.services.parameters import Argument, Reason
from headrace.services.responses.access import UserRow

PASSWORD_LINE_CHARACTERS_MAX = 4_096
_ACTIONS = ("add", "list", "password", "remove")


@terminal_command(
    add="users:add_user",
    list="users:list_users",
    password="users:set_password",  # noqa: S106 - the name of an action
    remove="users:remove_user",
    group="operate",
    summary="add and remove users who sign in with a password",
)
def user_command(
    invocation: Invocation,
    what: Annotated[str, Argument("add|list|password|remove", help="the action")],
    name: Annotated[str | None, HelpPrefix("of add, password, remove: ")] = None,
    *,
    reason: Reason = None,
) -> int:
    """Users of the server, who sign in with a name and a password.

    A password is asked for, or read as one line from standard input. Only its Argon2 hash is
    stored.
    """
    from headrace.services import users

    session = invocation.session
    if what == "list" and name is None:
        invocation.show(users.list_users(session), _render_users)
        return 0
    if what not in ("add", "password", "remove"):
        raise unknown_action("user", what, _ACTIONS)
    if name is None:
        raise UsageError(f"headrace user {what} needs a name", hint="headrace user list")
    if what == "remove":
        row = users.remove_user(session, name, reason=reason, progress=invocation.progress())
        invocation.show(row, lambda row, page: page.say(f"{row.name} can't sign in any more"))
        return 0
    change = users.add_user if what == "add" else users.set_password
    row = change(session, name, _password(), reason=reason, progress=invocation.progress())
    invocation.show(row, _render_added if what == "add" else _render_changed)
    return 0


def _password() -> str:
    """Return a password that is typed twice at a terminal, or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(PASSWORD_LINE_CHARACTERS_MAX).rstrip("\r\n")
    import getpass

    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise UsageError("the two passwords differ")
    return password


def _render_added(row: UserRow, page: CommandOutput) -> None:
    page.say(f"{row.name} can sign in, with the roles that access.yaml gives to {row.who}")
    page.next(command_line("access", "explain", row.who, "status"))


def _render_changed(row: UserRow, page: CommandOutput) -> None:
    page.say(f"{row.name} has another password; all sessions have ended")


def _render_users(rows: list[UserRow], page: CommandOutput) -> None:
    if not rows:
        page.say("no users sign in with a password")
        page.next("headrace user add NAME")
        return
    columns = [ColumnLayout("user"), ColumnLayout("added"), ColumnLayout("password set")]
    cells: list[list[str | StyledCell]] = [
        [
            StyledCell(row.name, "bold"),
            page.times.time_text(row.added_at),
            page.times.time_text(row.password_set_at),
        ]
        for row in rows
    ]
    page.table(columns, cells)
