"""`headrace why CONSUMER|ASSET[@K]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.moments import seconds
from headrace.cli.page import Page
from headrace.cli.parsing import Argument
from headrace.cli.text import plural
from headrace.operations.interventions import WaitingRow, WhyDocument

SHOWN_MAX = 12


def command(
    invocation: Invocation,
    subject: Annotated[str, Argument("CONSUMER|ASSET[@K]", help="a consumer, an asset, a source, or one of their intervals")],
) -> int:
    """What it waits for, and until when that is expected."""
    from headrace.operations.why import why

    invocation.show(why(invocation.session, subject), _render)
    return 0


def _render(document: WhyDocument, page: Page) -> None:
    page.head(document.subject, states.mark(document.state))
    page.say(document.verdict, "" if document.state in ("published", "served") else "warn")
    for row in document.waiting_for[:SHOWN_MAX]:
        _waiting(row, page, document.verdict)
    if len(document.waiting_for) > SHOWN_MAX:
        page.say(f"and {plural(len(document.waiting_for) - SHOWN_MAX, 'more thing')}; --json has all", indent=2)
    if document.also_waiting:
        page.say(
            f"{plural(document.also_waiting, 'other partition')} of it {'waits' if document.also_waiting == 1 else 'wait'} too", indent=2
        )
    page.next(document.next)


def _waiting(row: WaitingRow, page: Page, verdict: str) -> None:
    """One thing that is waited for, unless it has been said already."""
    text = f"{row.waiter} {row.text}" if row.waiter else row.text
    if text != verdict:
        page.say(text, indent=2)
    if row.p95_seconds is not None:
        page.say(f"such attempts take {seconds(row.p50_seconds)}, 95 of 100 no more than {seconds(row.p95_seconds)}", "dim", indent=4)
