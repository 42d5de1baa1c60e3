"""Processes that analyse and bind SQL, or send notifications, forked from one that has imported
sqlglot and DuckDB.

A project's first run starts one of each, and four fifths of their processor time are imports. The
process that forks listens at an abstract address, so that commands that are forked themselves
(`warm_fork_servers`) ask it as well. A connection is one helper's: the request with its streams is
answered by its number, an empty packet by how it ended.

Where the environment would make another Python of it, or arms faults, it starts from nothing; tests
of the start ask for `cold_helpers`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

import headrace
from headrace.compiler import helper_process
from headrace.integrations.notifications import process as notifications

PACKET_BYTES = 1 << 17
ENV_OF_STARTS = ("PYTHON", "HEADRACE_FAULT", "LD_", "MALLOC_", "LC_", "LANG")
"""Prefixes of variables that are read when a process starts."""
MODULES = ("headrace.compiler.worker", "headrace.engine.binding")
SENDER = "headrace.integrations.notifications.__main__"
IMPORTED = (*MODULES, "headrace.plan.sql_analysis", "headrace.integrations.notifications.channels")
FROM_NOTHING = helper_process.start
SENDER_FROM_NOTHING = notifications._spawned

_environment = {name: value for name, value in os.environ.items() if name.startswith(ENV_OF_STARTS)}
"""Of the session, before any test has changed it."""
_address: list[str] = []
"""Where the process listens; inherited by commands that are forked."""
_started: list[tuple[subprocess.Popen[bytes], socket.socket]] = []
"""The process that forks, and what ends it when it is closed."""


class Helper:
    """What `subprocess.Popen` is of a helper."""

    def __init__(self, connection: socket.socket, module: str, arguments: tuple[str, ...]) -> None:
        self._connection = connection
        self.returncode: int | None = None
        its_input, ours = os.pipe()
        theirs, its_output = os.pipe()
        wanted = {
            "module": module,
            "arguments": arguments,
            "env": dict(os.environ),
            "cwd": str(Path.cwd() if module == SENDER else Path(headrace.__file__).parent),
        }
        try:
            streams = (its_input, its_output, 2)
            socket.send_fds(connection, [json.dumps(wanted).encode()], streams)
            self.pid = int(connection.recv(PACKET_BYTES))
        except (OSError, ValueError):
            os.close(ours)
            os.close(theirs)
            raise
        finally:
            os.close(its_input)
            os.close(its_output)
        self._pidfd = os.pidfd_open(self.pid)
        self.stdin, self.stdout = os.fdopen(ours, "wb"), os.fdopen(theirs, "rb")

    def kill(self) -> None:
        if self.returncode is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._pidfd, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("a helper", timeout or 0)
            os.close(self._pidfd)
            self._connection.send(b"end")
            self.returncode = os.waitstatus_to_exitcode(int(self._connection.recv(PACKET_BYTES)))
            self._connection.close()
        return self.returncode


def start(module: str, *arguments: str) -> Any:
    """In place of `helper_process.start`."""
    return _forked(module, arguments) or FROM_NOTHING(module, *arguments)


def start_sender(errand: notifications.NotifierConfig) -> Any:
    """In place of `notifications._spawned`."""
    if (sender := _forked(SENDER, ())) is None:
        return SENDER_FROM_NOTHING(errand)
    sender.stdout.close()
    with contextlib.suppress(OSError), sender.stdin as pipe:
        pipe.write(msgspec.json.encode(errand))
    return sender


def _forked(module: str, arguments: tuple[str, ...]) -> Helper | None:
    if module not in (*MODULES, SENDER) or not _address or not _fits(os.environ):
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"\0{_address[0]}")
        return Helper(connection, module, arguments)
    except (OSError, ValueError):  # no descriptor is left, or the session ends
        connection.close()
        return None


def _fits(env: Mapping[str, str]) -> bool:
    return {n: v for n, v in env.items() if n.startswith(ENV_OF_STARTS)} == _environment


@pytest.fixture(scope="session", autouse=True)
def warm_helpers() -> Iterator[None]:
    """Helpers are forked from one process, which ends with the session."""

    def first(module: str, *arguments: str) -> Any:
        address()
        return start(module, *arguments)

    def first_sender(errand: notifications.NotifierConfig) -> Any:
        address()
        return start_sender(errand)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(helper_process, "start", first)
        patched.setattr(notifications, "_spawned", first_sender)
        yield
    _address.clear()
    while _started:
        process, control = _started.pop()
        control.close()
        process.wait()


def address() -> str:
    """Where the process listens; started when it is first asked for."""
    if not _address:
        _address.append(f"headrace-helpers-{os.getpid()}")
        _started.append(_start(_address[0]))
    return _address[0]


def use(address_of_session: str) -> None:
    """Fork this process's helpers there, from now on."""
    _address[:] = [address_of_session]
    helper_process.start = start
    notifications._spawned = start_sender


def _start(address_of_session: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(f"\0{address_of_session}")
    listening.listen(64)
    ours, theirs = socket.socketpair()
    with listening, theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(listening.fileno()), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(listening.fileno(), theirs.fileno()),
            start_new_session=True,
        )
    return process, ours


@pytest.fixture
def cold_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers start from nothing, as they do for users."""
    monkeypatch.setattr(helper_process, "start", FROM_NOTHING)
    monkeypatch.setattr(notifications, "_spawned", SENDER_FROM_NOTHING)


# The process that forks
# --------------------------------------------------------------------------------------------------


def _serve(listening: socket.socket, control: socket.socket) -> None:
    import gc

    for module in IMPORTED:
        import_module(module)
    import duckdb

    duckdb.default_connection().close()  # it was opened on import, with threads
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    helpers: dict[socket.socket, int] = {}
    senders: set[int] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    return
                if key.fileobj is listening:
                    selector.register(listening.accept()[0], selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    _answer(key.fileobj, helpers, senders, selector)


def _answer(
    connection: socket.socket,
    helpers: dict[socket.socket, int],
    senders: set[int],
    selector: selectors.BaseSelector,
) -> None:
    """Fork the helper of a connection, or tell how it ended."""
    packet, streams, _, _ = socket.recv_fds(connection, PACKET_BYTES, 3)
    if packet and connection not in helpers:
        helpers[connection] = os.fork()
        if helpers[connection] == 0:
            _live(streams, **json.loads(packet))
        if json.loads(packet)["module"] == SENDER:
            senders.add(helpers[connection])
        connection.send(str(helpers[connection]).encode())
        for stream in streams:
            os.close(stream)
        return
    selector.unregister(connection)
    if (pid := helpers.pop(connection, 0)) != 0:
        if packet:
            senders.discard(pid)
            connection.send(str(os.waitpid(pid, 0)[1]).encode())
        elif pid not in senders:  # whoever asked for it has ended: so does the helper
            _leave(pid)
    connection.close()


def _leave(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _live(
    streams: list[int], module: str, arguments: list[str], env: dict[str, str], cwd: str
) -> NoReturn:
    """A helper's life, in what `python -P -m module` would find."""
    code = 1
    if module == SENDER:
        os.setsid()
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, min(1 << 16, os.sysconf("SC_OPEN_MAX")))
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        del sys.path[0]  # this folder
        sys.argv = [module, *arguments]
        sys.stdin = os.fdopen(0)
        import_module(module).main()
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _serve(socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
