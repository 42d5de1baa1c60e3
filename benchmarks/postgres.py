"""A PostgreSQL of our own for a benchmark, with its defaults: what is committed is on the disk."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.servers import free_port

START_SECONDS = 30.0


class Missing(Exception):
    """PostgreSQL isn't installed here, or doesn't start."""


@contextlib.contextmanager
def cluster() -> Iterator[Callable[[], contextlib.AbstractContextManager[str]]]:
    """A running server; what is given makes a fresh database and gives its address.
    Raises Missing.
    """
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="headrace-pg-", dir="/tmp"))
    folder.chmod(0o755)
    child = _other_user(folder)
    log = (folder / "log").open("wb")
    port, server = free_port(), None
    try:
        initialise = [
            str(binaries / "initdb"),
            "-U",
            "headrace",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale",
            "C",
            "-D",
            str(folder / "data"),
        ]
        if subprocess.run(initialise, stdout=log, stderr=log, check=False, **child).returncode:
            raise Missing("initdb failed")
        command = [
            str(binaries / "postgres"),
            "-D",
            str(folder / "data"),
            "-p",
            str(port),
            "-h",
            "127.0.0.1",
            "-k",
            str(folder / "data"),
        ]
        server = subprocess.Popen(command, stdout=log, stderr=log, **child)
        _wait(binaries, port, server)
        numbers = iter(range(1_000_000))
        yield lambda: _fresh(port, next(numbers))
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    result = shutil.which("initdb")
    places = (
        [Path(result).resolve().parent]
        if result
        else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    for place in places:
        if (place / "postgres").exists():
            return place
    raise Missing("PostgreSQL isn't installed")


def _other_user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            (folder / "data").mkdir(mode=0o700)
            os.chown(folder / "data", user.pw_uid, user.pw_gid)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}
    raise Missing("there is no user postgres, and no nobody")


def _wait(binaries: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while subprocess.run(
        [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
    ).returncode:
        if server.poll() is not None or time.monotonic() > until:
            raise Missing("the server doesn't start")
        time.sleep(0.05)


@contextlib.contextmanager
def _fresh(port: int, number: int) -> Iterator[str]:
    import psycopg

    name = f"bench_{number}"
    with psycopg.connect(
        f"postgresql://headrace@127.0.0.1:{port}/postgres", autocommit=True
    ) as connection:
        connection.execute(f"create database {name}".encode())
    yield f"postgresql://headrace@127.0.0.1:{port}/{name}"
