"""Start the fork server's process: for the leader, or ahead of it for a command that will lead.

The fork server imports for about as long as a command until its leader needs it. A command that
probably leads therefore starts it before it imports anything itself (`start_ahead`), and this
module imports nothing of Headrace but names of variables. The process waits on its socket for its
settings; it ends when that socket is closed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

from headrace.clean_environment import clean


class StartedForkServer(NamedTuple):
    """A fork server's process, the leader's end of its socket, and the file of its errors."""

    control: socket.socket
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]


_ahead: list[StartedForkServer] = []
"""The process started ahead, until a leader takes it."""


def start_ahead() -> None:
    """Start a fork server that the next `take` of this process returns."""
    # without a process or a descriptor, `take` tries again, and reports it
    with contextlib.suppress(OSError):
        _ahead.append(_start())


def take() -> StartedForkServer:
    """Return the fork server that was started ahead, or start one. Raises OSError if it can't.

    A server that stands by may take it hours later, so it may have ended meanwhile.
    """
    while _ahead:
        started = _ahead.pop()
        if started.process.poll() is None:
            return started
        _end(started)
    return _start()


def end_unused() -> None:
    """End the fork server that was started ahead if no leader took it."""
    while _ahead:
        _end(_ahead.pop())


def spawn(descriptor: int, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a fork server that serves the socket `descriptor`.

    It writes errors of its start to `complaints`.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "headrace.runtime.fork_server", str(descriptor)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        pass_fds=(descriptor,),
        start_new_session=True,  # a terminal's Ctrl-C goes to the leader alone
        # Before any asset code can run: absent variables can't be read, not even in
        # /proc/self/environ.
        env=clean(os.environ),
    )


def _start() -> StartedForkServer:
    control, theirs = socket.socketpair()
    complaints = _file()
    with theirs:
        try:
            return StartedForkServer(control, spawn(theirs.fileno(), complaints), complaints)
        except OSError:
            control.close()
            complaints.close()
            raise


def _end(started: StartedForkServer) -> None:
    started.control.close()
    started.process.kill()
    started.process.wait()
    started.complaints.close()


def _file() -> IO[bytes]:
    """Return a private file for the errors of a process that can't start.

    The null device if the disk has no room for one: the errors are lost then.
    """
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")
