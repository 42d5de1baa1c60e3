"""`headrace quarantine [ASSET[@K]]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import states
from headrace.cli.data import grid
from headrace.cli.invocation import Invocation
from headrace.cli.page import Page
from headrace.cli.parsing import Argument, ExitCode
from headrace.cli.tables import Cell, Column
from headrace.cli.text import plural
from headrace.model.errors import NotBuilt
from headrace.operations.documents import ColumnRow, QuarantineRow
from headrace.operations.quarantine import quarantine

DETAILED_MAX = 3
"""So many are shown with their rows; more are listed."""
SAMPLE_SHOWN_MAX = 5
SUBVERBS = ("accept", "drop")


def command(
    invocation: Invocation,
    target: Annotated[str | None, Argument("[ASSET[@K]]")] = None,
    rest: Annotated[list[str] | None, Argument("")] = None,
    exit_code: ExitCode = False,
) -> int:
    """Held and rejected data: why it waits, some of its rows, where it is, what to do."""
    if target in SUBVERBS or rest:
        raise NotBuilt(
            f"`headrace quarantine {target}` is not built yet", hint="headrace quarantine ASSET@K says what to do about it today"
        )
    rows = quarantine(invocation.session, target)
    invocation.show(rows, lambda rows, page: _render(rows, page, target))
    return int(exit_code and bool(rows))


COLUMNS = [
    Column("data", gives=1, least=18),
    Column("state"),
    Column("since", drops=2),
    Column("rows", right=True, drops=3),
    Column("owner", gives=4, least=6, drops=1),
    Column("why", gives=2, least=18),
]


def _render(rows: list[QuarantineRow], page: Page, target: str | None) -> None:
    page.head(target or "quarantine")
    if not rows:
        page.say("✓ nothing waits in quarantine", "good")
        page.next("headrace status")
        return
    page.say()
    if len(rows) <= DETAILED_MAX and target:
        for row in rows:
            _detail(row, page)
        page.next("headrace status" if rows[0].delivery is None else "headrace tick")
        return
    page.table(COLUMNS, [_row(row, page) for row in rows])
    known = sum(row.rows or 0 for row in rows)
    page.say(", ".join([plural(len(rows), "partition"), *([plural(known, "row")] if known else [])]) + "; readers see none of it")
    page.next(f"headrace quarantine {rows[0].node}@{rows[0].partition}")


def _row(row: QuarantineRow, page: Page) -> list[str | Cell]:
    count = "" if row.rows is None else f"{row.rows:,}"
    return [
        Cell(f"{row.node}@{row.partition}", "bold"),
        states.cell(row.state),
        page.reader.moment(row.at),
        count,
        row.owner or "",
        row.reason,
    ]


def _detail(row: QuarantineRow, page: Page) -> None:
    page.say(f"{states.mark(row.state)}  {row.node}@{row.partition} since {page.reader.moment(row.at)}: {row.reason}", "warn")
    for check in row.checks:
        page.say(f"check {check.name}: {check.detail or f'{check.failing} of {check.rows} rows'}", indent=2)
    if row.sample:
        names = list(dict.fromkeys(name for sample in row.sample for name in sample))
        page.say("for example:", indent=2)
        grid(page, [ColumnRow(name=name, type="") for name in names], row.sample[:SAMPLE_SHOWN_MAX])
    facts = [("owner", row.owner), ("delivered", row.delivery), ("kept in", row.path), ("attempt", row.attempt)]
    page.table([Column("", least=9), Column("", least=10)], [[Cell(name, "dim"), value] for name, value in facts if value], header=False)
    page.say(f"to do: {row.todo}", indent=2)
    page.say()
