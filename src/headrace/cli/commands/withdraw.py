"""`headrace withdraw ASSET@K`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.running import span
from headrace.cli.text import joined, plural
from headrace.operations.interventions import WithdrawResponse


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("ASSET@K", help="a published partition")],
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="why; who misses the data reads it")] = None,
) -> int:
    """Take a publication back: readers see nothing of that partition any more, and what was made of it is stale."""
    from headrace.operations.withdraw import withdraw

    response = withdraw(invocation.session, target, reason=reason, progress=invocation.progress())
    invocation.show(response, _render)
    return 0


def _render(response: WithdrawResponse, page: CommandOutput) -> None:
    rows = plural(response.rows, "row")
    name = f"{response.asset}@{response.partition}" if response.partition != "*" else response.asset
    page.say(
        f"✓ {name} is withdrawn: readers see none of its {rows} any more (published {page.reader.moment(response.published_at)})", "good"
    )
    for row in response.stale[:10]:
        page.say(f"stale now: {row.node} {span(row.partitions)}", indent=2)
    if response.consumers:
        page.say(f"read by {joined(response.consumers)}", indent=2)
    page.clock_note()
    page.next(f"headrace why {name}")
