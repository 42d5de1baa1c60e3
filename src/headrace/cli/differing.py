"""How what an environment has built differs from production, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.cli.data import shown_value
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.operations.responses import DifferenceRow, RowChange, SpreadRow

SPREADS_SHOWN_MAX = 8
SPREADS = [
    ColumnLayout("column", gives=1, least=10),
    ColumnLayout("nulls", right=True, drops=2),
    ColumnLayout("distinct", right=True, drops=3),
    ColumnLayout("from", gives=3, least=8, drops=4),
    ColumnLayout("to", gives=3, least=8, drops=4),
    ColumnLayout("mean", right=True, drops=1),
]


def show(rows: Sequence[DifferenceRow], page: CommandOutput) -> None:
    """Node by node: how many rows differ, in which columns, some of them, and how values are distributed otherwise."""
    for row in rows:
        page.say()
        page.say(f"{row.node} against production", "bold")
        page.facts(*_counted(row))
        for change in row.columns:
            types = " → ".join(kind for kind in (change.before, change.after) if kind)
            page.say(
                f"column {change.column} {'has another type' if change.change == 'type' else change.change}: {types}", "warn", indent=2
            )
        if row.cells:
            page.say("changed in: " + ", ".join(f"{name} ({plural(count, 'row')})" for name, count in row.cells.items()), indent=2)
        for example in row.sample:
            sample(example, page)
        page.table(SPREADS, [_spread(spread) for spread in row.spreads[:SPREADS_SHOWN_MAX]])


def _counted(row: DifferenceRow) -> list[str]:
    changed = [] if row.rows_changed is None else [f"{row.rows_changed:,} changed"]
    rows = ", ".join([f"{row.rows_added:,} added", f"{row.rows_removed:,} removed", *changed])
    said = [f"{plural(row.compared, 'partition')} compared, {row.identical:,} identical"]
    said += [f"{row.not_compared:,} older ones not compared"] if row.not_compared else []
    said += [f"{row.not_built:,} not built here"] if row.not_built else []
    said += [f"{row.only_here:,} only here"] if row.only_here else []
    return [*said, *([f"rows: {rows}"] if row.compared else [])]


def sample(row: RowChange, page: CommandOutput) -> None:
    """One row that was added, removed or changed."""
    if row.change != "changed":
        sign, values = ("+", row.after) if row.change == "added" else ("-", row.before)
        page.say(f"{sign} {_shown(values or {})}", "good" if sign == "+" else "bad", indent=2)
        return
    before, after = row.before or {}, row.after or {}
    same = {name: value for name, value in after.items() if before.get(name) == value}
    other = [f"{name}: {shown_value(before.get(name))} → {shown_value(value)}" for name, value in after.items() if name not in same]
    page.say(f"~ {_shown(same)}  {'  '.join(other)}", "warn", indent=2)


def _shown(values: dict[str, Any]) -> str:
    return "  ".join(f"{name}={shown_value(value)}" for name, value in values.items())


def _spread(row: SpreadRow) -> list[str | StyledCell]:
    names = ("nulls", "distinct", "minimum", "maximum", "mean")
    return [StyledCell(row.column, "bold"), *(_moved(row.before[name], row.after[name]) for name in names)]


def _moved(before: Any, after: Any) -> str:
    if before == after:
        return "" if after is None else _text(after)
    return f"{'–' if before is None else _text(before)} → {'–' if after is None else _text(after)}"


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
