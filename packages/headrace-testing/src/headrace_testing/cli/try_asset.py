"""`headrace try ASSET[@K]`: compute and audit one partition without publishing it."""

from __future__ import annotations

from headrace.cli import output
from headrace.cli.output import data_table, seconds
from headrace.cli.run_results import render_error
from headrace.extension import (
    ColumnLayout,
    CommandOutput,
    ServiceCommand,
    StyledCell,
    command_line,
    plural,
)
from headrace.model.partitions import partition_argument
from headrace.responses import CheckRow
from headrace_testing.responses import TryResponse

FAILED_STATES = ("failed", "rejected", "held")


def render_try(response: TryResponse, page: CommandOutput) -> None:
    """Print rows, checks and log of the try, or its error."""
    page.head(f"{response.asset}@{response.partition}", "a try: nothing was published")
    page.say()
    if response.error is not None:
        render_error(response.error, page, f"{response.asset}@{response.partition}")
    if response.rows:
        data_table(page, response.columns, response.rows)
        page.say()
    if response.checks:
        page.table(CHECK_COLUMNS, [_check_row(check) for check in response.checks])
        page.say()
    for line in response.log:
        page.say(line, "dim", indent=2)
    rows = "" if response.rows_total is None else plural(response.rows_total, "row")
    page.facts(
        output.state_mark(response.state),
        rows,
        seconds(response.seconds),
        response.reason or "",
        style=_try_style(response),
    )
    text = command_line("render", partition_argument(response.asset, response.partition))
    page.next("headrace apply" if response.state not in FAILED_STATES else text)


try_command = ServiceCommand(
    "headrace_testing.services.try_asset:try_asset",
    render_try,
    exit_code=lambda response: int(response.state in FAILED_STATES),
)


def _try_style(response: TryResponse) -> str:
    return (
        "bad"
        if response.state in FAILED_STATES
        else "good"
        if response.state == "passed"
        else "warn"
    )


CHECK_COLUMNS = [
    ColumnLayout("check", gives=1, least=12),
    ColumnLayout("outcome", least=10),
    ColumnLayout("failing", right=True, drops=1),
    ColumnLayout("what", gives=2, least=16),
]


def _check_row(check: CheckRow) -> list[str | StyledCell]:
    outcome = (
        "warned" if check.outcome == "failed" and check.severity == "warning" else check.outcome
    )
    return [
        check.name,
        output.state_cell(outcome),
        f"{check.failing:,}" if check.failing else "",
        check.detail,
    ]
