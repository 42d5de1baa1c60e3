"""`headrace checks`: declared checks with their outcomes, challenges, and suggestions."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import output
from headrace.cli.declared_commands import ExitCode, HelpPrefix, Select, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.errors import UsageError
from headrace.project.parameters import Argument, Option
from headrace.services.checks import (
    ChallengedCheckRow,
    ChallengeResponse,
    CheckStandingRow,
    SuggestedCheckRow,
    UnnoticedRow,
    checks,
)

# The output of `checks`, `checks challenge` and `checks suggest`.

UNNOTICED_SHOWN_MAX = 10
"""Maximum number of unnoticed faults below the checks; --unnoticed prints all."""
_OUTCOME_SIGNS = {"passed": "✓", "failed": "✗", "unchecked": "·"}
_VERDICT_CELLS = {
    "effective": StyledCell("✓ effective", "good"),
    "cannot_fail": StyledCell("✗ can't fail", "bad"),
    "duplicate": StyledCell("! duplicate", "warn"),
    "flaky": StyledCell("✗ flaky", "bad"),
    "never_ran": StyledCell("! never ran", "warn"),
    None: StyledCell("· not found out", ""),
}

CHECK_COLUMNS = [
    ColumnLayout("node", gives=2, least=12),
    ColumnLayout("check", gives=1, least=12),
    ColumnLayout("outcome", least=10),
    ColumnLayout("last", gives=5, least=10, drops=2),
    ColumnLayout("of", drops=1),
    ColumnLayout("before", drops=3),
    ColumnLayout("what", gives=3, least=12, drops=4),
]


def render_checks(rows: list[CheckStandingRow], page: CommandOutput) -> None:
    """Print each check with its latest outcomes, the newest last."""
    page.head("checks")
    page.say()
    page.table(CHECK_COLUMNS, [_check_row(row, page) for row in rows])
    if not rows:
        page.say("no check is declared here")
    failed = sum(row.state == "failed" for row in rows)
    never = sum(row.state == "never" for row in rows)
    page.facts(
        plural(len(rows), "check"),
        f"{failed} failed last" if failed else "",
        f"{never} never ran" if never else "",
    )
    page.next("headrace checks challenge" if rows else "headrace checks suggest")


def _check_row(row: CheckStandingRow, page: CommandOutput) -> list[str | StyledCell]:
    before = "".join(
        _OUTCOME_SIGNS.get(check_outcome_row.outcome, "·")
        for check_outcome_row in reversed(row.history)
    )
    state = "warned" if row.state == "failed" and row.severity == "warning" else row.state
    at = page.times.time_text(row.at) if row.at is not None else ""
    return [
        StyledCell(row.node, "bold"),
        row.check,
        output.state_cell(state),
        at,
        row.partition or "",
        before,
        row.reason or "",
    ]


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
        page.say("no check is declared here")
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


ACTIONS = ("challenge", "suggest")
CHALLENGE_SECONDS = 60


@terminal_command(  # complexipy: ignore (a table of actions: each has its own refusals)
    "checks:checks",
    challenge="challenges:challenge",
    suggest="challenges:challenge",
    group="look",
    summary="list checks and their results; challenge them, suggest new ones",
)
def checks_command(
    invocation: Invocation,
    words: Annotated[
        list[str] | None,
        Argument(
            "[challenge|suggest] [SELECT]...", help="what to do, and of which sources and assets"
        ),
    ] = None,
    select_words: Select = None,
    *,
    exclude: list[str],
    history: Annotated[int, HelpPrefix("of a list: ")],
    seconds: Annotated[
        int,
        Option(
            "--seconds",
            metavar="N",
            least=1,
            help="of challenge and suggest: how long all of it may take",
        ),
    ] = CHALLENGE_SECONDS,
    only_unnoticed: Annotated[
        bool,
        Option(
            "--unnoticed",
            help="of challenge: the faults that no check notices, in place of the checks",
        ),
    ] = False,
    write: Annotated[
        bool, Option("--write", help="of suggest: add the checks to the files")
    ] = False,
    exit_code: ExitCode = False,
) -> int:
    """List the declared checks and their outcomes.

    `challenge` makes faults in copies of published rows, writes nothing, and shows which checks
    notice them. `suggest` lists checks that would notice the unnoticed faults; with --write it adds
    them to the files of their assets.
    """
    action, select = _action_and_selection(words or [])
    select += select_words or []
    _refuse_misplaced_options(action, only_unnoticed=only_unnoticed, write=write)
    if action is None:
        rows = checks(invocation.session, select, exclude, history)
        invocation.show(rows, render_checks)
        return int(exit_code and any(row.state == "failed" for row in rows))
    from headrace.services.challenges import ChallengeRequest, challenge

    request = ChallengeRequest(
        select,
        exclude,
        seconds,
        suggest=action == "suggest" or only_unnoticed or not invocation.options.json,
    )
    response = challenge(invocation.session, request, invocation.progress())
    if action == "suggest":
        suggestions = response.suggestions
        if write:
            from headrace.services.checks import declare

            suggestions = declare(invocation.session, suggestions)
        invocation.show(suggestions, render_suggestions, clock=False)
        return int(exit_code and bool(suggestions))
    if invocation.options.json:
        invocation.json(response.unnoticed if only_unnoticed else response.checks)
    else:
        invocation.show(
            response, render_unnoticed if only_unnoticed else render_challenge, clock=False
        )
    return int(exit_code and any(row.verdict != "effective" for row in response.checks))


def _action_and_selection(words: list[str]) -> tuple[str | None, list[str]]:
    return (words[0], words[1:]) if words and words[0] in ACTIONS else (None, list(words))


def _refuse_misplaced_options(action: str | None, *, only_unnoticed: bool, write: bool) -> None:
    if only_unnoticed and action != "challenge":
        raise UsageError(
            "--unnoticed belongs to `challenge`", hint="headrace checks challenge --unnoticed"
        )
    if write and action != "suggest":
        raise UsageError("--write belongs to `suggest`", hint="headrace checks suggest --write")
