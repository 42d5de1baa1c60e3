"""Fork servers, and commands, that are forked from one process, which has imported what they
import.

The start of either from nothing is nearly all imports. What most tests are about begins after it.
Tests of the start itself, and of what a fork server is, ask for `cold_fork_servers`;
tests/cli/test_main.py, tests/faults and others start commands as users do.

Requests and answers are JSON, one a packet: `{"fork": {…}}` with the fork server's socket and
`{"run": {…}}` with three streams are answered by the number of the process, `{"reap": N}` by how it
ended. Where the environment would make another Python of it, or arms faults, it starts from
nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

import new_states
import pytest
import short_waits
import warm_helpers

from headrace import faults
from headrace.clean_environment import clean
from headrace.runtime import fork_server_start

PACKET_BYTES = 1 << 17
ENV_OF_STARTS = ("PYTHON", "HEADRACE_FAULT", "LD_", "MALLOC_", "LC_", "LANG")
"""Prefixes of variables that are read when a process starts."""

_ENVIRONMENT = dict(os.environ)
"""Of the session, before any test has changed it: whichever test asks first, nothing is armed."""


class Warm:
    """The process that forks fork servers."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), warm_helpers.address()],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._started_with = _of_starts(_ENVIRONMENT)
        self._lock = threading.Lock()

    def spawn(self, descriptor: int, complaints: IO[bytes]) -> Any:
        """In place of `fork_server_start.spawn`."""
        if not self.fits(os.environ):
            return FROM_NOTHING(descriptor, complaints)
        wanted = {"env": clean(os.environ), "cwd": str(Path.cwd())}
        return Forked(self, self.ask({"fork": wanted}, descriptor))

    def run(
        self,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        fault: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """`headrace ARGUMENTS`, as `subprocess.run` would do it. `fault` is armed in the command,
        not in its workers.
        """
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as said,
            Path(os.devnull).open() as nothing,
        ):
            wanted = {
                "arguments": list(arguments),
                "env": dict(env),
                "cwd": str(cwd),
                "fault": fault,
            }
            process = Forked(
                self, self.ask({"run": wanted}, nothing.fileno(), out.fileno(), said.fileno())
            )
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            out.seek(0)
            said.seek(0)
            return subprocess.CompletedProcess(
                list(arguments), code, out.read().decode(), said.read().decode()
            )

    def fits(self, env: Mapping[str, str]) -> bool:
        """Whether what it forks is what Python would be in this environment."""
        return _of_starts(env) == self._started_with

    def ask(self, question: dict[str, Any], *descriptors: int) -> int:
        with self._lock:
            socket.send_fds(self._control, [json.dumps(question).encode()], descriptors)
            return int(json.loads(self._control.recv(PACKET_BYTES)))

    def close(self) -> None:
        self._control.close()
        self._process.wait()


class Forked:
    """What `subprocess.Popen` is of a child, of one that is another process's."""

    def __init__(self, warm: Warm | _Own, pid: int) -> None:
        self._warm, self.pid = warm, pid
        self._pidfd = os.pidfd_open(pid)
        self.returncode: int | None = None

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGTERM)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:  # select() takes no descriptor above 1023
                selector.register(self._pidfd, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("a fork server", timeout or 0)
            os.close(self._pidfd)
            self.returncode = os.waitstatus_to_exitcode(self._warm.ask({"reap": self.pid}))
        return self.returncode


FROM_NOTHING = fork_server_start.spawn


_started: list[Warm] = []


def warm() -> Warm:
    """The one of this session; started when it is first asked for."""
    if not _started:
        _started.append(Warm())
    return _started[0]


def headrace(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float, fault: str = ""
) -> subprocess.CompletedProcess[str]:
    """`headrace ARGUMENTS` in a process of its own: exit code, standard output and standard error.
    `fault` is armed in it.
    """
    if warm().fits(env):
        return warm().run(arguments, cwd, env, timeout, fault)
    assert not fault, "what starts from nothing is armed by its environment"
    return subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="session", autouse=True)
def warm_fork_servers() -> Iterator[None]:
    """Fork servers are forked; the first of them starts the process that does it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            fork_server_start,
            "spawn",
            lambda descriptor, complaints: warm().spawn(descriptor, complaints),
        )
        yield
    while _started:
        _started.pop().close()


@pytest.fixture
def cold_fork_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork servers start from nothing, as they do for users."""
    monkeypatch.setattr(fork_server_start, "spawn", FROM_NOTHING)


def _of_starts(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(ENV_OF_STARTS)}


# The process that forks
# --------------------------------------------------------------------------------------------------


def _serve(control: socket.socket) -> None:
    _import_all()
    short_waits.shorten(pytest.MonkeyPatch())
    new_states.copy_migrated(pytest.MonkeyPatch())
    gc.collect()
    gc.freeze()  # what is never looked through isn't copied into those that are forked
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        packet, descriptors, _, _ = socket.recv_fds(control, PACKET_BYTES, 3)
        if not packet:
            return
        asked = json.loads(packet)
        if "reap" in asked:
            answer = os.waitpid(asked["reap"], 0)[1]
        elif (answer := os.fork()) == 0:
            control.close()
            if "fork" in asked:
                _live(descriptors[0], **asked["fork"])
            _run(descriptors, **asked["run"])
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(json.dumps(answer).encode())


def _import_all() -> None:
    import duckdb

    from headrace.cli.command_table import all_commands

    for name in (
        "engine.python",
        "services.run_results",
        "services.status",
        "plan",
        "runtime.leader",
        "runtime.fork_server",
    ):
        import_module(f"headrace.{name}")
    for command in all_commands():
        import_module(command.home.partition(":")[0])  # one without a printer names its function
    duckdb.default_connection().close()  # it was opened on import, with threads


class Closed:
    """In place of `duckdb`, where a fork server closes the connection that was opened on import:
    asking for it would open another one.
    """

    @staticmethod
    def default_connection() -> Closed:
        return Closed()

    def close(self) -> None:
        pass


def _live(descriptor: int, env: dict[str, str], cwd: str) -> NoReturn:
    """A fork server's life, in what `python -m headrace.runtime.fork_server` would find."""
    from headrace.runtime import fork_server

    fork_server.duckdb = Closed
    try:
        os.setsid()
        _settle(env, cwd)
        sys.argv = [str(fork_server.__file__), str(descriptor)]
        with Path(os.devnull).open("r+b") as nothing:
            for stream in range(3):
                os.dup2(nothing.fileno(), stream)
        fork_server.main()
        os._exit(0)
    finally:
        os._exit(1)


def _run(
    streams: Sequence[int], arguments: list[str], env: dict[str, str], cwd: str, fault: str
) -> NoReturn:
    """A command's life, in what the command would find."""
    from headrace.cli.main import main

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _settle(env, cwd)
    faults._armed = faults.armed_by({"HEADRACE_FAULT": fault})
    fork_server_start.spawn = _start_fork_server
    warm_helpers.use(sys.argv[2])
    sys.argv = ["headrace", *arguments]
    code = 1
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 (told as the interpreter tells it)
        traceback.print_exc()
    finally:
        _end(code)


def _end(code: int) -> NoReturn:
    """What the interpreter does when it ends, but for taking apart all modules that were imported:
    that would be most of the work."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _start_fork_server(descriptor: int, _complaints: object) -> Any:
    """In place of `fork_server_start.spawn` in a command: nothing of the leader's stays open in the fork
    server."""
    pid = os.fork()
    if pid == 0:
        os.closerange(3, descriptor)
        os.closerange(descriptor + 1, min(1 << 16, os.sysconf("SC_OPEN_MAX")))
        _live(descriptor, clean(os.environ), str(Path.cwd()))
    return Forked(_Own(), pid)


class _Own:
    """Waits for a child of this process."""

    def ask(self, question: dict[str, Any]) -> int:
        return os.waitpid(question["reap"], 0)[1]


def _settle(env: dict[str, str], cwd: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    sys.path[0] = cwd


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _serve(socket.socket(fileno=int(sys.argv[1])))
