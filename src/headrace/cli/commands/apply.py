"""`headrace apply`."""

from __future__ import annotations

import sys
from typing import Annotated

from headrace.cli import asking
from headrace.cli.invocation import Invocation
from headrace.cli.page import Page
from headrace.cli.parsing import Option
from headrace.cli.screen import Screen
from headrace.cli.tables import Cell, Column
from headrace.cli.text import joined, plural
from headrace.model.errors import Refused
from headrace.operations.documents import ApplyDocument, PlanDocument

SHOWN_MAX = 40

COLUMNS = [
    Column("node", gives=1, least=12),
    Column("change", least=8),
    Column("columns", gives=3, least=8, drops=2),
    Column("computed again", gives=2, least=8, drops=1),
]


def command(invocation: Invocation, yes: Annotated[bool, Option("--yes", help="don't ask")] = False) -> int:
    """Put what the files say into force: shows what changes, asks, and does it."""
    from headrace.operations.apply import apply

    document = apply(invocation.session, confirm=lambda plan: _confirm(invocation, plan, yes=yes), progress=invocation.progress())
    invocation.show(document, _render)
    return 3 if document.state == "declined" else 0


def _confirm(invocation: Invocation, plan: PlanDocument, *, yes: bool) -> bool:
    """Shows the changes where a person reads, and asks where one can answer. Refused where nobody can."""
    stream = sys.stderr if invocation.options.json else sys.stdout
    page = Page(Screen(stream, no_color=invocation.options.no_color), None)
    if not (yes and invocation.options.json):
        show(plan, page)
    if yes:
        return True
    if not asking.somebody_there():
        raise Refused(f"this changes {plural(len(plan.changes), 'node')} and nobody is there to ask", hint="headrace apply --yes")
    stream.flush()
    return asking.yes("Apply this?")


def show(plan: PlanDocument, page: Page) -> None:
    """The changes, whom they touch."""
    page.table(COLUMNS, [_row(plan, i) for i in range(min(len(plan.changes), SHOWN_MAX))])
    if len(plan.changes) > SHOWN_MAX:
        page.say(f"and {plural(len(plan.changes) - SHOWN_MAX, 'more change')}", indent=2)
    touched = [*(f"consumer {name}" for name in plan.affects.consumers), *(f"owner {name}" for name in plan.affects.owners)]
    if touched:
        page.say(f"touches {joined(touched)}", indent=2)
    for weakened in plan.weakens or []:
        page.say(f"weakens {weakened}", "warn", indent=2)


def _row(plan: PlanDocument, i: int) -> list[str | Cell]:
    change = plan.changes[i]
    stale = plural(change.partitions_stale, "partition") if change.partitions_stale else ""
    said = change.change + (" (breaking)" if change.breaking else "")
    return [Cell(change.node, "bold"), Cell(said, "bad" if change.breaking else ""), ", ".join(change.columns), stale]


def _render(document: ApplyDocument, page: Page) -> None:
    said = {
        "applied": (f"✓ applied as version {document.version}: {plural(len(document.plan.changes), 'change')}", "good"),
        "nothing_to_apply": (f"· nothing to apply: the files are what version {document.version} is", ""),
        "declined": ("· nothing was applied", "warn"),
    }
    page.say(*said.get(document.state, (document.state, "")))
    page.clock_note()
    page.next("headrace tick" if document.state == "applied" else "headrace status" if document.version else "headrace apply")
