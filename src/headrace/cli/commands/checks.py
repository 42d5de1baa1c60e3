"""`headrace checks`: declared checks with their outcomes."""

from __future__ import annotations

from headrace.cli import output
from headrace.cli.declared_commands import ExitCode, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.services.checks import CheckStandingRow, checks

_OUTCOME_SIGNS = {"passed": "✓", "failed": "✗", "unchecked": "·"}

CHECK_COLUMNS = [
    ColumnLayout("node", gives=2, least=12),
    ColumnLayout("check", gives=1, least=12),
    ColumnLayout("outcome", least=10),
    ColumnLayout("last", gives=5, least=10, drops=2),
    ColumnLayout("of", drops=1),
    ColumnLayout("before", drops=3),
    ColumnLayout("what", gives=3, least=12, drops=4),
]


def render_checks(rows: list[CheckStandingRow], page: CommandOutput) -> None:
    """Print each check with its latest outcomes, the newest last."""
    page.head("checks")
    page.say()
    page.table(CHECK_COLUMNS, [_check_row(row, page) for row in rows])
    if not rows:
        page.say("no checks are declared for these nodes")
    failed = sum(row.state == "failed" for row in rows)
    never = sum(row.state == "never" for row in rows)
    page.facts(
        plural(len(rows), "check"),
        f"{failed} failed last" if failed else "",
        f"{never} never ran" if never else "",
    )
    page.next("headrace checks challenge" if rows else "headrace checks suggest")


def _check_row(row: CheckStandingRow, page: CommandOutput) -> list[str | StyledCell]:
    before = "".join(
        _OUTCOME_SIGNS.get(check_outcome_row.outcome, "·")
        for check_outcome_row in reversed(row.history)
    )
    state = "warned" if row.state == "failed" and row.severity == "warning" else row.state
    at = page.times.time_text(row.at) if row.at is not None else ""
    return [
        StyledCell(row.node, "bold"),
        row.check,
        output.state_cell(state),
        at,
        row.partition or "",
        before,
        row.reason or "",
    ]


@terminal_command("checks:checks", group="look", summary="list checks and their results")
def checks_command(
    invocation: Invocation,
    select: list[str],
    *,
    exclude: list[str],
    history: int,
    exit_code: ExitCode = False,
) -> int:
    """List the declared checks and their outcomes."""
    rows = checks(invocation.session, select, exclude, history)
    invocation.show(rows, render_checks)
    return int(exit_code and any(row.state == "failed" for row in rows))
