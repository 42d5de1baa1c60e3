"""`headrace why CONSUMER|ASSET[@K]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import ledgering, states
from headrace.cli.invocation import Invocation
from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument
from headrace.cli.running import REPAIRS_SHOWN_MAX, past, repair
from headrace.cli.text import plural
from headrace.operations.interventions import LedgerRow, WaitingRow, WhyResponse

SHOWN_MAX = 12


def command(
    invocation: Invocation,
    subject: Annotated[str, Argument("CONSUMER|ASSET[@K]", help="a consumer, an asset, a source, or one of their intervals")],
) -> int:
    """Where the time went that it waited; what it waits for, and until when that is expected."""
    from headrace.operations.why import why

    invocation.show(why(invocation.session, subject), _render)
    return 0


def _render(response: WhyResponse, page: CommandOutput) -> None:
    page.head(response.subject, states.mark(response.state))
    page.say(response.verdict, "" if response.state in ("published", "served") else "warn")
    ledger = _ledger(response)
    if ledger is not None:
        ledgering.show(ledger, page)
    _waits(response, page, told=ledger is not None and ledger.open)
    if response.last is not None:
        page.say()
        page.say(f"{response.last.subject} {response.last.interval} was there {page.reader.moment(response.last.to)}.")
        ledgering.show(response.last, page)
    if response.also_waiting:
        page.say(
            f"{plural(response.also_waiting, 'other partition')} of it {'waits' if response.also_waiting == 1 else 'wait'} too", indent=2
        )
    past(response.restated, [], page)
    repairs = {
        (row.node, row.partition): row.repair for row in response.waiting_for if row.repair is not None and row.repair.incident is None
    }
    for repair_row in list(repairs.values())[:REPAIRS_SHOWN_MAX]:
        repair(repair_row, page)
    page.next(response.next)


def _ledger(response: WhyResponse) -> LedgerRow | None:
    """The document's own wait; None where none has begun."""
    if response.segments is None:
        return None
    fields = {name: getattr(response, name) for name in LedgerRow.__struct_fields__ if name != "interval"}
    return LedgerRow(interval=response.interval or "", **fields)


def _waits(response: WhyResponse, page: CommandOutput, *, told: bool) -> None:
    """What it waits for; where a ledger tells of it already, only what is at the end of it, each once."""
    rows = response.waiting_for
    if told:
        rows = list({(row.node, row.partition): row for row in rows if row.kind not in ("partition", "stopped")}.values())
    for row in rows[:SHOWN_MAX]:
        _waiting(row, page, response.verdict)
    if len(rows) > SHOWN_MAX:
        more = plural(len(rows) - SHOWN_MAX, "more thing")
        if response.waiting_limited:
            page.say(f"and at least {more}; --json has the first {len(rows):,}", indent=2)
        else:
            page.say(f"and {more}; --json has all", indent=2)


def _waiting(row: WaitingRow, page: CommandOutput, verdict: str) -> None:
    """One thing that is waited for, unless it has been said already."""
    text = f"{row.waiter} {row.text}" if row.waiter else row.text
    if text != verdict:
        page.say(text, indent=2)
    if row.p95_seconds is not None:
        page.say(f"such attempts take {seconds(row.p50_seconds)}, 95 of 100 no more than {seconds(row.p95_seconds)}", "dim", indent=4)
