"""`headrace mails`: the mails of all sources of the kind `mailbox`."""

from __future__ import annotations

from typing import Annotated

from headrace.extension import (
    Argument,
    ColumnLayout,
    CommandOutput,
    Invocation,
    ProjectSession,
    Response,
    UsageError,
    permitted,
    terminal_command,
)
from headrace_shop_kinds.commands import MAILS
from headrace_shop_kinds.mailbox import Mailbox, mails_in


class MailRow(Response, frozen=True, kw_only=True):
    """One mail."""

    source: str
    day: str
    sender: str


class MailsResponse(Response, frozen=True, kw_only=True):
    """The mails, by source and in the order of its mailbox."""

    mails: list[MailRow]


@permitted(MAILS, "mails")
def mails(session: ProjectSession, name: str | None = None) -> MailsResponse:
    """List the mails of the sources, or of one. Raise UsageError for a name that isn't one."""
    sources = session.project().sources
    boxes = {key: source for key, source in sources.items() if Mailbox.name in source.connector}
    if name is not None and name not in boxes:
        raise UsageError(f"{name} is no source with a mailbox", hint=f"one of {', '.join(boxes)}")
    rows = [
        MailRow(source=key, day=day, sender=str(mail["From"] or ""))
        for key, source in boxes.items()
        if name in (None, key)
        for day, mail in mails_in(session.root, source.connector[Mailbox.name])
    ]
    return MailsResponse(mails=rows)


@terminal_command()
def mails_command(
    invocation: Invocation,
    source: Annotated[str | None, Argument("[SOURCE]", help="only the mails of this one")] = None,
) -> int:
    """List the mails whose attachments are deliveries."""
    invocation.show(mails(invocation.session, source), _render, clock=False)
    return 0


def _render(response: MailsResponse, page: CommandOutput) -> None:
    columns = [ColumnLayout("source"), ColumnLayout("day"), ColumnLayout("from", gives=1)]
    page.table(columns, [[row.source, row.day, row.sender] for row in response.mails])
