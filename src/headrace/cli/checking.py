"""What `checks`, `checks challenge` and `checks suggest` print for people."""

from __future__ import annotations

from headrace.cli import states
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.operations.checks_responses import (
    ChallengedCheckRow,
    ChallengeResponse,
    CheckStandingRow,
    SuggestedCheckRow,
    UnnoticedRow,
)

UNNOTICED_SHOWN = 10
"""Of what nobody would notice, beside the checks; all with --unnoticed."""
_SIGNS = {"passed": "✓", "failed": "✗", "unchecked": "·"}
_VERDICTS = {
    "effective": StyledCell("✓ effective", "good"),
    "cannot_fail": StyledCell("✗ can't fail", "bad"),
    "duplicate": StyledCell("! duplicate", "warn"),
    "flaky": StyledCell("✗ flaky", "bad"),
    "never_ran": StyledCell("! never ran", "warn"),
    None: StyledCell("· not found out", ""),
}

LIST = [
    ColumnLayout("node", gives=2, least=12),
    ColumnLayout("check", gives=1, least=12),
    ColumnLayout("outcome", least=10),
    ColumnLayout("last", gives=5, least=10, drops=2),
    ColumnLayout("of", drops=1),
    ColumnLayout("before", drops=3),
    ColumnLayout("what", gives=3, least=12, drops=4),
]


def listed(rows: list[CheckStandingRow], page: CommandOutput) -> None:
    """Each check with its newest outcomes, newest last."""
    page.head("checks")
    page.say()
    page.table(LIST, [_standing(row, page) for row in rows])
    if not rows:
        page.say("no check is declared here")
    failed = sum(row.state == "failed" for row in rows)
    never = sum(row.state == "never" for row in rows)
    page.facts(plural(len(rows), "check"), f"{failed} failed last" if failed else "", f"{never} never ran" if never else "")
    page.next("headrace checks challenge" if rows else "headrace checks suggest")


def _standing(row: CheckStandingRow, page: CommandOutput) -> list[str | StyledCell]:
    before = "".join(_SIGNS.get(check_outcome_row.outcome, "·") for check_outcome_row in reversed(row.history))
    state = "warned" if row.state == "failed" and row.severity == "warning" else row.state
    at = page.reader.moment(row.at) if row.at is not None else ""
    return [StyledCell(row.node, "bold"), row.check, states.cell(state), at, row.partition or "", before, row.reason or ""]


CHALLENGED = [
    ColumnLayout("asset", gives=2, least=12),
    ColumnLayout("check", gives=1, least=12),
    ColumnLayout("verdict", least=12),
    ColumnLayout("noticed", right=True, drops=1),
    ColumnLayout("cost", right=True, drops=2),
    ColumnLayout("because", gives=3, least=16, drops=3),
]


def challenged(response: ChallengeResponse, page: CommandOutput) -> None:
    """The verdicts, what notices how many faults, and the first of those that nothing notices."""
    page.table(CHALLENGED, [_challenged(row) for row in response.checks])
    if not response.checks:
        page.say("no check is declared here")
    if response.noticed:
        page.say()
        page.say(f"noticed: {_noticed(response)}")
    if response.unnoticed:
        page.say()
        page.say(f"{plural(len(response.unnoticed), 'fault')} that nothing here notices, those that reach most consumers first", "bold")
        _faults(response.unnoticed[:UNNOTICED_SHOWN], page)
        if len(response.unnoticed) > UNNOTICED_SHOWN:
            page.say("all of them: headrace checks challenge --unnoticed", "dim", indent=2)
    _left(response, page)
    page.next("headrace checks suggest" if response.suggestions else "headrace checks")


def _noticed(response: ChallengeResponse) -> str:
    """`112 of 140 faults: 60 by checks, 32 as null_spike, 20 by the contract`."""
    by = ", ".join(f"{count} {_BY.get(what, f'as {what}')}" for what, count in response.noticed.items())
    noticed = sum(response.noticed.values())
    return f"{noticed} of {plural(noticed + len(response.unnoticed), 'fault')}: {by}"


_BY = {
    "check": "by checks",
    "contract": "by the contract",
    "partition": "as rows of another partition",
    "rows": "by the rows that are expected",
    "empty": "as a delivery without rows",
    "downstream": "by checks of later tables",
}
"""How it is said what notices faults; kinds of cause stand for themselves."""


def unnoticed(response: ChallengeResponse, page: CommandOutput) -> None:
    """All that nothing notices."""
    _faults(response.unnoticed, page)
    if not response.unnoticed:
        page.say("every fault that was made was noticed" if response.checks else "nothing was challenged")
    _left(response, page)
    page.next("headrace checks suggest" if response.suggestions else "headrace checks challenge")


def _left(response: ChallengeResponse, page: CommandOutput) -> None:
    page.say()
    if response.unfinished:
        page.say(f"the time was over before all was tried of {', '.join(response.unfinished)}: --seconds N", "warn")
    if response.skipped:
        page.say(f"without published rows: {', '.join(response.skipped)}", "dim")
    page.say("faults are made in copies of published rows; nothing was changed", "dim")


def _challenged(row: ChallengedCheckRow) -> list[str | StyledCell]:
    noticed = f"{row.mutations_caught}/{row.mutations_tried}"
    cost = "" if row.cost_ms is None else f"{row.cost_ms:,.1f} ms"
    return [StyledCell(row.asset, "bold"), row.check, _VERDICTS[row.verdict], noticed, cost, row.evidence]


FAULTS = [
    ColumnLayout("asset", gives=3, least=10),
    ColumnLayout("fault", gives=1, least=20),
    ColumnLayout("reaches", gives=4, least=12, drops=2),
    ColumnLayout("add", gives=2, least=16, drops=1),
]


def _faults(rows: list[UnnoticedRow], page: CommandOutput) -> None:
    page.table(FAULTS, [[StyledCell(row.asset, "bold"), row.says, _reached(row), row.suggestion or ""] for row in rows])


def _reached(row: UnnoticedRow | SuggestedCheckRow) -> str:
    if row.consumers:
        return ", ".join(row.consumers)
    return f"{plural(len(row.assets), 'asset')}, no consumer" if row.assets else "nobody"


SUGGESTED = [
    ColumnLayout("asset", gives=2, least=12),
    ColumnLayout("check", gives=1, least=24),
    ColumnLayout("because", gives=4, least=16, drops=2),
    ColumnLayout("reaches", gives=3, least=10, drops=1),
    ColumnLayout("notices", right=True, drops=3),
]


def suggested(rows: list[SuggestedCheckRow], page: CommandOutput) -> None:
    """The checks to add, or those that were added."""
    page.table(SUGGESTED, [[StyledCell(row.asset, "bold"), row.yaml, row.evidence, _reached(row), str(len(row.catches))] for row in rows])
    files = list(dict.fromkeys(row.written for row in rows if row.written))
    if not rows:
        page.say("nothing to add: what reaches anybody is noticed, or no simple check would notice it")
    if files:
        page.say(f"✓ added to {', '.join(files)}", "good")
    page.next("headrace plan" if files else "headrace checks suggest --write" if rows else "headrace checks challenge --unnoticed")
