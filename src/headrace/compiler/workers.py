"""The pool of helper processes that analyse many files.

Small jobs, and jobs of a lost process, run in this process; but a process that goes on for long has
its SQL parsed by a helper, which takes the parser's 40 MB of memory with it when it ends.
"""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import BinaryIO, Protocol, Self, cast

import msgspec

from headrace.compiler import helper_process
from headrace.compiler.frames import receive, send
from headrace.compiler.worker import (
    ANSWERS,
    Answer,
    FilesRead,
    Message,
    OutputSchemaRequests,
    OutputSchemas,
    ReadFiles,
    answer,
)

WORTH_STARTING = 300
"""With fewer files or queries, starting a process takes longer than the work."""
CHUNK = 100
"""Files or queries in one message."""
PROCESSES_MAX = 8
"""With more processes, the parent that sends and collects messages is the bottleneck."""
PARSER = "sqlglot"
"""The package that parses SQL."""
THIS_PROCESS = 0
"""Stands for this process where others have their id."""


class Work(Protocol):
    """Messages whose order and process depend on the answers so far."""

    def next(self, process: int) -> Message | None:
        """Return the next message for an idle process; None if there is none for it now."""

    def take(self, process: int, message: Message, received: Answer) -> None:
        """Take the answer to a message that the process was given."""


class AnalysisPool:
    """Helper processes, started when there is enough work and ended with the `with` block.

    With `without_parser`, SQL isn't parsed in this process unless it has loaded the parser already.
    """

    def __init__(self, processes: int, *, without_parser: bool = False) -> None:
        self._wanted = min(max(1, processes), PROCESSES_MAX)
        self._without_parser = without_parser
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._running:
            cast("BinaryIO", process.stdin).close()
            if kind is not None:
                process.kill()
            process.wait()
            cast("BinaryIO", process.stdout).close()

    def read_files(
        self, messages: Sequence[ReadFiles], each: Callable[[ReadFiles, FilesRead], None]
    ) -> None:
        """Process all messages in any order and call `each` with every answer."""
        work = _Independent(messages, cast("_Each", each))
        self._do(work, sum(len(message.files) for message in messages), apart=False)

    def give(
        self,
        messages: Sequence[OutputSchemaRequests],
        each: Callable[[OutputSchemaRequests, OutputSchemas], None],
    ) -> None:
        """Process all messages in any order and call `each` with every answer."""
        work = _Independent(messages, cast("_Each", each))
        self.do(work, sum(len(message.wanted) for message in messages))

    def prepare(self, size: int) -> None:
        """Start the processes for `size` files or queries, which load while those are read."""
        if self._wanted > 1 and size >= WORTH_STARTING:
            self._start(-(-size // CHUNK))

    def do(self, work: Work, size: int) -> None:
        """Process all messages of a work with `size` queries."""
        self._do(work, size, apart=self._without_parser and PARSER not in sys.modules)

    def _do(self, work: Work, size: int, *, apart: bool) -> None:
        if (self._wanted > 1 and size >= WORTH_STARTING) or (apart and size):
            self._start(-(-size // CHUNK))
            _Spreading(self._running, work).do()
        while (message := work.next(THIS_PROCESS)) is not None:
            work.take(THIS_PROCESS, message, answer(message))

    def _start(self, messages: int) -> None:
        while len(self._running) < min(self._wanted, messages):
            try:
                process = helper_process.start("headrace.compiler.worker")
            except OSError:  # no memory, too many processes: this process does the work
                return
            self._running.append(process)


_Each = Callable[[Message, Answer], None]


class _Independent:
    """Messages that any process may have at any time."""

    def __init__(self, messages: Sequence[Message], each: _Each) -> None:
        self._waiting, self._each = list(reversed(messages)), each

    def next(self, process: int) -> Message | None:  # noqa: ARG002 - any process may have any
        return self._waiting.pop() if self._waiting else None

    def take(self, process: int, message: Message, received: Answer) -> None:  # noqa: ARG002
        self._each(message, received)


class _Spreading:
    """One work over the processes; each process has one message at a time."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], work: Work) -> None:
        self._processes, self._work = processes, work
        self._decoders = {kind: msgspec.msgpack.Decoder(ANSWERS[kind]) for kind in ANSWERS}
        self._selector = selectors.DefaultSelector()
        self._doing: dict[int, Message] = {}

    def do(self) -> None:
        """Return when the processes are idle and none of them has a next message."""
        self._hand_out()
        while self._doing:
            for key, _ in self._selector.select():
                self._take(key.data)
            self._hand_out()
        self._selector.close()

    def _hand_out(self) -> None:
        for process in list(self._processes):
            if process.pid not in self._doing:
                message = self._work.next(process.pid)
                if message is not None:
                    self._send(process, message)

    def _send(self, process: subprocess.Popen[bytes], message: Message) -> None:
        try:
            send(cast("BinaryIO", process.stdin), msgspec.msgpack.encode(message))
        except OSError:
            self._lost(process, message)
            return
        self._doing[process.pid] = message
        self._selector.register(cast("BinaryIO", process.stdout), selectors.EVENT_READ, process)

    def _take(self, process: subprocess.Popen[bytes]) -> None:
        message = self._doing.pop(process.pid)
        stream = cast("BinaryIO", process.stdout)
        self._selector.unregister(stream)
        frame = receive(stream)
        if frame is None:
            self._lost(process, message)
        else:
            self._work.take(process.pid, message, self._decoders[type(message)].decode(frame))

    def _lost(self, process: subprocess.Popen[bytes], message: Message) -> None:
        """Remove a process that ended and process its message here."""
        self._processes.remove(process)
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # unsent bytes have no reader any more
                    stream.close()
        self._work.take(process.pid, message, answer(message))
