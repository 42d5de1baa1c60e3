"""`headrace checks challenge` and `checks suggest`."""

from __future__ import annotations

from typing import Annotated

from headrace.extension import (
    ColumnLayout,
    CommandOutput,
    ExitCode,
    Invocation,
    Option,
    StyledCell,
    plural,
    terminal_command,
)
from headrace_advisor.responses.challenges import (
    ChallengedCheckRow,
    ChallengeResponse,
    SuggestedCheckRow,
    UnnoticedRow,
)

UNNOTICED_SHOWN_MAX = 10
"""Maximum number of unnoticed faults below the checks; --unnoticed prints all."""
_VERDICT_CELLS = {
    "effective": StyledCell("✓ effective", "good"),
    "cannot_fail": StyledCell("✗ can't fail", "bad"),
    "duplicate": StyledCell("! duplicate", "warn"),
    "flaky": StyledCell("✗ flaky", "bad"),
    "never_ran": StyledCell("! never ran", "warn"),
    None: StyledCell("· not found out", ""),
}

CHALLENGED_COLUMNS = [
    ColumnLayout("asset", gives=2, least=12),
    ColumnLayout("check", gives=1, least=12),
    ColumnLayout("verdict", least=12),
    ColumnLayout("noticed", right=True, drops=1),
    ColumnLayout("cost", right=True, drops=2),
    ColumnLayout("because", gives=3, least=16, drops=3),
]


def render_challenge(response: ChallengeResponse, page: CommandOutput) -> None:
    """Print each check's verdict, what noticed the faults, and the first unnoticed faults."""
    page.table(CHALLENGED_COLUMNS, [_challenged_row(row) for row in response.checks])
    if not response.checks:
        page.say("no checks are declared for these nodes")
    if response.noticed:
        page.say()
        page.say(f"noticed: {_noticed_text(response)}")
    if response.unnoticed:
        page.say()
        page.say(
            f"{plural(len(response.unnoticed), 'fault')} that nothing here notices, those that"
            " reach most consumers first",
            "bold",
        )
        _render_faults(response.unnoticed[:UNNOTICED_SHOWN_MAX], page)
        if len(response.unnoticed) > UNNOTICED_SHOWN_MAX:
            page.say("all of them: headrace checks challenge --unnoticed", "dim", indent=2)
    _render_untried(response, page)
    page.next("headrace checks suggest" if response.suggestions else "headrace checks")


def _noticed_text(response: ChallengeResponse) -> str:
    """Return what noticed the faults.

    For example `112 of 140 faults: 60 by checks, 32 as null_spike, 20 by the contract`.
    """
    by = ", ".join(
        f"{count} {_NOTICED_BY.get(what, f'as {what}')}" for what, count in response.noticed.items()
    )
    noticed = sum(response.noticed.values())
    return f"{noticed} of {plural(noticed + len(response.unnoticed), 'fault')}: {by}"


_NOTICED_BY = {
    "check": "by checks",
    "contract": "by the contract",
    "partition": "as rows of another partition",
    "rows": "by the rows that are expected",
    "empty": "as a delivery without rows",
    "downstream": "by checks of later tables",
}
"""What noticed a fault → its text; kinds of cause are printed as they are."""


def render_unnoticed(response: ChallengeResponse, page: CommandOutput) -> None:
    """Print all faults that nothing notices."""
    _render_faults(response.unnoticed, page)
    if not response.unnoticed:
        page.say(
            "every fault that was made was noticed" if response.checks else "nothing was challenged"
        )
    _render_untried(response, page)
    page.next("headrace checks suggest" if response.suggestions else "headrace checks challenge")


def _render_untried(response: ChallengeResponse, page: CommandOutput) -> None:
    page.say()
    if response.unfinished:
        page.say(
            f"the time was over before all was tried of {', '.join(response.unfinished)}:"
            " --seconds N",
            "warn",
        )
    if response.skipped:
        page.say(f"without published rows: {', '.join(response.skipped)}", "dim")
    page.say("faults are made in copies of published rows; nothing was changed", "dim")


def _challenged_row(row: ChallengedCheckRow) -> list[str | StyledCell]:
    noticed = f"{row.mutations_caught}/{row.mutations_tried}"
    cost = "" if row.cost_ms is None else f"{row.cost_ms:,.1f} ms"
    return [
        StyledCell(row.asset, "bold"),
        row.check,
        _VERDICT_CELLS[row.verdict],
        noticed,
        cost,
        row.evidence,
    ]


FAULT_COLUMNS = [
    ColumnLayout("asset", gives=3, least=10),
    ColumnLayout("fault", gives=1, least=20),
    ColumnLayout("reaches", gives=4, least=12, drops=2),
    ColumnLayout("add", gives=2, least=16, drops=1),
]


def _render_faults(rows: list[UnnoticedRow], page: CommandOutput) -> None:
    page.table(
        FAULT_COLUMNS,
        [
            [StyledCell(row.asset, "bold"), row.says, _reached_text(row), row.suggestion or ""]
            for row in rows
        ],
    )


def _reached_text(row: UnnoticedRow | SuggestedCheckRow) -> str:
    if row.consumers:
        return ", ".join(row.consumers)
    return f"{plural(len(row.assets), 'asset')}, no consumer" if row.assets else "nobody"


SUGGESTED_COLUMNS = [
    ColumnLayout("asset", gives=2, least=12),
    ColumnLayout("check", gives=1, least=24),
    ColumnLayout("because", gives=4, least=16, drops=2),
    ColumnLayout("reaches", gives=3, least=10, drops=1),
    ColumnLayout("notices", right=True, drops=3),
]


def render_suggestions(rows: list[SuggestedCheckRow], page: CommandOutput) -> None:
    """Print the suggested checks, or those that were added."""
    page.table(
        SUGGESTED_COLUMNS,
        [
            [
                StyledCell(row.asset, "bold"),
                row.yaml,
                row.evidence,
                _reached_text(row),
                str(len(row.catches)),
            ]
            for row in rows
        ],
    )
    files = list(dict.fromkeys(row.written for row in rows if row.written))
    if not rows:
        page.say(
            "nothing to add: what reaches anybody is noticed, or no simple check would notice it"
        )
    if files:
        page.say(f"✓ added to {', '.join(files)}", "good")
    page.next(
        "headrace plan"
        if files
        else "headrace checks suggest --write"
        if rows
        else "headrace checks challenge --unnoticed"
    )


@terminal_command(
    "headrace_advisor.services.challenges:challenge",
    group="checks",
    summary="make faults in copies of published rows, and see which checks notice",
)
def checks_challenge_command(
    invocation: Invocation,
    select: list[str],
    *,
    exclude: list[str],
    seconds: int,
    only_unnoticed: Annotated[
        bool,
        Option("--unnoticed", help="the faults that no check notices, in place of the checks"),
    ] = False,
    exit_code: ExitCode = False,
) -> int:
    """Make faults in copies of published rows, and show which checks notice them.

    Nothing is written.
    """
    from headrace_advisor.services.challenges import challenge

    response = challenge(
        invocation.session,
        select,
        exclude,
        seconds,
        suggest=only_unnoticed or not invocation.options.json,
        progress=invocation.progress(),
    )
    if invocation.options.json:
        invocation.json(response.unnoticed if only_unnoticed else response.checks)
    else:
        render = render_unnoticed if only_unnoticed else render_challenge
        invocation.show(response, render, clock=False)
    return int(exit_code and any(row.verdict != "effective" for row in response.checks))


@terminal_command(
    "headrace_advisor.services.challenges:challenge",
    group="checks",
    summary="list checks that would notice what none notices; --write adds them to files",
)
def checks_suggest_command(
    invocation: Invocation,
    select: list[str],
    *,
    exclude: list[str],
    seconds: int,
    write: Annotated[bool, Option("--write", help="add the checks to the files")] = False,
    exit_code: ExitCode = False,
) -> int:
    """List checks that would notice the faults that no check notices.

    With --write, add them to the files of their assets.
    """
    from headrace_advisor.services.challenges import challenge
    from headrace_advisor.services.check_insertion import declare

    rows = challenge(
        invocation.session, select, exclude, seconds, progress=invocation.progress()
    ).suggestions
    if write:
        rows = declare(invocation.session, rows)
    invocation.show(rows, render_suggestions, clock=False)
    return int(exit_code and bool(rows))
