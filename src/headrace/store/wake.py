"""How a command wakes the leader: an empty datagram to a socket beside the database.

A wake-up is a hint and carries nothing: what is asked for stands in the `request` table. One that is lost costs
the time until the leader looks by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from headrace.model.errors import StoreError

ADDRESS_BYTES_MAX = 100
"""A UNIX socket's address holds 104 bytes (macOS) or 108 (Linux)."""


class WakeListener:
    """The leader's end. Wait for `fileno()` to be readable, then `drain()`. Made by who holds the lease."""

    def __init__(self, data_folder: Path) -> None:
        """StoreError if no socket can be made there, nor in the temporary folder."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.woken = False
        """Whether somebody woke the leader since it was last set back."""
        try:
            self._path = self._bind(data_folder)
            self._inode = self._path.stat().st_ino
        except OSError as error:
            self._socket.close()
            raise StoreError(f"no socket can be made at {data_folder}: {error}", hint="set TMPDIR to a folder of your own") from error

    def _bind(self, data_folder: Path) -> Path:
        failure = OSError("no address")
        for path in _addresses(data_folder):
            try:
                path.unlink(missing_ok=True)
                self._socket.bind(os.fsencode(path))
                path.chmod(0o600)
            except OSError as error:
                failure = error
            else:
                return path
        raise failure

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Take all wake-ups that wait; True if there was one."""
        woken = False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
                woken = self.woken = True
        return woken

    def close(self) -> None:
        """Stop listening. A later leader's socket of the same name stays."""
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()


def wake(data_folder: Path) -> bool:
    """Wake the leader that listens there; False if none does (or its socket is full of wake-ups already)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.setblocking(False)
        for path in _addresses(data_folder):
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                sender.sendto(b"", os.fsencode(path))
                return True
    return False


def _addresses(data_folder: Path) -> Iterator[Path]:
    """Beside the database; then, for a path that is too long for a socket or a file system that holds none, a hashed
    name in a private temporary folder."""
    beside = data_folder / "wake.sock"
    if len(os.fsencode(beside)) <= ADDRESS_BYTES_MAX:
        yield beside
    name = hashlib.sha256(os.fsencode(beside)).hexdigest()[:24]
    yield _private_folder() / f"{name}.sock"


def _private_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    results = folder.lstat()
    if not stat.S_ISDIR(results.st_mode) or results.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder
