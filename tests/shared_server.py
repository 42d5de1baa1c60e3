"""A real database server that a whole test session shares: who starts it, and how it ends.

Test processes (pytest-xdist's workers too) share one server per folder. Each holds a shared lock on
a file; a supervisor process, which is the server's parent, waits for the exclusive lock, which it
gets when the last of them has ended, however it ended, and then stops the server and removes its
folder. Servers refuse to run as root: there they run as a user of the system that has no rights.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 100.0
MEMORY = Path("/dev/shm")
MEMORY_FREE_BYTES = 4 * 2**30


def short_folder() -> Path:
    """Where the folders are: a socket's path has 107 characters at most.

    In memory if there is room: each database is 300 new files, and 300 removed ones, which took
    ext4 without a journal most of the time of a test.
    """
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_FREE_BYTES:
        return MEMORY
    return Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())


@contextlib.contextmanager
def sharing(folder: Path, program: str) -> Iterator[dict[str, Any]]:
    """The address of the server in a folder, started by whoever comes first.

    `program` is the file whose supervisor serves the folder that is its argument.
    """
    with _shared_lock(folder):
        with (folder / "start.lock").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not (folder / "address.json").exists():
                _spawn(folder, program)
        yield json.loads((folder / "address.json").read_text())


@contextlib.contextmanager
def _shared_lock(folder: Path) -> Iterator[None]:
    """Held while this process uses the server. Tried again where the supervisor removed the folder
    meanwhile.
    """
    while True:
        folder.mkdir(mode=0o755, exist_ok=True)
        path = folder / "users.lock"
        users = path.open("a")
        with users:
            fcntl.flock(users, fcntl.LOCK_SH)
            if path.exists() and path.stat().st_ino == os.fstat(users.fileno()).st_ino:
                yield
                return


def _spawn(folder: Path, program: str) -> None:
    """Start the supervisor, as nobody's child: it outlives us by design."""
    start = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", start, sys.executable, program, str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + START_SECONDS
    while not (folder / "address.json").exists():
        if (folder / "failure").exists() or time.monotonic() > until:
            said = [
                (folder / name).read_text()
                for name in ("failure", "log")
                if (folder / name).exists()
            ]
            raise RuntimeError("the server doesn't start: " + "\n".join(said))
        time.sleep(0.02)


# The supervisor
# --------------------------------------------------------------------------------------------------


def supervise(
    folder: Path,
    start: Callable[[], tuple[subprocess.Popen[bytes], dict[str, Any]]],
    stop: signal.Signals,
) -> None:
    """Start the server, say its address, and end it with `stop` when nobody uses it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted test session still ends its tests
    try:
        server, address = start()
        (folder / "address.new").write_text(json.dumps(address | {"server": server.pid}))
        (folder / "address.new").rename(folder / "address.json")
        with (folder / "users.lock").open("a") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            (folder / "address.json").unlink()
            server.send_signal(stop)
            server.send_signal(signal.SIGCONT)  # it may have been frozen
            server.wait()
            shutil.rmtree(folder, ignore_errors=True)
    except BaseException as error:
        (folder / "failure").write_text(repr(error))
        raise


def child_of(folder: Path, *users: str) -> dict[str, Any]:
    """How to start what runs in the folder: as one of `users` if we are root."""
    if os.getuid() != 0:
        return {"cwd": folder}
    for name in (*users, "nobody"):
        with contextlib.suppress(KeyError):
            result = pwd.getpwnam(name)
            ids = {"user": result.pw_uid, "group": result.pw_gid, "extra_groups": []}
            return {"cwd": folder, **ids}
    raise RuntimeError(f"there is no user {' and no '.join((*users, 'nobody'))}")


def give_folder(path: Path, child: dict[str, Any], mode: int) -> None:
    """Make a folder that belongs to whoever the child runs as."""
    path.mkdir(mode=mode)
    if "user" in child:
        os.chown(path, child["user"], child["group"])


def on_a_free_port(
    run: Callable[[int], subprocess.Popen[bytes]],
) -> tuple[subprocess.Popen[bytes], int]:
    """The server that `run` starts on a port, and that port; ChildProcessError if it's taken."""
    for _ in range(5):  # another process may take the port between our look and its start
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        with contextlib.suppress(ChildProcessError):
            return run(port), port
    raise RuntimeError("no attempt to start it succeeded")


def answering(
    command: list[str], folder: Path, child: dict[str, Any], probe: list[str], stop: signal.Signals
) -> subprocess.Popen[bytes]:
    """Start a server, and return it once the command `probe` succeeds.

    A supervisor that is killed takes the server with it (Linux), by the signal `stop`.
    ChildProcessError if it ends before.
    """
    with (folder / "log").open("a") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: _die_with_parent(stop),  # noqa: PLW1509
            **child,
        )
    while server.poll() is None:
        if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            return server
        time.sleep(0.02)
    raise ChildProcessError("it ended before it answered")


def _die_with_parent(stop: signal.Signals) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(stop))
