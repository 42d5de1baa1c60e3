"""Records in JSON from an HTTP server: from one page, or from a document too large for memory."""

from __future__ import annotations

import codecs
import collections
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from headrace.extension import marked
from headrace.extension.sources import CannotRead, json_path, printable

# Each record is the received text. Numbers are never parsed, so none loses a digit.

LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
"""Line ends become blanks. JSON has them only between tokens: within strings they are escaped."""
PIECE_BYTES = 1 << 20
T = TypeVar("T")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def in_utf8(page: bytes, charset: str | None) -> bytes:
    """Return the page in UTF-8; the server's `charset` counts only if the page isn't UTF-8.

    JSON is always UTF-8, whatever the server says. Raises CannotRead.
    """
    if page.startswith(_UTF16):
        charset = "utf-16"
    else:
        page = page.removeprefix(codecs.BOM_UTF8)
        pieces = (page[at : at + PIECE_BYTES] for at in range(0, len(page), PIECE_BYTES))
        try:
            collections.deque(valid_utf8(pieces), maxlen=0)
        except CannotRead:
            if charset is None or codecs_name(charset) in (None, "utf-8"):
                raise
        else:
            return page
    try:
        return page.decode(charset).encode()
    except (UnicodeError, LookupError) as error:
        raise CannotRead(
            f"it isn't in {printable(charset)}, as the server says", code="delivery_encoding"
        ) from error


def valid_utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of one text while they are UTF-8. Raises CannotRead."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in pieces:
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            wrong = error.object[error.start]
            raise CannotRead(
                f"0x{wrong:02X} isn't UTF-8, which JSON must be", code="delivery_encoding"
            ) from error
        yield piece
    if decoder.getstate()[0]:
        raise CannotRead("it ends in the middle of a character", code="delivery_encoding")


def codecs_name(charset: str) -> str | None:
    """Return the charset's usual name; None for an unknown one."""
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return None


def records_in(page: bytes, path: str | None) -> list[bytes]:
    """Return the records below `path`, each object as one line.

    `path` is like `$.items`; by default the document itself. An array holds records, an object is
    one, and null is an empty array, as some servers write it. Raises CannotRead.
    """
    result = value_below(page, json_path(path or "$") or (), path or "$")
    start = result[:1]
    if result == b"null":
        return []
    if start not in (b"[", b"{"):
        raise CannotRead(f"{path or '$'} is neither an array nor an object")
    items: Sequence[bytes | memoryview] = (
        _decoded(result, list[msgspec.Raw]) if start == b"[" else [result]
    )
    return list(lines_of(items))


def cursor_in(page: bytes, path: str) -> str | None:
    """Return the text or number below `path`, as text.

    None if it is missing, which marks the last page.
    """
    steps = json_path(path) or ()
    try:
        result = value_below(page, steps, path)
    except _NotThere:
        return None
    if result in (b"null", b"false", b'""'):
        return None
    if result[:1] == b'"':
        return _decoded(result, str)
    if result[:1] in b"{[t":
        raise CannotRead(f"{path} is no cursor")
    return result.decode()


def flag_in(page: bytes, path: str) -> bool:
    """Return the truth value below `path`; null is false. Raises CannotRead for anything else."""
    result = value_below(page, json_path(path) or (), path)
    if result not in (b"true", b"false", b"null"):
        value = marked(printable(result.decode(), 20))
        raise CannotRead(f"{path} is neither true nor false: {value}")
    return result == b"true"


class _NotThere(CannotRead):
    """A path that leads to nothing."""


def value_below(page: bytes, steps: tuple[str, ...], path: str) -> bytes:
    """Return the JSON text at the keys `steps`; `path` is their notation in messages.

    Raises CannotRead.
    """
    value = bytes(_decoded(page, msgspec.Raw)).strip()
    for step in steps:
        if value == b"null":
            raise _NotThere(
                f"there is no {printable(path)} in the answer: {printable(step)} is below null"
            )
        if value[:1] != b"{":
            raise CannotRead(
                f"there is no {printable(path)} in the answer: what should hold {printable(step)}"
                " is no object"
            )
        inside = _decoded(value, dict[str, msgspec.Raw])
        if step not in inside:
            raise _NotThere(
                f"there is no {printable(path)} in the answer, which has"
                f" {', '.join(map(printable, list(inside)[:10])) or 'nothing'}"
            )
        value = bytes(inside[step]).strip()
    return value


def _decoded(text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CannotRead(f"the answer isn't JSON: {printable(error, 120)}") from error


def lines_of(items: Sequence[bytes | memoryview], first: int = 1) -> Iterator[bytes]:
    """Yield each record as one line; the first has the number `first`.

    Raises CannotRead for records that aren't objects.
    """
    for number, item in enumerate(items, first):
        line = bytes(item).strip()
        if line[:1] != b"{":
            raise CannotRead(f"record {number:,} isn't an object")
        yield line.translate(LINE_ENDS)


# Records of a JSON document that is too large for memory, cut from it window by window in bounded
# memory, each as received.
#
# A window is cut after its last `}` before a comma, if everything up to there parses as whole
# records; otherwise after the previous one. Text that starts at a record's start and parses as a
# list of whole records ends at a record's end, so no text or nested object is ever cut.

HEAD_BYTES = 1 << 16
"""64 KiB: the records' array must begin within these bytes."""
WINDOW_BYTES = 4 << 20
RECORD_BYTES_MAX = 16 << 20
"""16 MiB, the limit of the JSON lines reader."""
TAIL_BYTES_MAX = 1 << 20
CUTS_TRIED = 40
LASTS_TRIED = 2_000
_MARK = b'["the records stand here"]'
"""Replaces the records when the rest of the document is parsed."""
_CUT = re.compile(rb"\}[ \t\r\n]*,")
_LAST = re.compile(rb"\}[ \t\r\n]*\]")
_END = re.compile(rb"[ \t\r\n]*\]")


def records_of_stream(chunks: Iterable[bytes], path: str) -> Iterator[bytes]:
    """Yield each record below `path` as one line while `chunks` arrive.

    Raises CannotRead, possibly after some records; they are valid only if the end is reached.
    """
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
    """The received part of a stream that hasn't been consumed yet."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.data = bytearray()
        self.ended = False

    def fill(self, size: int) -> None:
        """Hold at least `size` bytes, or all that are left."""
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
            raise CannotRead(
                f"more than {bytes_max:,} bytes follow the records", code="delivery_too_large"
            )
        return bytes(self.data)


def _records(stream: _Window) -> Iterator[bytes]:
    """Yield the records up to the array's end, which is consumed too."""
    size = WINDOW_BYTES
    count = 0
    while True:
        stream.fill(size)
        results, used, ended = _whole_records(stream)
        if not results and not ended:
            if stream.ended:
                raise CannotRead(
                    f"the answer isn't JSON: what follows record {count:,} is no record, or isn't"
                    " whole"
                )
            if size > 2 * RECORD_BYTES_MAX:
                raise CannotRead(
                    f"record {count + 1:,} is longer than {RECORD_BYTES_MAX:,} bytes, or isn't"
                    " JSON",
                    code="delivery_too_large",
                )
            size *= 2
            continue
        yield from lines_of(results, count + 1)
        count, size = count + len(results), WINDOW_BYTES
        stream.drop(used)
        if ended:
            return


def _whole_records(stream: _Window) -> tuple[Sequence[msgspec.Raw], int, bool]:
    """Return whole records at the window's start, the bytes they take, and whether the array ends.

    The bytes include the separator or the end of the array.
    """
    data = bytes(stream.data)
    if (end := _END.match(data)) is not None:
        return (), end.end(), True
    cuts = [
        match.start() + 1 for match in _CUT.finditer(data, max(0, len(data) - WINDOW_BYTES // 4))
    ]
    cuts = cuts or [match.start() + 1 for match in _CUT.finditer(data)]
    for cut in reversed(cuts[-CUTS_TRIED:]):
        if (results := _read(data[:cut])) is not None:
            return results, data.index(b",", cut) + 1, False
    for match in islice(_LAST.finditer(data), LASTS_TRIED):  # one of these ends the array
        if (results := _read(data[: match.start() + 1])) is not None:
            return results, match.end(), True
    return (), 0, False


def _read(text: bytes) -> list[msgspec.Raw] | None:
    try:
        return msgspec.json.decode(b"[" + text + b"]", type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return None


def _array_in(head: bytearray, path: str) -> int:
    """Return where the array below `path` begins."""
    steps = json_path(path) or ()
    for match in re.finditer(rb"\[", head):
        try:
            result = value_below(
                bytes(head[: match.start()]) + b"[]" + b"}" * len(steps), steps, path
            )
        except CannotRead:
            continue
        if result == b"[]":
            return match.start()
    raise CannotRead(
        f"no array at {path} begins within the first {HEAD_BYTES:,} bytes of an answer that is too"
        " large to be held"
    )


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    first = True
    for chunk in chunks:
        yield chunk.removeprefix(codecs.BOM_UTF8) if first else chunk
        first = False
