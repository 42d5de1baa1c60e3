"""What was learnt of a source at its first publication, in a few lines."""

from __future__ import annotations

from headrace.cli.page import CommandOutput
from headrace.cli.text import joined, plural
from headrace.model.commands import command_line
from headrace.operations.responses import LearntRow

COLUMNS_SHOWN_MAX = 12
DISAGREED_SHOWN_MAX = 3
SOURCES_SHOWN_MAX = 6


def lessons(rows: list[LearntRow], page: CommandOutput) -> None:
    """Of the sources that a run published for the first time; their warnings stand beside the attempts."""
    if rows:
        page.say()
    for row in rows[:SOURCES_SHOWN_MAX]:
        lesson(row, page, warnings=False)
    if len(rows) > SOURCES_SHOWN_MAX:
        page.say(f"and of {plural(len(rows) - SOURCES_SHOWN_MAX, 'more source')}; --json has all", indent=2)


def lesson(row: LearntRow, page: CommandOutput, *, columns: bool = True, warnings: bool = True) -> None:
    """How the source is read, with `columns` as what, what says so, and which deliveries didn't agree."""
    types = "; types by its contract" if row.by == "contract" else ""
    page.say(f"{row.source} is read as {row.read_as}, learnt from {_deliveries(row)}{types}", indent=2)
    if columns:
        page.say(joined([f"{column.name} {column.type}" for column in row.columns], COLUMNS_SHOWN_MAX), "dim", indent=4)
    for text in row.warnings if warnings else ():
        page.say(text, "warn", indent=4)
    others = [disagreed_row for disagreed_row in row.disagreed if disagreed_row.column not in row.undecided]
    for disagreed_row in others[:DISAGREED_SHOWN_MAX]:
        page.say(f"doesn't agree: {disagreed_row.text}", "warn", indent=4)
    if len(others) > DISAGREED_SHOWN_MAX:
        more = f"{len(others) - DISAGREED_SHOWN_MAX:,} more"
        page.say(f"and {more}: {command_line('deliveries', row.source, '--json')}", indent=4)


def _deliveries(row: LearntRow) -> str:
    count = len(row.deliveries)
    return row.deliveries[0] if count == 1 else f"{plural(count, 'delivery', 'deliveries')}"
