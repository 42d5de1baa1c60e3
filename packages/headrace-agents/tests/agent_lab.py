"""Agents of tests: the client of the package `mcp`, over standard streams or HTTP."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from serve_lab import HEADRACE

T = TypeVar("T")
Do = Callable[["Agent"], Awaitable[T]]
CLIENT = Implementation(name="test-agent", version="1.2")
LEGACY = "legacy"
"""The mode of a client that speaks the protocol before 2026, with a handshake and sessions."""


class Agent:
    """An agent without a model: it calls tools, and gets their results as JSON values."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def names(self) -> set[str]:
        """The names of the listed tools."""
        return {tool.name for tool in (await self.client.list_tools()).tools}

    async def call(self, tool: str, **arguments: Any) -> Any:
        """The result of a tool that answers."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, (tool, result.content)
        return result.structured_content

    async def error(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The error of a tool that refuses."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, (tool, result.structured_content)
        error: dict[str, Any] = result.structured_content["error"]
        assert error["message"]
        return error


def over_stdio(root: Path, do: Do[T], *options: str, token: str = "", mode: str = "auto") -> T:
    """Start `headrace mcp`, and let an agent do something."""
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ
    }
    if token:
        environment["HEADRACE_TOKEN"] = token

    async def run() -> T:
        server = StdioServerParameters(
            command=HEADRACE, args=["mcp", "--project", str(root), *options], env=environment
        )
        async with Client(server, mode=mode, client_info=CLIENT) as client:
            return await do(Agent(client))

    return asyncio.run(run())


def over_http(
    port: int, do: Do[T], *, token: str, mode: str = "auto", headers: dict[str, str] | None = None
) -> T:
    """Let an agent do something at a server."""

    async def run() -> T:
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        async with (
            httpx2.AsyncClient(headers=sent, timeout=60) as http,
            Client(
                streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=http),
                mode=mode,
                client_info=CLIENT,
            ) as client,
        ):
            return await do(Agent(client))

    return asyncio.run(run())
