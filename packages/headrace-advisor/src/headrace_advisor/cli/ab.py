"""`headrace ab`: try a change of an asset, and list trials."""

from __future__ import annotations

from pathlib import Path

from headrace.cli.output import seconds
from headrace.extension import (
    ColumnLayout,
    CommandOutput,
    Invocation,
    StyledCell,
    UsageError,
    joined,
    plural,
    terminal_command,
)
from headrace_advisor.responses.trials import ReaderTrialRow, TrialRow

STYLES = {"faster": "good", "slower": "bad", "not_equal": "bad"}


@terminal_command(
    "headrace_advisor.services.trials:ab",
    list="headrace_advisor.services.trial_records:list_trials",
    group="change",
    summary="try a change of an asset: is it equal, and is it faster?",
)
def ab_command(
    invocation: Invocation,
    asset: str | None = None,
    change: Path | None = None,
    setting: list[str] | None = None,
    partitions: list[str] | None = None,
    budget: str = "60s",
) -> int:
    """Run an asset before and after a change over the same published partitions, and compare.

    The runs are interleaved, begin while a worker slot is idle, and publish nothing. Results are
    compared as multisets of rows. Each trial is stored; `headrace ab` alone lists them, with what
    the real runs came to since.
    """
    if asset is None:
        if change is not None or setting:
            raise UsageError("which asset?", hint="headrace ab ASSET --change FILE")
        from headrace_advisor.services.trial_records import list_trials

        invocation.show(list_trials(invocation.session), _render_list)
        return 0
    from headrace_advisor.services.trials import ab

    row = ab(
        invocation.session,
        asset,
        change=change,
        setting=setting or (),
        partitions=partitions or (),
        budget=budget,
        progress=invocation.progress(),
    )
    invocation.show(row, _render)
    return 0


def _render(row: TrialRow, page: CommandOutput) -> None:
    page.head("ab", f"{row.asset}: {row.change}")
    page.say(verdict_text(row), STYLES.get(row.verdict, ""))
    if row.difference is not None:
        page.say(f"the results differ: {row.difference}", "bad", indent=2)
    elif row.equal:
        page.say(
            f"{plural(row.rows, 'row')} are equal in {plural(len(row.partitions), 'partition')}:"
            f" {joined(row.partitions, 6)}",
            indent=2,
        )
    if row.unreached:
        names = joined(row.unreached, 6)
        page.say(
            f"not reached within the budget: {names}; --budget allows more"
            if row.difference is None
            else f"not compared after the difference: {names}",
            "warn",
            indent=2,
        )
    if row.waited_seconds:
        page.say(
            f"waited {seconds(row.waited_seconds)} of the budget for an idle slot", "dim", indent=2
        )
    _render_order(row, page)
    for text in _sides(row):
        page.say(text, "dim", indent=2)
    page.say(f"stored as {row.id}", "dim", indent=2)


def _render_order(row: TrialRow, page: CommandOutput) -> None:
    """Print what a trial of an order says about files and readers."""
    sizes = row.stored_bytes
    if sizes is not None:
        page.say(f"files: {sizes.before:,} bytes before, {sizes.after:,} after", indent=2)
    for reader in row.readers:
        style = STYLES.get(reader.verdict, "")
        page.say(f"{reader.asset}, which reads it: {verdict_text(reader)}", style, indent=2)
    for left_out in row.left_out:
        page.say(f"{left_out.asset}, which reads it, is left out: {left_out.reason}", indent=2)
    saved = None if row.saves_month is None else row.saves_month.seconds
    if saved is not None:
        page.say(
            f"together {seconds(abs(saved))} a month {'less' if saved >= 0 else 'more'}, by the"
            " runs of the last 30 days",
            indent=2,
        )
    if row.edit is not None:
        page.say(f"to apply it: {row.edit}, then `headrace apply`", indent=2)


def _sides(row: TrialRow) -> list[str]:
    texts = []
    for side in ("before", "after"):
        runs = [run for run in row.runs if run.side == side]
        if runs:
            peak = max((run.peak_bytes or 0 for run in runs), default=0) / 2**20
            middle = sorted(run.ms for run in runs)[len(runs) // 2]
            texts.append(
                f"{side}: {middle:,.1f} ms in the middle of {plural(len(runs), 'run')},"
                f" {peak:,.1f} MiB of buffers at most"
            )
    return texts


def verdict_text(row: TrialRow | ReaderTrialRow) -> str:
    """Return a trial's verdict in words: `faster by 12 to 18 %`."""
    words = row.verdict.replace("_", " ")
    if row.ci95 is None:
        return words
    low, high = row.ci95
    if row.verdict == "faster":
        return f"faster by {-high:.1f} to {-low:.1f} %"
    if row.verdict == "slower":
        return f"slower by {low:.1f} to {high:.1f} %"
    return f"{words}: {low:+.1f} to {high:+.1f} %"


def _render_list(rows: list[TrialRow], page: CommandOutput) -> None:
    page.head("ab", plural(len(rows), "trial"))
    if not rows:
        page.say("nothing was tried yet")
        page.next("headrace ab ASSET --change FILE")
        return
    columns = [
        ColumnLayout("trial"),
        ColumnLayout("asset", gives=1, least=10),
        ColumnLayout("change", gives=2, least=10),
        ColumnLayout("measured", gives=1, least=10),
        ColumnLayout("real runs"),
    ]
    page.table(columns, [_cells(row) for row in rows])


def _cells(row: TrialRow) -> list[str | StyledCell]:
    actual = row.followed_up
    real = "" if actual is None else f"was {actual.percent:+.1f} % in {plural(actual.days, 'day')}"
    if actual is not None and row.change_percent is not None:
        real = f"promised {row.change_percent:+.1f} %, {real}"
    verdict = StyledCell(verdict_text(row), STYLES.get(row.verdict, ""))
    return [StyledCell(row.id, "bold"), row.asset, row.finding or row.change, verdict, real]
