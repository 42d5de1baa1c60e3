"""`headrace tick`."""

from __future__ import annotations

from headrace.cli.invocation import Invocation
from headrace.cli.running import render


def command(invocation: Invocation) -> int:
    """One pass: look at sources, run what is due until nothing is, judge who is served, exit.

    Exits 1 only if the pass itself failed. The first tick of a new project applies it.
    """
    from headrace.operations.tick import tick

    response = tick(invocation.session, progress=invocation.progress())
    invocation.show(response, render)
    return 0
