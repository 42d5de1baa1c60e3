"""`headrace session`: list and end sessions of browsers."""

from __future__ import annotations

from headrace.cli.declared_commands import CommandGroup, ServiceCommand
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.responses.access import EndedSessionsResponse, SessionRow


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


session_command = CommandGroup(
    """Sessions of browsers that are signed in to the server.

    The ids of sessions are names: nobody can sign in with one.
    """,
    {
        "list": ServiceCommand("browser_sessions:list_sessions", _render_sessions),
        "end": ServiceCommand("browser_sessions:end_session", _render_ended),
    },
    group="operate",
    summary="list and end sessions of browsers",
)
