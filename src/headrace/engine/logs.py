"""Output of asset code as JSON lines with time, stream, level and text: `logs/<epoch>/<n>.jsonl`.

Output is captured where it leaves the process, at file descriptors 1 and 2, so that C extensions,
crashing libraries and child processes are included. Each of the two is a pipe that the *leader*
opens (`OutputPipes.open`) and passes to the worker. A thread of the worker empties it while asset
code runs, and the leader keeps its own copy of the read end.

The last lines of a worker that dies while it runs asset code (a segmentation fault, `os._exit`, a
kill) must not be lost, because they say why. Bytes that the thread hasn't read are still in the
pipe. Bytes that it reads are first moved within the kernel (splice) into the stream's spool, and
only then redacted and split into lines, so they are never in the worker's own memory alone. A spool
is a file without a name, in memory (memfd_create(2)) where the system has that: the leader holds it
as well, and no secret in it reaches the disk. `OutputPipes.rescue`, in the leader, continues after
the lines that are in the log already.

Output can't exhaust memory or disk: the number of lines, their length and the total bytes are
limited. The rest is read and discarded (a full pipe would block the asset code), the last lines are
stored, and one line gives the number of dropped ones. Values of declared secrets are removed before
anything is written to the log (`security.secrets`). Text from outside is made safe to print: bytes
that aren't UTF-8, control characters (a terminal's escape sequences) and characters that reverse
the writing direction are written as escapes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.security.secrets import RedactedStream, Redactor

LINE_BYTES_MAX = 8 * 1024
"""The maximum length of a line; a longer line is truncated with a note."""
LINES_MAX = 10_000
"""The maximum number of lines stored from the start of an attempt's output."""
BYTES_MAX = 4 * 1024 * 1024
"""The maximum number of bytes stored from the start of an attempt's output."""
LAST_LINES_MAX = 50
"""The maximum number of lines stored from the end of a long output: they tell why it ended."""
TAIL_BYTES = 64 * 1024
"""The number of bytes at the end of each stream that are searched for the last lines."""
READ_BYTES = 64 * 1024
PIPE_BYTES = 1024 * 1024
"""The requested capacity of a pipe, so that a burst doesn't block the code; less works too."""

STDOUT, STDERR, LOG = "stdout", "stderr", "log"
HEADRACE = "headrace"
"""The stream of lines that Headrace itself adds."""

_UNSAFE = (
    *range(0x09),
    *range(0x0A, 0x20),
    *range(0x7F, 0xA0),
    0x61C,
    0x200E,
    0x200F,
    0x2028,
    0x2029,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
    *range(0xD800, 0xE000),
)
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _UNSAFE}
_ENDS = re.compile(rb"\r\n|\n|\r")


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a log. `level` is that of Python's logging; printed lines are `info`."""

    at_us: int
    stream: str
    level: str
    text: str
    partition: str = ""
    """In a batch: the partition for which the code was called; empty if that isn't known."""


class WorkerClock:
    """The leader's time, continued by a monotonic clock: workers don't read the wall clock."""

    def __init__(self, now_us: int) -> None:
        self._base_us = now_us - time.monotonic_ns() // 1_000

    def now_us(self) -> int:
        """Return microseconds since 1970 UTC."""
        return self._base_us + time.monotonic_ns() // 1_000


class LoggedCall(NamedTuple):
    """One call in a batch: its place among the attempt's partitions, and its partition."""

    place: int
    partition: str


class LogFile:
    """The lines of one attempt, or of one call in a batch, within the limits.

    The file is created with the first line. Safe to use from several threads.
    """

    def __init__(
        self,
        path: Path,
        clock: WorkerClock,
        redactor: Redactor | None = None,
        call: LoggedCall | None = None,
    ) -> None:
        """`redactor` knows the secrets that must not be stored."""
        self.path, self.lines, self.redactor, self.call = path, 0, redactor, call
        self._clock, self._lock = clock, threading.Lock()
        self._fd = -1
        self._bytes = self._dropped = 0
        self._last: deque[LogLine] = deque(maxlen=LAST_LINES_MAX)

    def of_call(self, place: int, partition: str) -> LogFile:
        """Return a log of one call, which appends to the same file and has its own limits."""
        return LogFile(self.path, self._clock, self.redactor, LoggedCall(place, partition))

    def write(self, stream: str, level: str, text: str) -> None:
        """Write one line of the program, or count it as dropped."""
        line = LogLine(
            self._clock.now_us(),
            stream,
            level,
            text if self.redactor is None else self.redactor.text(text),
        )
        with self._lock:
            if not self.full:
                self._put(line)
                return
            self._begin_dropping()
            self._dropped += len(self._last) == LAST_LINES_MAX
            self._last.append(line)

    def drop(self, lines: int) -> None:
        """Count lines that were discarded unread."""
        with self._lock:
            self._begin_dropping()
            self._dropped += lines

    def _begin_dropping(self) -> None:
        if not self._dropped and not self._last:
            text = (
                f"more than {LINES_MAX} lines or {BYTES_MAX} bytes: only the last lines are kept"
                " from here on"
            )
            self._put(LogLine(self._clock.now_us(), HEADRACE, "warning", text))

    def say(self, level: str, text: str) -> None:
        """Write a line of Headrace's own, regardless of the limits."""
        with self._lock:
            self._put(LogLine(self._clock.now_us(), HEADRACE, level, text))

    def close(self) -> None:
        """Write the last lines, and the number of lines dropped before them."""
        with self._lock:
            if self._dropped:
                self._put(
                    LogLine(
                        self._clock.now_us(), HEADRACE, "warning", f"{self._dropped} lines dropped"
                    )
                )
            for line in self._last:
                self._put(line)
            self._last.clear()
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    @property
    def full(self) -> bool:
        """Return whether a limit is reached, so that lines are dropped."""
        return self.lines >= LINES_MAX or self._bytes >= BYTES_MAX

    def _put(self, line: LogLine) -> None:
        if self._fd < 0:
            self._fd = self._opened()
        partition = "" if self.call is None else self.call.partition
        safe_line = LogLine(line.at_us, line.stream, line.level, safe(line.text), partition)
        data = msgspec.json.encode(safe_line) + b"\n"
        with contextlib.suppress(OSError):  # a full disk must not fail the attempt over its log
            os.write(self._fd, data)
        self.lines += 1
        self._bytes += len(data)

    def _opened(self) -> int:
        """Open the file for appending, at the start of a line, since a crash may cut a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = _opened(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            os.write(fd, b"\n")
        return fd


class Splitter:
    """Splits the bytes of one stream into lines.

    A carriage return also ends a line, so that each state of a progress bar is a line.
    """

    def __init__(self) -> None:
        self._open = bytearray()
        self._cut = 0

    def feed(self, data: bytes) -> Iterator[str]:
        """Return the lines that `data` completes, without line ends."""
        pieces = _ENDS.split(data)
        for piece in pieces[:-1]:
            self._add(piece)
            if self._open or self._cut:
                yield self.rest()
        self._add(pieces[-1])

    def rest(self) -> str:
        """Return the text after the last line end."""
        text = bytes(self._open).decode("utf-8", "backslashreplace")
        if self._cut:
            text += f"… ({self._cut} bytes more)"
        self._open.clear()
        self._cut = 0
        return text

    @property
    def pending(self) -> bool:
        """Return whether a line has begun that hasn't ended."""
        return bool(self._open or self._cut)

    def _add(self, piece: bytes) -> None:
        room = LINE_BYTES_MAX - len(self._open)
        self._open += piece[:room]
        self._cut += max(0, len(piece) - room)


class OutputPipes(msgspec.Struct, frozen=True):
    """The two pipes from a worker's stdout and stderr with their spools, as file descriptors.

    A worker gets all six. The leader closes the two write ends (`keep_reading`) and reads only
    what a dead worker left.
    """

    stdout_read: int
    stdout_write: int
    stderr_read: int
    stderr_write: int
    stdout_spool: int
    stderr_spool: int

    @classmethod
    def open(cls) -> OutputPipes:
        """Create pipes. Child processes inherit the descriptors only if they are passed on."""
        channel = cls(*os.pipe(), *os.pipe(), _unnamed_file(), _unnamed_file())
        for fd in (channel.stdout_read, channel.stderr_read):
            os.set_blocking(fd, False)
        for fd in (channel.stdout_write, channel.stderr_write):
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return channel

    @property
    def ends(self) -> tuple[int, ...]:
        """Return all six descriptors, to pass on to a worker."""
        return msgspec.structs.astuple(self)

    @property
    def sources(self) -> tuple[tuple[str, int, int], ...]:
        """Return the streams with the read ends of their pipes, and their spools."""
        return (
            (STDOUT, self.stdout_read, self.stdout_spool),
            (STDERR, self.stderr_read, self.stderr_spool),
        )

    def keep_reading(self) -> None:
        """Close the write ends, in the leader, once the worker was started."""
        os.close(self.stdout_write)
        os.close(self.stderr_write)

    def rescue(
        self,
        path: Path,
        now_us: int,
        redactor: Redactor | None = None,
        partitions: Sequence[str] = (),
    ) -> int:
        """Save the output of a dead worker, in the leader; return the number of lines.

        Appends to the attempt's log what the worker had read but not written, and what it left in
        the pipes. `redactor` must be the same as the worker's. `partitions` are those of the
        attempt; the call in a batch is known if the worker had begun to read its output.
        """
        file = LogFile(path, WorkerClock(now_us), redactor, self._call(partitions))
        for stream, pipe, spool in self.sources:
            spooled = os.pread(spool, _PLACE.size + SPOOL_BYTES_MAX, 0)[_PLACE.size :]
            known = _known_lines(file, stream) if spooled else 0
            left = spooled + drain(pipe)
            if redactor is not None:
                redacted = redactor.stream()
                whole = left if spooled else redactor.without_end_of_secret(left)
                left = redacted.feed(whole) + redacted.rest()
            for text in list(_lines(left))[known:]:
                file.write(stream, "info", text)
            _empty(spool)
        file.close()
        return file.lines

    def _call(self, partitions: Sequence[str]) -> LoggedCall | None:
        """Return the call of which a spool holds output; None for none."""
        for _, _, spool in self.sources:
            place = os.pread(spool, _PLACE.size, 0)
            if len(place) < _PLACE.size:
                continue
            if (call := _PLACE.unpack(place)[0]) in range(len(partitions)):
                return LoggedCall(call, partitions[call])
        return None

    def close(self) -> None:
        """Close the read ends and the spools, in the leader."""
        for _, pipe, spool in self.sources:
            os.close(pipe)
            os.close(spool)


def _known_lines(file: LogFile, stream: str) -> int:
    """Return the number of a stream's lines that the worker has written, in the same call."""
    partition = "" if file.call is None else file.call.partition
    lines = read(file.path)
    return sum(line.stream == stream and line.partition == partition for line in lines)


def drain(fd: int) -> bytes:
    """Return what is in a pipe now, without waiting, at most the pipe's capacity."""
    data = bytearray()
    while len(data) < PIPE_BYTES and (piece := _read(fd)):
        data += piece
    return bytes(data)


def _lines(data: bytes) -> Iterator[str]:
    splitter = Splitter()
    yield from splitter.feed(data)
    if splitter.pending:
        yield splitter.rest()


class Spool:
    """One stream of one attempt: moves bytes from the pipe through its spool into lines."""

    def __init__(self, stream: str, pipe: int, spool: int, file: LogFile) -> None:
        self._stream, self._pipe, self._fd, self._file = stream, pipe, spool, file
        self._splitter = Splitter()
        self._redacted: RedactedStream | None = (
            None if file.redactor is None else file.redactor.stream()
        )
        self._tail: deque[bytes] = deque()
        """The end of the output after the limit was reached, not split before the output ends."""
        self._tail_bytes = 0
        self._at = _PLACE.size
        self._waiting = select.poll()
        self._waiting.register(pipe, select.POLLIN)
        _empty(self._fd)
        os.write(self._fd, _PLACE.pack(_NO_CALL if file.call is None else file.call.place))

    def take(self, bytes_max: int) -> None:
        """Read up to about `bytes_max` bytes from the pipe and write the complete lines."""
        while bytes_max > 0 and (data := self._next()):
            bytes_max -= len(data)
            if self._file.full:
                self._pass_over(data)
            else:
                self._write(data)

    def _write(self, data: bytes) -> None:
        for text in self._splitter.feed(data):
            self._file.write(self._stream, "info", text)

    def _pass_over(self, data: bytes) -> None:
        """Keep only the tail: splitting each line would slow down code that prints a lot."""
        self._tail.append(data)
        self._tail_bytes += len(data)
        while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            passed = self._tail.popleft()
            self._tail_bytes -= len(passed)
            self._file.drop(passed.count(b"\n") or passed.count(b"\r"))
            self._splitter = Splitter()

    def close(self) -> None:
        """Write the tail and the text after the last line end, and empty the spool."""
        if self._redacted is not None and (rest := self._redacted.rest()):
            self._tail.append(rest)
        for data in self._tail:
            self._write(data)
        self._tail.clear()
        if self._splitter.pending:
            self._file.write(self._stream, "info", self._splitter.rest())
        _empty(self._fd)

    def _next(self) -> bytes:
        """Return the redacted content of the pipe.

        Empty if the pipe is empty or if all of it may be the beginning of a secret.
        """
        while data := self._moved():
            if output := data if self._redacted is None else self._redacted.feed(data):
                return output
        return b""

    def _moved(self) -> bytes:
        """Return the content of the pipe, in the spool as well while the log isn't full."""
        if self._file.full or self._at >= BYTES_MAX:
            _empty(self._fd)
            return _read(self._pipe)
        if not self._waiting.poll(0):
            return b""
        data = os.pread(self._fd, _move(self._pipe, self._fd), self._at)
        self._at += len(data)
        return data


_PLACE = struct.Struct("<i")
"""What a spool begins with: the call's place among the attempt's partitions."""
_NO_CALL = -1


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("headrace-output")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _empty(spool: int) -> None:
    os.ftruncate(spool, 0)
    os.lseek(spool, 0, os.SEEK_SET)


def _opened(path: Path, flags: int) -> int:
    """Open a file, never as descriptor 1 or 2, and not through a link.

    Those are free for a short time if asset code closes them, and are restored afterwards. A link
    would lead out of what restricted code, which may replace its log, can write to.
    """
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _move(pipe: int, file: int) -> int:
    """Move bytes from the pipe to the end of the file and return their number.

    They don't pass through this process's memory if the system supports splice.
    """
    if hasattr(os, "splice"):
        with contextlib.suppress(
            OSError
        ):  # not every file system can; `_read` handles an empty pipe
            return os.splice(pipe, file, READ_BYTES, flags=os.SPLICE_F_NONBLOCK)
    return os.write(file, _read(pipe))


def safe(text: str) -> str:
    """Return the text with invisible and unsafe characters as escapes; tabs stay."""
    return text if text.isprintable() else text.translate(_SHOWN)


SPOOL_BYTES_MAX = BYTES_MAX + PIPE_BYTES


def read(path: Path) -> Sequence[LogLine]:
    """Return the lines of a log, or none if it doesn't exist. Truncated lines are left out."""
    decoder = msgspec.json.Decoder(LogLine)
    lines = []
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would block
        with os.fdopen(fd, "rb") as file:
            for raw in file:
                with contextlib.suppress(msgspec.DecodeError):
                    lines.append(decoder.decode(raw))
    return lines


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, READ_BYTES)
    except BlockingIOError:
        return b""
