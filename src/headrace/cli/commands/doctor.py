"""`headrace doctor`."""

from __future__ import annotations

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.operations.inspections import ExaminationRow

MARKS = {"ok": StyledCell("✓", "good"), "warn": StyledCell("!", "warn"), "fail": StyledCell("✗", "bad"), "skipped": StyledCell("·", "dim")}
COLUMNS = [ColumnLayout("", least=1), ColumnLayout("", gives=2, least=12), ColumnLayout("", gives=1, least=20)]


def command(invocation: Invocation) -> int:
    """Look at everything that could go wrong at night: machine, state, project, sources, secrets, exports.

    Changes nothing. Exits 1 where something keeps the project from running.
    """
    from headrace.operations.doctor import doctor

    rows = doctor(invocation.session)
    invocation.show(rows, _render, clock=False)
    return 1 if any(row.state == "fail" for row in rows) else 0


def _render(rows: list[ExaminationRow], page: CommandOutput) -> None:
    for area in dict.fromkeys(row.area for row in rows):
        page.say(area, "bold")
        page.table(COLUMNS, [[MARKS[row.state], row.name, row.detail] for row in rows if row.area == area], header=False)
    todo = [row for row in rows if row.todo and row.state in ("warn", "fail")]
    if todo:
        page.say()
        page.say("to do:", "bold")
    for row in todo:
        page.say(f"{row.name}: {row.todo}", "bad" if row.state == "fail" else "warn", indent=2)
    page.say()
    counts = {state: sum(row.state == state for row in rows) for state in MARKS}
    said = (
        [f"{counts['ok']} ok"]
        + [plural(counts["warn"], "warning")] * bool(counts["warn"])
        + [f"{counts['fail']} failed"] * bool(counts["fail"])
    )
    page.facts(*said, style="bad" if counts["fail"] else "warn" if counts["warn"] else "good")
    page.next(_next(rows))


def _next(rows: list[ExaminationRow]) -> str:
    failed = [row.name for row in rows if row.state == "fail"]
    return "headrace validate" if "declarations" in failed else "headrace doctor" if failed else "headrace status"
