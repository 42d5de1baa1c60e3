"""`headrace incidents`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import incident_pages
from headrace.cli.commands import fix
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument, ExitCode, Option
from headrace.model.errors import UsageError
from headrace.operations.incidents import incidents

NEEDS = {
    "report": ("of what is the data wrong?", "headrace incidents report NODE --from K --reason TEXT"),
    "note": ("about which incident is it?", "headrace incidents note ID --reason TEXT"),
    "fix": ("which incident is repaired?", "headrace incidents fix ID; headrace incidents lists them"),
}
"""What is done about incidents: what is asked where nothing is named, and what to write."""


def command(
    invocation: Invocation,
    what: Annotated[
        str | None,
        Argument("[report|note|fix]", help="`report` says that published data is wrong, `note` what is known; `fix` is `headrace fix`"),
    ] = None,
    target: Annotated[str | None, Argument("[NODE|ID]", help="of `report` a source or an asset, of the others an incident")] = None,
    every: Annotated[bool, Option("--all", help="those that are resolved, too, newest first")] = False,
    first: Annotated[str | None, Option("--from", metavar="K", help="of `report`: the first partition that is wrong")] = None,
    last: Annotated[str | None, Option("--to", metavar="K", help="of `report`: the last one, included (the first)")] = None,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="of `report`: what is wrong; of `note`: what is known")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="of `fix`: show the plan; writes nothing at all")] = False,
    yes: Annotated[bool, Option("--yes", help="of `fix`: don't ask")] = False,
    exit_code: ExitCode = False,
) -> int:
    """The causes that are open: one incident for one cause, with its owner, evidence and whom it affects. `report NODE --from K` says
    that published data is wrong."""
    if (dry_run or yes) and what != "fix":
        raise UsageError("--dry-run and --yes belong to a repair", hint="headrace incidents fix ID")
    if ((first or last) and what != "report") or (reason and what not in ("report", "note")):
        raise UsageError("--from, --to and --reason belong to a report, --reason to a note, too", hint=NEEDS["report"][1])
    if what is None:
        rows = incidents(invocation.session, every=every)
        invocation.show(rows, lambda rows, page: incident_pages.listed(rows, page, every=every))
        return int(exit_code and any(row.state != "resolved" for row in rows))
    if what not in NEEDS:
        raise UsageError(
            f"`headrace incidents {what[:40]}` isn't known",
            hint="headrace incidents report NODE …; headrace incidents note ID …; headrace incident ID",
        )
    if target is None:
        raise UsageError(NEEDS[what][0], hint=NEEDS[what][1])
    if what == "fix":
        return fix.command(invocation, target, dry_run=dry_run, yes=yes)
    if what == "note":
        from headrace.operations.note_incident import note

        invocation.show(note(invocation.session, target, text=reason, progress=invocation.progress()), incident_pages.one)
        return 0
    from headrace.operations.report_incident import report

    row = report(invocation.session, target, first=first, last=last, reason=reason, progress=invocation.progress())
    invocation.show(row, incident_pages.one)
    return 0
