"""A real HTTP server on the loopback address, in threads of the test's process, that answers as it
is told to, path by path.
"""

from __future__ import annotations

import contextlib
import email.utils
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """Which connection it came on: a number of its own for each."""

    def one(self, name: str, default: str = "") -> str:
        """A parameter's only value."""
        return self.query.get(name, [default])[0]


@dataclass
class Reply:
    """What is answered. `chunks` are sent one by one, chunked unless a Content-Length is among the
    headers."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunks: Iterable[bytes] = ()
    close_after: int | None = None
    """Cut the connection after so many chunks, without the end of the body."""
    hang: bool = False
    """Answer nothing until the server stops."""


Answer = Callable[[Asked], Reply] | Reply


def reply(
    body: bytes | str, kind: str = "application/json", status: int = 200, **headers: str
) -> Reply:
    """A whole body with its length. Header names are written with `_` for `-`."""
    data = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Type": kind, "Content-Length": str(len(data)), **named}, [data])


def http_date(epoch_seconds: float) -> str:
    """As Last-Modified has it."""
    return email.utils.formatdate(epoch_seconds, usegmt=True)


class Server:
    """Use it as a context manager. `answers[path]` is a Reply or a function of the request; other
    paths are 404.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self._connections = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("LabHandler", (Handler,), {"lab": self})
        )
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(1 for item in self.asked if item.path == path)

    def connected(self, connection: socket.socket) -> int:
        with self._lock:
            self._connections += 1
            self._open.add(connection)
            return self._connections

    def disconnected(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        result = self.answers.get(asked.path, Reply(404, {"Content-Length": "0"}))
        return result(asked) if callable(result) else result

    def stop(self) -> None:
        """From now on nobody listens, and open connections are cut."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.stopping.is_set():
            self.stop()


class Handler(BaseHTTPRequestHandler):
    """One connection. `ThreadingHTTPServer` makes them."""

    lab: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.number = self.lab.connected(self.connection)

    def finish(self) -> None:
        self.lab.disconnected(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(parts.query, keep_blank_values=True)
        self._send(
            self.lab.answer(Asked(self.command, parts.path, query, headers, body, self.number))
        )

    # the names that the base class looks for
    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

    def _send(self, answer: Reply) -> None:
        if answer.hang:
            self.lab.stopping.wait()
            self.close_connection = True
            return
        if "Date" in answer.headers:
            self.send_response_only(answer.status)
        else:
            self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        measured = any(name.lower() == "content-length" for name in answer.headers)
        bodiless = answer.status in (204, 304) or self.command == "HEAD"
        if not measured and not bodiless:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not bodiless:
            self._send_body(answer, chunked=not measured)

    def _send_body(self, answer: Reply, *, chunked: bool) -> None:
        for number, chunk in enumerate(answer.chunks):
            if number == answer.close_after:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk)
            self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""
