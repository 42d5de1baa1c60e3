"""`headrace session`: list and end sessions of browsers."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.declared_commands import HelpPrefix, terminal_command, unknown_action
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.errors import UsageError
from headrace.services.parameters import Argument, Reason
from headrace.services.responses.access import EndedSessionsResponse, SessionRow


@terminal_command(
    list="browser_sessions:list_sessions",
    end="browser_sessions:end_session",
    group="operate",
    summary="list and end sessions of browsers",
)
def session_command(
    invocation: Invocation,
    what: Annotated[str, Argument("list|end", help="the action")],
    ended: Annotated[str | None, HelpPrefix("of end: ")] = None,
    *,
    reason: Reason = None,
) -> int:
    """Sessions of browsers that are signed in to the server.

    The ids of sessions are names: nobody can sign in with one.
    """
    from headrace.services import browser_sessions

    if what == "list" and ended is None:
        invocation.show(browser_sessions.list_sessions(invocation.session), _render_sessions)
        return 0
    if what == "end":
        if ended is None:
            raise UsageError(
                "headrace session end needs the id of a session", hint="headrace session list"
            )
        response = browser_sessions.end_session(
            invocation.session, ended, reason=reason, progress=invocation.progress()
        )
        invocation.show(response, _render_ended)
        return 0
    raise unknown_action("session", what, ("list", "end"))


def _render_sessions(rows: list[SessionRow], page: CommandOutput) -> None:
    if not rows:
        page.say("no browser is signed in")
        page.next("headrace serve")
        return
    columns = [
        ColumnLayout("session"),
        ColumnLayout("who", gives=1, least=12),
        ColumnLayout("by"),
        ColumnLayout("last used"),
        ColumnLayout("ends"),
        ColumnLayout("started", drops=1),
    ]
    cells: list[list[str | StyledCell]] = [
        [
            StyledCell(row.id, "bold"),
            f"{row.who} ({row.name})" if row.name else row.who,
            row.kind.replace("_", " "),
            *(page.times.time_text(at) for at in (row.used_at, row.ends_at, row.started_at)),
        ]
        for row in rows
    ]
    page.table(columns, cells)
    page.next(f"headrace session end {rows[0].id}")


def _render_ended(response: EndedSessionsResponse, page: CommandOutput) -> None:
    for row in response.ended:
        page.say(f"✓ the session {row.id} of {row.who} is ended", "good")
    page.say("their next request is refused, and who opens the page has to sign in again")
    page.next("headrace session list")
