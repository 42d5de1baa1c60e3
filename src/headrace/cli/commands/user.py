"""`headrace user`: people who sign in to the server with a name and a password."""

from __future__ import annotations

import sys

from headrace.cli.declared_commands import CommandGroup, ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.responses.access import UserRow

PASSWORD_LINE_CHARACTERS_MAX = 4_096


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


def _render_removed(row: UserRow, page: CommandOutput) -> None:
    page.say(f"{row.name} can't sign in any more")


@terminal_command("users:add_user")
def _add(invocation: Invocation, name: str, reason: str | None) -> int:
    """Add a user, whose password is asked for."""
    from headrace.services.users import add_user

    session, progress = invocation.session, invocation.progress()
    row = add_user(session, name, _password(), reason=reason, progress=progress)
    invocation.show(row, _render_added)
    return 0


@terminal_command("users:set_password")
def _set_password(invocation: Invocation, name: str, reason: str | None) -> int:
    """Give a user another password; all their sessions end."""
    from headrace.services.users import set_password

    session, progress = invocation.session, invocation.progress()
    row = set_password(session, name, _password(), reason=reason, progress=progress)
    invocation.show(row, _render_changed)
    return 0


user_command = CommandGroup(
    """Users of the server, who sign in with a name and a password.

    A password is asked for, or read as one line from standard input. Only its Argon2 hash is
    stored.
    """,
    {
        "add": _add,
        "list": ServiceCommand("users:list_users", _render_users),
        "password": _set_password,
        "remove": ServiceCommand("users:remove_user", _render_removed),
    },
    group="operate",
    summary="add and remove users who sign in with a password",
)
