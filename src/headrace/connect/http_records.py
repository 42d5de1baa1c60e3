"""The records in one page of JSON, each as the text that came: no number is parsed on the way, so none loses a digit."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from headrace.connect.deliveries import CannotRead
from headrace.connect.shown import shown
from headrace.model.json_paths import json_path

LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
"""A JSON text may be broken over lines between its tokens only: within strings, line ends are escaped."""
PIECE_BYTES = 1 << 20
T = TypeVar("T")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def in_utf8(page: bytes, charset: str | None) -> bytes:
    """The page in UTF-8, which JSON always is, whatever the server says; only what isn't is read as it says. Raises CannotRead."""
    if page.startswith(_UTF16):
        charset = "utf-16"
    else:
        page = page.removeprefix(codecs.BOM_UTF8)
        try:
            for _ in valid_utf8(page[at : at + PIECE_BYTES] for at in range(0, len(page), PIECE_BYTES)):
                pass
        except CannotRead:
            if charset is None or codecs_name(charset) in (None, "utf-8"):
                raise
        else:
            return page
    try:
        return page.decode(charset).encode()
    except (UnicodeError, LookupError) as error:
        raise CannotRead(f"it isn't in {shown(charset)}, as the server says", code="delivery_encoding") from error


def valid_utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of one text, as long as they are UTF-8. Raises CannotRead."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in pieces:
        try:
            decoder.decode(piece)
        except UnicodeDecodeError as error:
            wrong = error.object[error.start]
            raise CannotRead(f"0x{wrong:02X} isn't UTF-8, which JSON must be", code="delivery_encoding") from error
        yield piece
    if decoder.getstate()[0]:
        raise CannotRead("it ends in the middle of a character", code="delivery_encoding")


def codecs_name(charset: str) -> str | None:
    """The charset's usual name; None for one that nobody knows."""
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return None


def records_in(page: bytes, path: str | None) -> list[bytes]:
    """The records below `path` (`$.items`; default: the document), each one object on one line. Raises CannotRead.

    An array holds the records, an object is one; null is an empty array, as some servers write it.
    """
    result = value_below(page, json_path(path or "$") or (), path or "$")
    start = result[:1]
    if result == b"null":
        return []
    if start not in (b"[", b"{"):
        raise CannotRead(f"{path or '$'} is neither an array nor an object")
    items: Sequence[bytes | memoryview] = _decoded(result, list[msgspec.Raw]) if start == b"[" else [result]
    return list(lines_of(items))


def cursor_in(page: bytes, path: str) -> str | None:
    """The text or number below `path`, as text; None where there is none, which is how the last page says so."""
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


class _NotThere(CannotRead):
    """A path leads to nothing."""


def value_below(page: bytes, steps: tuple[str, ...], path: str) -> bytes:
    """The JSON text that the names of `steps` (as written: `path`) lead to. Raises CannotRead."""
    value = bytes(_decoded(page, msgspec.Raw)).strip()
    for step in steps:
        if value == b"null":
            raise _NotThere(f"there is no {shown(path)} in the answer: {shown(step)} is below null")
        if value[:1] != b"{":
            raise CannotRead(f"there is no {shown(path)} in the answer: what should hold {shown(step)} is no object")
        inside = _decoded(value, dict[str, msgspec.Raw])
        if step not in inside:
            raise _NotThere(f"there is no {shown(path)} in the answer, which has {', '.join(map(shown, list(inside)[:10])) or 'nothing'}")
        value = bytes(inside[step]).strip()
    return value


def _decoded(text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CannotRead(f"the answer isn't JSON: {shown(error, 120)}") from error


def lines_of(items: Sequence[bytes | memoryview], first: int = 1) -> Iterator[bytes]:
    """Each record on one line; the first is number `first`. Raises CannotRead for what is no object."""
    for number, item in enumerate(items, first):
        line = bytes(item).strip()
        if line[:1] != b"{":
            raise CannotRead(f"record {number:,} isn't an object")
        yield line.translate(LINE_ENDS)
