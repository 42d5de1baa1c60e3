"""Messages between the leader and a worker: a length (4 bytes, little endian) and msgpack, over a pipe."""

from __future__ import annotations

import os
import struct

import msgspec

from headrace.run.messages import Answer, Ready, Task

FRAME_BYTES_MAX = 256 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()
_tasks = msgspec.msgpack.Decoder(Task)
_answers: msgspec.msgpack.Decoder[Answer | Ready] = msgspec.msgpack.Decoder(Answer | Ready)
_LENGTH = struct.Struct("<I")


def encode(message: Task | Answer | Ready) -> bytes:
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


def read_task(fd: int) -> Task | None:
    """The next task, waiting for it; None when the other side has closed."""
    head = _read_exactly(fd, _LENGTH.size)
    body = _read_exactly(fd, _LENGTH.unpack(head)[0]) if head else b""
    return _tasks.decode(body) if body else None


def _read_exactly(fd: int, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = os.read(fd, count - len(parts))
        if not part:
            return b""
        parts += part
    return bytes(parts)


class Inbox:
    """Bytes from one worker, as they come, cut into answers."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Answer | Ready]:
        """The answers that are complete now. Raises msgspec.DecodeError or ValueError for what is no answer."""
        self._bytes += data
        answers = []
        while (answer := self._next()) is not None:
            answers.append(answer)
        return answers

    def _next(self) -> Answer | Ready | None:
        if len(self._bytes) < _LENGTH.size:
            return None
        length = _LENGTH.unpack_from(self._bytes)[0]
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"a worker announced a message of {length} bytes")
        end = _LENGTH.size + length
        if len(self._bytes) < end:
            return None
        answer = _answers.decode(memoryview(self._bytes)[_LENGTH.size : end])
        del self._bytes[:end]
        return answer
