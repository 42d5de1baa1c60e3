"""Forks a process for each read of rows, from one process that has imported everything.

The start of a reader from nothing takes half a second, nearly all of it imports. A fork takes a few
milliseconds and is as separate as a new process: it ends with its read, so that nothing of one
reader's query, rows or memory reaches the next. The forking process holds modules and the applied
version, but no rows. It has one thread and no open database (docs/decisions/0080-server-reads.md).
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

LENGTH, CODE = struct.Struct("!I"), struct.Struct("!i")
LOST = -1
"""The exit code of a fork that was killed."""
GONE = -2
"""The code where the forking process has ended, before or while the fork read."""
REQUEST_BYTES_MAX = 16 << 20
REQUEST_SECONDS = 10.0
"""How long a client may take to send its request."""
FORKS_MAX = 32
"""At most so many forks at once; further clients wait."""
IDLE_SECONDS = 900.0
"""After so long without a read the process ends, and with it its 50 MB; the next read starts it."""
RELOAD_SECONDS = 1.0
"""Shortest time between two checks whether another version was applied."""
Handler = Callable[[bytes, int], int]
"""Handles a request in a fork, with the descriptor to write to; returns the exit code."""


def send(connection: socket.socket, request: bytes, out: int) -> None:
    """Send a request and the descriptor that its fork writes to.

    The answer is an exit code (`code_of`), once the fork has ended; closing the connection ends the
    fork. Raises OSError if the forking process has ended.
    """
    data = LENGTH.pack(len(request)) + request
    sent = socket.send_fds(connection, [data], [out])
    connection.sendall(data[sent:])


def code_of(answer: bytes) -> int:
    """Return the exit code from the answer; GONE if the connection ended without one."""
    return CODE.unpack(answer)[0] if len(answer) == CODE.size else GONE


class _Fork:
    """A fork that reads, with the connection of its client and its temporary folder."""

    def __init__(self, pid: int, connection: socket.socket, temporary: str) -> None:
        self.pid, self.connection, self.temporary = pid, connection, temporary


class Forks:
    """Forks for the sockets that arrive at `control`.

    It ends when `control` is closed at the other end, or after IDLE_SECONDS without a read.

    `reload` is called after reads: it loads what the next forks share.
    """

    def __init__(
        self,
        control: socket.socket,
        handle: Handler,
        reload: Callable[[], None],
    ) -> None:
        self._control, self._handle, self._reload = control, handle, reload
        self._forks: dict[int, _Fork] = {}
        self._open = True
        self._reloaded = time.monotonic()
        self._ended_read, self._ended_write = os.pipe()
        os.set_blocking(self._ended_read, False)
        os.set_blocking(self._ended_write, False)

    def run(self) -> None:
        """Serve until it ends; wait for the last forks."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._ended_write, warn_on_full_buffer=False)
        while self._open or self._forks:
            ready = {descriptor for descriptor, _ in self._poll().poll(IDLE_SECONDS * 1000)}
            if not ready and not self._forks:
                # From here on no request can be sent; what was sent before is still answered.
                self._control.shutdown(socket.SHUT_RD)
            if self._ended_read in ready:
                _drain(self._ended_read)
                self._reap()
                self._reload_at_times()
            self._end_abandoned(ready)
            self._take_requests(ready)

    def _end_abandoned(self, ready: Collection[int]) -> None:
        """End the forks whose clients are gone."""
        for fork in self._forks.values():
            if fork.connection.fileno() in ready:
                _kill(fork.pid)

    def _take_requests(self, ready: Collection[int]) -> None:
        if self._control.fileno() in ready:
            self._accept()

    def _reload_at_times(self) -> None:
        if time.monotonic() - self._reloaded >= RELOAD_SECONDS and not self._forks:
            self._reload()
            self._reloaded = time.monotonic()

    def _poll(self) -> select.poll:
        poll = select.poll()
        poll.register(self._ended_read, select.POLLIN)
        for fork in self._forks.values():
            poll.register(fork.connection, 0)  # reports only that the client is gone
        if self._open and len(self._forks) < FORKS_MAX:
            poll.register(self._control, select.POLLIN)
        return poll

    def _accept(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._open = False
        for descriptor in descriptors:
            self._fork(socket.socket(fileno=descriptor))

    def _fork(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        connection.settimeout(None)
        temporary = ""
        try:
            temporary = tempfile.mkdtemp(prefix="headrace-read-")
            pid = os.fork()
        except OSError:
            connection.close()
            shutil.rmtree(temporary, ignore_errors=True)
            return
        if pid == 0:
            self._live(connection, temporary)
        self._forks[pid] = _Fork(pid, connection, temporary)

    def _live(self, connection: socket.socket, temporary: str) -> NoReturn:
        """Read in the fork; never returns to the forking process's code."""
        code = 1
        try:
            os.setsid()  # what it starts ends with it
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for other in (self._control, *(fork.connection for fork in self._forks.values())):
                other.close()
            tempfile.tempdir = temporary
            _offer_to_the_kernel()
            code = self._handle(*_receive(connection))
        except BrokenPipeError:  # the client has left
            code = 0
        except BaseException as error:  # noqa: BLE001 (the fork's end, whatever it is)
            code = (
                error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
            )
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Tell the clients of ended forks how they ended, and delete what these left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            fork = self._forks.pop(pid, None)
            if fork is None:
                continue
            _kill_group(pid)
            code = os.waitstatus_to_exitcode(status)
            shutil.rmtree(fork.temporary, ignore_errors=True)
            fork.connection.setblocking(False)
            with contextlib.suppress(OSError):
                fork.connection.send(CODE.pack(code if code >= 0 else LOST))
            fork.connection.close()


def _receive(connection: socket.socket) -> tuple[bytes, int]:
    """Return a request and the descriptor that came with it.

    Raises OSError or ValueError if it doesn't arrive in time, or is too long.
    """
    connection.settimeout(REQUEST_SECONDS)
    data, (out,), _, _ = socket.recv_fds(connection, 1 << 16, 1)
    while len(data) < LENGTH.size or len(data) < LENGTH.size + LENGTH.unpack_from(data)[0]:
        if len(data) >= LENGTH.size and LENGTH.unpack_from(data)[0] > REQUEST_BYTES_MAX:
            raise ValueError("the request is too long")
        part = connection.recv(1 << 16)
        if not part:
            raise ConnectionResetError
        data += part
    connection.settimeout(None)
    return data[LENGTH.size :], out


def _offer_to_the_kernel() -> None:
    """Let the kernel end this process first if the machine has no memory left."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _kill(pid: int) -> None:
    """Kill a fork that wasn't reaped yet, so that its number is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _kill_group(pid)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass
