"""Text files before a parser reads them: encoding, line ends, and rules for every text file."""

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
from headrace.lake.byte_search import contains

# Every text file must be UTF-8, without NUL bytes, and not empty. One pass in constant memory.

TEXT_CHUNK_BYTES = 1 << 20


class LineCounts(msgspec.Struct):
    """The counts of one pass over a text file."""

    ends: int = 0
    """Number of line ends (LF)."""
    plain: bool = True
    """Whether each line is certainly one row: no quotes, no blank lines, CR only in CRLF."""
    empty: bool = True
    open_bytes: int = 0
    """Number of bytes since the last line end."""

    @property
    def rows(self) -> int | None:
        """Number of lines without the header; None if lines may not be rows."""
        return self.ends + bool(self.open_bytes) - 1 if self.plain and not self.empty else None


def require_text(
    path: Path, *, line_bytes_max: int, blank: bool = False, setting: str = ""
) -> LineCounts:
    """Check that a file is UTF-8 text, and count its lines.

    `setting` is the source's field that may declare another encoding.

    Raises CannotRead, with the line, for a file that is empty (unless `blank` allows it), isn't
    UTF-8, has NUL bytes (binary data, UTF-16 without its mark, a disk's unwritten blocks), or has a
    line longer than `line_bytes_max`. Long lines are refused here because DuckDB's parallel reader
    returns 0 rows, without an error, for a row larger than its buffer.
    """
    lines, last = LineCounts(), b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(TEXT_CHUNK_BYTES):
            if b"\0" in chunk:
                raise _nul(
                    chunk,
                    lines.ends + 1 + chunk[: chunk.index(b"\0")].count(b"\n"),
                    first=lines.empty,
                )
            _decode(decoder, chunk, lines.ends + 1, setting)
            _count(lines, last, chunk, line_bytes_max)
            last = chunk[-1:]
    if decoder.getstate()[0]:
        raise CannotRead(
            "ends in the middle of a character: it is truncated, or not UTF-8",
            line=lines.ends + 1,
            code="delivery_encoding",
        )
    if lines.empty and not blank:
        raise CannotRead("the file is empty: there isn't even a header", code="delivery_empty")
    lines.plain = lines.plain and last != b"\r"
    return lines


def _count(lines: LineCounts, last: bytes, chunk: bytes, line_bytes_max: int) -> None:
    """Add the counts of `chunk`, which follows the byte `last`."""
    first, end = chunk.find(b"\n"), chunk.rfind(b"\n")
    if (
        lines.open_bytes + (first if first >= 0 else len(chunk)) > line_bytes_max
        and b"\r" not in chunk
    ):
        raise CannotRead(
            f"line {lines.ends + 1}: longer than {line_bytes_max:,} bytes", line=lines.ends + 1
        )
    lines.open_bytes = len(chunk) - end - 1 if end >= 0 else lines.open_bytes + len(chunk)
    lines.ends += chunk.count(b"\n")
    lines.empty = lines.empty and not chunk.strip()
    if lines.plain:
        lines.plain = b'"' not in chunk and not _has_odd_breaks(last, chunk)


def _has_odd_breaks(last: bytes, chunk: bytes) -> bool:
    """Whether there is a blank line, or a CR outside of CRLF; a CR at the very end is neither."""
    joined = last + chunk
    if contains(joined, b"\n\n") or (not last and chunk[:1] in b"\r\n"):
        return True
    if b"\r" not in joined:
        return False
    alone = joined.count(b"\r") != joined.count(b"\r\n") + joined.endswith(b"\r")
    return alone or b"\n\r" in joined


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, lines: int, setting: str) -> None:
    if chunk.isascii() and not decoder.getstate()[0]:
        return
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError as error:
        carried = len(error.object) - len(chunk)
        at = max(0, error.start - carried)
        byte = error.object[error.start]
        encoding = foreign_encoding(chunk) or ("" if _FOREIGN.search(chunk) else LEGACY)
        letter = bytes([byte]).decode(encoding or UTF8, "replace")
        name = "Windows-1252" if encoding == LEGACY else encoding
        guess = f"; in {name} it would be `{letter}`" if letter.isalpha() else ""
        such = f", such as {setting}: {{encoding: {encoding}}}" if encoding else ""
        declare = f", or declare its encoding{such}"
        line = lines + chunk[:at].count(b"\n")
        raise CannotRead(
            f"line {line}: byte 0x{byte:02X} isn't UTF-8{guess}; deliver the file in UTF-8"
            f"{declare if setting else ''}",
            line=line,
            code="delivery_encoding",
        ) from error


def _nul(chunk: bytes, line: int, *, first: bool) -> CannotRead:
    """Return the error for NUL bytes: UTF-16 or UTF-32 without a mark, or binary data."""
    sample = chunk[:2000]
    if first and (sample.startswith(UTF32) or sample.count(0) * 3 > len(sample)):
        wide = (
            "UTF-32"
            if sample.startswith(UTF32) or sample.count(0) * 2 > len(sample) * 1.3
            else "UTF-16 without a byte order mark"
        )
        return CannotRead(
            f"isn't UTF-8: it looks like {wide}, or like binary data; deliver the file in UTF-8",
            line=line,
            code="delivery_encoding",
        )
    return CannotRead(
        f"line {line}: a nul byte; the file is binary, or damaged",
        line=line,
        code="delivery_encoding",
    )


def is_cut_in_line(path: Path, line: int) -> bool:
    """Whether a line (from 1) is the file's last one and has no line end.

    Its error may then be that the rest of the file is missing.
    """
    ends = 0
    with path.open("rb") as file:
        while chunk := file.read(TEXT_CHUNK_BYTES):
            ends += chunk.count(b"\n")
            if ends >= line:
                return False
    return ends == line - 1


def ends_open(path: Path) -> bool:
    """Whether the last line of a non-empty file has no line end."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) not in (b"\n", b"\r")


# Files in which some lines end in CRLF and others in LF; several systems appending to one file
# produce them.

LINE_END_CHUNK_BYTES = 1 << 20
QUOTED = b"quoted"


class Quoting(NamedTuple):
    """The quoting of values: a quote counts at the start of a value, and closes it if unescaped."""

    delimiter: str
    quote: str
    escape: str


def has_both_line_ends(path: Path) -> bool:
    """Whether both CRLF and LF occur, inside quoted values or not; one cheap pass."""
    alone, with_return, last = False, False, b""
    with path.open("rb") as file:
        while chunk := file.read(LINE_END_CHUNK_BYTES):
            if b"\r" not in chunk and last != b"\r":  # counting takes ten times as long
                alone = alone or b"\n" in chunk
            else:
                both = chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
                with_return = with_return or both > 0
                alone = alone or both < chunk.count(b"\n")
            last = chunk[-1:]
            if alone and with_return:
                return True
    return False


def one_line_end(
    opened: Opened,
    temporary: Path,
    bounds: UnpackLimits,
    line_bytes_max: int,
    quoting: Quoting | None = None,
    *,
    intermediate: bool,
) -> Opened:
    """Return `opened`, or a copy in which all rows end in LF if some rows end in CRLF.

    Line breaks inside quoted values stay; `quoting` is None for text without quotes. A file with a
    line of more than `line_bytes_max` bytes, or with a quote that is never closed, is returned
    unchanged: its reader reports the line. `intermediate`: whether `opened` itself is deleted when
    a copy replaces it, or when this fails.
    """
    path, lines = Path(opened.path), _Lines(line_bytes_max, quoting)
    normalized = None
    try:
        normalized = (
            opened
            if not _rows_differ(path, lines)
            else written(opened, temporary, bounds, (line for line, _ in lines.of(path)))
        )
    finally:
        if intermediate and normalized is not opened:
            opened.discard()
    return normalized


def blanked(
    path: Path, line_bytes_max: int, quoting: Quoting | None, skip: int, comment: str
) -> Iterator[bytes]:
    """Yield lines that end in LF; the first `skip`, and those that begin with `comment`, are blank.

    A line in a quoted value isn't a comment.
    """
    yield from [b"\n"] * skip
    before, mark = b"", comment.encode()
    for line, ending in _Lines(line_bytes_max, quoting).of(path, skip):
        text = line.removeprefix(codecs.BOM_UTF8)
        yield b"\n" if mark and before != QUOTED and text.startswith(mark) else line
        before = ending


def _rows_differ(path: Path, lines: _Lines) -> bool:
    """Whether rows end in both ways, not just lines in quoted values, and all quotes are closed."""
    results, ending = set(), b""
    for line, ending in lines.of(path):
        if len(line) > lines.bytes_max:
            return False
        results.add(ending)
    return ending != QUOTED and {b"\r\n", b"\n"} <= results


class _Lines:
    """A file's lines with one kind of line end, each with its original end.

    That is CRLF, LF or nothing, or QUOTED inside a quoted value.
    """

    def __init__(self, bytes_max: int, quoting: Quoting | None) -> None:
        self.bytes_max = bytes_max
        self._quote = quoting.quote.encode() if quoting else b""
        self._open_quote = _open_quote(quoting) if quoting else None

    def of(self, path: Path, skip: int = 0) -> Iterator[tuple[bytes, bytes]]:
        inside = False
        with path.open("rb") as file:
            for _ in range(skip):
                file.readline()
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
    """Return a pattern for a line, from the start of a value, that ends inside a quoted value.

    It never backtracks, so its time is linear in the line's length.
    """
    mark, end, escape = (
        re.escape(item.encode()) for item in (quoting.quote, quoting.delimiter, quoting.escape)
    )
    escaped = escape + (mark if quoting.escape == quoting.quote else b".")
    inside = b"(?:" + escaped + b"|(?!" + mark + b").)*+"
    rest = b"(?:(?!" + end + b").)*+" + end
    closed = mark + inside + mark + rest
    plain = b"(?!" + mark + b")" + rest
    return re.compile(b"(?:" + closed + b"|" + plain + b")*+" + mark + inside, re.DOTALL)


# The encoding of a text file that isn't in the pinned or declared one.
#
# UTF-16 shows by its mark or, like UTF-32, by its NUL bytes. UTF-8 differs from single-byte
# encodings by its own rules, which random bytes don't satisfy. Any other encoding is searched for
# only if reading as UTF-8 fails.

UTF8, UTF16 = "utf-8", "utf-16"
_AS_IT_STANDS = (UTF8, "ascii")
ENCODING_BYTES_MAX = 64 << 20
"""64 MiB: larger files in another encoding aren't searched."""
LEGACY = "cp1252"
_CYRILLIC, _GREEK = "оеаинтсрвл", "αοιετσνηυρςάίό"
_ALPHABETS = {
    **dict.fromkeys(("cp1251", "koi8-r", "cp866", "iso-8859-5"), _CYRILLIC),
    **dict.fromkeys(("cp1253", "iso-8859-7"), _GREEK),
}
"""Encodings of other letters than Latin ones, with the letters of most texts in them."""
_FOREIGN, _BEYOND_ASCII = re.compile(rb"[\x80-\xff]{3,}"), re.compile(rb"[\x80-\xff]")
FOREIGN_BYTES_MIN = 12
"""Letters from which on a file is refused whose declared encoding isn't that of its letters."""
_FOREIGN_SHARE = 0.4
"""Over half of a Russian or Greek text are the usual letters; of another reading, a third are."""
_UNLIKE_UTF8 = (LEGACY, "latin-1", "iso-8859-15", *_ALPHABETS)
"""Encodings in which UTF-8's characters become a letter and a sign each, as in no text."""
_WIDE = {"x000": "utf-32-le", "000x": "utf-32-be", "x0x0": "utf-16-le", "0x0x": "utf-16-be"}
"""Which of four bytes are NUL in plain letters → the encoding."""
_USUAL_SIGNS = frozenset("€‚„…‰‹›‘’“”•–—™¡£§©ª«®°±²³´µ·¸¹º»¼½¾¿×÷\xa0")
_IN_A_ROW = re.compile(r"[^\x00-\x7f\xa0]{3}")
_OTHERS = (
    *("cp1250", "iso-8859-2", "iso-8859-15", "cp1254", "cp1257"),
    *("cp437", "cp850", "mac-roman"),
)
"""Encodings of Latin letters in which a file that looks like Windows-1252 may be."""
_LATIN_END = "\u0250"
_CAPITAL_INSIDE = re.compile("[a-zß-öø-ÿ][À-ÖØ-ÞŠŒŽŸ]")


def in_utf8(
    opened: Opened,
    declared: str,
    pinned: SourceSchema | None,
    temporary: Path,
    bounds: UnpackLimits,
) -> Opened:
    """Return `opened`, or a copy in UTF-8 from the accepted, else the declared encoding.

    A file with a byte order mark is in UTF-8 already. Raises CannotRead, with the line, for a file
    with lines in both encodings.
    """
    turned_out = pinned.format.recode if pinned else ""
    encoding = declared if turned_out in ("", UTF16) else turned_out
    if opened.encoding == UTF16 or encoding in _AS_IT_STANDS:
        return opened
    if encoding in _UNLIKE_UTF8 and (line := _mixed_line_of(Path(opened.path))) is not None:
        raise CannotRead(
            f"line {line} is UTF-8, other lines are {encoding}: read in one encoding, one of them"
            " would be wrong",
            line=line,
            code="delivery_encoding",
        )
    _refuse_foreign(Path(opened.path), encoding)
    return recoded(opened, encoding, temporary, bounds)


def _refuse_foreign(path: Path, encoding: str) -> None:
    """Raise CannotRead if a file's Cyrillic or Greek letters are surely in another encoding."""
    if encoding not in (*_UNLIKE_UTF8, *_OTHERS):
        return
    with path.open("rb") as file:
        data = file.read(CHUNK_BYTES)
    likely = foreign_encoding(data, FOREIGN_BYTES_MIN)
    if likely and likely != encoding and {likely, encoding} != {"cp1253", "iso-8859-7"}:
        match = _FOREIGN.search(data)
        line = data.count(b"\n", 0, match.start() if match else 0) + 1
        raise CannotRead(
            f"line {line}: by its letters the file is in {likely}, but {encoding} is declared",
            line=line,
            code="delivery_encoding",
        )


def foreign_encoding(data: bytes, bytes_min: int = 1) -> str:
    """Return the Cyrillic or Greek encoding in which bytes are plausible words; empty if none.

    Latin languages have hardly three letters beyond ASCII in a row. `bytes_min`: how many bytes
    there must be in such rows.
    """
    words = b"".join(_FOREIGN.findall(data))
    if len(words) < bytes_min or 2 * len(words) < len(_BEYOND_ASCII.findall(data)):
        return ""
    fitting = {}
    for encoding, usual in _ALPHABETS.items():
        text = words.decode(encoding, "replace").lower()
        share = sum(letter in usual for letter in text) / len(words)
        fitting[encoding] = share, sum(map(str.isalpha, text))
    best = max(fitting, key=fitting.__getitem__)
    return best if fitting[best][0] >= _FOREIGN_SHARE else ""


def other_encoding(opened: Opened, pinned: SourceSchema) -> Drift | None:
    """Return a Drift if the file is certainly in another encoding than expected.

    None if it isn't, or if another encoding was already accepted.
    """
    # Records of bytes contain no surrounding text that shows an encoding.
    if pinned.format.recode or "record" in _declared(opened.options)[1]:
        return None
    expected = expected_encoding(opened.options, pinned)
    result = _detected_encoding(opened, expected)
    if result == expected:
        return None
    reads_as = msgspec.structs.replace(
        pinned, format=msgspec.structs.replace(pinned.format, recode=result)
    )
    return Drift(
        detail=f"the encoding is {result.upper()} instead of {expected.upper()}", reads_as=reads_as
    )


def mislabelled(opened: Opened) -> tuple[Opened, str]:
    """Return a first delivery with the option UTF-8, and the wrongly declared encoding.

    That is a file that is UTF-8 as a whole though another encoding is declared. Any other file is
    returned unchanged, with an empty text.
    """
    kind, declared = _declared(opened.options)
    encoding = str(declared.get("encoding", UTF8))
    if (
        "record" in declared
        or encoding not in _UNLIKE_UTF8
        or opened.encoding == UTF16
        or not _in_utf8(Path(opened.path))
    ):
        return opened, ""
    options = {**opened.options, kind: {**declared, "encoding": UTF8}}
    return msgspec.structs.replace(opened, options=options), encoding


def expected_encoding(options: Mapping[str, Any], pinned: SourceSchema) -> str:
    """Return the encoding of a source's files, by its `options`, else by the pinned format."""
    expected = _declared(options)[1].get("encoding") or (
        UTF16 if pinned.format.encoding == UTF16 else UTF8
    )
    return UTF8 if expected in _AS_IT_STANDS else expected


def _declared(options: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    """Return the format whose options state an encoding, and these options."""
    for kind, declared in options.items():
        if isinstance(declared, Mapping) and "encoding" in declared:
            return kind, declared
    return "", {}


def _detected_encoding(opened: Opened, expected: str) -> str:
    if opened.encoding == UTF16:
        return UTF16
    if expected == UTF8:
        return UTF8
    result = _in_utf8(Path(opened.path))
    if expected == UTF16:
        return expected if result is None else UTF8
    return UTF8 if result else expected


def _in_utf8(path: Path) -> bool | None:
    """Whether a UTF-8 file has characters of several bytes; None if it isn't UTF-8.

    Reading ends at the first invalid byte.
    """
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
    """Return the encoding in which a file that isn't UTF-8 is plausible text, else None.

    That is UTF-16 without its mark, UTF-32, or Windows-1252 if it has only letters and usual signs,
    and never three non-ASCII characters in a row, which would be another alphabet, or a capital
    after a small letter. A file in which some lines are UTF-8 and others aren't comes from two
    origins: in any one encoding, half of it would be wrong.
    """
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
    unusual_signs = {
        sign for sign in text if sign > "\x7f" and not sign.isalpha() and sign not in _USUAL_SIGNS
    }
    foreign = encoding == LEGACY and (_IN_A_ROW.search(text) or _CAPITAL_INSIDE.search(text))
    return None if unusual_signs or foreign or "\0" in text else encoding


def other_readings(path: Path) -> str:
    """Return how other encodings read a file that `legacy_encoding` takes for Windows-1252.

    That is the first byte that they read as another letter, with its line. Empty if each of them
    reads the same, or no text: it has signs or Greek letters, or a capital after a small letter.
    """
    data = path.read_bytes()
    text = data.decode(LEGACY)
    decoded = {encoding: data.decode(encoding, "replace") for encoding in _OTHERS}
    others = {name: other for name, other in decoded.items() if other != text and _is_latin(other)}
    if not others:
        return ""
    first = next(iter(others.values()))
    at = next(place for place, sign in enumerate(text) if sign != first[place])
    letters = {other[at]: name for name, other in reversed(others.items()) if other[at] != text[at]}
    letters[text[at]] = LEGACY
    listed = " or ".join(f"`{letter}` in {name}" for letter, name in reversed(letters.items()))
    line = data.count(b"\n", 0, at) + 1
    return f"byte 0x{data[at]:02X} in line {line} is {listed}"


def _is_latin(text: str) -> bool:
    """Whether all signs beyond ASCII are Latin letters, and none is a capital within a word."""
    return not _CAPITAL_INSIDE.search(text) and all(
        sign < _LATIN_END and sign.isalpha() for sign in set(text) if sign > "\x7f"
    )


def _mixed_line_of(path: Path) -> int | None:
    """Like `mixed_line`, read line by line; None if the whole file is UTF-8."""
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
    """Yield lines, up to the first one that is too long to check."""
    while (line := file.readline(CHUNK_BYTES)) and len(line) < CHUNK_BYTES:
        yield line


def mixed_line(data: bytes) -> int | None:
    """Return the first line (from 1) with non-ASCII UTF-8, in text that isn't UTF-8 as a whole."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.isascii():
            try:
                line.decode(UTF8)
            except UnicodeDecodeError:
                continue
            return number
    return None


def _wide(data: bytes) -> str | None:
    """Detect UTF-32 and UTF-16 by their NUL bytes.

    In plain letters these are three of four bytes, or every second byte.
    """
    if data.startswith(UTF32):
        return "utf-32"
    return _WIDE.get(
        "".join("0" if data[at::4].count(0) > 0.8 * len(data) / 4 else "x" for at in range(4))
    )
