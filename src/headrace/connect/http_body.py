"""The bytes of one answer: unpacked within bounds, refused where they break off."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from headrace.connect.deliveries import CannotRead
from headrace.connect.kinds import Unavailable
from headrace.connect.shown import shown
from headrace.connect.unpack import UnpackLimits

if TYPE_CHECKING:
    import httpx

CHUNK_BYTES = 1 << 18
FETCH_SECONDS_MAX = 3600.0
"""A body that is still dripping after an hour is given up."""
_GZIP = 16 + zlib.MAX_WBITS


def body_of(response: httpx.Response, bytes_max: int, *, deadline: float) -> Iterator[bytes]:
    """The body in pieces of at most CHUNK_BYTES. Raises CannotRead for too much, Unavailable for half of it; `httpx` errors pass."""
    packed, made = 0, 0
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    for chunk in _unpacked(response.iter_raw(CHUNK_BYTES), encoding):
        packed, made = response.num_bytes_downloaded, made + len(chunk)
        UnpackLimits(bytes_max=bytes_max).check(made, packed)
        if time.monotonic() > deadline:
            raise Unavailable(f"the answer wasn't complete after {FETCH_SECONDS_MAX:.0f} s")
        yield chunk


def _unpacked(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    if encoding in ("identity", ""):
        yield from chunks
    elif encoding in ("gzip", "x-gzip"):
        yield from _gunzipped(chunks)
    else:
        raise CannotRead(f"the answer is encoded as {shown(encoding)}, which wasn't asked for; gzip and plain can be read")


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A few packed bytes may be gigabytes: they are unpacked piece by piece."""
    stream = zlib.decompressobj(_GZIP)
    begun = False
    for chunk in chunks:
        data = chunk
        while data:
            begun = True
            try:
                piece = stream.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                raise CannotRead(f"the answer says that it is packed by gzip, and isn't ({shown(error)})") from error
            if piece:
                yield piece
            data = stream.unconsumed_tail
            if stream.eof:
                data, stream = stream.unused_data, zlib.decompressobj(_GZIP) if stream.unused_data else stream
    while begun and not stream.eof:  # what the last call held back
        piece = stream.decompress(stream.unconsumed_tail, CHUNK_BYTES)
        if piece:
            yield piece
        elif not stream.eof:
            raise Unavailable("the answer breaks off in the middle of what gzip packed")
