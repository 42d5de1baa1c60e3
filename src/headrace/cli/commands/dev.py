"""`headrace dev`."""

from __future__ import annotations

import os
from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Option


def command(
    invocation: Invocation,
    host: Annotated[str, Option("--host", metavar="ADDRESS", help="where it listens")] = "127.0.0.1",
    port: Annotated[int, Option("--port", metavar="N", least=0, help="the next free one where it is taken; 0 is any")] = 8787,
) -> int:
    """`serve` in the environment `dev` (or --env NAME, never prod): what you save is applied, and what it changes is built."""
    from headrace.cli.serve import At, serve, teller
    from headrace.operations.dev import ENVIRONMENT, Saves, refuse_production

    named = invocation.options.env or os.environ.get("HEADRACE_ENV") or ENVIRONMENT
    invocation.options = invocation.options._replace(env=named)
    refuse_production(invocation.session)
    saves = Saves(invocation.session, teller(invocation))
    try:
        return serve(invocation, At(host, port), saves)
    finally:
        saves.close()
