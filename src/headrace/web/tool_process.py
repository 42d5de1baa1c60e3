"""One command for an agent that reads rows, run by a fork of the process for reads.

DuckDB never shares a process with the open state (`web.read_process`). The fork writes a Head
as one line of JSON, then the response.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.project.parameters import call, command_function, request_type
from headrace.project.session import ProjectSession, Silent
from headrace.responses.base import encoded
from headrace.security.access import Identity
from headrace.web.read_process import AfterHead


class ToolRequest(msgspec.Struct, frozen=True, tag="tool"):
    """A command of an identity in a project: its function, and its parameters as JSON values."""

    root: str
    env: str
    actor: str
    function: str
    parameters: dict[str, Any]
    identity: Identity


def run_tool(session: ProjectSession, request: ToolRequest, out: AfterHead) -> None:
    """Write the response of the command."""
    function = command_function(request.function)
    parameters = msgspec.convert(request.parameters, request_type(function))
    out.write(encoded(call(function, session, parameters, progress=Silent())))
