"""The client's end of the process that forks readers (`services.read_forks`).

A request is its length, its bytes, and descriptors; the answer is an exit code, once the fork has
ended. A client that closes the socket ends the fork. Commands import this module alone, so it
imports little.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence

LENGTH, CODE = struct.Struct("!I"), struct.Struct("!i")
CREDENTIALS = struct.Struct("3i")
LOST = -1
"""The exit code of a fork that was killed."""
GONE = -2
"""The code where the forking process has ended, before or while the fork read."""
SOCKET = "reads.sock"
"""In the data folder: where commands of the same user find the forking process."""
ADDRESS_BYTES_MAX = 100
"""Systems allow little more in the address of a socket."""


def send(connection: socket.socket, request: bytes, descriptors: Sequence[int]) -> None:
    """Send a request. Raises OSError if the forking process has ended."""
    data = LENGTH.pack(len(request)) + request
    sent = socket.send_fds(connection, [data], descriptors)
    connection.sendall(data[sent:])


def code_of(answer: bytes) -> int:
    """Return the exit code from the answer; GONE if the connection ended without one."""
    return CODE.unpack(answer)[0] if len(answer) == CODE.size else GONE


def connected(folder: str) -> socket.socket | None:
    """Return a socket to the forking process of a data folder.

    None if there is none, or if it is another user's: it would get what the request contains.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        with address_of(folder) as address:
            connection.connect(address)
        if user_of(connection) == os.getuid():
            return connection
    except OSError:
        pass
    connection.close()
    return None


def user_of(connection: socket.socket) -> int:
    """Return the user id of the process at the other end; -1 where the system doesn't say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return -1
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return int(CREDENTIALS.unpack(credentials)[1])


def is_restricted(connection: socket.socket) -> bool:
    """Return whether the process at the other end gave up rights that this process has.

    Restricted asset code may connect to sockets, and must not have others read for it
    (docs/decisions/0147-asset-code-is-restricted.md). True also for a process that has ended.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    peer = CREDENTIALS.unpack(credentials)[0]
    return _has_no_new_rights(str(peer)) and not _has_no_new_rights("self")


def _has_no_new_rights(pid: str) -> bool:
    """Return whether a process runs under PR_SET_NO_NEW_PRIVS, or is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - pathlib isn't loaded here
            return b"NoNewPrivs:\t0" not in file.read()
    except OSError:
        return True


@contextlib.contextmanager
def address_of(folder: str) -> Iterator[str]:
    """Give the socket's address, by the folder's descriptor if the path is too long."""
    path = f"{folder}/{SOCKET}"
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
