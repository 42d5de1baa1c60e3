"""Hearing what a body prints: descriptors 1 and 2, `sys.stdout`, `sys.stderr` and Python's logging, while it runs.

One thread for a worker's life empties the pipes (`LogListener`); between attempts it throws away what comes. An attempt that
prints nothing costs a few system calls: the thread sleeps, and the end of the attempt looks into the pipes itself.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import sys
import threading
from types import TracebackType
from typing import Self

from headrace.engine.logs import LINE_BYTES_MAX, LOG, PIPE_BYTES, READ_BYTES, LogFile, OutputPipes, Spool, drain

LEVEL = logging.INFO
"""What is heard of Python's logging, unless a body asks for more or less."""


class LogListener:
    """The thread that empties a channel's pipes into the log of the attempt that runs. `close` it before the channel.

    While it is there, Python's root logger is at `LEVEL`. Not for each attempt anew: a change empties what every logger
    has kept, which with the two hundred of a large library takes half as long as all else of an attempt that says nothing.
    """

    def __init__(self, channel: OutputPipes) -> None:
        self._root_level = logging.root.level
        logging.root.setLevel(LEVEL)
        self._channel = channel
        self._lock = threading.Lock()
        self._file: LogFile | None = None
        self._spools: list[Spool] = []
        self._stop_read, self._stop_write = os.pipe()
        self._ready = select.poll()
        for fd, _ in channel.sources:
            self._ready.register(fd, select.POLLIN)
        self._thread = threading.Thread(target=self._listen, name="headrace-log", daemon=True)
        self._thread.start()

    def begin(self, file: LogFile) -> None:
        """What comes from now on is this attempt's; what somebody printed after the one before it isn't kept."""
        with self._lock:
            self._discard()
            self._file = file

    def end(self) -> None:
        """Write what is in the pipes now; not until their end, which a child left behind may hold open."""
        with self._lock:
            if self._spools or self._ready.poll(0):
                self._take(PIPE_BYTES)
            for spool in self._spools:
                spool.close()
            self._spools, self._file = [], None

    def close(self) -> None:
        """End the thread, and leave the root logger as it was."""
        os.close(self._stop_write)
        self._thread.join()
        os.close(self._stop_read)
        logging.root.setLevel(self._root_level)

    def _listen(self) -> None:
        waiting = select.poll()
        for fd in (self._channel.stdout_read, self._channel.stderr_read, self._stop_read):
            waiting.register(fd, select.POLLIN)
        while all(fd != self._stop_read for fd, _ in waiting.poll()):
            with self._lock:
                if self._file is None:
                    self._discard()
                else:
                    self._take(READ_BYTES)  # not all there is: a child may go on printing for ever

    def _take(self, bytes_max: int) -> None:
        assert self._file is not None
        if not self._spools:
            self._spools = [Spool(fd, stream, self._file) for fd, stream in self._channel.sources]
        for spool in self._spools:
            spool.take(bytes_max)

    def _discard(self) -> None:
        if self._ready.poll(0):
            for fd, _ in self._channel.sources:
                drain(fd)


class Capture:
    """While it is entered, what the process prints goes to an attempt's log. A worker gives the listener that it keeps."""

    def __init__(self, channel: OutputPipes, file: LogFile, listener: LogListener | None = None) -> None:
        self.file = file
        self._channel = channel
        self._listener = listener or LogListener(channel)
        self._own = listener is None
        self._kept: list[tuple[int, int]] = []
        self._streams = (sys.stdout, sys.stderr)
        self._handler = _Handler(file)

    def __enter__(self) -> Self:
        _flush()
        self._listener.begin(self.file)
        self._streams = (sys.stdout, sys.stderr)
        self._kept = [(target, os.dup(target)) for target in (1, 2)]
        os.dup2(self._channel.stdout_write, 1)
        os.dup2(self._channel.stderr_write, 2)
        sys.stdout, sys.stderr = _text(1), _text(2)
        logging.root.addHandler(self._handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _flush()
        logging.root.removeHandler(self._handler)
        if logging.root.level != LEVEL:  # the body's own wish isn't the next one's
            logging.root.setLevel(LEVEL)
        sys.stdout, sys.stderr = self._streams
        for target, kept in self._kept:
            os.dup2(kept, target)
            os.close(kept)
        self._listener.end()
        if self._own:
            self._listener.close()
        self.file.close()


class _Handler(logging.Handler):
    """Python's logging with its levels. It bypasses the pipes, which know none."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - a bad format string is logged as it is, not raised into the body
            text = f"{record.msg!r} {record.args!r}"
        for part in text.splitlines() or [""]:
            self._file.write(LOG, record.levelname.lower(), part[:LINE_BYTES_MAX])


def _flush() -> None:
    for name in ("stdout", "stderr"):
        with contextlib.suppress(Exception):  # the body may have closed, replaced or deleted it
            getattr(sys, name).flush()


def _text(fd: int) -> io.TextIOWrapper:
    """A line-buffered text stream over a descriptor, whatever the body did to the last one."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
