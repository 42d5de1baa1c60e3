"""Messages between processes: their length in four bytes, then their bytes."""

from __future__ import annotations

from typing import BinaryIO


def receive(stream: BinaryIO) -> bytes | None:
    """Return the next message; None at the end of the stream."""
    length = stream.read(4)
    if len(length) < 4:
        return None
    return stream.read(int.from_bytes(length, "big"))


def send(stream: BinaryIO, data: bytes) -> None:
    """Write one message."""
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()
