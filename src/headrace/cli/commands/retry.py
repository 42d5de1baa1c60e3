"""`headrace retry RUN|ASSET[@K]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument, Option
from headrace.cli.running import render


def command(
    invocation: Invocation,
    target: Annotated[str, Argument("RUN|ASSET[@K]", help="a run's number, an asset, or one of its partitions")],
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="kept in the audit trail")] = None,
) -> int:
    """Run again only what failed, was rejected or lost, and hasn't been published since."""
    from headrace.operations.retry import retry

    response = retry(invocation.session, target, reason=reason, progress=invocation.progress())
    invocation.show(response, render)
    return 0 if response.state in ("succeeded", "nothing_due") else 1
