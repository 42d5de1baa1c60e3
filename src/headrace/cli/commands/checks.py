"""`headrace checks`, `headrace checks challenge`, `headrace checks suggest`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.checking import challenged, listed, suggested, unnoticed
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument, Exclude, ExitCode, Option, Select
from headrace.model.errors import UsageError
from headrace.operations.checks import checks

ACTIONS = ("challenge", "suggest")
SECONDS = 60


def command(
    invocation: Invocation,
    words: Annotated[
        list[str] | None, Argument("[challenge|suggest] [SELECT]...", help="what to do, and of which sources and assets")
    ] = None,
    also: Select = None,
    exclude: Exclude = None,
    history: Annotated[int, Option("--history", metavar="N", least=1, help="of a list: the outcomes that each check is shown with")] = 10,
    seconds: Annotated[
        int, Option("--seconds", metavar="N", least=1, help="of challenge and suggest: how long all of it may take")
    ] = SECONDS,
    only_unnoticed: Annotated[
        bool, Option("--unnoticed", help="of challenge: the faults that no check notices, in place of the checks")
    ] = False,
    write: Annotated[bool, Option("--write", help="of suggest: add the checks to the files")] = False,
    exit_code: ExitCode = False,
) -> int:
    """The declared checks and what they came to.

    `challenge` makes faults in published rows (copies; nothing is written) and sees which checks notice. `suggest` says which checks
    would notice what none does, and with --write adds them to the files of their assets.
    """
    action, select = _said(words or [])
    select += also or []
    _refuse_strange(action, only_unnoticed=only_unnoticed, write=write)
    if action is None:
        rows = checks(invocation.session, select, exclude or [], history)
        invocation.show(rows, listed)
        return int(exit_code and any(row.state == "failed" for row in rows))
    from headrace.operations.challenging import ChallengeRequest, challenge

    request = ChallengeRequest(select, exclude or [], seconds, suggest=action == "suggest" or only_unnoticed or not invocation.options.json)
    response = challenge(invocation.session, request, invocation.progress())
    if action == "suggest":
        suggested_check_rows = response.suggestions
        if write:
            from headrace.operations.declaring import declare

            suggested_check_rows = declare(invocation.session, suggested_check_rows)
        invocation.show(suggested_check_rows, suggested, clock=False)
        return int(exit_code and bool(suggested_check_rows))
    if invocation.options.json:
        invocation.json(response.unnoticed if only_unnoticed else response.checks)
    else:
        invocation.show(response, unnoticed if only_unnoticed else challenged, clock=False)
    return int(exit_code and any(row.verdict != "effective" for row in response.checks))


def _said(words: list[str]) -> tuple[str | None, list[str]]:
    return (words[0], words[1:]) if words and words[0] in ACTIONS else (None, list(words))


def _refuse_strange(action: str | None, *, only_unnoticed: bool, write: bool) -> None:
    if only_unnoticed and action != "challenge":
        raise UsageError("--unnoticed belongs to `challenge`", hint="headrace checks challenge --unnoticed")
    if write and action != "suggest":
        raise UsageError("--write belongs to `suggest`", hint="headrace checks suggest --write")
