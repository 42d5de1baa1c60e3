"""Calls of tools: who may call what, how a call runs, and what it returns.

A call never raises: every error is a result that says its code and what to do next.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from headrace.access.permissions import rules_of
from headrace.extension import (
    HeadraceError,
    HttpProblem,
    ProjectSession,
    Refused,
    Silent,
    did_you_mean,
)
from headrace.model.access import Permission
from headrace.project.parameters import call, command_function, request_type
from headrace.project.session import AgentClaim
from headrace.security.access import Identity, IdentityKind, roles_of
from headrace.web.acts import Acts, RunningAction
from headrace.web.data import read_whole
from headrace.web.http import converted_parameters, problem_of
from headrace.web.project_reader import ProjectReader
from headrace.web.read_server import ReadServer
from headrace.web.tool_process import ToolRequest
from headrace_agents.declarations import APPROVAL_KEY, Tool, tools
from headrace_agents.results import ITEMS_MAX, bounded, document, error_document

ARGUMENT_BYTES_MAX = 64 << 10
"""Of one call."""
ACT_SECONDS_MAX = 600.0
"""How long a call waits for its act. The act goes on after that."""
REPORT_SECONDS = 1.0
"""How often a call reports how far its act is."""
NO_TOKEN = "token_needed"  # noqa: S105 - a code
UNKNOWN = "unknown_tool"

OpenForActs = Callable[[Identity], ProjectSession]
"""Opens a session for an act: it may lead, or asks the leader."""
Report = Callable[[int, str], Awaitable[None]]
"""Tells the client how far an act is."""


class Caller(NamedTuple):
    """Who calls, and what the agent says about itself."""

    identity: Identity
    claim: AgentClaim = AgentClaim()


class Result(NamedTuple):
    """The result of a call: JSON values, and whether they are an error."""

    values: dict[str, Any]
    failed: bool = False


class CallRefused(HttpProblem):
    """A call that is refused before its command runs, with the code for the agent."""

    def __init__(self, code: str, detail: str, hint: str = "") -> None:
        super().__init__(409, detail, hint)
        self.code = code


class AgentCalls:
    """The tools of one project. Reading tools share sessions with the HTTP API's requests."""

    def __init__(self, reader: ProjectReader, read_server: ReadServer, opened: OpenForActs) -> None:
        self._reader, self._read_server, self._opened = reader, read_server, opened
        self._acts = Acts()

    async def listed(self, caller: Caller) -> list[Tool]:
        """Return the tools that a caller may use on at least one node.

        Acts need a token. If the rules can't be read, only reading tools are listed.
        """
        try:
            held = await self._reader.response(permissions_of, caller.identity)
        except HeadraceError:
            held = frozenset({Permission.SEE})
        is_token = caller.identity.kind is IdentityKind.TOKEN
        return [
            tool
            for tool in tools().values()
            if tool.permission in held and (is_token or not tool.acts)
        ]

    async def call(
        self,
        identify: Callable[[], Awaitable[Caller]],
        name: str,
        arguments: Mapping[str, Any] | None,
        report: Report,
    ) -> Result:
        """Run a tool and return its result. `identify` raises Refused for an invalid token."""
        try:
            caller = await identify()
            return Result(await self._run(caller, name, dict(arguments or {}), report))
        except HttpProblem as problem:
            return Result(error_document(problem), failed=True)
        except HeadraceError as error:
            return Result(error_document(problem_of(error)), failed=True)
        # the boundary: a client on the network isn't told what it was
        except Exception:  # noqa: BLE001
            unknown = HttpProblem(500, "something went wrong here", "the same by its command")
            return Result(error_document(unknown), failed=True)

    async def _run(
        self, caller: Caller, name: str, arguments: dict[str, Any], report: Report
    ) -> dict[str, Any]:
        tool = _known(name)
        if tool.acts and caller.identity.kind is not IdentityKind.TOKEN:
            raise CallRefused(
                NO_TOKEN,
                f"`{name}` changes something, and an agent needs a token for that",
                "an admin creates one: headrace token create NAME --scope operator; give it to"
                " `headrace mcp` in HEADRACE_TOKEN",
            )
        request = _request(tool, arguments)
        if tool.acts:
            return await self._act(caller, tool, request, report)
        if tool.isolated:
            return await self._read_rows(caller, tool, request)
        response = await self._reader.response(
            lambda session: call(
                command_function(tool.function), session, request, progress=Silent()
            ),
            caller.identity,
        )
        return document(tool, response)

    async def _read_rows(
        self, caller: Caller, tool: Tool, request: msgspec.Struct
    ) -> dict[str, Any]:
        """Run a tool in a fork, which is killed if the client cancels the call."""
        root, env, actor = self._reader.project
        identity = caller.identity
        body = await read_whole(
            self._read_server,
            ToolRequest(
                root,
                env,
                actor if identity.kind is IdentityKind.LOCAL else identity.name,
                tool.function,
                msgspec.to_builtins(request),
                identity,
            ),
        )
        return bounded(tool, msgspec.json.decode(body))

    async def _act(
        self,
        caller: Caller,
        tool: Tool,
        request: msgspec.Struct,
        report: Report,
    ) -> dict[str, Any]:
        stop = threading.Event()
        act = self._acts.begin(
            tool.name,
            lambda progress: self._perform(
                caller, tool, request, StoppableProgress(progress, stop)
            ),
        )
        try:
            await _over(act, report)
        except asyncio.CancelledError:
            stop.set()
            raise
        if act.problem is not None:
            raise act.problem
        return _with_approval(document(tool, act.document))

    def _perform(
        self,
        caller: Caller,
        tool: Tool,
        request: msgspec.Struct,
        progress: StoppableProgress,
    ) -> Any:
        session = self._opened(caller.identity)
        session.claim = caller.claim
        try:
            return call(command_function(tool.function), session, request, progress=progress)
        finally:
            session.close()


class Stopped(Refused):
    """The client has cancelled the call of an act."""


class StoppableProgress:
    """Reports how far an act is, and ends the act at its next report once `stop` is set."""

    def __init__(self, progress: RunningAction, stop: threading.Event) -> None:
        self._progress, self._stop = progress, stop

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped("the client has cancelled the call", hint="what was published stays")

    def start(self, what: str, total: int | None) -> None:
        """Begin a phase."""
        self._check()
        self._progress.start(what, total)

    def advance(self, n: int = 1) -> None:
        """Count finished steps."""
        self._progress.advance(n)

    def ahead(self, text: str) -> None:
        """Set the text about what is still to do."""
        self._check()
        self._progress.ahead(text)

    def note(self, line: str) -> None:
        """Add a message for a person."""
        self._progress.note(line)

    def finish(self) -> None:
        """End the phase."""
        self._progress.finish()


async def _over(act: RunningAction, report: Report) -> None:
    """Wait until an act has ended. Raise CallRefused after ACT_SECONDS_MAX."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ACT_SECONDS_MAX):
            count = 0
            while not act.over.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(REPORT_SECONDS):
                        await act.over.wait()
                if not act.over.is_set():
                    count += 1
                    await report(count, _progress_text(act))
    if not act.over.is_set():
        raise CallRefused(
            "still_running",
            f"it isn't over after {ACT_SECONDS_MAX:.0f} s, and goes on",
            "the tools `status`, `runs` and `backfills` show how far it is",
        )


def _progress_text(act: RunningAction) -> str:
    row = act.as_response()
    if not row.what:
        return "waiting for the leader"
    total = f" of {row.total:,}" if row.total is not None else ""
    return f"{row.what}: {row.done:,}{total} done" + (f", {row.ahead}" if row.ahead else "")


def permissions_of(session: ProjectSession) -> frozenset[Permission]:
    """Return the permissions that the session's identity has on at least one node."""
    rules = rules_of(session)
    if rules is None and session.local:
        return frozenset(Permission)
    today = session.now().date()
    grants = roles_of(rules, session.identity, today=today)
    return frozenset(
        permission for permission in Permission if any(grant.gives(permission) for grant in grants)
    )


def _known(name: str) -> Tool:
    tool = tools().get(name)
    if tool is None:
        raise CallRefused(
            UNKNOWN,
            f"there is no tool {name[:60]!r}",
            did_you_mean(name[:60], tuple(tools())) or "`tools/list` has all of them",
        )
    return tool


def _request(tool: Tool, arguments: dict[str, Any]) -> msgspec.Struct:
    """Return the checked arguments. Raise HttpProblem for unknown, wrong and too long ones.

    Without a limit on rows, a tool gets the limit of results.
    """
    size = len(msgspec.json.encode(arguments))
    if size > ARGUMENT_BYTES_MAX:
        raise HttpProblem(
            400, f"the arguments have {size:,} bytes", f"at most {ARGUMENT_BYTES_MAX:,}"
        )
    unknown = arguments.keys() - tool.input["properties"].keys()
    if unknown:
        name = min(unknown)[:60]
        known = tuple(tool.input["properties"])
        hint = did_you_mean(name, known) or f"it takes {', '.join(known) or 'none'}"
        raise HttpProblem(400, f"`{tool.name}` takes no argument {name!r}", hint)
    kind = request_type(command_function(tool.function))
    limit = tool.input["properties"].get("limit")
    if tool.isolated and limit is not None and arguments.get("limit") is None:
        arguments = {**arguments, "limit": ITEMS_MAX}
    return converted_parameters(arguments, kind, strict=True)


def _with_approval(values: dict[str, Any]) -> dict[str, Any]:
    """Return the result of an act; if it waits for an approval, with what to tell the person."""
    if values.get("state") != "awaiting_approval":
        return values
    number = str(values.get("id"))
    tell = (
        f"Nothing has been done yet: plan {number} needs the approval of another person, with"
        f" `headrace approve {number} --reason TEXT` or in the web UI."
    )
    return {**values, APPROVAL_KEY: {"id": number, "tell": tell}}
