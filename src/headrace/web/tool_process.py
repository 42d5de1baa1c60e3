"""One command for an agent that reads rows, run by a fork of the process for reads.

DuckDB never shares a process with the open state (`web.read_process`). The fork writes a Head
as one line of JSON, then the response.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from headrace.model import HeadraceError
from headrace.project.parameters import call, command_function, request_type
from headrace.project.session import ProjectSession, Silent
from headrace.responses.base import encoded
from headrace.security.access import Identity
from headrace.web.read_process import Head


class ToolRequest(msgspec.Struct, frozen=True, tag="tool"):
    """A command of an identity in a project: its function, and its parameters as JSON values."""

    root: str
    env: str
    actor: str
    function: str
    parameters: dict[str, Any]
    identity: Identity


def run_tool(request: ToolRequest, out: BinaryIO) -> None:
    """Write the head and the response; an error becomes a head with a problem."""
    session = ProjectSession.open(
        Path(request.root), request.env, None, request.actor, identity=request.identity
    )
    try:
        function = command_function(request.function)
        parameters = msgspec.convert(request.parameters, request_type(function))
        body = encoded(call(function, session, parameters, progress=Silent()))
        out.write(msgspec.json.encode(Head()) + b"\n" + body)
    except HeadraceError as error:
        head = Head(problem=str(error), hint=error.hint, kind=type(error).__name__)
        out.write(msgspec.json.encode(head) + b"\n")
    finally:
        session.close()
