"""`headrace serve`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.parsing import Option


def command(
    invocation: Invocation,
    host: Annotated[str, Option("--host", metavar="ADDRESS", help="where it listens")] = "127.0.0.1",
    port: Annotated[int, Option("--port", metavar="N", least=0, help="the next free one where it is taken; 0 is any")] = 8787,
    name: Annotated[list[str] | None, Option("--name", metavar="NAME", help="a name that a proxy in front of it is known by")] = None,
) -> int:
    """Run until told to stop: look at sources all the time, run what is due, answer other commands, webhooks and probes.

    Where another process leads the project, it stands by and takes over when that one ends. SIGTERM or Ctrl-C lets what runs
    end first (exit 0); a second one ends it at once (exit 4), and the next leader does it again.
    """
    from headrace.cli.serve import At, serve

    return serve(invocation, At(host, port, tuple(name or ())))
