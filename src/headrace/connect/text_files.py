"""Text files before a parser reads them: encoding, line ends, and what every text file must be."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from headrace.connect.deliveries import CannotRead, Drift, SourceSchema
from headrace.connect.raw_files import CHUNK_BYTES, UTF32, Opened, UnpackLimits, recoded, written

# Every text file must be UTF-8, without nul bytes and not empty. One pass in constant memory.

TEXT_CHUNK_BYTES = 1 << 20


class LineCounts(msgspec.Struct):
    """What one pass over a text file counts."""

    ends: int = 0
    """Line ends (LF)."""
    plain: bool = True
    """Whether each line is one row for certain: no quotes, no blank lines, no CR but in CRLF."""
    empty: bool = True
    open_bytes: int = 0
    """Bytes since the last line end."""

    @property
    def rows(self) -> int | None:
        """Lines without the header; None where that can't be told from the lines."""
        return self.ends + bool(self.open_bytes) - 1 if self.plain and not self.empty else None


def require_text(path: Path, *, line_bytes_max: int, blank: bool = False) -> LineCounts:
    """Raise CannotRead, with the line, for a file that is empty (unless `blank` allows it), isn't UTF-8, holds nul bytes (binary
    data, UTF-16 without its mark, a disk's unwritten blocks), or has a line longer than `line_bytes_max`.

    The last is checked here because DuckDB's parallel reader gives 0 rows, without an error, for a row larger than its buffer.
    """
    lines, last = LineCounts(), b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(TEXT_CHUNK_BYTES):
            if b"\0" in chunk:
                raise _nul(chunk, lines.ends + 1 + chunk[: chunk.index(b"\0")].count(b"\n"), first=lines.empty)
            _decode(decoder, chunk, lines.ends + 1)
            _count(lines, last, chunk, line_bytes_max)
            last = chunk[-1:]
    if decoder.getstate()[0]:
        raise CannotRead("ends in the middle of a character: it is truncated, or not UTF-8", line=lines.ends + 1, code="delivery_encoding")
    if lines.empty and not blank:
        raise CannotRead("the file is empty: there isn't even a header", code="delivery_empty")
    lines.plain = lines.plain and last != b"\r"
    return lines


def _count(lines: LineCounts, last: bytes, chunk: bytes, line_bytes_max: int) -> None:
    """Go on counting with `chunk`, which came after the byte `last`."""
    first, end = chunk.find(b"\n"), chunk.rfind(b"\n")
    if lines.open_bytes + (first if first >= 0 else len(chunk)) > line_bytes_max and b"\r" not in chunk:
        raise CannotRead(f"line {lines.ends + 1}: longer than {line_bytes_max:,} bytes", line=lines.ends + 1)
    lines.open_bytes = len(chunk) - end - 1 if end >= 0 else lines.open_bytes + len(chunk)
    lines.ends += chunk.count(b"\n")
    lines.empty = lines.empty and not chunk.strip()
    if lines.plain:
        joined = last + chunk
        breaks = b"\r" in joined and joined.count(b"\r") != joined.count(b"\r\n") + joined.endswith(b"\r")
        lines.plain = not (b'"' in chunk or b"\n\n" in joined or b"\n\r" in joined or breaks or (not last and chunk[:1] in b"\r\n"))


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, lines: int) -> None:
    if chunk.isascii() and not decoder.getstate()[0]:
        return
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError as error:
        carried = len(error.object) - len(chunk)
        at = max(0, error.start - carried)
        byte = error.object[error.start]
        western = bytes([byte]).decode("cp1252", "replace")
        guess = f"; in Windows-1252 it would be `{western}`" if western.isalpha() else ""
        line = lines + chunk[:at].count(b"\n")
        raise CannotRead(
            f"line {line}: byte 0x{byte:02X} isn't UTF-8{guess}; deliver the file in UTF-8", line=line, code="delivery_encoding"
        ) from error


def _nul(chunk: bytes, line: int, *, first: bool) -> CannotRead:
    """Told apart: text in an encoding of two or four bytes a character, and anything else with a nul in it."""
    sample = chunk[:2000]
    if first and (sample.startswith(UTF32) or sample.count(0) * 3 > len(sample)):
        wide = "UTF-32" if sample.startswith(UTF32) or sample.count(0) * 2 > len(sample) * 1.3 else "UTF-16 without a byte order mark"
        return CannotRead(f"isn't UTF-8: it looks like {wide}, or like binary data", line=line, code="delivery_encoding")
    return CannotRead(f"line {line}: a nul byte; the file is binary, or damaged", line=line, code="delivery_encoding")


def is_cut_in_line(path: Path, line: int) -> bool:
    """Whether a line (from 1) is the file's last one and has no line end: what is wrong with it may
    be that the rest of the file isn't there."""
    ends = 0
    with path.open("rb") as file:
        while chunk := file.read(TEXT_CHUNK_BYTES):
            ends += chunk.count(b"\n")
            if ends >= line:
                return False
    return ends == line - 1


def ends_open(path: Path) -> bool:
    """Whether the last line of a file that isn't empty has no line end."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) not in (b"\n", b"\r")


# Files in which some lines end in CRLF and others in LF: systems that append to each other's
# files produce them.

LINE_END_CHUNK_BYTES = 1 << 20
QUOTED = b"quoted"


class Quoting(NamedTuple):
    """How values are quoted: a quote counts at the beginning of a value, and closes it where it
    isn't escaped."""

    delimiter: str
    quote: str
    escape: str


def has_both_line_ends(path: Path) -> bool:
    """Whether there are CRLF and LF, inside quoted values or not; one cheap pass."""
    ends, with_return, last = 0, 0, b""
    with path.open("rb") as file:
        while chunk := file.read(LINE_END_CHUNK_BYTES):
            ends += chunk.count(b"\n")
            with_return += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
            if 0 < with_return < ends:
                return True
    return False


def one_line_end(
    opened: Opened, temporary: Path, bounds: UnpackLimits, line_bytes_max: int,
    quoting: Quoting | None = None, *, intermediate: bool,
) -> Opened:  # fmt: skip
    """`opened`, or a copy in which every row ends in LF, where some rows end in CRLF and others in LF.

    Line breaks inside quoted values stay as they are; `quoting` is None for text without quotes.
    A file with a line of more than `line_bytes_max` bytes, or with a quote that is never closed,
    stays as it is: its reader names the line. `intermediate`: whether `opened` itself is deleted
    where a copy takes its place, or where this fails.
    """
    path, lines = Path(opened.path), _Lines(line_bytes_max, quoting)
    made = None
    try:
        made = opened if not _rows_differ(path, lines) else written(opened, temporary, bounds, (line for line, _ in lines.of(path)))
    finally:
        if intermediate and made is not opened:
            opened.discard()
    return made


def _rows_differ(path: Path, lines: _Lines) -> bool:
    """Whether rows, and not just lines inside quoted values, end in both ways, in a file whose
    quotes are closed."""
    results, ending = set(), b""
    for line, ending in lines.of(path):
        if len(line) > lines.bytes_max:
            return False
        results.add(ending)
    return ending != QUOTED and {b"\r\n", b"\n"} <= results


class _Lines:
    """A file's lines as they are to be written, each with how it ended: in CRLF, LF or nothing,
    or inside a quoted value."""

    def __init__(self, bytes_max: int, quoting: Quoting | None) -> None:
        self.bytes_max = bytes_max
        self._quote = quoting.quote.encode() if quoting else b""
        self._open_quote = _open_quote(quoting) if quoting else None

    def of(self, path: Path) -> Iterator[tuple[bytes, bytes]]:
        inside = False
        with path.open("rb") as file:
            while line := file.readline(self.bytes_max + 1):
                inside = self._ends_inside(self._quote + line if inside else line)
                if inside:
                    yield line, QUOTED
                elif line.endswith(b"\r\n"):
                    yield line[:-2] + b"\n", b"\r\n"
                else:
                    yield line, b"\n" if line.endswith(b"\n") else b""

    def _ends_inside(self, line: bytes) -> bool:
        return self._open_quote is not None and self._open_quote.fullmatch(line) is not None


def _open_quote(quoting: Quoting) -> re.Pattern[bytes]:
    """Matches a line, read from the beginning of a value, that ends inside a quoted value. No step
    is taken back, so that the time grows with the line's length only."""
    mark, end, escape = (re.escape(item.encode()) for item in (quoting.quote, quoting.delimiter, quoting.escape))
    escaped = escape + (mark if quoting.escape == quoting.quote else b".")
    inside = b"(?:" + escaped + b"|(?!" + mark + b").)*+"
    rest = b"(?:(?!" + end + b").)*+" + end
    closed = mark + inside + mark + rest
    plain = b"(?!" + mark + b")" + rest
    return re.compile(b"(?:" + closed + b"|" + plain + b")*+" + mark + inside, re.DOTALL)


# The encoding of a text file that isn't in the one that its source is pinned to or declares.
#
# UTF-16 shows by its mark or, like UTF-32, by its nul bytes; UTF-8 differs from encodings of one
# byte a character by its own rules, which chance doesn't satisfy. Any other encoding is looked
# for where reading as UTF-8 failed.

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
