"""`headrace test`: the unit tests of assets on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.cli import output
from headrace.cli.output import seconds, value_text, values_text
from headrace.cli.run_results import render_error
from headrace.extension import ColumnLayout, CommandOutput, ServiceCommand, StyledCell, plural
from headrace_testing.responses import RowDifferenceRow, TestRow

DIFFERENCES_SHOWN_MAX = 5
"""Rows of each kind below a test; `--json` has more."""
TEST_COLUMNS = [
    ColumnLayout("", least=1),
    ColumnLayout("test", gives=2, least=16),
    ColumnLayout("asset", gives=3, least=12),
    ColumnLayout("partition", drops=2),
    ColumnLayout("checks", drops=1),
    ColumnLayout("took", drops=3, right=True),
]


def render_tests(rows: list[TestRow], page: CommandOutput) -> None:
    """Print each test, and below what those that failed differ in."""
    if not rows:
        page.say("no tests are declared for these nodes", "warn")
        page.next("headrace ls")
        return
    page.table(TEST_COLUMNS, [_test_row(row) for row in rows])
    for row in rows:
        if row.state != "passed":
            page.say()
            _render_failed_test(row, page)
    page.say()
    failed = [row for row in rows if row.state != "passed"]
    count_texts = [plural(len(rows) - len(failed), "test") + " passed"] + [
        f"{len(failed)} not"
    ] * bool(failed)
    page.facts(
        *count_texts,
        seconds(sum(row.seconds or 0 for row in rows)),
        style="bad" if failed else "good",
    )
    page.next("headrace test " + failed[0].asset if failed else "headrace apply")


test_command = ServiceCommand(
    "headrace_testing.services.asset_tests:run_tests",
    render_tests,
    exit_code=lambda rows: int(any(row.state != "passed" for row in rows)),
    clock=False,
)


def _test_row(row: TestRow) -> list[str | StyledCell]:
    mark = StyledCell("✓", "good") if row.state == "passed" else StyledCell("✗", "bad")
    return [mark, row.test, row.asset, row.partition or "", _checks_text(row), seconds(row.seconds)]


def _checks_text(row: TestRow) -> str:
    """Return the counts of the asset's check outcomes: `2 passed, 1 failed`."""
    counts = {
        outcome: sum(check.outcome == outcome for check in row.checks)
        for outcome in ("passed", "failed", "unchecked")
    }
    return ", ".join(f"{n} {outcome}" for outcome, n in counts.items() if n)


def _render_failed_test(row: TestRow, page: CommandOutput) -> None:
    page.say(f"✗ {row.test}  {row.file}:{row.line}", "bad")
    if row.error is not None:
        render_error(row.error, page, row.asset)
    if row.reason:
        page.say(row.reason, indent=2)
    _render_rows("expected, and not there", "-", row.missing, page)
    _render_rows("not expected", "+", row.unexpected, page)
    if row.changed:
        page.say("other cells than expected:", indent=2)
    for change in row.changed[:DIFFERENCES_SHOWN_MAX]:
        _render_change(change, page)
    count = sum(
        min(DIFFERENCES_SHOWN_MAX, len(rows)) for rows in (row.missing, row.unexpected, row.changed)
    )
    page.rest(
        row.differences - count,
        "more row",
        then=" that aren't as expected; --json has more",
        style="dim",
    )
    for check in row.checks:
        if check.outcome == "failed":
            page.say(
                f"check {check.name}: {output.state_mark(check.outcome)} {check.detail}",
                "dim",
                indent=2,
            )
    for line in row.log[-DIFFERENCES_SHOWN_MAX:]:
        page.say(line, "dim", indent=2)


def _render_rows(what: str, sign: str, rows: Sequence[dict[str, Any]], page: CommandOutput) -> None:
    if rows:
        page.say(f"{what}:", indent=2)
    for row in rows[:DIFFERENCES_SHOWN_MAX]:
        page.say(f"{sign} {values_text(row)}", "bad" if sign == "-" else "warn", indent=4)
    page.rest(len(rows) - DIFFERENCES_SHOWN_MAX, "more row", then="; --json has all")


def _render_change(change: RowDifferenceRow, page: CommandOutput) -> None:
    wrong = {cell.column for cell in change.cells}
    same = {name: value for name, value in change.row.items() if name not in wrong}
    page.say(f"~ {values_text(same)}", "warn", indent=4)
    for cell in change.cells:
        page.say(
            f"{cell.column}: expected {value_text(cell.expected)}, got {value_text(cell.got)}",
            indent=8,
        )
