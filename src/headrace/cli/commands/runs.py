"""`headrace runs [RUN]`."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, ExitCode, Option
from headrace.cli.running import ERRORS_SHOWN_MAX, REPAIRS_SHOWN_MAX, error, repair, span
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.model.commands import WHOLE, command_line, place
from headrace.operations.responses import RunRow
from headrace.operations.runs import FAILED, runs

ATTEMPTS_SHOWN_MAX = 200


def command(
    invocation: Invocation,
    run: Annotated[str | None, Argument("[RUN]", help="one run, with its attempts")] = None,
    failed: Annotated[bool, Option("--failed", help="only what failed, was lost or rejected")] = False,
    since: Annotated[str | None, Option("--since", metavar="T", help="a time, or back from now: 2d, 6h")] = None,
    limit: Annotated[int, Option("--limit", metavar="N", least=1, help="runs listed, newest first")] = 20,
    exit_code: ExitCode = False,
) -> int:
    """What ran, and what became of it."""
    rows = runs(invocation.session, run, failed=failed, since=since, limit=limit)
    narrowed = failed or since is not None
    invocation.show(rows, _one if run else lambda rows, page: _all(rows, page, narrowed=narrowed))
    return int(exit_code and any(row.state in FAILED for row in rows))


RUNS = [
    ColumnLayout("run", right=True),
    ColumnLayout("kind", drops=3),
    ColumnLayout("began"),
    ColumnLayout("took", right=True, drops=1),
    ColumnLayout("state"),
    ColumnLayout("what", gives=2, least=14),
    ColumnLayout("by", gives=4, least=6, drops=2),
]


def _all(rows: list[RunRow], page: CommandOutput, *, narrowed: bool = False) -> None:
    grouped = [list(group) for _, group in groupby(rows, key=lambda row: row.run_id)]
    page.head("runs")
    page.say()
    page.table(RUNS, [_run(group, page) for group in grouped])
    if not grouped:
        page.say("no run is like that" if narrowed else "nothing has run yet")
    page.next(f"headrace runs {grouped[0][0].run_id}" if grouped else "headrace runs" if narrowed else "headrace tick")


def _run(rows: list[RunRow], page: CommandOutput) -> list[str | StyledCell]:
    first = rows[0]
    took = (first.run_finished_at - first.run_started_at).total_seconds() if first.run_finished_at else None
    return [
        StyledCell(first.run_id, "bold"), first.run_kind, page.reader.moment(first.run_started_at), seconds(took),
        states.cell(first.run_state), _counted(rows), first.actor,
    ]  # fmt: skip


def _counted(rows: list[RunRow]) -> str:
    results: dict[str, int] = {}
    for row in rows:
        if row.node is not None:
            results[row.state] = results.get(row.state, 0) + 1
    return ", ".join(f"{n:,} {state}" for state, n in sorted(results.items(), key=lambda item: -item[1])) or "nothing attempted"


ATTEMPTS = [
    ColumnLayout("attempt", drops=2),
    ColumnLayout("asset", gives=2, least=16),
    ColumnLayout("partitions", gives=3, least=11),
    ColumnLayout("state"),
    ColumnLayout("rows", right=True, drops=1),
    ColumnLayout("took", right=True, drops=3),
    ColumnLayout("why", gives=4, least=18),
]


def _one(rows: list[RunRow], page: CommandOutput) -> None:
    attempted = [list(group) for _, group in groupby((row for row in rows if row.node is not None), key=lambda row: row.attempt)]
    first = rows[0]
    page.head(f"run {first.run_id}", f"{first.run_kind} by {first.actor}")
    page.facts(f"began {page.reader.moment(first.run_started_at)}", states.mark(first.run_state), _counted(rows))
    if first.cancelled_at is not None:
        why = f": {first.cancel_reason}" if first.cancel_reason else ""
        page.say(f"cancelled by {first.cancelled_by} at {page.reader.moment(first.cancelled_at)}{why}", "warn")
    page.say()
    page.table(ATTEMPTS, [_attempt(group) for group in attempted[:ATTEMPTS_SHOWN_MAX]])
    if len(attempted) > ATTEMPTS_SHOWN_MAX:
        page.say(f"and {plural(len(attempted) - ATTEMPTS_SHOWN_MAX, 'more attempt')}; --json has all", indent=2)
    wrong = [group for group in attempted if group[0].error is not None]
    for group in wrong[:ERRORS_SHOWN_MAX]:
        page.say()
        assert group[0].error is not None
        error(group[0].error, page, f"{group[0].node}@{_span(group)} (attempt {group[0].attempt})")
    repairs = [row.repair for group in attempted for row in group if row.repair is not None]
    for row in list({(row.node, row.first): row for row in repairs}.values())[:REPAIRS_SHOWN_MAX]:
        repair(row, page)
    page.next(_next(attempted))


def _next(attempted: list[list[RunRow]]) -> str:
    waiting = next((row for row, *_ in attempted if row.state in ("held", "rejected")), None)
    if waiting:
        return command_line("quarantine", place(waiting.node or "", waiting.partition or WHOLE))
    wrong = next((row for row, *_ in attempted if row.state in FAILED), None)
    return f"headrace logs {wrong.attempt}" if wrong else "headrace status"


def _span(group: list[RunRow]) -> str:
    return span([row.partition for row in group if row.partition is not None])


def _attempt(group: list[RunRow]) -> list[str | StyledCell]:
    row = group[0]
    text = "warned" if row.verdict == "warned" else row.state
    return [
        row.attempt or "",
        StyledCell(row.node or "", "bold"),
        _span(group),
        states.cell(text),
        f"{row.rows:,}" if row.rows is not None else "–",
        seconds(row.seconds),
        row.reason or "",
    ]
