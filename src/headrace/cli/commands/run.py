"""`headrace run [SELECT…]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Exclude, Option, Select, Selection
from headrace.cli.running import render
from headrace.model.errors import Refused, UsageError


def command(
    invocation: Invocation,
    select: Selection = None,
    also: Select = None,
    exclude: Exclude = None,
    partition: Annotated[list[str] | None, Option("--partition", metavar="K,…", help="these partitions")] = None,
    first: Annotated[str | None, Option("--from", metavar="K", help="first partition, included")] = None,
    last: Annotated[str | None, Option("--to", metavar="K", help="last partition, included")] = None,
    again: Annotated[bool, Option("--again", help="replace what is published; needs --reason")] = False,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="kept in the audit trail")] = None,
    setting: Annotated[
        list[str] | None,
        Option("--set", metavar="k=v", help="of `try` and `render` alone: what is published has the parameters of its files"),
    ] = None,
) -> int:
    """Run now. A published partition is replaced only if its inputs or code changed, or with --again.

    The first run of a new project applies it.
    """
    if setting:
        raise Refused(
            "what is published is computed with the parameters that are applied",
            hint="headrace try ASSET --set shows a result without publishing it; to change one: `parameters:`, then headrace apply",
        )
    keys = _keys(partition)
    if keys and (first or last):
        raise UsageError("--partition and --from/--to exclude each other", hint="a range is --from A --to B, both included")
    if again and not (reason or "").strip():
        raise UsageError("--again needs --reason", hint="say why published data is computed again: --reason TEXT")
    from headrace.operations.run import run

    response = run(
        invocation.session, [*(select or []), *(also or [])], exclude=exclude or [], partitions=keys, first=first, last=last,
        again=again, reason=reason, progress=invocation.progress(),
    )  # fmt: skip
    invocation.show(response, render)
    return 0 if response.state in ("succeeded", "nothing_due") else 1


def _keys(partition: list[str] | None) -> list[str]:
    """`--partition a,b --partition c` as three keys."""
    return [key.strip() for text in partition or [] for key in text.split(",") if key.strip()]
