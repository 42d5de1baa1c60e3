"""`headrace pause [SELECT…]`."""

from __future__ import annotations

import shlex
from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Exclude, Option, Select, Selection
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import joined, plural
from headrace.model.errors import UsageError
from headrace.operations.interventions import PauseResponse, PauseRow


def command(
    invocation: Invocation,
    select: Selection = None,
    also: Select = None,
    exclude: Exclude = None,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="why; who finds it paused reads it")] = None,
    until: Annotated[str | None, Option("--until", metavar="T", help="a time, or from now: 2h, 3d; then it resumes by itself")] = None,
) -> int:
    """Start nothing of these any more; what runs goes on. Without a selection: what is paused."""
    from headrace.operations.pause import pause, paused

    chosen = [*(select or []), *(also or [])]
    if not chosen and (reason is not None or until is not None):
        raise UsageError("nothing was selected to be paused", hint="headrace pause '*' --reason TEXT pauses everything")
    if not chosen:
        invocation.show(paused(invocation.session), render)
        return 0
    response = pause(invocation.session, chosen, exclude=exclude or [], reason=reason, until=until, progress=invocation.progress())
    invocation.show(response, render)
    return 0


COLUMNS = [
    ColumnLayout("paused", gives=1, least=14),
    ColumnLayout("since", drops=2),
    ColumnLayout("until"),
    ColumnLayout("by", gives=4, least=6, drops=1),
    ColumnLayout("why", gives=2, least=18),
]


def render(response: PauseResponse, page: CommandOutput) -> None:
    """What is paused now, and what this changed."""
    page.head("paused")
    held = {row.node for row in response.paused}
    ended = [name for name in response.changed if name not in held]
    if ended:
        page.say(f"✓ resumed: {joined(ended)}", "good")
    if not response.paused:
        page.say("✓ nothing is paused", "good")
        page.next("headrace tick" if ended else "headrace status")
        return
    page.say()
    page.table(COLUMNS, [_row(row, page) for row in response.paused])
    page.say(f"{plural(len(response.paused), 'node')} paused: nothing of {'it' if len(response.paused) == 1 else 'them'} is started")
    page.next(f"headrace resume {shlex.quote(response.paused[0].node)}")


def _row(row: PauseRow, page: CommandOutput) -> list[str | StyledCell]:
    until = page.reader.moment(row.until) if row.until else "resumed"
    return [StyledCell(row.node, "bold"), page.reader.moment(row.since), until, row.by, row.reason]
