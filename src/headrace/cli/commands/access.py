"""`headrace access`: who somebody is, what they may do, and why."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

from headrace.cli.commands.read import replace_file
from headrace.cli.declared_commands import CommandGroup, ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.access import Role
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.project.parameters import Argument, Option
from headrace.responses.access import (
    AccessDecisionResponse,
    AccessRow,
    EmergencyRow,
    EndedEmergenciesResponse,
    ReviewRow,
    RoleRow,
    TokenRow,
    WhoAmIResponse,
)

REVIEW_FIELDS = ("who", "kind", "name", "scope", "columns", "until", "ended", "rule", "last_used")


@terminal_command("access_review:review")
def _review(
    invocation: Invocation,
    out: Annotated[
        Path | None, Option("--out", metavar="FILE.csv", help="write a table of CSV")
    ] = None,
) -> int:
    """List each user, group and token with its rules."""
    from headrace.services import access_review

    rows = access_review.review(invocation.session)
    if out is None:
        invocation.show(rows, _render_review, clock=False)
        return 0
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(REVIEW_FIELDS)
    for row in rows:
        writer.writerows(map(_safe, line) for line in _review_lines(row))
    replace_file(out, lambda file: file.write(text.getvalue().encode()))
    invocation.note(
        f"{out}: {plural(len(rows), 'user, group or token', 'users, groups and tokens')}"
    )
    return 0


def _review_lines(row: ReviewRow) -> list[list[str]]:
    used = "" if row.last_used_at is None else row.last_used_at.isoformat(timespec="minutes")
    return [
        [
            row.who,
            rule.kind,
            rule.name,
            rule.scope,
            " ".join(rule.columns),
            rule.until or "",
            "yes" if rule.ended else "",
            "" if rule.file is None else f"{rule.file}:{rule.line}",
            used,
        ]
        for rule in row.rules
    ]


def _safe(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _render_review(rows: list[ReviewRow], page: CommandOutput) -> None:
    if not rows:
        page.say("no rule of access.yaml and no token: every local user may do everything")
        return
    lines = [line for row in rows for line in _review_lines(row)]
    cells: list[list[str | StyledCell]] = [
        [StyledCell(line[0], "bold"), *line[1:]] for line in lines
    ]
    page.table([ColumnLayout(name.replace("_", " ")) for name in REVIEW_FIELDS], cells)


@terminal_command("emergencies:break_glass", end="emergencies:end_break_glass")
def _break_glass(
    invocation: Invocation,
    role: Annotated[
        str | None,
        Argument(
            "[ROLE[:SCOPE]]",
            help="such as operator:domain=finance; with --end whose roles end, by default yours",
        ),
    ] = None,
    *,
    lasts: str,
    reason: str,
    end: Annotated[bool, Option("--end", help="end the roles")] = False,
) -> int:
    """Take a role for at most 60 minutes in an emergency, if a rule of access.yaml allows it.

    Messages to the owners of what it reaches are queued.
    """
    from headrace.services import emergencies

    session, progress = invocation.session, invocation.progress()
    if end:
        ended = emergencies.end_break_glass(session, role, reason=reason, progress=progress)
        invocation.show(ended, _render_ended)
        return 0
    if role is None:
        raise UsageError(
            "headrace access break-glass needs a role",
            hint="headrace access break-glass operator:domain=finance --reason TEXT",
        )
    row = emergencies.break_glass(session, role, lasts=lasts, reason=reason, progress=progress)
    invocation.show(row, _render_emergency)
    return 0


def _render_emergency(row: EmergencyRow, page: CommandOutput) -> None:
    limits = f" of {row.scope}" if row.scope else ""
    until = page.times.time_text(row.expires_at)
    page.say(f"{row.who} has the role {row.role}{limits} until {until}", "warn")
    messages = plural(row.messages or 0, "message")
    style = "" if row.messages else "warn"
    page.say(f"{messages} to owners queued; the audit trail records what you do", style)
    page.next("headrace access break-glass --end --reason TEXT")


def _render_ended(response: EndedEmergenciesResponse, page: CommandOutput) -> None:
    for row in response.ended:
        page.say(f"{row.who} no longer has the role {row.role} by break-glass")
    page.next(command_line("audit", "show", "--object", f"subject:{response.ended[0].who}"))


def _render_identity(response: WhoAmIResponse, page: CommandOutput) -> None:
    page.say(response.who, "bold")
    if response.frozen is not None:
        page.say(f"frozen: {response.frozen}", "bad")
    if response.token is not None:
        _render_token(response.token, page)
        return
    if not response.enforced and response.kind == "local":
        page.say("the project has no access.yaml: every local user may do everything")
        return
    if not response.roles:
        page.say("no rule of access.yaml gives you a role: ask an admin of the project", "warn")
    for row in response.roles:
        taken = ""
        if row.expires_at is not None:
            taken = f", by break-glass until {row.expires_at.strftime('%H:%M')}"
        limits = f" of {row.scope}" if row.scope else ""
        page.say(f"{row.role}{limits}{taken}{_origin(row)}", "warn" if taken else "")


def _render_token(token: TokenRow, page: CommandOutput) -> None:
    expires = f"{token.expires_at:%Y-%m-%d %H:%M %Z}"
    page.say(f"the API token {token.name} ({token.id}), by HEADRACE_TOKEN or --token-file")
    page.say(f"it may do: {', '.join(token.scopes)}")
    page.say(f"it expires {expires}; created by {token.created_by}")


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


access_command = CommandGroup(
    "Who may do what, by the rules of access.yaml as they are applied.",
    {
        "whoami": ServiceCommand("access:whoami", _render_identity, clock=False),
        "explain": ServiceCommand("access:explain", _render_decision, clock=False),
        "matrix": ServiceCommand("access:matrix", _render_matrix, clock=False),
        "review": _review,
        "break-glass": _break_glass,
    },
    group="look",
    summary="show who may do what, and which rule decides",
)
