"""`headrace mcp`: the commands as tools for an agent."""

from __future__ import annotations

from typing import Annotated

from headrace.extension import Invocation, Option, UsageError, terminal_command


@terminal_command()
def mcp_command(
    invocation: Invocation,
    on_behalf_of: Annotated[
        str | None,
        Option(
            "--on-behalf-of",
            metavar="PERSON",
            help="for whom the agent acts; recorded in the audit trail as what the agent says",
        ),
    ] = None,
) -> int:
    """Serve the commands as tools to an agent, over standard input and output (MCP).

    The agent's program starts this command; a running `headrace serve` offers the same tools at
    /mcp. Without an API token (HEADRACE_TOKEN or --token-file) the tools only read.
    """
    if invocation.options.now is not None:
        raise UsageError(
            "headrace mcp takes no --now: its tools are called at different times",
            hint="leave it out",
        )
    session = invocation.session
    identify = invocation.identify
    # a slow import, which no other command needs
    from headrace_agents.stdio import serve_stdio

    serve_stdio(session.root, session.env, identify, on_behalf_of or "")
    return 0
