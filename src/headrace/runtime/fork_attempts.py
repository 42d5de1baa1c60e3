"""The process that forks for the attempts of one worker.

It runs no asset code. It keeps one process forked ahead, which prepares itself and waits for its
attempt (`attempt_process`). It adopts the processes that an attempt leaves behind, and kills them
when the attempt has ended.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import shutil
import signal
import socket
import time
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from headrace.engine.landlock import adopt_orphans
from headrace.engine.logs import OutputPipes
from headrace.runtime import attempt_process
from headrace.runtime.folders import Folders
from headrace.runtime.fork_messages import (
    DONE,
    ENDED,
    EVENT,
    IMPORT,
    IMPORTED,
    NAME_BYTES,
    PACKET_BYTES_MAX,
    READY,
    TAKEN,
    own_folder,
)
from headrace.runtime.installed_modules import import_all

AHEAD_AFTER_SECONDS = 0.05
"""The process for the next attempt is forked while one runs that has taken this long.

During a shorter one it would compete for the processor; it is forked at the end of that.
"""
ORPHANS_MAX = 10_000
"""The number of processes left by one attempt that are killed at its end."""


def serve(control: socket.socket, pipes: OutputPipes, folders: Folders) -> NoReturn:
    """Fork ahead until the worker closes the socket."""
    os.setsid()  # it outlives a worker that is killed with its group, and ends what runs
    adopt_orphans()
    forking = _Forking(control, pipes, folders)
    forking.prepare()
    while True:
        forking.step()


class _Forking:
    """The children of this process, and the messages about them to its worker."""

    def __init__(self, control: socket.socket, pipes: OutputPipes, folders: Folders) -> None:
        self._control, self._pipes, self._folders = control, pipes, folders
        self._children: dict[int, int] = {}
        """pidfd → process id, of each child that hasn't been waited for."""
        self._ahead: int | None = None
        self._running: int | None = None
        self._taken_at = 0.0
        self._names: dict[int, str] = {}
        """Process id → name of the attempt's own folder, of each child."""
        self._unneeded: list[Path] = []
        """Folders to remove once no attempt runs."""
        self._ready = select.poll()
        self._ready.register(control, select.POLLIN)

    def prepare(self) -> None:
        """Do once what the forked processes then needn't do."""
        attempt_process.prepare(self._folders)

    def step(self) -> None:
        """Fork ahead if it is time, then wait for a request or for the end of a child."""
        if self._ahead is None and self._wait_seconds() <= 0:
            self._fork_ahead()
        timeout = None if self._ahead is not None else self._wait_seconds() * 1_000
        for descriptor, _ in self._ready.poll(timeout):
            if descriptor == self._control.fileno():
                self._request()
            else:
                self._ended(descriptor)

    def _wait_seconds(self) -> float:
        if self._running is None:
            return 0.0
        return self._taken_at + AHEAD_AFTER_SECONDS - time.monotonic()

    def _request(self) -> None:
        data = self._control.recv(PACKET_BYTES_MAX + 1)
        if data == TAKEN:
            self._running, self._ahead = self._ahead, None
            self._taken_at = time.monotonic()
        elif data[:1] == IMPORT:
            import_all(data[1:].decode().split("\n"))
            self.prepare()
            self._tell(IMPORTED)
        elif data[:1] == DONE:
            path = self._folders.temporary / data[1 : 1 + NAME_BYTES].decode()
            self._unneeded += [path, Path(os.fsdecode(data[1 + NAME_BYTES :]))]
            self._clean_up()
        else:
            self._end()

    def _ended(self, descriptor: int) -> None:
        pid = self._children.pop(descriptor)
        self._ready.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        name = self._names.pop(pid)
        if pid == self._ahead:
            self._ahead = None
            self._unneeded.append(self._folders.temporary / name)
        self._running = None if pid == self._running else self._running
        self._kill_orphans()
        self._tell(ENDED, pid, status)
        self._clean_up()

    def _kill_orphans(self) -> None:
        """Kill what an ended attempt left: nothing of it may write to what is published."""
        for _ in range(ORPHANS_MAX):
            orphans = _children() - set(self._children.values())
            if self._running is not None or not orphans:
                return
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _clean_up(self) -> None:
        while self._running is None and self._unneeded:
            shutil.rmtree(self._unneeded.pop(), ignore_errors=True)

    def _fork_ahead(self) -> None:
        ours, theirs = socket.socketpair()
        parent, name = os.getpid(), uuid.uuid4().hex
        folders = own_folder(self._folders, name)
        with contextlib.suppress(OSError):  # the attempt reports it
            folders.create()
        gc.freeze()  # a collection in the fork would copy all that it looks through
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # libraries may have threads
            pid = os.fork()
        if pid == 0:
            try:
                for descriptor in self._children:
                    os.close(descriptor)
                self._control.close()
                theirs.close()
                attempt_process.wait(ours, self._pipes, folders, parent)
            finally:
                os._exit(1)
        ours.close()
        descriptor = os.pidfd_open(pid)
        self._children[descriptor] = self._ahead = pid
        self._names[pid] = name
        self._ready.register(descriptor, select.POLLIN)
        self._tell(READY, pid, descriptors=(theirs.fileno(), descriptor))
        theirs.close()

    def _tell(
        self, kind: bytes, pid: int = 0, status: int = 0, descriptors: Sequence[int] = ()
    ) -> None:
        try:
            event = EVENT.pack(kind, pid, status, self._names.get(pid, "").encode())
            socket.send_fds(self._control, [event], descriptors)
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        """End with all children, because the worker is gone."""
        for descriptor in self._children:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        for pid in self._children.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._children.clear()
        self._running = None
        self._kill_orphans()
        self._unneeded += [self._folders.temporary / name for name in self._names.values()]
        self._clean_up()
        os._exit(0)


def _children() -> set[int]:
    """Return the processes whose parent this one is; none where the system can't say."""
    try:
        return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))
    except OSError:
        return set()
