"""Shared by leader, fork server and workers: settings, frames, memory, redaction, syncing."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from headrace.engine.logs import read
from headrace.runtime.folders import Folders
from headrace.runtime.messages import (
    Answer,
    FailedOutcome,
    Returned,
    SourceObserved,
    Task,
    WorkerReady,
)
from headrace.security.secrets import Redactor, Secrets

# Settings that workers are started with.


class WorkerSettings(msgspec.Struct, frozen=True):
    """Settings that are the same for all workers of one executor."""

    folders: Folders
    threads: int
    share: int
    """Threads for a small task, which runs concurrently with those of other workers."""
    memory_max_bytes: int | None
    """Memory limit in bytes of an attempt whose asset declares none; None: no limit."""
    background_memory_max_bytes: int | None = None
    """The same for background attempts; None: `memory_max_bytes`."""
    python: bool = False
    """Whether there are Python assets, whose modules are then imported in advance."""
    restricted: bool = False
    """Whether Python assets run in restricted processes of their own, where that is possible."""
    restricts_queries: bool = True
    """Whether queries of assets run in a restricted thread, where that is possible."""
    arrow: bool = False
    """Whether a Python asset seems to read or return rows, so that Arrow is imported.

    That takes 50 MiB, and 30 more if pandas is installed.
    """

    def memory_of(self, *, background: bool) -> int | None:
        """Return the memory limit in bytes of an attempt whose asset declares none."""
        return (self.background_memory_max_bytes if background else None) or self.memory_max_bytes


_SIZE = struct.Struct("<I")


def encode_settings(settings: WorkerSettings) -> bytes:
    """Return the settings as the fork server reads them, before any request."""
    body = msgspec.json.encode(settings)
    return _SIZE.pack(len(body)) + body


def receive_settings(control: socket.socket) -> WorkerSettings | None:
    """Return the settings of this fork server; None if the other end is closed without any."""
    size = _received(control, _SIZE.size)
    body = None if size is None else _received(control, _SIZE.unpack(size)[0])
    return None if body is None else msgspec.json.decode(body, type=WorkerSettings)


def _received(control: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            return None
        data += part
    return data


# Requests to the fork server and its replies, each of one size, over a stream socket.

FORK, REAP = b"B", b"R"
REQUEST = struct.Struct("<ci")
"""FORK with a worker's descriptors and 0 or BACKGROUND; or REAP with a worker's process id.

That worker has ended or is ending.
"""
REPLY = struct.Struct("<cii")
"""To FORK: the new process's id, or 0 and an errno. To REAP: the id and `os.waitpid` status."""
BACKGROUND = 1
DESCRIPTORS = 9
"""Number of a worker's descriptors: of tasks, answers and recalls, and six of `OutputPipes`."""


# Messages between the leader and a worker over a pipe: a length (4 bytes, little endian) and
# msgpack.

M = TypeVar("M")

FRAME_BYTES_MAX = 256 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()
_LENGTH = struct.Struct("<I")


def encode_frame(message: Task | Answer | WorkerReady | Returned) -> bytes:
    """Return a message with its length in front. Raises ValueError above FRAME_BYTES_MAX."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise ValueError(f"a message of {len(body)} bytes is larger than {FRAME_BYTES_MAX}")
    return _LENGTH.pack(len(body)) + body


def write_all(fd: int, data: bytes) -> None:
    """Write everything to a blocking descriptor."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Inbox(Generic[M]):
    """Splits received bytes into messages."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[M]) -> None:
        self._decoder, self._bytes = decoder, bytearray()

    def feed(self, data: bytes) -> list[M]:
        """Return the messages that are complete now.

        Raises msgspec.DecodeError or ValueError for invalid data.
        """
        self._bytes += data
        messages, start = [], 0
        with memoryview(self._bytes) as view:
            while (end := self._end_of(start)) is not None:
                messages.append(self._decoder.decode(view[start + _LENGTH.size : end]))
                start = end
        del self._bytes[:start]
        return messages

    def _end_of(self, start: int) -> int | None:
        """Return the end of the message that begins at `start`; None while it is incomplete."""
        if len(self._bytes) < start + _LENGTH.size:
            return None
        length = _LENGTH.unpack_from(self._bytes, start)[0]
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"a message of {length} bytes was announced")
        end: int = start + _LENGTH.size + length
        return end if len(self._bytes) >= end else None


# A decoder is built in the processes that need it: it takes some milliseconds.


@cache
def tasks_decoder() -> msgspec.msgpack.Decoder[Task]:
    """Return the decoder of workers; the fork server builds it once for all of them."""
    return msgspec.msgpack.Decoder(Task)


@cache
def _answers_decoder() -> msgspec.msgpack.Decoder[Answer | WorkerReady | Returned]:
    return msgspec.msgpack.Decoder(Answer | WorkerReady | Returned)


def tasks_inbox() -> Inbox[Task]:
    """Return the inbox of a worker."""
    return Inbox(tasks_decoder())


def answers_inbox() -> Inbox[Answer | WorkerReady | Returned]:
    """Return the leader's inbox for one worker."""
    return Inbox(_answers_decoder())


# A pipe by which other threads wake the thread that waits in a selector.


class WakeUpPipe:
    """Wait for `fileno()` to become readable, then call `drain()`."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)
        self.woken = False
        """Whether `drain` found a call of `wake`; the owner resets it."""

    def fileno(self) -> int:
        """Return the descriptor for a selector."""
        return self._read.fileno()

    def wake(self) -> None:
        """Make the descriptor readable. Any thread may call this, also after `close`."""
        with contextlib.suppress(OSError):
            self._write.send(b".")

    def drain(self) -> bool:
        """Empty the pipe; return whether `wake` was called since the last time."""
        woken = False
        with contextlib.suppress(BlockingIOError):
            while self._read.recv(4096):
                woken = self.woken = True
        return woken

    def close(self) -> None:
        """Close both ends."""
        self._read.close()
        self._write.close()


# Memory of a worker and all of its children. Resident pages that belong to no file are counted:
# libraries and files that were read can be dropped at any time and aren't counted. Without /proc
# the usage is unknown, and only DuckDB is limited.

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SESSION_FIELD = 3
"""Index in /proc/PID/stat after the name in parentheses: state, parent, group, session."""


def memory_of_process(pid: int) -> int:
    """Return the bytes that one process uses; 0 if it doesn't exist or can't be seen."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_bytes().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE_BYTES


def memory_of_sessions(leaders: set[int]) -> dict[int, int]:
    """Return session leader (such as a worker) → bytes that all processes of the session use.

    Reads every process of the machine once.
    """
    used = dict.fromkeys(leaders, 0)
    with contextlib.suppress(OSError):
        for entry in (path.name for path in Path("/proc").iterdir()):
            if entry.isdigit() and (session := _session(entry)) in used:
                used[session] += memory_of_process(int(entry))
    return used


def _session(pid: str) -> int:
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[_SESSION_FIELD]
        )
    except (OSError, ValueError, IndexError):
        return 0


# Removes secrets from answers: the worker removes those that it got, the sender of the task all
# declared ones.


def scrubbed(answer: Answer, secrets: Secrets) -> Answer:
    """Return the answer without the secrets that this process resolved.

    Messages of servers and drivers may repeat the values that they got.
    """
    match answer:
        case SourceObserved(notes=warnings, error=message):
            return msgspec.structs.replace(
                answer,
                notes=tuple(map(secrets.scrubbed, warnings)),
                error=secrets.scrubbed(message) if message else message,
            )
        case FailedOutcome(error=error):
            scrubbed_error = msgspec.structs.replace(
                error,
                message=secrets.scrubbed(error.message),
                hint=secrets.scrubbed(error.hint),
                file=None if error.file is None else secrets.scrubbed(error.file),
            )
            return msgspec.structs.replace(answer, error=scrubbed_error)
    return msgspec.structs.replace(answer, reason=secrets.scrubbed(answer.reason))


def scrub_log(path: Path, redactor: Redactor) -> None:
    """Remove secrets from a log that its worker couldn't know, but asset code found somewhere."""
    lines = read(path)
    redacted = [msgspec.structs.replace(line, text=redactor.text(line.text)) for line in lines]
    if redacted == lines:
        return
    other = path.with_name(f"{path.name}.redacted")
    with contextlib.suppress(OSError):
        other.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in redacted))
        other.replace(path)
