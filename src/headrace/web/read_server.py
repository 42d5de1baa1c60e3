"""The server's end of the process that forks readers (`web.read_forks_main`)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading

import msgspec

from headrace.web.read_forks import GONE, code_of, send
from headrace.web.read_process import DataFileRequest
from headrace.web.tool_process import ToolRequest

MODULE = "headrace.web.read_forks_main"
HEAD_BYTES_MAX = 1 << 20
STOP_SECONDS = 2.0


class ReadServer:
    """Starts the process when something is read, and again after it has ended. Safe for threads."""

    def __init__(self, root: str, env: str) -> None:
        self._settings = msgspec.json.encode({"root": root, "env": env})
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process id; None before the first start."""
        return self._process.pid if self._process is not None else None

    def connect(self) -> socket.socket:
        """Return a socket for one request. Raises OSError if no process can be started."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._started(), [b"."], [theirs.fileno()])
            except OSError:  # it has ended, or ends
                self._forget()
                socket.send_fds(self._started(), [b"."], [theirs.fileno()])
        return ours

    def close(self) -> None:
        """End the process; its forks end when their clients have left."""
        with self._lock:
            self._closed = True
            self._forget()

    def _started(self) -> socket.socket:
        """Start the process if it doesn't run; return the socket to control it."""
        if self._control is not None:
            return self._control
        if self._closed:
            raise OSError("the server ends")
        control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a terminal's Ctrl-C goes to the server alone
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(self._settings)
            self._process.stdin.close()
        self._control = control
        return control

    def _forget(self) -> None:
        """Close the control socket and wait: a process that runs ends after its last fork."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:  # it may still be starting, or a client may stay
            waiting = threading.Thread(target=self._process.wait, name="ended reads", daemon=True)
            waiting.start()
            waiting.join(STOP_SECONDS)


class RowsReader:
    """One read: the bytes that its fork writes, and how the fork ends."""

    def __init__(
        self,
        rows: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        answer: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.rows, self._rows_end = rows
        self._answer, self._answer_end = answer

    @classmethod
    async def open(cls, server: ReadServer, question: DataFileRequest | ToolRequest) -> RowsReader:
        """Begin a read. Raises OSError if there is no process to fork it."""
        connecting = asyncio.ensure_future(asyncio.to_thread(server.connect))
        try:
            connection = await asyncio.shield(connecting)
        except asyncio.CancelledError:  # its reader has left; the thread goes on
            connecting.add_done_callback(_close)
            raise
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                send(connection, msgspec.json.encode(question), theirs.fileno())
            return cls(
                await asyncio.open_connection(sock=ours, limit=HEAD_BYTES_MAX),
                await asyncio.open_connection(sock=connection),
            )
        except BaseException:
            connection.close()
            ours.close()
            raise

    async def code(self) -> int:
        """Return the fork's exit code, once it has ended."""
        try:
            return code_of(await self._answer.read())
        except OSError:
            return GONE

    def end(self) -> None:
        """End the fork if it still reads."""
        self._rows_end.transport.abort()
        self._answer_end.transport.abort()


def _close(connecting: asyncio.Future[socket.socket]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()
