"""A real Dask cluster on the loopback address: a scheduler and worker processes, each with one
thread, ended with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

START_SECONDS = 100.0


class Cluster:
    """Use it as a context manager."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self._folder, self._count = folder, workers
        self.port = _free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler: subprocess.Popen[bytes]
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.start_scheduler()
        for _ in range(self._count):
            self.start_worker()
        return self

    def start_scheduler(self) -> None:
        self.scheduler = self._start(
            "scheduler",
            "--port",
            str(self.port),
            "--host",
            "127.0.0.1",
            "--no-dashboard",
            "--no-show",
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.05)
        raise TimeoutError("the scheduler didn't start")

    def start_worker(self) -> None:
        options = [
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
            "--death-timeout",
            "60",
        ]
        self.workers.append(
            self._start("worker", self.address, *options, "--local-directory", str(self._folder))
        )

    def _start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{kind}.log").open("ab")
        with log:
            command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def said(self) -> str:
        return "\n".join(path.read_text() for path in self._folder.glob("*.log"))

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
