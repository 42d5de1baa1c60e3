"""`headrace bottleneck`: where the waits of consumers went, and which nodes became slower."""

from __future__ import annotations

from headrace.cli.declared_commands import ServiceCommand
from headrace.cli.output import CommandOutput, seconds
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.partitions import command_line
from headrace.services.responses.advisor import BottleneckRow, DelayShareRow, RegressionRow

SHARES_SHOWN_MAX = 12
NOTHING = "0.00"
"""Smaller shares aren't printed."""
_SHARE_COLUMNS = [
    ColumnLayout("share", right=True),
    ColumnLayout("took", right=True),
    ColumnLayout("spent on"),
    ColumnLayout("node", gives=2, least=12),
    ColumnLayout("owner", gives=1, least=8),
    ColumnLayout("segment", drops=1),
]
_STYLES = {"quality": "bad", "repair": "bad", "retry": "bad", "approval": "warn", "paused": "warn"}


def _render(rows: list[BottleneckRow], page: CommandOutput) -> None:
    if not rows:
        page.say("no consumer is declared")
        page.next("headrace ls")
        return
    for n, row in enumerate(rows):
        if n:
            page.say()
        _render_consumer(row, page)
    longest = max(rows, key=lambda row: row.wait_seconds)
    page.next(command_line("why", longest.consumer) if longest.obligations else "headrace status")


def _render_consumer(row: BottleneckRow, page: CommandOutput) -> None:
    page.head(row.consumer, f"last {row.window}")
    page.say(row.said, "" if row.obligations else "dim")
    if row.limited:
        page.say(f"only the newest {plural(row.obligations, 'obligation')} are included", "dim")
    printed = [share for share in row.shares[:SHARES_SHOWN_MAX] if share.percent != NOTHING]
    page.table(_SHARE_COLUMNS, [_cells(share) for share in printed])
    if len(row.shares) > len(printed):
        more = plural(len(row.shares) - len(printed), "smaller share")
        page.say(f"and {more}; --json has all", "dim", indent=2)
    for regression in row.regressions:
        _render_regression(regression, page)


def _cells(share: DelayShareRow) -> list[str | StyledCell]:
    return [
        f"{share.percent} %",
        seconds(share.seconds),
        StyledCell(share.group, _STYLES.get(share.group, "")),
        share.node,
        share.owner,
        share.kind,
    ]


def _render_regression(row: RegressionRow, page: CommandOutput) -> None:
    since = page.times.time_text(row.at)
    page.say(
        f"{row.node} is slower since {since}: {seconds(row.before_s)} before,"
        f" {seconds(row.after_s)} since, as medians",
        "warn",
    )
    text = row.cause.text
    if row.cause.kind == "data":
        text = f"{row.cause.ref}, at {row.cause.node} ({row.cause.owner}): {text}"
    page.say(text, indent=2)


bottleneck_command = ServiceCommand("bottleneck:bottleneck", _render)
