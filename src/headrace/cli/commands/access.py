"""`headrace access`: who somebody is, what they may do, and why."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.access import Role
from headrace.model.errors import UsageError
from headrace.services.parameters import Argument
from headrace.services.responses.access import (
    AccessDecisionResponse,
    AccessRow,
    RoleRow,
    WhoAmIResponse,
)

ACTIONS = ("whoami", "explain", "matrix")


@terminal_command(whoami="access:whoami", explain="access:explain", matrix="access:matrix")
def access_command(
    invocation: Invocation,
    what: Annotated[str, Argument("whoami|explain|matrix", help="the question")],
    who: Annotated[
        str | None, Argument("[WHO]", help="of explain: user:NAME, group:NAME or token:NAME")
    ] = None,
    command: Annotated[
        str | None, Argument("[COMMAND]", help="of explain: as typed, such as backfill")
    ] = None,
    node: Annotated[
        str | None, Argument("[NODE]", help="of explain: a source, asset or consumer")
    ] = None,
) -> int:
    """Who may do what, by the rules of access.yaml as they are applied.

    `whoami` shows your roles. `explain` says whether somebody may run a command, and which rule
    decides. `matrix` lists the commands with the roles that allow them.
    """
    from headrace.services import access

    if what == "whoami":
        invocation.show(access.whoami(invocation.session), _render_identity, clock=False)
        return 0
    if what == "matrix":
        invocation.show(access.matrix(invocation.session), _render_matrix, clock=False)
        return 0
    if what == "explain":
        if who is None or command is None:
            raise UsageError(
                "headrace access explain needs a person and a command",
                hint="headrace access explain user:ana backfill",
            )
        response = access.explain(invocation.session, who, command, node)
        invocation.show(response, _render_decision, clock=False)
        return 0
    raise UsageError(
        f"`headrace access {what[:40]}` isn't known", hint=f"one of {', '.join(ACTIONS)}"
    )


def _render_identity(response: WhoAmIResponse, page: CommandOutput) -> None:
    page.say(response.who, "bold")
    if response.frozen is not None:
        page.say(f"frozen: {response.frozen}", "bad")
    if not response.enforced and response.kind == "local":
        page.say("the project has no access.yaml: every local user may do everything")
        return
    if not response.roles:
        page.say("no rule of access.yaml gives you a role: ask an admin of the project", "warn")
    for row in response.roles:
        page.say(f"{row.role}{_limits(row)}{_origin(row)}")


def _limits(row: RoleRow) -> str:
    return f" of {row.scope}" if row.scope else ""


def _origin(row: RoleRow) -> str:
    until = f" until {row.until}" if row.until is not None else ""
    return f"{until} ({row.file}:{row.line})" if row.file is not None else until


def _render_decision(response: AccessDecisionResponse, page: CommandOutput) -> None:
    about = f" {response.node}" if response.node is not None else ""
    verb, style = ("may", "good") if response.decision == "allow" else ("may not", "bad")
    page.say(f"{response.who} {verb} {response.command}{about}", style)
    rule = f" ({response.rule.file}:{response.rule.line})" if response.rule is not None else ""
    page.say(f"{response.reason}{rule}")
    if response.masked:
        page.say(f"masked or left out: {', '.join(response.masked)}")


def _render_matrix(rows: list[AccessRow], page: CommandOutput) -> None:
    commands: dict[str, dict[str, str]] = {}
    permissions = {row.command: row.permission for row in rows}
    for row in rows:
        commands.setdefault(row.command, {})[row.role] = row.decision
    columns = [ColumnLayout("command"), ColumnLayout("needs"), *map(ColumnLayout, Role)]
    cells = [
        [
            StyledCell(name, "bold"),
            permissions[name],
            *("✓" if decisions[role] == "allow" else "·" for role in Role),
        ]
        for name, decisions in commands.items()
    ]
    page.table(columns, cells)
