"""`headrace incidents`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import incident_pages
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument, ExitCode, Option
from headrace.model.errors import UsageError
from headrace.operations.incidents import incidents

ACTIONS = ("report",)


def command(
    invocation: Invocation,
    what: Annotated[str | None, Argument("[report]", help="`report` says that published data is wrong")] = None,
    target: Annotated[str | None, Argument("[NODE]")] = None,
    every: Annotated[bool, Option("--all", help="those that are resolved, too, newest first")] = False,
    first: Annotated[str | None, Option("--from", metavar="K", help="of `report`: the first partition that is wrong")] = None,
    last: Annotated[str | None, Option("--to", metavar="K", help="of `report`: the last one, included (the first)")] = None,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="of `report`: what is wrong; kept in the audit trail")] = None,
    exit_code: ExitCode = False,
) -> int:
    """The causes that are open: one incident for one cause, with its owner, evidence and whom it affects. `report NODE --from K` says
    that published data is wrong."""
    if what is not None:
        return _act(invocation, what, target, first, last, reason)
    if first or last or reason:
        raise UsageError("--from, --to and --reason belong to a report", hint="headrace incidents report NODE --from K --reason TEXT")
    rows = incidents(invocation.session, every=every)
    invocation.show(rows, lambda rows, page: incident_pages.listed(rows, page, every=every))
    return int(exit_code and any(row.state != "resolved" for row in rows))


def _act(invocation: Invocation, what: str, target: str | None, first: str | None, last: str | None, reason: str | None) -> int:
    if what not in ACTIONS:
        raise UsageError(f"`headrace incidents {what[:40]}` isn't known", hint="headrace incidents report NODE …; headrace incident ID")
    if target is None:
        raise UsageError("of what is the data wrong?", hint="headrace incidents report NODE --from K --reason TEXT")
    from headrace.operations.report_incident import report

    row = report(invocation.session, target, first=first, last=last, reason=reason, progress=invocation.progress())
    invocation.show(row, incident_pages.one)
    return 0
