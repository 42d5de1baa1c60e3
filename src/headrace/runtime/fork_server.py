"""The fork server: imports once what every worker needs, and forks workers on request.

`python -m headrace.runtime.fork_server SOCKET`, started by `runtime.fork_server_start`.
The imported modules are in memory once, whatever the number of workers, and a dead worker is
replaced within milliseconds. The fork server does nothing else: it has one thread and opens
nothing, so that a child starts without any lock held. It reaps a child only when the leader
requests that: until then the process id of a dead worker can't become another process's.

The settings arrive first. Requests and replies have one size each, over a stream socket
(docs/decisions/0029-worker-processes.md).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys

if __name__ == "__main__":
    gc.disable()  # what is imported stays: each look through it would be in vain

import duckdb
import msgspec

from headrace.engine.logs import OutputPipes
from headrace.runtime import background_priority
from headrace.runtime.worker import Start, work
from headrace.runtime.worker_protocol import (
    BACKGROUND,
    DESCRIPTORS,
    FORK,
    REPLY,
    REQUEST,
    WorkerSettings,
    receive_settings,
    tasks_decoder,
)

PYTHON = ("headrace.engine.python",)
"""Modules for Python assets."""
ARROW = ("pyarrow.parquet", "pyarrow.compute", "headrace.engine.containers")
"""Additional modules for Python assets that read or return rows."""


def main() -> None:
    """Serve until the leader closes the socket."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tasks_decoder()
    settings = receive_settings(control)
    if settings is None:  # it was started ahead, and no leader took it
        return
    for module in (*(PYTHON if settings.python else ()), *(ARROW if settings.arrow else ())):
        importlib.import_module(module)
    if settings.arrow:
        _make_array()
    # its import opened it, with threads; asset code that uses it gets a new one
    duckdb.default_connection().close()
    # workers never look through it either, which would copy the memory that they share
    gc.freeze()
    gc.enable()
    while (request := _next(control)) is not None:
        kind, number, descriptors = request
        # the leader learns of every worker, even if it ends this process at the same time
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        reply = (
            _fork(control, settings, descriptors, background=number == BACKGROUND)
            if kind == FORK
            else _reap(number)
        )
        control.sendall(REPLY.pack(kind, *reply))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _make_array() -> None:
    """Make Arrow's first array of Python values, for which it imports pandas, if that is installed.

    Each worker would import it with its first list of rows.
    """
    with contextlib.suppress(Exception):  # a pandas that doesn't load is the asset code's matter
        importlib.import_module("pyarrow").array(())


def _next(control: socket.socket) -> tuple[bytes, int, list[int]] | None:
    data, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, DESCRIPTORS)
    while data and len(data) < REQUEST.size:
        data += control.recv(REQUEST.size - len(data))
    return (*REQUEST.unpack(data), descriptors) if data else None


def _fork(
    control: socket.socket, settings: WorkerSettings, descriptors: list[int], *, background: bool
) -> tuple[int, int]:
    try:
        pid = os.fork()
    except OSError as error:
        pid = 0
        failure = error.errno or 0
    else:
        failure = 0
        if pid == 0:
            control.close()
            _live(settings, descriptors, background=background)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid, failure


def _live(settings: WorkerSettings, descriptors: list[int], *, background: bool) -> None:
    """Run as a worker; never returns to the fork server's code."""
    try:
        os.setsid()  # its children end with it, and a terminal's Ctrl-C goes to the leader alone
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if background:
            background_priority.give_way()
            settings = msgspec.structs.replace(
                settings, memory_max_bytes=settings.memory_of(background=True)
            )
        tasks, answers, recalls, *channel = descriptors
        work(Start(tasks, answers, recalls, OutputPipes(*channel), settings))
    finally:
        os._exit(1)


def _reap(pid: int) -> tuple[int, int]:
    status = 0
    with contextlib.suppress(ChildProcessError):
        _, status = os.waitpid(pid, 0)
    return pid, status


if __name__ == "__main__":
    main()
