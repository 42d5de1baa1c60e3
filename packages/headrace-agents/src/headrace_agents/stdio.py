"""`headrace mcp`: one agent, which has started this process and talks over its standard streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from mcp.server.stdio import stdio_server

from headrace.extension import ProjectSession
from headrace.project.session import AgentClaim
from headrace.security.access import Identity
from headrace.web.project_reader import ProjectReader
from headrace.web.read_server import ReadServer
from headrace_agents.calls import AgentCalls, Caller
from headrace_agents.server import Context, agent_server, claimed

TRANSPORT = "stdio"

Identify = Callable[[ProjectSession], Identity]
"""Returns who calls, before each call: a token may expire or be revoked meanwhile."""


def serve_stdio(root: Path, env: str, identify: Identify, on_behalf_of: str) -> None:
    """Serve an agent until it closes its end."""
    reader = ProjectReader(root, env)
    reads = ReadServer(str(root), env)
    calls = AgentCalls(
        reader,
        reads,
        lambda identity: ProjectSession(root, env, None, identity.name, identity=identity),
    )
    reader.begin()
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(calls, reader, identify, claimed(on_behalf_of)))
    finally:
        reads.close()


async def _serve(
    calls: AgentCalls, reader: ProjectReader, identify: Identify, on_behalf_of: str
) -> None:
    async def caller_of(_: Context, claim: AgentClaim) -> Caller:
        claim = msgspec.structs.replace(claim, on_behalf_of=on_behalf_of, transport=TRANSPORT)
        return Caller(await reader.glance(identify), claim)

    server = agent_server(calls, caller_of)
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())
