"""The process of `headrace serve`: the leader loop and the HTTP server, until a signal stops it.

Commands import this module only to serve, because it loads uvicorn and starlette.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing

import msgspec

from headrace.access.permissions import SERVE, check
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import Screen, clean
from headrace.model.plugins import ROUTES, missing_package
from headrace.model.texts import plain
from headrace.responses import Response
from headrace.security.sessions import SESSIONS_FILE, Sessions
from headrace.serving.serving import Role, ServerTask, Serving, Stop
from headrace.web import HttpServer, listen
from headrace.web.access import Guard, is_private, token_of
from headrace.web.app import app
from headrace.web.project_reader import ProjectReader
from headrace.web.read_server import ReadServer

HOST = "127.0.0.1"
PORT = 8787


class ServeResponse(Response, frozen=True, kw_only=True):
    """`serve`: the server's address, printed as soon as it accepts connections.

    `url` opens the web UI and contains the token.
    """

    url: str
    host: str
    port: int
    wanted: int
    """The requested port; `port` differs if it was taken, or 0."""
    pid: int
    env: str


class ListenAddress(msgspec.Struct, frozen=True):
    """The address that a server listens on, and the host names that a proxy uses for it."""

    host: str = HOST
    port: int = PORT
    names: tuple[str, ...] = ()


def serve(invocation: Invocation, address: ListenAddress, task: ServerTask | None = None) -> int:
    """Serve until a signal arrives; return 0 after an orderly end.

    `task` is additional work in the leader's thread.
    """
    session, stop = invocation.session, Stop()
    check(session, SERVE, {})
    session.trusted = True  # from here on, Headrace itself works in this session
    settings = session.settings
    serving = Serving(session, stop, line_printer(invocation), invocation.progress(), task)
    token = token_of(session.data_folder)
    sessions = Sessions(session.data_folder / SESSIONS_FILE)
    guard = Guard(token, address.host, address.names, sessions)
    listening = listen(address.host, address.port)
    guard.cookie = f"headrace_{listening.getsockname()[1]}"
    reader = ProjectReader(session.root, session.env, session.actor)
    reads = ReadServer(str(session.root), session.env)
    answers = app(reader, guard, serving, read_server=reads)
    with (
        stop.listening(),
        closing(reads),
        HttpServer(answers, listening) as http_server,
    ):
        reader.begin()
        host = f"[{address.host}]" if ":" in address.host else address.host  # IPv6 in brackets
        url = f"http://{host}:{http_server.port}/?token={token}"
        response = ServeResponse(
            url=url,
            host=address.host,
            port=http_server.port,
            wanted=address.port,
            pid=os.getpid(),
            env=settings.environment,
        )
        invocation.show(response, _render, clock=False)
        sys.stdout.flush()
        serving.run(_notify_ready)
        _notify_systemd("STOPPING=1")
    return 0


def _render(response: ServeResponse, page: CommandOutput) -> None:
    if response.wanted not in (0, response.port):
        page.say(f"port {response.wanted} is taken; this is the next free one", "warn")
    if not is_private(response.host):
        page.say(
            "others can reach this address: put a proxy that speaks TLS in front of it", "warn"
        )
    if package := missing_package(ROUTES, "ui"):
        page.say(f"without the web UI, which is in another package: pip install {package}", "warn")
    page.screen.line(f"Open  {response.url}")
    page.say("leave this running (Ctrl-C stops it, nothing is lost)", "dim")


def line_printer(invocation: Invocation) -> LinePrinter:
    """Return a line printer for standard error."""
    return LinePrinter(Screen(sys.stderr, no_color=invocation.options.no_color))


class LinePrinter:
    """Prints the server's messages, one per line."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def __call__(self, line: str) -> None:
        self._screen.line(clean(plain(line)))
        self._screen.stream.flush()


def _notify_ready(role: Role) -> None:
    _notify_systemd(f"READY=1\nSTATUS={role}")


def _notify_systemd(state: str) -> None:
    """Send a state to systemd (`Type=notify`), if NOTIFY_SOCKET names its socket."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(
                state.encode(), "\0" + address[1:] if address.startswith("@") else address
            )
        except OSError:
            return  # systemd doesn't listen
