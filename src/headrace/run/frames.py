"""Messages between the leader and a worker: a length (4 bytes, little endian) and msgpack, over a pipe."""

from __future__ import annotations

import os
import struct
from typing import Generic, TypeVar

import msgspec

from headrace.run.messages import Answer, Returned, Task, WorkerReady

M = TypeVar("M")

FRAME_BYTES_MAX = 256 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()
_tasks: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
_answers: msgspec.msgpack.Decoder[Answer | WorkerReady | Returned] = msgspec.msgpack.Decoder(Answer | WorkerReady | Returned)
_LENGTH = struct.Struct("<I")


def encode(message: Task | Answer | WorkerReady | Returned) -> bytes:
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
