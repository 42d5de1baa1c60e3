"""`headrace what-if`: what consumers would get after a change."""

from __future__ import annotations

from headrace.cli.output import seconds
from headrace.extension import ColumnLayout, CommandOutput, ServiceCommand, StyledCell, plural
from headrace_advisor.responses.what_if import (
    BacktestRow,
    DeliveredRow,
    WhatIfConsumerRow,
    WhatIfResponse,
)

COLUMNS = [
    ColumnLayout("consumer", gives=1, least=12),
    ColumnLayout("due", drops=1),
    ColumnLayout("now half by"),
    ColumnLayout("95 % by"),
    ColumnLayout("in time", right=True),
    ColumnLayout("then half by"),
    ColumnLayout("95 % by"),
    ColumnLayout("in time", right=True),
]


def _render(response: WhatIfResponse, page: CommandOutput) -> None:
    page.head("what-if", ", ".join(response.changes) or "as things are")
    page.say(
        f"{plural(response.days, 'day')} from {_begins(response)},"
        f" {plural(response.samples, 'sample')}, --seed {response.seed}",
        "dim",
        indent=2,
    )
    _render_answer(response, page)
    page.say()
    rows = [_row(name, row) for name, row in response.consumers.items()]
    page.table(COLUMNS, rows)
    if not response.consumers:
        page.say("no consumer is declared, so there is nothing to deliver", indent=2)
    page.say()
    for row in response.consumers.values():
        page.say(row.text, indent=2)
    _render_load(response, page)
    page.say(_tested(response.backtest), indent=2)
    for text in (*response.lacking, *response.notes):
        page.say(text, "warn" if text in response.lacking else "dim", indent=2)


def _render_answer(response: WhatIfResponse, page: CommandOutput) -> None:
    """Print what `--keep` and `--backfill` ask for."""
    if response.keep is not None:
        page.say(response.keep.text, "good" if response.keep.reached else "warn", indent=2)
    if response.backfill is not None:
        page.say(response.backfill.text, "good" if response.backfill.done_p95 else "warn", indent=2)
        style = "warn" if response.backfill.late else "good"
        page.say(response.backfill.late_text, style, indent=2)


def _begins(response: WhatIfResponse) -> str:
    days = (response.begins - response.now.date()).days
    return {0: "today", 1: "tomorrow"}.get(days, str(response.begins))


def _render_load(response: WhatIfResponse, page: CommandOutput) -> None:
    """Print what holds deliveries up, and how busy workers are."""
    if response.next_bottleneck is not None:
        page.say(f"next bottleneck: {response.next_bottleneck.text}", indent=2)
    if response.busy_seconds is not None:
        load = response.busy_seconds
        page.say(f"workers are busy {seconds(load.now)} a day → {seconds(load.then)}", indent=2)
    if response.cost_month is not None:
        cost = response.cost_month
        text = f"busy slots cost {cost.now:,.2f} → {cost.then:,.2f} {cost.currency} a month"
        page.say(text, indent=2)


def _row(name: str, row: WhatIfConsumerRow) -> list[str | StyledCell]:
    cells = [*_cells(row.now, row.predictable), *_cells(row.then, row.predictable)]
    return [StyledCell(name, "bold"), row.due_text, *cells]


def _cells(row: DeliveredRow | None, predictable: bool) -> list[str]:
    if row is None:
        return ["", "", ""]
    in_time = "" if row.kept is None else f"{row.kept} %" if predictable else "?"
    return [row.p50_at or seconds(row.p50), row.p95_at or seconds(row.p95), in_time]


def _tested(row: BacktestRow | None) -> str:
    """Return how good such forecasts of past days would have been."""
    if row is None:
        return "not tested on past days: too few deliveries are known"
    naive = (
        ""
        if row.naive_error is None
        else f" ({row.naive_error} % if each takes as long as a week before)"
    )
    return (
        f"tested on {plural(row.deliveries, 'past delivery', 'past deliveries')}, from arrival to"
        f" delivery: off by {row.median_error} % in the median{naive}; {row.coverage80} % of them"
        " were within the interval that should hold 80 %"
    )


what_if_command = ServiceCommand("headrace_advisor.services.what_if:what_if", _render)
