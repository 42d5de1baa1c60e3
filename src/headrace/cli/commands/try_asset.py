"""`headrace try ASSET[@K]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import states
from headrace.cli.data import grid
from headrace.cli.invocation import Invocation
from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.parameters import Set, parameters
from headrace.cli.parsing import Argument, Option
from headrace.cli.running import error
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.model.commands import command_line, place
from headrace.operations.responses import CheckRow, TryResponse

FAILED = ("failed", "rejected", "held")


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("ASSET[@K]", help="an asset, and which partition (default: the newest that can be computed)")],
    limit: Annotated[int, Option("--limit", metavar="N", least=0, help="rows shown")] = 10,
    setting: Set = None,
) -> int:
    """Compute and audit one partition as the files stand, and publish nothing."""
    from headrace.operations.try_asset import try_asset

    response = try_asset(invocation.session, target, limit=limit, parameters=parameters(setting))
    invocation.show(response, _render)
    return 1 if response.state in FAILED else 0


def _render(response: TryResponse, page: CommandOutput) -> None:
    page.head(f"{response.asset}@{response.partition}", "a try: nothing was published")
    page.say()
    if response.error is not None:
        error(response.error, page, f"{response.asset}@{response.partition}")
    if response.rows:
        grid(page, response.columns, response.rows)
        page.say()
    if response.checks:
        page.table(CHECKS, [_check(check) for check in response.checks])
        page.say()
    for line in response.log:
        page.say(line, "dim", indent=2)
    rows = "" if response.rows_total is None else plural(response.rows_total, "row")
    page.facts(states.mark(response.state), rows, seconds(response.seconds), response.reason or "", style=_style(response))
    text = command_line("render", place(response.asset, response.partition))
    page.next("headrace apply" if response.state not in FAILED else text)


def _style(response: TryResponse) -> str:
    return "bad" if response.state in FAILED else "good" if response.state == "passed" else "warn"


CHECKS = [
    ColumnLayout("check", gives=1, least=12),
    ColumnLayout("outcome", least=10),
    ColumnLayout("failing", right=True, drops=1),
    ColumnLayout("what", gives=2, least=16),
]


def _check(check: CheckRow) -> list[str | StyledCell]:
    outcome = "warned" if check.outcome == "failed" and check.severity == "warning" else check.outcome
    return [check.name, states.cell(outcome), f"{check.failing:,}" if check.failing else "", check.detail]
