"""Shared by leader, fork server and workers: settings, frames, memory, redaction, syncing."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from headrace.engine.logs import read
from headrace.lake import StagedDeletes, StagedFile
from headrace.lake.files import sync, sync_each, verify
from headrace.model import LakeError
from headrace.plan.backfills import plan_of_attempt
from headrace.runtime.executors import TaskFinished
from headrace.runtime.folders import Folders
from headrace.runtime.messages import Answer, Returned, SourceObserved, Task, TaskOutcome, WorkerReady
from headrace.scheduler import AttemptId
from headrace.security.secrets import Redactor, Secrets

# Settings that workers are started with.


class WorkerSettings(msgspec.Struct, frozen=True):
    """The same for all workers of one executor."""

    folders: Folders
    threads: int
    share: int
    """Threads for a small task, that neighbours run beside."""
    memory_max_bytes: int | None
    """What one attempt may use, where its asset doesn't say; None: what there is."""
    background_memory_max_bytes: int | None = None
    """The same for an attempt of the background, which runs beside others; None: what those may use."""
    python: bool = False
    """Whether there are bodies in Python: what those need is imported before the first of them waits for it."""
    arrow: bool = False
    """Whether one of them seems to take or give rows, for which Arrow is imported as well (50 MiB)."""

    def memory_of(self, *, background: bool) -> int | None:
        """What an attempt may use, where its asset doesn't say."""
        return (self.background_memory_max_bytes if background else None) or self.memory_max_bytes


# Requests to the fork server and its replies, each of one size, over a stream socket.

FORK, REAP = b"B", b"R"
REQUEST = struct.Struct("<ci")
"""FORK with the descriptors of a worker and 0 or BACKGROUND, or REAP with the number of one that has ended or is ending."""
REPLY = struct.Struct("<cii")
"""To FORK: the new process's number, or 0 and an errno. To REAP: the number and how it ended, as of `os.waitpid`."""
BACKGROUND = 1
DESCRIPTORS = 7
"""Where tasks are read, where answers are written, where is asked for what hasn't begun, and the four of `engine.logs.OutputPipes`."""


# Messages between the leader and a worker over a pipe: a length (4 bytes, little endian) and
# msgpack.

M = TypeVar("M")

FRAME_BYTES_MAX = 256 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()
_tasks: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
_answers: msgspec.msgpack.Decoder[Answer | WorkerReady | Returned] = msgspec.msgpack.Decoder(Answer | WorkerReady | Returned)
_LENGTH = struct.Struct("<I")


def encode_frame(message: Task | Answer | WorkerReady | Returned) -> bytes:
    """A message with its length in front. Raises ValueError above FRAME_BYTES_MAX."""
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
    """Bytes from the other side, as they come, cut into messages."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[M]) -> None:
        self._decoder, self._bytes = decoder, bytearray()

    def feed(self, data: bytes) -> list[M]:
        """The messages that are complete now. Raises msgspec.DecodeError or ValueError for what is none."""
        self._bytes += data
        messages, start = [], 0
        with memoryview(self._bytes) as view:
            while (end := self._end_of(start)) is not None:
                messages.append(self._decoder.decode(view[start + _LENGTH.size : end]))
                start = end
        del self._bytes[:start]
        return messages

    def _end_of(self, start: int) -> int | None:
        """Where the message that begins there ends; None while it isn't complete."""
        if len(self._bytes) < start + _LENGTH.size:
            return None
        length = _LENGTH.unpack_from(self._bytes, start)[0]
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"a message of {length} bytes was announced")
        end: int = start + _LENGTH.size + length
        return end if len(self._bytes) >= end else None


def tasks_inbox() -> Inbox[Task]:
    """What a worker reads."""
    return Inbox(_tasks)


def answers_inbox() -> Inbox[Answer | WorkerReady | Returned]:
    """What the leader reads of one worker."""
    return Inbox(_answers)


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
        """The descriptor for a selector."""
        return self._read.fileno()

    def wake(self) -> None:
        """Make it readable. Any thread may call this, also after `close`."""
        with contextlib.suppress(OSError):
            self._write.send(b".")

    def drain(self) -> bool:
        """Empty the pipe; whether `wake` was called since the last time."""
        woken = False
        with contextlib.suppress(BlockingIOError):
            while self._read.recv(4096):
                woken = self.woken = True
        return woken

    def close(self) -> None:
        """Close both ends."""
        self._read.close()
        self._write.close()


# Memory that a worker and all its children use. Counted are resident pages that belong to no
# file: libraries and files that were read can be dropped at any time and aren't counted. Without
# /proc the usage is unknown, and only DuckDB is limited.

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SESSION_FIELD = 3
"""Of /proc/PID/stat, counted after the name in parentheses: state, parent, group, session."""


def memory_of_process(pid: int) -> int:
    """Bytes that one process uses; 0 if there is none, or none that can be seen."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_bytes().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE_BYTES


def memory_of_sessions(leaders: set[int]) -> dict[int, int]:
    """Leader of a session (a worker is one) → bytes that all its processes use, whatever groups they are in. Looks at every
    process of the machine once."""
    used = dict.fromkeys(leaders, 0)
    with contextlib.suppress(OSError):
        for entry in (path.name for path in Path("/proc").iterdir()):
            if entry.isdigit() and (session := _session(entry)) in used:
                used[session] += memory_of_process(int(entry))
    return used


def _session(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[_SESSION_FIELD])
    except (OSError, ValueError, IndexError):
        return 0


# Removes secrets from answers: the worker removes those that it was handed, the sender of the
# task all declared ones.


def scrubbed(answer: Answer, secrets: Secrets) -> Answer:
    """The answer without any secret that this worker resolved: what servers and drivers say may repeat what they were told."""
    if isinstance(answer, SourceObserved):
        notes = tuple(map(secrets.scrubbed, answer.notes))
        return msgspec.structs.replace(answer, notes=notes, error=secrets.scrubbed(answer.error) if answer.error else answer.error)
    error = answer.error
    if error is not None:
        error = msgspec.structs.replace(
            error,
            message=secrets.scrubbed(error.message),
            hint=secrets.scrubbed(error.hint),
            file=None if error.file is None else secrets.scrubbed(error.file),
        )
    return msgspec.structs.replace(answer, error=error, reason=secrets.scrubbed(answer.reason))


def scrub_log(path: Path, redactor: Redactor) -> None:
    """Take secrets out of an attempt's log that its worker couldn't know: those of others, which asset code found somewhere."""
    lines = read(path)
    redacted = [msgspec.structs.replace(line, text=redactor.text(line.text)) for line in lines]
    if redacted == lines:
        return
    other = path.with_name(f"{path.name}.redacted")
    with contextlib.suppress(OSError):
        other.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in redacted))
        other.replace(path)


# Files that an outcome refers to. Those of a plan's attempts are synced to the disk before the
# worker answers.


def with_durable_files(outcome: TaskOutcome, folders: Folders) -> TaskOutcome:
    """The outcome, once what it speaks of would survive a power cut, if it is of a plan. (What production's attempts wrote is synced by
    the leader, of many attempts at once.) Raises LakeError where that can't be done."""
    epoch, _, n = outcome.attempt.partition(".")
    if plan_of_attempt(AttemptId(int(epoch), int(n))):
        sync_each(written_by(folders, outcome))
    return outcome


def written_by(folders: Folders, outcome: TaskOutcome) -> Iterator[Path]:
    """The files that an outcome speaks of, as far as they are there."""
    paths = [folders.lake / file.path for file in files_of(outcome)] if outcome.state == "staged" else []
    paths += [Path(folders.data, file["path"]) for file in outcome.manifest or () if "path" in file]
    if outcome.quarantined is not None:
        paths.append(Path(folders.data, outcome.quarantined))
    return (path for path in paths if path.exists())


def files_of(outcome: TaskOutcome) -> Iterator[StagedFile | StagedDeletes]:
    """Everything that an outcome wants in the lake."""
    if outcome.replacement is not None:
        yield from outcome.replacement.deletes
    for file in (outcome.staged, *(file.staged for file in outcome.rewritten)):
        if file is not None:
            yield file


# Makes files of production's attempts durable before anything refers to them.


def make_durable(folders: Folders, finished: Sequence[TaskFinished]) -> dict[AttemptId, str]:
    """Sync what workers wrote, and look whether what was staged is as they said; what is wrong with which attempt's file. Of plans the
    workers have synced it themselves (`keeping`): production doesn't wait for that.

    The bytes of deliveries, quarantined data and files without a table are synced as well: what the store says is kept, is.
    """
    written = [path for f in finished if not plan_of_attempt(f.attempt) for path in written_by(folders, f.outcome)]
    if written:
        sync(written)
    wrong = {}
    for attempt, file in [(f.attempt, file) for f in finished if f.outcome.state == "staged" for file in files_of(f.outcome)]:
        try:
            verify(folders.lake, file)
        except LakeError as error:
            wrong[attempt] = str(error)
    return wrong
