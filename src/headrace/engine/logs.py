"""Output of asset code as JSON lines with time, stream, level and text: `logs/<epoch>/<n>.jsonl`.

Output is captured where it leaves the process, at file descriptors 1 and 2, so that C extensions, crashing libraries and
child processes are included. Each of the two is a pipe that the *leader* opens (`OutputPipes.open`) and passes to the
worker: a thread of the worker empties it while asset code runs, and the leader keeps its own copy of the read end.

The last lines of a worker that dies in the middle of asset code (a segmentation fault, `os._exit`, a kill) must not be
lost, because they say why. Bytes that the thread hasn't read are still in the pipe. Bytes that it reads are first moved
within the kernel (splice) into a spool file beside the log, and only then split into lines: at no instant are they in the
worker's memory alone. `OutputPipes.rescue`, in the leader, continues after the lines that are in the log already.

Output can't use up memory or disk: lines, their length and the bytes in all are limited. The rest is read and
discarded (a full pipe would block the asset code), the last lines are kept, and one line gives the number of dropped ones.
Values of declared secrets are removed before anything reaches the disk, the spool included (`security.secrets`).
Text from outside is made safe to print: bytes that aren't UTF-8, control characters (a terminal's escape sequences) and
characters that reverse the writing direction are written as escapes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from headrace.security.secrets import RedactedStream, Redactor

LINE_BYTES_MAX = 8 * 1024
"""Longer lines are cut, and say so."""
LINES_MAX = 10_000
"""Lines kept from the beginning of an attempt's output."""
BYTES_MAX = 4 * 1024 * 1024
"""Bytes of text kept from the beginning of an attempt's output."""
LAST_LINES_MAX = 50
"""Lines kept from the end where the others were too many: they usually say why it ended."""
TAIL_BYTES = 64 * 1024
"""Bytes of each stream in which the last lines are looked for."""
READ_BYTES = 64 * 1024
PIPE_BYTES = 1024 * 1024
"""What the kernel is asked to hold for us, so that a burst doesn't make the body wait. Given less, it works the same."""

STDOUT, STDERR, LOG = "stdout", "stderr", "log"
HEADRACE = "headrace"
"""The stream of lines that Headrace itself adds."""

_UNSAFE = (
    *range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F),
    *range(0x2066, 0x206A), 0xFEFF, *range(0xD800, 0xE000),
)  # fmt: skip
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _UNSAFE}
_ENDS = re.compile(rb"\r\n|\n|\r")


class LogLine(msgspec.Struct, frozen=True):
    """One line. `level` is what the program said with Python's logging; what it merely printed is `info`."""

    at_us: int
    stream: str
    level: str
    text: str


class WorkerClock:
    """The leader's time, carried on by a monotonic clock: workers have no wall clock of their own."""

    def __init__(self, now_us: int) -> None:
        self._base_us = now_us - time.monotonic_ns() // 1_000

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return self._base_us + time.monotonic_ns() // 1_000


class LogFile:
    """One attempt's lines, within the limits. Made when the first line is written. Safe to use from several threads."""

    def __init__(self, path: Path, clock: WorkerClock, redactor: Redactor | None = None) -> None:
        """`redactor` knows the secrets that must not be kept."""
        self.path, self.lines, self.redactor = path, 0, redactor
        self._clock, self._lock = clock, threading.Lock()
        self._fd = -1
        self._bytes = self._dropped = 0
        self._last: deque[LogLine] = deque(maxlen=LAST_LINES_MAX)

    def write(self, stream: str, level: str, text: str) -> None:
        """Keep one line of the program's, or count it as dropped."""
        line = LogLine(self._clock.now_us(), stream, level, text if self.redactor is None else self.redactor.text(text))
        with self._lock:
            if not self.full:
                self._put(line)
                return
            self._begin_dropping()
            self._dropped += len(self._last) == LAST_LINES_MAX
            self._last.append(line)

    def drop(self, lines: int) -> None:
        """Count lines that nobody looked at."""
        with self._lock:
            self._begin_dropping()
            self._dropped += lines

    def _begin_dropping(self) -> None:
        if not self._dropped and not self._last:
            text = f"more than {LINES_MAX} lines or {BYTES_MAX} bytes: only the last lines are kept from here on"
            self._put(LogLine(self._clock.now_us(), HEADRACE, "warning", text))

    def say(self, level: str, text: str) -> None:
        """A line of Headrace's own, kept whatever the limits."""
        with self._lock:
            self._put(LogLine(self._clock.now_us(), HEADRACE, level, text))

    def close(self) -> None:
        """Write what is kept of the end, and how much was dropped before it."""
        with self._lock:
            if self._dropped:
                self._put(LogLine(self._clock.now_us(), HEADRACE, "warning", f"{self._dropped} lines dropped"))
            for line in self._last:
                self._put(line)
            self._last.clear()
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    @property
    def full(self) -> bool:
        """Whether lines are being dropped."""
        return self.lines >= LINES_MAX or self._bytes >= BYTES_MAX

    def _put(self, line: LogLine) -> None:
        if self._fd < 0:
            self._fd = self._opened()
        data = msgspec.json.encode(LogLine(line.at_us, line.stream, line.level, safe(line.text))) + b"\n"
        with contextlib.suppress(OSError):  # a full disk must not fail the body over its log
            os.write(self._fd, data)
        self.lines += 1
        self._bytes += len(data)

    def _opened(self) -> int:
        """The file to append to, at the beginning of a line: a crash may have cut the last one short."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = _opened(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            os.write(fd, b"\n")
        return fd


class Splitter:
    """Bytes of one stream as they come, cut into lines. A carriage return ends a line too: progress bars are read as lines."""

    def __init__(self) -> None:
        self._open = bytearray()
        self._cut = 0

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes, without their ends."""
        pieces = _ENDS.split(data)
        for piece in pieces[:-1]:
            self._add(piece)
            if self._open or self._cut:
                yield self.rest()
        self._add(pieces[-1])

    def rest(self) -> str:
        """What came after the last line's end."""
        text = bytes(self._open).decode("utf-8", "backslashreplace")
        if self._cut:
            text += f"… ({self._cut} bytes more)"
        self._open.clear()
        self._cut = 0
        return text

    @property
    def pending(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._open or self._cut)

    def _add(self, piece: bytes) -> None:
        room = LINE_BYTES_MAX - len(self._open)
        self._open += piece[:room]
        self._cut += max(0, len(piece) - room)


class OutputPipes(msgspec.Struct, frozen=True):
    """The two pipes from a worker's stdout and stderr, as descriptors. A worker gets all four, the leader closes the two
    ends for writing (`keep_reading`) and reads only what a dead worker left."""

    stdout_read: int
    stdout_write: int
    stderr_read: int
    stderr_write: int

    @classmethod
    def open(cls) -> OutputPipes:
        """New pipes. Their descriptors aren't inherited unless they are passed on."""
        channel = cls(*os.pipe(), *os.pipe())
        for fd in channel.ends:
            os.set_blocking(fd, fd in (channel.stdout_write, channel.stderr_write))
        for fd in (channel.stdout_write, channel.stderr_write):
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return channel

    @property
    def ends(self) -> tuple[int, int, int, int]:
        """All four descriptors, to pass on to a worker."""
        return (self.stdout_read, self.stdout_write, self.stderr_read, self.stderr_write)

    @property
    def sources(self) -> tuple[tuple[int, str], tuple[int, str]]:
        """The ends for reading with their streams' names."""
        return ((self.stdout_read, STDOUT), (self.stderr_read, STDERR))

    def keep_reading(self) -> None:
        """In the leader, once the worker has been started: let go of the ends for writing."""
        os.close(self.stdout_write)
        os.close(self.stderr_write)

    def rescue(self, path: Path, now_us: int, redactor: Redactor | None = None) -> int:
        """In the leader, after a worker's death: append to the attempt's log what it took but hadn't written, and what it
        left in the pipes. How many lines that is. `redactor` is as the worker's."""
        file = LogFile(path, WorkerClock(now_us), redactor)
        for fd, stream in self.sources:
            spool = _spool_path(path, stream)
            known = sum(line.stream == stream for line in read(path)) if spool.exists() else 0
            taken = spool.read_bytes() if spool.exists() else b""
            left = drain(fd)
            if redactor is not None:
                redacted = redactor.stream()
                left = redacted.feed(redactor.without_end_of_one(left)) + redacted.rest()
            for text in list(_lines(taken + left))[known:]:
                file.write(stream, "info", text)
            spool.unlink(missing_ok=True)
        file.close()
        return file.lines

    def close(self) -> None:
        """In the leader: let go of the ends for reading."""
        os.close(self.stdout_read)
        os.close(self.stderr_read)


def drain(fd: int) -> bytes:
    """What is in a pipe right now. Doesn't wait for more, and takes no more than a pipe holds."""
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
    """One stream of one attempt: bytes on their way from the pipe to lines, in a file in between."""

    def __init__(self, fd: int, stream: str, file: LogFile) -> None:
        self._pipe, self._stream, self._file = fd, stream, file
        self._path = _spool_path(file.path, stream)
        self._splitter = Splitter()
        self._redacted: RedactedStream | None = None if file.redactor is None else file.redactor.stream()
        self._tail: deque[bytes] = deque()
        """Of what came when no more lines were kept: the end, not cut into lines before it is known to be the end."""
        self._tail_bytes = 0
        self._fd, self._at = -1, 0
        self._waiting = select.poll()
        self._waiting.register(fd, select.POLLIN)

    def take(self, bytes_max: int) -> None:
        """Take what is in the pipe, up to about `bytes_max`, and write the lines that are complete."""
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
        """Looking at each line would slow down a body that prints a lot, for lines that nobody gets to see."""
        self._tail.append(data)
        self._tail_bytes += len(data)
        while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            passed = self._tail.popleft()
            self._tail_bytes -= len(passed)
            self._file.drop(passed.count(b"\n") or passed.count(b"\r"))
            self._splitter = Splitter()

    def close(self) -> None:
        """Write the end of what was passed over, and what came after the last line's end; the spool has done its work."""
        if self._redacted is not None and (rest := self._redacted.rest()):
            self._tail.append(rest)
        for data in self._tail:
            self._write(data)
        self._tail.clear()
        if self._splitter.pending:
            self._file.write(self._stream, "info", self._splitter.rest())
        self._drop()

    def _next(self) -> bytes:
        if self._file.full or self._at >= BYTES_MAX:
            self._drop()
            return self._read_redacted()
        if not self._waiting.poll(0):
            return b""
        if self._fd < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = _opened(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if self._redacted is None:
            data = os.pread(self._fd, _move(self._pipe, self._fd), self._at)
        else:  # by way of our memory: not even the spool may hold a secret
            data = self._read_redacted()
            os.write(self._fd, data)
        self._at += len(data)
        return data

    def _read_redacted(self) -> bytes:
        """What is in the pipe, redacted; empty where nothing is in it, and where all of it might be a secret's beginning."""
        if self._redacted is None:
            return _read(self._pipe)
        while data := _read(self._pipe):
            if said := self._redacted.feed(data):
                return said
        return b""

    def _drop(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._path.unlink(missing_ok=True)


def _opened(path: Path, flags: int) -> int:
    """A file, never as descriptor 1 or 2: those are free for a moment when a body closes them, and are given back after it."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _spool_path(log: Path, stream: str) -> Path:
    return log.with_name(f"{log.name}.{stream}")


def _move(pipe: int, file: int) -> int:
    """Moves bytes from the pipe to the end of the file; how many. Not through our memory where the system can do without."""
    if hasattr(os, "splice"):
        with contextlib.suppress(OSError):  # a file system that can't; if the pipe is empty, reading says so too
            return os.splice(pipe, file, READ_BYTES, flags=os.SPLICE_F_NONBLOCK)
    return os.write(file, _read(pipe))


def safe(text: str) -> str:
    """The text with everything that isn't meant to be seen as a visible escape; tabs stay."""
    return text if text.isprintable() else text.translate(_SHOWN)


def read(path: Path) -> Sequence[LogLine]:
    """The lines of a log; none if nothing was logged. A line that a crash cut short is left out."""
    decoder = msgspec.json.Decoder(LogLine)
    lines = []
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for raw in file:
            with contextlib.suppress(msgspec.DecodeError):
                lines.append(decoder.decode(raw))
    return lines


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, READ_BYTES)
    except BlockingIOError:
        return b""
