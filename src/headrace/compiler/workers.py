"""The pool of helper processes that analyse many files.

Small jobs, and jobs of a lost process, run in this process.
"""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, cast

import msgspec

import headrace
from headrace.compiler.frames import receive, send
from headrace.compiler.worker import (
    FilesRead,
    Message,
    OutputSchemaRequests,
    OutputSchemas,
    ReadFiles,
    ReadTexts,
    TextsRead,
    give_all,
    read_files,
    read_texts,
)

WORTH_STARTING = 300
"""With fewer files or queries, starting a process takes longer than the work."""
CHUNK = 100
"""Files or queries in one message."""
PROCESSES_MAX = 8
"""With more processes, the parent that sends and collects messages is the bottleneck."""

Answer = TypeVar("Answer", FilesRead, TextsRead, OutputSchemas)


class AnalysisPool:
    """Helper processes, started when there is enough work and ended with the `with` block."""

    def __init__(self, processes: int) -> None:
        self._wanted = min(max(1, processes), PROCESSES_MAX)
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
        self._spread(
            messages, sum(len(message.files) for message in messages), read_files, FilesRead, each
        )

    def read_texts(
        self, messages: Sequence[ReadTexts], each: Callable[[ReadTexts, TextsRead], None]
    ) -> None:
        """Process all messages in any order and call `each` with every answer."""
        self._spread(
            messages, sum(len(message.texts) for message in messages), read_texts, TextsRead, each
        )

    def give(
        self,
        messages: Sequence[OutputSchemaRequests],
        each: Callable[[OutputSchemaRequests, OutputSchemas], None],
    ) -> None:
        """Process all messages in any order and call `each` with every answer."""
        self._spread(
            messages,
            sum(len(message.wanted) for message in messages),
            give_all,
            OutputSchemas,
            each,
        )

    def _spread(
        self,
        messages: Sequence[Message],
        size: int,
        here: Callable[..., Answer],
        kind: type[Answer],
        each: Callable[..., None],
    ) -> None:
        if self._wanted == 1 or size < WORTH_STARTING:
            for message in messages:
                each(message, here(message))
            return
        self._start(len(messages))
        _Spreading(self._running, kind, here, each).do(list(messages))

    def _start(self, messages: int) -> None:
        while len(self._running) < min(self._wanted, messages):
            # -P: a module in the user's working directory is never imported
            command = [sys.executable, "-P", "-m", "headrace.compiler.worker"]
            folder = str(Path(headrace.__file__).parent)
            self._running.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
            )


class _Spreading:
    """One round of messages over the processes; each process has one message at a time."""

    def __init__(
        self,
        processes: list[subprocess.Popen[bytes]],
        kind: type,
        here: Callable[..., object],
        each: Callable[..., None],
    ) -> None:
        self._processes, self._here, self._each = processes, here, each
        self._decoder: msgspec.msgpack.Decoder[FilesRead | TextsRead | OutputSchemas] = (
            msgspec.msgpack.Decoder(kind)
        )
        self._selector = selectors.DefaultSelector()
        self._doing: dict[int, Message] = {}

    def do(self, waiting: list[Message]) -> None:
        waiting.reverse()
        for process in list(self._processes):
            self._hand_out(process, waiting)
        while self._doing:
            for key, _ in self._selector.select():
                process = key.data
                self._take(process)
                self._hand_out(process, waiting)
        for message in waiting:
            self._each(message, self._here(message))
        self._selector.close()

    def _hand_out(self, process: subprocess.Popen[bytes], waiting: list[Message]) -> None:
        if not waiting or process not in self._processes:
            return
        message = waiting.pop()
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
            self._each(message, self._decoder.decode(frame))

    def _lost(self, process: subprocess.Popen[bytes], message: Message) -> None:
        """Remove a process that ended and process its message here."""
        self._processes.remove(process)
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # unsent bytes have no reader any more
                    stream.close()
        self._each(message, self._here(message))
