"""`headrace resume SELECT…`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.commands.pause import render
from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Exclude, Option, Select, Selection
from headrace.model.errors import UsageError


def command(
    invocation: Invocation,
    select: Selection = None,
    also: Select = None,
    exclude: Exclude = None,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="kept in the audit trail")] = None,
) -> int:
    """Let what was paused run again."""
    chosen = [*(select or []), *(also or [])]
    if not chosen:
        raise UsageError("resume needs a selection", hint="headrace pause lists what is paused; `headrace resume '*'` resumes all")
    from headrace.operations.resume import resume

    response = resume(invocation.session, chosen, exclude=exclude or [], reason=reason, progress=invocation.progress())
    invocation.show(response, render)
    return 0
