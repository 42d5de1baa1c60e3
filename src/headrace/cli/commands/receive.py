"""`headrace receive SOURCE FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Argument, Option
from headrace.cli.running import render
from headrace.model.errors import UsageError


def command(
    invocation: Invocation,
    source: Annotated[str, Argument("SOURCE", help="`headrace ls 'source:*'` lists them")],
    file: Annotated[str, Argument("FILE", help="it is copied first, and stays where it is")],
    key: Annotated[str | None, Option("--for", metavar="K", help="the partition that it is for")] = None,
    reason: Annotated[str | None, Option("--reason", metavar="TEXT", help="why it comes by hand; it is recorded")] = None,
) -> int:
    """Hand a delivery in. It is checked like any other, marked as handed in, and what depends on it is run."""
    if not (reason or "").strip():
        raise UsageError("receive needs --reason", hint="say why the file comes by hand: --reason TEXT")
    from headrace.operations.receive import receive

    response = receive(invocation.session, source, Path(file).absolute(), key=key, reason=reason or "", progress=invocation.progress())
    invocation.show(response, render)
    return 0 if response.state in ("succeeded", "nothing_due") else 1
