"""The commands as tools for agents, over the Model Context Protocol: `headrace mcp` and `/mcp`."""

from __future__ import annotations

from headrace.extension import CliCommand

MCP = CliCommand(
    name="mcp",
    group="operate",
    summary="serve the commands as tools to an agent (MCP)",
    home="headrace_agents.cli",
)
