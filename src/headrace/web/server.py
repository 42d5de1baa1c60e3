"""The HTTP server: a thread with its own event loop, with limits on connections, sizes
and times.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from types import TracebackType
from typing import Any, Self, cast

from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from headrace.model import UsageError
from headrace.web.http import TAKEN

HEADER_BYTES_MAX = 16 << 10
HEADER_SECONDS = 10.0
"""For the whole head of a request, from its first byte (or the connection's beginning) on."""
ANSWER_SECONDS = 90.0
"""For the rest of a request and its answer: a client that sends or reads slowly is let go of.

Longer than a read may wait and compute (`web.data`): that limit is answered in words.
"""
IDLE_SECONDS = 5
STREAM_SECONDS = 660.0
"""The same for a stream of events, which ends by itself before."""
STREAMS_END, DATA_BEGINS = ("/events", "/follow", "/mcp"), "/data/"
"""How the paths of streams end, and how those of downloads begin: both may take STREAM_SECONDS."""
STREAM_BYTES_MIN = 16 << 20
"""If the client took at least this many bytes within STREAM_SECONDS, the download may take as long
again."""
CONNECTIONS_MAX = 256
"""More are answered 503 at once."""
HALF_OPEN_MAX = 64
"""Connections whose client hasn't finished the head of a request. One more aborts the one that has
taken longest, so that clients which never finish a request can't use up all connections."""
IDLE_KEPT_BELOW = 192
"""With this many connections, a new one closes the one that has been idle longest: its client has
its answers and connects again, while without room all clients would be answered 503."""
CLOSE_SECONDS = 3
PORTS_TRIED = 20
PORT_MAX = 65_535


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on this port, or on the next free one; port 0 takes any.

    Raises UsageError for an unknown host, an invalid port, or if PORTS_TRIED ports are taken.
    """
    if not 0 <= port <= PORT_MAX:
        raise UsageError(
            f"--port {port} is no port: they go from 1 to {PORT_MAX}",
            hint="serve --port 0 takes any that is free",
        )
    try:
        family, *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"--host {host[:100]!r} is no address of this machine", hint="serve --host 127.0.0.1"
        ) from error
    for tried in range(port, min(port + PORTS_TRIED, PORT_MAX + 1) if port else 1):
        try:
            return _bound_socket(family, host, tried)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            hint = (
                "ports below 1024 are the administrator's"
                if error.errno == errno.EACCES
                else "serve --host 127.0.0.1"
            )
            raise UsageError(
                f"{host}:{tried} can't be listened on: {error.strerror}", hint=hint
            ) from error
    raise UsageError(
        f"ports {port} to {min(port + PORTS_TRIED - 1, PORT_MAX)} are all taken",
        hint="serve --port 0 takes any that is free",
    )


def _bound_socket(family: int, host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio sends small packets at once (TCP_NODELAY) only for
    # sockets that say that they are TCP: else an answer's body waits 40 ms for the client's ACK.
    result = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        result.bind((host, port))
        result.listen(CONNECTIONS_MAX)
    except OSError:
        result.close()
        raise
    result.set_inheritable(False)
    return result


class Patient(H11Protocol):
    """uvicorn's protocol with time limits: by itself, it has none for clients that send slowly."""

    _limit: asyncio.TimerHandle | None = None
    """Aborts the connection; None while it is idle, for which uvicorn has a limit."""
    _waiting_since = 0.0
    """On the event loop's clock: when the head began, or the last answer ended."""

    def connection_made(self, transport: Any) -> None:
        """A client connected."""
        self._make_room()
        super().connection_made(transport)
        self._begin_head()

    def _make_room(self) -> None:
        """Abort the oldest of too many half-open connections; close an idle one of many."""
        connections = [
            connection
            for connection in self.connections
            if isinstance(connection, Patient) and not connection.transport.is_closing()
        ]
        waiting = sorted(
            (connection for connection in connections if connection._waiting),
            key=lambda item: item._waiting_since,
        )
        half_open = [connection for connection in waiting if connection._limit is not None]
        idle = [connection for connection in waiting if connection._limit is None]
        if len(half_open) >= HALF_OPEN_MAX:
            half_open[0].transport.abort()
        if idle and len(connections) >= IDLE_KEPT_BELOW:
            idle[0].timeout_keep_alive_handler()

    def data_received(self, data: bytes) -> None:
        """The client sent bytes."""
        waiting = self._waiting
        if waiting and self._limit is None:
            self._begin_head()
        super().data_received(data)
        if waiting and not self._waiting:
            self._begin_answer()

    def on_response_complete(self) -> None:
        """The response is complete; from here uvicorn limits the idle time."""
        self._within(None)
        self._waiting_since = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing() or not self._waiting:
            # The client has yet to read this answer, or had already sent its next request.
            self._begin_answer()

    def timeout_keep_alive_handler(self) -> None:
        """Close the idle connection, whose client may not have read its last answer."""
        if not self.transport.is_closing():
            super().timeout_keep_alive_handler()
            self._begin_answer()

    def _begin_head(self) -> None:
        self._waiting_since = self.loop.time()
        self._within(HEADER_SECONDS)

    def _begin_answer(self) -> None:
        self._within(STREAM_SECONDS if self._streams else ANSWER_SECONDS)

    def shutdown(self) -> None:
        """The server stops; streams are closed instead of awaited."""
        super().shutdown()
        if not self._waiting and self._streams:
            self.transport.abort()

    @property
    def _streams(self) -> bool:
        """Whether the response is a stream, or may be a large file."""
        path: str = self.scope["path"]
        return path.endswith(STREAMS_END) or path.startswith(DATA_BEGINS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client disconnected."""
        self._within(None)
        super().connection_lost(exc)

    @property
    def _waiting(self) -> bool:
        """Whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _within(self, seconds: float | None) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = (
            None if seconds is None else self.loop.call_later(seconds, self._expire, seconds)
        )

    def _expire(self, seconds: float) -> None:
        """Abort the connection, unless it is a download that gets on."""
        scope: dict[str, Any] = {} if self._waiting else cast("dict[str, Any]", self.scope)
        if scope.get(TAKEN, 0) >= STREAM_BYTES_MIN:
            scope[TAKEN] = 0
            self._within(seconds)
        else:
            self.transport.abort()


class HttpServer:
    """Serve at a socket while the block runs."""

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        self._socket = listening
        self._server = Server(
            Config(
                app,
                http=Patient,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=CLOSE_SECONDS,
            )
        )
        self._thread = threading.Thread(target=self._serve, name="headrace door", daemon=True)

    @property
    def port(self) -> int:
        """The address of the server."""
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        silence("uvicorn")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(CLOSE_SECONDS + 2)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(SystemExit):  # uvicorn's way to say that it couldn't begin
            asyncio.run(self._server.serve(sockets=[self._socket]))


def silence(package: str) -> None:
    """Drop a package's log messages about invalid requests; clients get an error response."""
    logger = logging.getLogger(package)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
