"""`headrace bottleneck`: where the waits of consumers went, and which nodes became slower."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from headrace.cli.output import seconds
from headrace.extension import (
    Argument,
    ColumnLayout,
    CommandOutput,
    Invocation,
    StyledCell,
    UsageError,
    Yes,
    command_line,
    plural,
    terminal_command,
)
from headrace_advisor.cli.agreed_changes import apply_agreed
from headrace_advisor.cli.dismissals import render_dismissal
from headrace_advisor.responses.advice import BottleneckRow, DelayShareRow, RegressionRow

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
WINDOW = "30d"
_STYLES = {"quality": "bad", "repair": "bad", "retry": "bad", "approval": "warn", "paused": "warn"}


@terminal_command(
    "headrace_advisor.services.bottleneck:bottleneck",
    apply="headrace_advisor.services.trigger_removal:remove_trigger",
    group="look",
    summary="show where the waits of consumers went, and what got slower",
)
def bottleneck_command(
    invocation: Invocation,
    words: Annotated[
        list[str] | None,
        Argument("[CONSUMER|apply ASSET]...", "one consumer (all); or `apply` and an asset"),
    ] = None,
    window: str = WINDOW,
    yes: Yes = False,
) -> int:
    """Show where the waits of consumers went, and which of their nodes became slower, and why.

    The waits are those of the obligations that fell due in the window, by the delay ledger that
    `why` shows for each of them. `apply ASSET` takes the trigger of an asset out of its file, if it
    is proposed, shows the plan, asks and applies it.
    """
    if words is not None and len(words) > 1:
        if words[0] in ("dismiss", "reopen"):
            raise UsageError(
                "`headrace optimize` dismisses and reopens proposals",
                hint="headrace optimize dismiss trigger:ASSET --reason TEXT",
            )
        if words[0] != "apply" or len(words) > 2:
            raise UsageError(
                "name one consumer, or `apply` and one asset",
                hint="headrace bottleneck [CONSUMER], bottleneck apply ASSET",
            )
        return _apply(invocation, words[1], window, yes=yes)
    from headrace_advisor.services.bottleneck import bottleneck

    consumer = words[0] if words else None
    invocation.show(bottleneck(invocation.session, consumer, window=window), _render)
    return 0


def _apply(invocation: Invocation, node: str, window: str, *, yes: bool) -> int:
    from headrace_advisor.services.bottleneck import removal_command
    from headrace_advisor.services.trigger_removal import remove_trigger

    return apply_agreed(
        invocation,
        partial(remove_trigger, invocation.session, node=node, window=window),
        yes=yes,
        command=f"{removal_command(node, window)} --yes",
    )


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
    proposals = [proposal for row in rows for proposal in row.proposals]
    if proposals:
        page.next(proposals[0].command)
        return
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
    for proposal in row.proposals:
        page.say(proposal.text, "warn")
        page.command(proposal.command, indent=2)
        render_dismissal(proposal.dismissal, page, indent=2)
    for proposal in row.dismissed:
        page.say(f"{proposal.id}: {proposal.text}", "dim")
        render_dismissal(proposal.dismissal, page, indent=2)


def _cells(share: DelayShareRow) -> list[str | StyledCell]:
    return [
        f"{share.percent} %",
        seconds(share.seconds),
        StyledCell(share.group, _STYLES.get(share.group, "")),
        share.node,
        share.owner
        if share.decider in (None, share.owner)
        else f"{share.owner}, {share.decider} could decide",
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
