"""In which encoding a file of text is, where that isn't the one that its source is pinned to or declares.

UTF-16 says so by its mark, or by its nul bytes like UTF-32; UTF-8 is told from encodings of one byte a character by its own rules,
which chance doesn't keep. Anything else is told where reading as UTF-8 failed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from headrace.connect.deliveries import CannotRead, Drift, SourceSchema
from headrace.connect.unpack import CHUNK_BYTES, UTF32, Opened, UnpackLimits, recoded

UTF8, UTF16 = "utf-8", "utf-16"
_AS_IT_STANDS = (UTF8, "ascii")
ENCODING_BYTES_MAX = 64 << 20
"""A larger file in another encoding isn't looked through."""
LEGACY = "cp1252"
_WESTERN = (LEGACY, "latin-1", "iso-8859-15")
"""Encodings in which UTF-8's characters are pairs of an accented capital and a sign, which no text has."""
_WIDE = {"x000": "utf-32-le", "000x": "utf-32-be", "x0x0": "utf-16-le", "0x0x": "utf-16-be"}
"""Which of four bytes are nul in plain letters."""
_USUAL_SIGNS = frozenset("€‚„…‰‹›‘’“”•–—™¡£§©ª«®°±²³´µ·¸¹º»¼½¾¿×÷\xa0")
_IN_A_ROW = re.compile(r"[^\x00-\x7f\xa0]{3}")
IN_ANY = ("csv", "fixed_width")
"""Kinds of files that may be in any encoding, and whose encoding can be declared. JSON is UTF-8, and XML says its own."""


def in_utf8(opened: Opened, declared: str, pinned: SourceSchema | None, temporary: Path, bounds: UnpackLimits) -> Opened:
    """`opened`, or a copy of it in UTF-8: from the encoding that it turned out to have, else from the declared one. One that said its
    encoding by a mark is in UTF-8 already. Raises CannotRead, with the line, for a file of lines in both."""
    turned_out = pinned.format.recode if pinned else ""
    encoding = declared if turned_out in ("", UTF16) else turned_out
    if opened.encoding == UTF16 or encoding in _AS_IT_STANDS:
        return opened
    if encoding in _WESTERN and (line := _mixed_line_of(Path(opened.path))) is not None:
        raise CannotRead(
            f"line {line} is UTF-8, other lines are {encoding}: read in one encoding, one of them would be wrong",
            line=line,
            code="delivery_encoding",
        )
    return recoded(opened, encoding, temporary, bounds)


def other_encoding(opened: Opened, pinned: SourceSchema) -> Drift | None:
    """A drift where the file shows by itself that it is in another encoding than it should be; None once that was decided."""
    if pinned.format.recode or "record" in _declared(opened.options):  # records of bytes have no text around them that shows anything
        return None
    expected = expected_encoding(opened.options, pinned)
    result = _found(opened, expected)
    if result == expected:
        return None
    reads_as = msgspec.structs.replace(pinned, format=msgspec.structs.replace(pinned.format, recode=result))
    return Drift(detail=f"the encoding is {result.upper()} instead of {expected.upper()}", reads_as=reads_as)


def mislabelled(opened: Opened) -> tuple[Opened, str]:
    """A first delivery that is UTF-8 as a whole though another encoding is declared, with options that say UTF-8, and the declared
    encoding; any other as it is, and an empty text."""
    kind = next((item for item in IN_ANY if item in opened.options), "")
    declared = _declared(opened.options)
    encoding = str(declared.get("encoding", UTF8))
    if "record" in declared or encoding not in _WESTERN or opened.encoding == UTF16:
        return opened, ""
    if not _in_utf8(Path(opened.path)):
        return opened, ""
    options = {**opened.options, kind: {**declared, "encoding": UTF8}}
    return msgspec.structs.replace(opened, options=options), encoding


def expected_encoding(options: Mapping[str, Any], pinned: SourceSchema) -> str:
    """The encoding that a source's files are in by its `options`, else by the first of them."""
    expected = _declared(options).get("encoding") or (UTF16 if pinned.format.encoding == UTF16 else UTF8)
    return UTF8 if expected in _AS_IT_STANDS else expected


def _declared(options: Mapping[str, Any]) -> Mapping[str, str]:
    """What the source declares of its kind of files, where that may say an encoding."""
    result = next((options[kind] for kind in IN_ANY if kind in options), None)
    return result if isinstance(result, Mapping) else {}


def _found(opened: Opened, expected: str) -> str:
    if opened.encoding == UTF16:
        return UTF16
    if expected == UTF8:
        return UTF8
    result = _in_utf8(Path(opened.path))
    if expected == UTF16:
        return expected if result is None else UTF8
    return UTF8 if result else expected


def _in_utf8(path: Path) -> bool | None:
    """Whether a file in UTF-8 has characters of several bytes; None for one that isn't UTF-8. Ends at the first byte that isn't."""
    decoder, plain = codecs.getincrementaldecoder(UTF8)(), True
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            plain = plain and chunk.isascii()
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return None
    return None if decoder.getstate()[0] else not plain


def legacy_encoding(path: Path) -> str | None:
    """The encoding in which a file makes sense that isn't UTF-8: UTF-16 that lacks its mark, UTF-32, or that of Windows for western Europe,
    where there are letters and usual signs only, and never many accents in a row: that is another alphabet. Lines that are UTF-8 among
    others that aren't come from two places: read in one encoding, one half would be wrong."""
    if path.stat().st_size > ENCODING_BYTES_MAX:
        return None
    data = path.read_bytes()
    encoding = _wide(data) or LEGACY
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    if encoding == LEGACY and mixed_line(data) is not None:
        return None
    odd = {sign for sign in text if sign > "\x7f" and not sign.isalpha() and sign not in _USUAL_SIGNS}
    foreign = encoding == LEGACY and _IN_A_ROW.search(text)
    return None if odd or foreign or "\0" in text else encoding


def _mixed_line_of(path: Path) -> int | None:
    """As `mixed_line`, None for a text that is UTF-8 as a whole too; a line at a time."""
    first, others = None, False
    with path.open("rb") as file:
        for number, line in enumerate(_bounded(file), 1):
            if line.isascii():
                continue
            try:
                line.decode(UTF8)
            except UnicodeDecodeError:
                others = True
            else:
                first = first or number
            if first and others:
                return first
    return None


def _bounded(file: IO[bytes]) -> Iterator[bytes]:
    """Lines; none after one that is too long to be looked at."""
    while (line := file.readline(CHUNK_BYTES)) and len(line) < CHUNK_BYTES:
        yield line


def mixed_line(data: bytes) -> int | None:
    """The first line (from 1) that has letters beyond ASCII in UTF-8, in a text that isn't UTF-8 as a whole; None without one."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.isascii():
            try:
                line.decode(UTF8)
            except UnicodeDecodeError:
                continue
            return number
    return None


def _wide(data: bytes) -> str | None:
    """UTF-32 and UTF-16 by their nul bytes: of plain letters three bytes in four are one, or every second."""
    if data.startswith(UTF32):
        return "utf-32"
    return _WIDE.get("".join("0" if data[at::4].count(0) > 0.8 * len(data) / 4 else "x" for at in range(4)))
