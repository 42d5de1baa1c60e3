"""`headrace costs`: what work and storage cost, and which of it was in vain."""

from __future__ import annotations

from headrace.cli.output import seconds
from headrace.extension import ColumnLayout, CommandOutput, ServiceCommand, StyledCell, plural
from headrace.model.fields import bytes_as_text
from headrace_advisor.responses.costs import BudgetRow, CostRow, CostsResponse

ROWS_PRINTED_MAX = 40
_NOTHING_NAMED = {
    "asset": "(unknown)",
    "consumer": "(no consumer)",
    "owner": "(removed)",
    "domain": "(no domain)",
    "run": "(stored data)",
    "incident": "(no incident)",
    "backfill": "(no backfill)",
    "waste": "",
}
_BUDGET_STATES = {"kept": "kept", "at_risk": "at risk", "exceeded": "exceeded"}
_BUDGET_STYLES = {"kept": "good", "at_risk": "warn", "exceeded": "bad"}


def _render(response: CostsResponse, page: CommandOutput) -> None:
    page.head(f"costs by {response.by}", f"last {response.window}")
    if not response.rows and not response.total.slot_seconds:
        page.say("nothing has run in the window: no data")
        page.next("headrace status")
        return
    page.say(f"in all {_text(response.total, response.currency)}")
    columns = [
        ColumnLayout(response.by, gives=1, least=12),
        ColumnLayout("slot time", right=True),
        ColumnLayout("read", right=True),
        ColumnLayout("stored × months", right=True),
    ]
    if response.currency is not None:
        columns.append(ColumnLayout(response.currency, right=True))
    page.table(columns, [_cells(row, response) for row in response.rows[:ROWS_PRINTED_MAX]])
    if len(response.rows) > ROWS_PRINTED_MAX:
        more = plural(len(response.rows) - ROWS_PRINTED_MAX, "smaller row")
        page.say(f"and {more}; --json has them", "dim", indent=2)
    for row in response.waste if response.by != "waste" else ():
        page.say(f"in vain ({row.of}): {_text(row, response.currency)}", "warn")
    for budget in response.budgets:
        page.say(_budget_text(budget, response.currency or ""), _BUDGET_STYLES[budget.state])
    if response.currency is None:
        page.say(
            "no rates are declared: with [costs] in headrace.toml, amounts of money are shown",
            "dim",
        )


def _cells(row: CostRow, response: CostsResponse) -> list[str | StyledCell]:
    cells: list[str | StyledCell] = [
        StyledCell(row.of or _NOTHING_NAMED[response.by], "bold"),
        seconds(row.slot_seconds),
        bytes_as_text(row.bytes_read),
        bytes_as_text(row.byte_months),
    ]
    return cells if row.cost is None else [*cells, f"{row.cost:,.2f}"]


def _text(row: CostRow, currency: str | None) -> str:
    parts = [f"{seconds(row.slot_seconds)} of slots", f"{bytes_as_text(row.bytes_read)} read"]
    if row.byte_months:
        parts.append(f"{bytes_as_text(row.byte_months)} stored for a month")
    if row.cost is not None:
        parts.append(f"{row.cost:,.2f} {currency}")
    return " · ".join(parts)


def _budget_text(budget: BudgetRow, currency: str) -> str:
    of = f"of {budget.of}" if budget.of is not None else "of the project"
    return (
        f"budget {of}: {budget.spent:,.2f} of {budget.amount:,.2f} {currency} this month,"
        f" {budget.forecast:,.2f} by its end at this pace: {_BUDGET_STATES[budget.state]}"
    )


costs_command = ServiceCommand("headrace_advisor.services.costs:costs", _render)
