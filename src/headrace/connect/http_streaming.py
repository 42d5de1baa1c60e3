"""The records of a JSON document too large to be held: cut from it window by window, in bounded memory, each as it came.

A window is cut behind its last `}` that a comma follows, if everything up to there reads as whole records; else behind the one before.
What reads as a list of whole records from the beginning of a record on ends where a record ends: no text or nested object is ever cut.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from headrace.connect.deliveries import CannotRead
from headrace.connect.http_records import lines_of, valid_utf8, value_below
from headrace.model.json_paths import json_path

HEAD_BYTES = 1 << 16
"""The records' array must begin within the first 64 KiB."""
WINDOW_BYTES = 4 << 20
RECORD_BYTES_MAX = 16 << 20
"""As the reader of JSON lines has it."""
TAIL_BYTES_MAX = 1 << 20
CUTS_TRIED = 40
LASTS_TRIED = 2_000
_MARK = b'["the records stand here"]'
"""Takes their place in what is read of the rest."""
_CUT = re.compile(rb"\}[ \t\r\n]*,")
_LAST = re.compile(rb"\}[ \t\r\n]*\]")
_END = re.compile(rb"[ \t\r\n]*\]")


def records_of_stream(chunks: Iterable[bytes], path: str) -> Iterator[bytes]:
    """The records below `path`, each one object on one line, as `chunks` come. Raises CannotRead, also after records were given:
    what was given is only good if the end is reached."""
    stream = _Window(_without_mark(valid_utf8(chunks)))
    stream.fill(HEAD_BYTES)
    start = _array_in(stream.data[:HEAD_BYTES], path)
    prefix = bytes(stream.data[:start])
    stream.drop(start + 1)
    yield from _records(stream)
    envelope = prefix + _MARK + stream.rest(TAIL_BYTES_MAX)
    if value_below(envelope, json_path(path) or (), path) != _MARK:
        raise CannotRead(f"{path} comes twice in the answer")


class _Window:
    """What has come of a stream and wasn't given on yet."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.data = bytearray()
        self.ended = False

    def fill(self, size: int) -> None:
        """Hold at least so many bytes, if there are as many."""
        while len(self.data) < size and not self.ended:
            chunk = next(self._chunks, None)
            if chunk is None:
                self.ended = True
            else:
                self.data += chunk

    def drop(self, size: int) -> None:
        del self.data[:size]

    def rest(self, bytes_max: int) -> bytes:
        self.fill(bytes_max + 1)
        if len(self.data) > bytes_max:
            raise CannotRead(f"more than {bytes_max:,} bytes follow the records", code="delivery_too_large")
        return bytes(self.data)


def _records(stream: _Window) -> Iterator[bytes]:
    """Up to the array's end, which is dropped, too."""
    size = WINDOW_BYTES
    count = 0
    while True:
        stream.fill(size)
        results, used, ended = _whole_records(stream)
        if not results and not ended:
            if stream.ended:
                raise CannotRead(f"the answer isn't JSON: what follows record {count:,} is no record, or isn't whole")
            if size > 2 * RECORD_BYTES_MAX:
                raise CannotRead(
                    f"record {count + 1:,} is longer than {RECORD_BYTES_MAX:,} bytes, or isn't JSON", code="delivery_too_large"
                )
            size *= 2
            continue
        yield from lines_of(results, count + 1)
        count, size = count + len(results), WINDOW_BYTES
        stream.drop(used)
        if ended:
            return


def _whole_records(stream: _Window) -> tuple[Sequence[msgspec.Raw], int, bool]:
    """Records at the window's beginning, the bytes that they and what follows them take, and whether the array ends there."""
    data = bytes(stream.data)
    if (end := _END.match(data)) is not None:
        return (), end.end(), True
    cuts = [match.start() + 1 for match in _CUT.finditer(data, max(0, len(data) - WINDOW_BYTES // 4))]
    cuts = cuts or [match.start() + 1 for match in _CUT.finditer(data)]
    for cut in reversed(cuts[-CUTS_TRIED:]):
        if (results := _read(data[:cut])) is not None:
            return results, data.index(b",", cut) + 1, False
    for match in islice(_LAST.finditer(data), LASTS_TRIED):  # the last window: the array's own end is one of these
        if (results := _read(data[: match.start() + 1])) is not None:
            return results, match.end(), True
    return (), 0, False


def _read(text: bytes) -> list[msgspec.Raw] | None:
    try:
        return msgspec.json.decode(b"[" + text + b"]", type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return None


def _array_in(head: bytearray, path: str) -> int:
    """Where the array below `path` begins."""
    steps = json_path(path) or ()
    for match in re.finditer(rb"\[", head):
        try:
            result = value_below(bytes(head[: match.start()]) + b"[]" + b"}" * len(steps), steps, path)
        except CannotRead:
            continue
        if result == b"[]":
            return match.start()
    raise CannotRead(f"no array at {path} begins within the first {HEAD_BYTES:,} bytes of an answer that is too large to be held")


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    first = True
    for chunk in chunks:
        yield chunk.removeprefix(codecs.BOM_UTF8) if first else chunk
        first = False
