"""Requests to a running leader: a command inserts a row and the leader writes its answer there.

A writing command never competes with the leader: if one runs, the command submits a request and
follows it. If that leader ends first, the command takes the lease itself and performs all waiting
requests, including its own. A new leader also repeats requests that a dead leader had started, so
every request must be idempotent.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from headrace.model.errors import StoreError
from headrace.store.clock import real_us
from headrace.store.database import Store
from headrace.store.lease import holder
from headrace.store.transaction import Transaction

# A command wakes the leader with an empty datagram to a socket in the database's folder.
#
# A wake-up is a hint without content: the request itself is in the table `request`. If a wake-up is
# lost, the leader finds the request at its next poll.

ADDRESS_BYTES_MAX = 100
"""Below the limit for UNIX socket addresses: 104 bytes (macOS) or 108 bytes (Linux)."""


class WakeListener:
    """The leader's end of the socket. Wait until `fileno()` is readable, then call `drain()`.

    Only the lease's holder may create one.
    """

    def __init__(self, data_folder: Path) -> None:
        """Raise StoreError if neither that folder nor the temporary folder can hold a socket."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.woken = False
        """Whether the leader was woken since the flag was last reset."""
        try:
            self._path = self._bind(data_folder)
            self._inode = self._path.stat().st_ino
        except OSError as error:
            self._socket.close()
            raise StoreError(
                f"no socket can be made at {data_folder}: {error}",
                hint="set TMPDIR to a folder of your own",
            ) from error

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
        """Return the socket's file descriptor, for a selector."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Consume all pending wake-ups; True if there was one."""
        woken = False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
                woken = self.woken = True
        return woken

    def close(self) -> None:
        """Stop listening. A later leader's socket at the same path stays."""
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()


def wake_leader(data_folder: Path) -> bool:
    """Wake the leader of a data folder; False if none listens, or if its socket's queue is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.setblocking(False)
        for path in _addresses(data_folder):
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                sender.sendto(b"", os.fsencode(path))
                return True
    return False


def _addresses(data_folder: Path) -> Iterator[Path]:
    """Yield the socket's possible paths, in order of preference.

    The first is in the data folder. The second, a hashed name in a private temporary folder, is for
    paths too long for a socket and for file systems without sockets.
    """
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


_COLUMNS = "id, verb, arguments, actor, state, epoch, run_id, document"


class RequestState(enum.StrEnum):
    """State of a request."""

    WAITING = "waiting"
    TAKEN = "taken"
    DONE = "done"
    FAILED = "failed"


class CommandRequest(NamedTuple):
    """One request. `document` is JSON: the command's response, or the error if it failed."""

    id: int
    command: str
    arguments: dict[str, Any]
    actor: str
    state: RequestState
    epoch: int | None
    run_id: int | None
    document: str | None

    @property
    def finished(self) -> bool:
        """Whether the request is done or failed."""
        return self.state in (RequestState.DONE, RequestState.FAILED)


def submit(store: Store, command: str, arguments: dict[str, Any], actor: str) -> int:
    """Submit a request to the leader and return its id. `arguments` must be encodable as JSON."""
    text = msgspec.json.encode(arguments).decode()
    with store.write(None) as tx:
        request_id = tx.insert(
            "insert into request (verb, arguments, actor, state, created_at) values (:verb,"
            " :arguments, :actor, 'waiting', :at)",
            {"verb": command, "arguments": text, "actor": actor, "at": real_us()},
        )
    wake_leader(store.folder)
    return request_id


def take(tx: Transaction, epoch: int) -> list[CommandRequest]:
    """Take all waiting requests, oldest first, and unfinished requests of earlier leaders."""
    results = tx.execute(
        f"select {_COLUMNS} from request where state in ('waiting', 'taken') and (state = 'waiting'"
        " or epoch <> :epoch) order by id",
        {"epoch": epoch},
    ).fetchall()
    if not results:
        return []
    tx.executemany(
        "update request set state = 'taken', epoch = :epoch, run_id = null where id = :id",
        [{"epoch": epoch, "id": row[0]} for row in results],
    )
    return [
        _request(row)._replace(state=RequestState.TAKEN, epoch=epoch, run_id=None)
        for row in results
    ]


def serve_by(tx: Transaction, request_id: int, run_id: int) -> None:
    """Record which run serves a request, so that its follower can show progress."""
    tx.execute("update request set run_id = :run where id = :id", {"run": run_id, "id": request_id})


def finish(tx: Transaction, request_id: int, document: str, *, failed: bool = False) -> None:
    """Answer a request; call it in the transaction that finishes the work, if there is one."""
    tx.execute(
        "update request set state = :state, document = :document, finished_at = :at where id = :id",
        {
            "state": RequestState.FAILED if failed else RequestState.DONE,
            "document": document,
            "at": real_us(),
            "id": request_id,
        },
    )


def get(tx: Transaction, request_id: int) -> CommandRequest:
    """Return a request in its current state. Raises StoreError for an unknown id."""
    row = tx.execute(
        f"select {_COLUMNS} from request where id = :id", {"id": request_id}
    ).fetchone()
    if row is None:
        raise StoreError(f"there is no request {request_id}")
    return _request(row)


class Follower:
    """Follows one request until it is answered or no leader runs."""

    def __init__(self, store: Store, request_id: int) -> None:
        self._store = store
        self._id = request_id
        self._began = time.monotonic()
        self._seen = -1

    def wait(self, seconds: float) -> CommandRequest | None:
        """Return the request after the next commit, or after `seconds` without one.

        Returns None if the request isn't answered and no leader runs: the caller then takes the
        lease and performs it.
        """
        until = time.monotonic() + seconds
        while (version := self._store.data_version()) == self._seen and time.monotonic() < until:
            time.sleep(self._pause())
        self._seen = version
        with self._store.read() as tx:
            request = get(tx, self._id)
            orphan = not request.finished and holder(tx) is None
        return None if orphan else request

    def _pause(self) -> float:
        """Return the seconds between polls: short at first, longer for long work.

        A poll costs microseconds.
        """
        followed = time.monotonic() - self._began
        return 0.001 if followed < 0.2 else 0.005 if followed < 2 else 0.05


def _request(row: tuple[Any, ...]) -> CommandRequest:
    request_id, command, arguments, actor, state, epoch, run_id, document = row
    return CommandRequest(
        request_id,
        command,
        msgspec.json.decode(arguments),
        actor,
        RequestState(state),
        epoch,
        run_id,
        document,
    )
