"""`headrace test [SELECT…]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.cli import states
from headrace.cli.data import shown_value
from headrace.cli.invocation import Invocation
from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.parameters import Set, parameters
from headrace.cli.parsing import Exclude, Select, Selection
from headrace.cli.running import error
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.operations.inspections import RowDifferenceRow, TestRow

SHOWN_MAX = 5
"""Rows of each kind below a test; `--json` has more."""
COLUMNS = [
    ColumnLayout("", least=1),
    ColumnLayout("test", gives=2, least=16),
    ColumnLayout("asset", gives=3, least=12),
    ColumnLayout("partition", drops=2),
    ColumnLayout("checks", drops=1),
    ColumnLayout("took", drops=3, right=True),
]


def command(invocation: Invocation, select: Selection = None, also: Select = None, exclude: Exclude = None, setting: Set = None) -> int:
    """Unit tests of assets: what tests/*.yaml gives is computed and compared with what it expects.

    Needs no lake and publishes nothing. Exits 1 where a test doesn't pass.
    """
    from headrace.operations.testing import run_tests

    rows = run_tests(
        invocation.session, [*(select or []), *(also or [])], exclude=exclude or [], parameters=parameters(setting),
        progress=invocation.progress(),
    )  # fmt: skip
    invocation.show(rows, _render, clock=False)
    return 0 if all(row.state == "passed" for row in rows) else 1


def _render(rows: list[TestRow], page: CommandOutput) -> None:
    if not rows:
        page.say("there are no tests of what is selected", "warn")
        page.next("headrace ls")
        return
    page.table(COLUMNS, [_row(row) for row in rows])
    for row in rows:
        if row.state != "passed":
            page.say()
            _failure(row, page)
    page.say()
    failed = [row for row in rows if row.state != "passed"]
    said = [plural(len(rows) - len(failed), "test") + " passed"] + [f"{len(failed)} not"] * bool(failed)
    page.facts(*said, seconds(sum(row.seconds or 0 for row in rows)), style="bad" if failed else "good")
    page.next("headrace test " + failed[0].asset if failed else "headrace apply")


def _row(row: TestRow) -> list[str | StyledCell]:
    mark = StyledCell("✓", "good") if row.state == "passed" else StyledCell("✗", "bad")
    return [mark, row.test, row.asset, row.partition or "", _checks(row), seconds(row.seconds)]


def _checks(row: TestRow) -> str:
    """`2 passed, 1 failed`: what the asset's own checks came to."""
    counts = {outcome: sum(check.outcome == outcome for check in row.checks) for outcome in ("passed", "failed", "unchecked")}
    return ", ".join(f"{n} {outcome}" for outcome, n in counts.items() if n)


def _failure(row: TestRow, page: CommandOutput) -> None:
    page.say(f"✗ {row.test}  {row.file}:{row.line}", "bad")
    if row.error is not None:
        error(row.error, page, row.asset)
    if row.reason:
        page.say(row.reason, indent=2)
    _rows("expected, and not there", "-", row.missing, page)
    _rows("not expected", "+", row.unexpected, page)
    if row.changed:
        page.say("other cells than expected:", indent=2)
    for change in row.changed[:SHOWN_MAX]:
        _change(change, page)
    shown = sum(min(SHOWN_MAX, len(rows)) for rows in (row.missing, row.unexpected, row.changed))
    if row.differences > shown:
        page.say(f"and {plural(row.differences - shown, 'more row')} that aren't as expected; --json has more", "dim", indent=2)
    for check in row.checks:
        if check.outcome == "failed":
            page.say(f"check {check.name}: {states.mark(check.outcome)} {check.detail}", "dim", indent=2)
    for line in row.log[-SHOWN_MAX:]:
        page.say(line, "dim", indent=2)


def _rows(what: str, sign: str, rows: Sequence[dict[str, Any]], page: CommandOutput) -> None:
    if rows:
        page.say(f"{what}:", indent=2)
    for row in rows[:SHOWN_MAX]:
        page.say(f"{sign} {_shown(row)}", "bad" if sign == "-" else "warn", indent=4)


def _change(change: RowDifferenceRow, page: CommandOutput) -> None:
    wrong = {cell.column for cell in change.cells}
    page.say(f"~ {_shown({name: value for name, value in change.row.items() if name not in wrong})}", "warn", indent=4)
    for cell in change.cells:
        page.say(f"{cell.column}: expected {shown_value(cell.expected)}, got {shown_value(cell.got)}", indent=8)


def _shown(row: dict[str, Any]) -> str:
    return "  ".join(f"{name}={shown_value(value)}" for name, value in row.items())
