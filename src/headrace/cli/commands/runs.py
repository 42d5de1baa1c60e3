"""`headrace runs` and `headrace logs`: what ran, its outcome, and the lines that attempts wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Annotated

from headrace.cli import output
from headrace.cli.declared_commands import ExitCode, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, seconds
from headrace.cli.run_results import (
    ERRORS_SHOWN_MAX,
    partition_span,
    render_error,
    render_repairs,
)
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.partitions import WHOLE, command_line, partition_argument
from headrace.project.parameters import Option
from headrace.repairs.broken_partitions import BROKEN
from headrace.responses import LogRow, RunRow
from headrace.services.logs import AttemptLog, follow, logs
from headrace.services.runs import runs

# `headrace runs [RUN]`

ATTEMPTS_SHOWN_MAX = 200
NOTHING = "nothing attempted"


@terminal_command("runs:runs", group="look", summary="list runs and their outcomes")
def runs_command(
    invocation: Invocation,
    run: str | None,
    *,
    failed: bool,
    since: str | None,
    limit: int,
    exit_code: ExitCode = False,
) -> int:
    """List runs and their outcomes; with a run, show its attempts."""
    rows = runs(invocation.session, run, failed=failed, since=since, limit=limit)
    narrowed = failed or since is not None
    nothing = "no attempt failed" if failed else NOTHING

    def render(rows: list[RunRow], page: CommandOutput) -> None:
        if run:
            _render_one_run(rows, page, nothing)
        else:
            _render_runs(rows, page, nothing, narrowed=narrowed)

    invocation.show(rows, render)
    return int(exit_code and any(row.state in BROKEN for row in rows))


RUN_COLUMNS = [
    ColumnLayout("run", right=True),
    ColumnLayout("kind", drops=3),
    ColumnLayout("began"),
    ColumnLayout("took", right=True, drops=1),
    ColumnLayout("state"),
    ColumnLayout("what", gives=2, least=14),
    ColumnLayout("by", gives=4, least=6, drops=2),
]


def _render_runs(
    rows: list[RunRow], page: CommandOutput, nothing: str = NOTHING, *, narrowed: bool = False
) -> None:
    grouped = [list(group) for _, group in groupby(rows, key=lambda row: row.run_id)]
    page.head("runs")
    page.say()
    page.table(RUN_COLUMNS, [_run_row(group, page, nothing) for group in grouped])
    if not grouped:
        page.say("no run is like that" if narrowed else "nothing has run yet")
    page.next(
        f"headrace runs {grouped[0][0].run_id}"
        if grouped
        else "headrace runs"
        if narrowed
        else "headrace tick"
    )


def _run_row(rows: list[RunRow], page: CommandOutput, nothing: str) -> list[str | StyledCell]:
    first = rows[0]
    took = (
        (first.run_finished_at - first.run_started_at).total_seconds()
        if first.run_finished_at
        else None
    )
    return [
        StyledCell(first.run_id, "bold"),
        first.run_kind,
        page.times.time_text(first.run_started_at),
        seconds(took),
        output.state_cell(first.run_state),
        _states_text(rows, nothing),
        first.actor,
    ]


def _states_text(rows: list[RunRow], nothing: str) -> str:
    """Return the number of partitions by state, or `nothing` without a listed attempt."""
    counts = Counter(row.state for row in _last_attempts(rows))
    return ", ".join(f"{n:,} {state}" for state, n in counts.most_common()) or nothing


def _last_attempts(rows: Iterable[RunRow]) -> Collection[RunRow]:
    """Return the last attempt of a run at each partition: one at several is followed by others."""
    return {(row.node, row.partition): row for row in rows if row.node is not None}.values()


ATTEMPT_COLUMNS = [
    ColumnLayout("attempt", drops=2),
    ColumnLayout("asset", gives=2, least=16),
    ColumnLayout("partitions", gives=3, least=11),
    ColumnLayout("state"),
    ColumnLayout("rows", right=True, drops=1),
    ColumnLayout("took", right=True, drops=3),
    ColumnLayout("why", gives=4, least=18),
]


def _render_one_run(  # complexipy: ignore (a page: a line for each thing there is to say)
    rows: list[RunRow],
    page: CommandOutput,
    nothing: str = NOTHING,
) -> None:
    attempted = [
        list(group)
        for _, group in groupby(
            (row for row in rows if row.node is not None), key=lambda row: row.attempt
        )
    ]
    first = rows[0]
    page.head(f"run {first.run_id}", f"{first.run_kind} by {first.actor}")
    page.facts(
        f"began {page.times.time_text(first.run_started_at)}",
        output.state_mark(first.run_state),
        _states_text(rows, nothing),
    )
    if first.cancelled_at is not None:
        why = f": {first.cancel_reason}" if first.cancel_reason else ""
        page.say(
            f"cancelled by {first.cancelled_by} at {page.times.time_text(first.cancelled_at)}{why}",
            "warn",
        )
    page.say()
    page.table(ATTEMPT_COLUMNS, [_attempt_row(group) for group in attempted[:ATTEMPTS_SHOWN_MAX]])
    page.rest(len(attempted) - ATTEMPTS_SHOWN_MAX, "more attempt", then="; --json has all")
    wrong = [group for group in attempted if group[0].error is not None]
    for group in wrong[:ERRORS_SHOWN_MAX]:
        page.say()
        assert group[0].error is not None
        render_error(
            group[0].error,
            page,
            f"{group[0].node}@{_partitions_text(group)} (attempt {group[0].attempt})",
        )
    page.rest(len(wrong) - ERRORS_SHOWN_MAX, "more error", then="; --json has all")
    repairs = [row.repair for group in attempted for row in group if row.repair is not None]
    render_repairs(list({(row.node, row.first): row for row in repairs}.values()), page)
    page.next(_next_command(attempted))


def _next_command(attempted: list[list[RunRow]]) -> str:
    last = _last_attempts(row for group in attempted for row in group)
    waiting = next((row for row in last if row.state in ("held", "rejected")), None)
    if waiting:
        return command_line(
            "quarantine", partition_argument(waiting.node or "", waiting.partition or WHOLE)
        )
    wrong = next((row for row, *_ in attempted if row.state in BROKEN), None)
    return f"headrace logs {wrong.attempt}" if wrong else "headrace status"


def _partitions_text(group: list[RunRow]) -> str:
    return partition_span([row.partition for row in group if row.partition is not None])


def _attempt_row(group: list[RunRow]) -> list[str | StyledCell]:
    row = group[0]
    return [
        row.attempt or "",
        StyledCell(row.node or "", "bold"),
        _partitions_text(group),
        output.published_cell(row.state, [item.verdict for item in group]),
        f"{row.rows:,}" if row.rows is not None else "–",
        seconds(row.seconds),
        row.reason or "",
    ]


# `headrace logs ASSET[@K]|ATTEMPT`


@terminal_command("logs:logs", group="look", summary="print the log lines of an attempt")
def logs_command(
    invocation: Invocation,
    target: str,
    following: Annotated[
        bool, Option("--follow", "-f", help="wait for more until the attempt has ended")
    ] = False,
    *,
    grep: str | None,
) -> int:
    """Print the lines that an attempt wrote, and its error if it failed."""
    if following and invocation.options.json:
        invocation.json(list(follow(invocation.session, target, grep=grep)))
        return 0
    if following:
        page = CommandOutput(invocation.screen, invocation.times)
        for row in follow(invocation.session, target, grep=grep):
            _render_line(row, page)
            invocation.screen.stream.flush()
        return 0
    log = logs(invocation.session, target, grep=grep)
    if invocation.options.json:
        invocation.json(log.rows if log else [])
        return 0
    _render_log(log, invocation.output(), target)
    return 0


def _render_log(log: AttemptLog | None, page: CommandOutput, target: str) -> None:
    if log is None:
        page.say(f"{target} was never attempted")
        page.clock_note()
        page.next("headrace status")
        return
    attempt = log.attempt
    name = f"{attempt.node}@{partition_span(list(attempt.partitions))}"
    page.head(name, f"attempt {attempt.id}", output.state_mark(attempt.state))
    for row in log.rows:
        _render_line(row, page)
    if not log.rows:
        page.say(
            "no lines were written" if not log.error else "no lines were written before it failed",
            "dim",
        )
    if log.error is not None:
        render_error(log.error, page, name)
    elif attempt.reason:
        page.say(attempt.reason, indent=2)
    page.next(
        f"headrace quarantine {attempt.node}"
        if attempt.state in ("held", "rejected")
        else f"headrace runs {attempt.run_id}"
    )


_STYLE_OF_LEVEL = {"error": "bad", "critical": "bad", "warning": "warn", "debug": "dim"}


def _render_line(row: LogRow, page: CommandOutput) -> None:
    """Print a log line uncut: its time, its stream unless it is standard output, and its text."""
    stream = "" if row.stream == "stdout" else f"{row.stream} "
    page.log(f"{page.times.second(row.at)} {stream}", row.text, _STYLE_OF_LEVEL.get(row.level, ""))
