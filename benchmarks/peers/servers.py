"""Peers that are servers: how long one takes to be ready, and what it costs while nobody asks for
anything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.peers import QUIET, Unavailable
from benchmarks.watching import cpu_seconds, memory_mb

STOP_SECONDS = 20.0
POLL_SHARE = 0.02
"""A server is asked whether it is ready each time that this share of its time has passed again."""


class Server:
    """A process with its children, in a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes], began: float) -> None:
        self.process, self.began = process, began
        self.ready_seconds = 0.0

    def wait(self, ready: Callable[[], bool], limit: float) -> None:
        """Until it is ready. Raises Unavailable if that takes longer than `limit` seconds, or if it
        ends.
        """
        while not ready():
            if self.process.poll() is not None:
                raise Unavailable(f"its server ended with code {self.process.returncode}")
            if time.perf_counter() - self.began > limit:
                raise Unavailable(f"its server wasn't ready after {limit:.0f} s")
            time.sleep(max(0.02, POLL_SHARE * (time.perf_counter() - self.began)))
        self.ready_seconds = time.perf_counter() - self.began


@contextlib.contextmanager
def started(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Server]:
    """A server while the block lasts; what it says goes into `folder/server.log`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("ab") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **QUIET, **environ},
        )
    try:
        yield Server(process, began)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # children that outlived it


def idle(pids: Sequence[int], seconds: float, settle: float) -> tuple[float, float]:
    """Per cent of one core, and MB of memory (PSS), of processes with their descendants while
    nothing is asked of them.
    """
    time.sleep(settle)
    before, began = sum(map(cpu_seconds, pids)), time.perf_counter()
    time.sleep(seconds)
    spent = sum(map(cpu_seconds, pids)) - before
    return 100 * spent / (time.perf_counter() - began), sum(map(memory_mb, pids))


def answers(url: str) -> bool:
    """Whether a server answers with success there."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
