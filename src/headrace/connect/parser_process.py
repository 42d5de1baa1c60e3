"""Parse files in a separate process, so that a crash becomes an error of the file.

A library such as the one that reads workbooks ends its process if a file needs more memory than
there is, or if it has a bug: without this, the worker would die with it, again and again. So a
worker starts a second process for such files (`python -m headrace.connect.parser_process`), reuses
it for the next file, and starts another one if it has died. The process may use `MEMORY_BYTES_MAX`
in all and `SECONDS_MAX` per file.

Requests and answers are msgpack with a length prefix, over a socket that nothing else writes to.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from headrace.connect.deliveries import CannotRead, SourceSchema, UnreadableFile, printable
from headrace.connect.raw_files import Opened, UnpackLimits
from headrace.model.errors import message_of

MEMORY_BYTES_MAX = min(4 * 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
SECONDS_MAX = 600.0
MESSAGE_CHARACTERS_MAX, MESSAGE_BYTES_MAX = 200, 64 * 1024
POISON = "delivery_poison"
"""The code of a file that killed the process that parsed it."""
_LENGTH = struct.Struct("<I")
START_SECONDS_MAX, DEATH_SECONDS_MAX = 120.0, 10.0
_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "RUST_BACKTRACE": "0",
}
"""Allocators that reserve much more than they use would reach the limit early."""


class _Request(msgspec.Struct, frozen=True):
    kind: str
    path: str
    name: str
    encoding: str
    options: dict[str, Any]
    folder: str
    bounds: UnpackLimits
    pinned: SourceSchema | None


class _Answer(msgspec.Struct, frozen=True):
    made: Opened | None = None
    refused: UnreadableFile | None = None
    failed: str = ""
    """The message of an unexpected error."""


class Parser:
    """The parser process, started on first use. For one thread."""

    def __init__(
        self, *, memory_bytes_max: int = MEMORY_BYTES_MAX, seconds_max: float = SECONDS_MAX
    ) -> None:
        self._memory_bytes_max, self._seconds_max = memory_bytes_max, seconds_max
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._said: IO[bytes] | None = None
        """The process's standard error."""

    def unfold(
        self,
        kind: str,
        opened: Opened,
        temporary: Path,
        bounds: UnpackLimits,
        pinned: SourceSchema | None,
    ) -> Opened:
        """Like `FormatReader.unfold` of the format, in the process.

        Raises CannotRead, also if the file killed the process or took too long.
        """
        folder = temporary / f"{uuid.uuid4().hex}.apart"
        folder.mkdir(parents=True)
        options = dict(opened.options)
        try:
            request = _Request(
                kind,
                opened.path,
                opened.name,
                opened.encoding,
                options,
                str(folder),
                bounds,
                pinned,
            )
            answer = self._answer(request)
            if answer.refused is not None:
                raise CannotRead(
                    answer.refused.reason, line=answer.refused.line, code=answer.refused.code
                )
            if answer.made is None:
                raise CannotRead(f"can't be read: {answer.failed}")
            there = folder.with_suffix(".unfolded")
            Path(answer.made.path).replace(there)
            return msgspec.structs.replace(answer.made, path=str(there), options=opened.options)
        finally:
            for left in folder.iterdir():
                left.unlink()
            folder.rmdir()

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if process is not None:
            process.kill()
            process.wait()
        if self._said is not None:
            self._said.close()
            self._said = None

    def _answer(self, request: _Request) -> _Answer:
        process, control = self._started(request.kind)
        control.settimeout(self._seconds_max)
        try:
            _send(control, msgspec.msgpack.encode(request))
            data = _receive(control)
        except TimeoutError:
            self.stop()
            raise CannotRead(
                f"parsing it took more than {self._seconds_max:g} s, and was ended", code=POISON
            ) from None
        except (ConnectionError, EOFError):
            raise CannotRead(self._death(process), code=POISON) from None
        return msgspec.msgpack.decode(data, type=_Answer)

    def _started(self, kind: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
        if self._process is not None and self._socket is not None and self._process.poll() is None:
            return self._process, self._socket
        self.stop()
        ours, theirs = socket.socketpair()
        with theirs:
            # lives as long as the process; a pipe would fill up
            self._said = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "headrace.connect.parser_process",
                    str(theirs.fileno()),
                    str(self._memory_bytes_max),
                    kind,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **_ENVIRONMENT},
            )
        self._socket = ours
        ours.settimeout(START_SECONDS_MAX)
        try:
            _receive(ours)
        except (TimeoutError, EOFError) as error:  # the machine's fault, not the file's
            raise ConnectionError(
                f"the process that parses files didn't start: {self._death(self._process)}"
            ) from error
        return self._process, ours

    def _death(self, process: subprocess.Popen[bytes]) -> str:
        """Return a description of how the process ended."""
        if self._socket is not None:
            self._socket.close()  # ends a process that waits for it; one that hangs is killed
        try:
            code = process.wait(DEATH_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        text = ""
        if self._said is not None:
            self._said.seek(0)
            text = self._said.read(MESSAGE_BYTES_MAX).decode("utf-8", "replace").strip()
        self.stop()
        how = f"exit code {code}" if code >= 0 else _signal_name(-code)
        lines = text.splitlines()
        last = next((line for line in lines if "memory" in line), lines[-1] if lines else "")[
            :MESSAGE_CHARACTERS_MAX
        ]
        limit = f"; it may use {self._memory_bytes_max / 2**30:.1f} GiB" if "memory" in last else ""
        return f"the process that parsed it was ended by {how}{f' ({last}{limit})' if last else ''}"


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _send(control: socket.socket, data: bytes) -> None:
    control.sendall(_LENGTH.pack(len(data)) + data)


def _receive(control: socket.socket) -> bytes:
    """Return one message. Raises EOFError if the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(control, _LENGTH.size))
    return _exactly(control, length)


def _exactly(control: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = control.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


# In the process itself


def main(arguments: Mapping[int, str]) -> None:
    """Parse one file after the other until the worker is gone."""
    control, memory_bytes_max = socket.socket(fileno=int(arguments[1])), int(arguments[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        with contextlib.suppress(ValueError, OSError):  # macOS has no such limits
            resource.setrlimit(limit, (memory_bytes_max, memory_bytes_max))
    from headrace.connect.formats.registry import reader

    for module in reader(arguments[3]).libraries:
        importlib.import_module(module)
    gc.freeze()  # rows are many objects: each collection would visit all that was imported, too
    _send(control, b"")  # ready
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            request = msgspec.msgpack.decode(_receive(control), type=_Request)
            _send(control, msgspec.msgpack.encode(_parsed(request)))


def _parsed(request: _Request) -> _Answer:
    from headrace.connect.formats.registry import reader

    opened = Opened(request.path, request.name, encoding=request.encoding, options=request.options)
    try:
        unfolded = reader(request.kind).unfold(
            opened, Path(request.folder), request.bounds, request.pinned
        )
    except CannotRead as refusal:
        return _Answer(refused=refusal.value)
    except MemoryError:
        reason = (
            f"parsing it takes more than {resource.getrlimit(resource.RLIMIT_AS)[0] / 2**30:.1f}"
            " GiB of memory"
        )
        return _Answer(refused=UnreadableFile(reason, code=POISON))
    # any error is due to this file; the next one may parse
    except Exception as error:  # noqa: BLE001
        return _Answer(failed=printable(message_of(error), MESSAGE_CHARACTERS_MAX))
    return _Answer(made=unfolded)


PARSER = Parser()
"""The worker's own parser: only the process that started it may use it."""
atexit.register(PARSER.stop)

if __name__ == "__main__":
    main(dict(enumerate(sys.argv)))
