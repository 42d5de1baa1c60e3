"""Formats of segments: messages of X12, EDIFACT and HL7 in their envelopes.

A file is a sequence of segments. Headers and trailers nest them: interchanges hold groups, groups
hold messages (transaction sets), messages hold the segments with data. A trailer repeats its
header's reference and states a count; both are compared. Inside a message, some segments begin a
loop, which the following ones belong to.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from headrace.extension import marked
from headrace.extension.formats import CannotRead, Disagrees, printable
from headrace_legacy.text_lines import KindsOfRows

SEGMENTS = "segments"
SEGMENT_BYTES_MAX = 1 << 16
DEPTH_MAX = 100
"""Loops inside of each other."""
TEXT, COUNT, DAY, TIME = "VARCHAR", "BIGINT", "DATE", "TIMESTAMP"
MONEY, QUANTITY = "DECIMAL(18,2)", "DECIMAL(18,6)"
ELEMENTS = "VARCHAR[][][]"
"""Element → repetition → component."""
_CHUNK_BYTES = 1 << 16
_HEADER_BYTES = 1 << 12
"""Enough of an interchange to find its separators."""
_BLANK = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r?\n|\r")
_ID = re.compile(r"[A-Z][A-Z0-9]{1,2}")
NEVER = "\0\0"
"""A separator that no file has: text with NUL bytes is refused."""
_PLACE = re.compile(r"([A-Z][A-Z0-9]{1,2})(?:\[(\w+)\])?([0-9]{2})(?:-([0-9]+))?")
_DECIMAL = re.compile(r"([+-]?)0*([0-9]*)(?:[.,]([0-9]*))?")

_Value = TypeVar("_Value")
_Fill = tuple[str, Callable[["Segment", str], str | None], int, int]
"""Name of a column, how its value is read, and the element and component that has it."""


class Syntax(NamedTuple):
    """The separators of an interchange; `inner` are those inside of an element, outermost first."""

    terminator: bytes
    element: str
    inner: tuple[str, ...]
    release: str = ""
    """The character that makes the next one a part of the value."""
    escape: str = NEVER
    """What marks characters that stand for others."""
    value: Callable[[str], str] = str
    """Returns a value with the characters that its escapes stand for."""
    is_bare: bool = False
    """Whether there is no envelope, so that nothing declares them."""
    declared_bytes: int = 0
    """The length of a declaration that is no segment."""

    def checked(self, *others: str) -> Syntax | None:
        """Return it; None unless all separators are different characters that no value needs."""
        separators = (self.terminator.decode("latin-1"), self.element, *self.inner, *others)
        used = [each for each in separators if each != NEVER]
        return self if len({*used}) == len(used) and all(map(_is_separator, used)) else None

    def values(self, text: str, level: int = 0) -> list[Any]:
        """Return the parts of an element as nested lists, with None for empty values."""
        parts = text.split(self.inner[level])
        if level == len(self.inner) - 1:
            return [
                self.value(part) or None if self.escape in part else part or None for part in parts
            ]
        return [self.values(part, level + 1) if part else None for part in parts]


class Segment:
    """A segment, with its number in the file from 1 and the offset of its first byte."""

    __slots__ = ("id", "number", "offset", "parts", "syntax")

    def __init__(self, text: str, number: int, offset: int, syntax: Syntax) -> None:
        self.syntax, self.number, self.offset = syntax, number, offset
        self.parts = text.split(syntax.element)
        self.id = self.parts[0]
        if not self.id:
            raise self.refused("it has no name")
        if not _is_name(self.id):
            raise self.refused(f"{marked(printable(self.id, 20))} is no name of a segment")

    def at(
        self, element: int, repetition: int = 1, component: int = 1, subcomponent: int = 1
    ) -> str | None:
        """Return a value, by numbers from 1. None for an empty or absent value."""
        if element >= len(self.parts):
            return None
        text, syntax = self.parts[element], self.syntax
        place, inside = repetition, component
        for separator in syntax.inner:
            if separator in text:
                parts = text.split(separator, place)
                text = parts[place - 1] if place <= len(parts) else ""
            elif place > 1:
                return None
            place, inside = inside, subcomponent
        if syntax.escape in text:
            text = syntax.value(text)
        return text.strip() or None

    def repetitions(self, element: int) -> int:
        """Return how many values an element has."""
        return sum(
            part.count(self.syntax.inner[0]) + 1 for part in self.parts[element : element + 1]
        )

    def elements(self) -> list[Any]:
        """Return all values as nested lists."""
        values = self.syntax.values
        return [values(part) if part else None for part in self.parts[1:]]

    def count(self, element: int) -> int:
        """Return a count. Raises CannotRead for anything but digits."""
        text = self.at(element) or ""
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise self.refused(f"the count isn't a number: {marked(printable(text))}")
        return int(text)

    def number_at(self, place: Place) -> Decimal:
        """Return an amount or 0. Raises CannotRead for anything else."""
        text = self.at(place.element, 1, place.component)
        return Decimal(decimal(self, text)) if text else Decimal()

    def refused(self, why: str) -> CannotRead:
        """Return the error of a segment that can't be read."""
        return CannotRead(f"{self.place}: {why}", line=self.number)

    @property
    def place(self) -> str:
        """Its number and offset, for messages."""
        name = f" ({self.id})" if _is_name(self.id) else ""
        return f"segment {self.number:,}{name} at byte {self.offset:,}"


def _is_separator(text: str) -> bool:
    return len(text) == 1 and text.isascii() and not text.isalnum() and text != " "


@lru_cache(maxsize=1 << 12)
def _is_name(text: str) -> bool:
    return _ID.fullmatch(text) is not None


class Place(NamedTuple):
    """Where a value is: `NM1[QC]03-2` is component 2 of element 3 of NM1 with the qualifier QC."""

    segment: str
    qualifier: str | None
    element: int
    component: int


class Column(NamedTuple):
    """A column: its type, the places of its value, and how the value is read from the text."""

    type: str
    places: tuple[Place, ...]
    read: Callable[[Segment, str], str | None]


class Level(NamedTuple):
    """A level of the envelope, with the elements of its header and trailer."""

    header: str
    trailer: str
    name: str
    """What one is called, such as "group"."""
    members: str
    """What its trailer counts, such as "transactions"."""
    references: tuple[int, int]
    """The element with the reference in the header, and in the trailer."""
    counted: int
    """The element of the trailer that states the count."""
    optional: bool = False
    counts: str = ""
    """The header of the only members that are counted; empty for all."""
    numbered: bool = False
    """Whether references are numbers, which may have zeros before them."""


class Total(NamedTuple):
    """A total that a message states of itself."""

    stated: Place
    what: str
    adds: tuple[Place, ...] = ()
    subtracts: tuple[Place, ...] = ()
    counts: str = ""
    """The segment that is counted instead."""

    def names(self) -> set[str]:
        """Return the names of the segments that have to do with it."""
        elements = (self.stated, *self.adds, *self.subtracts)
        return {self.counts, *(place.segment for place in elements)}


class Table(NamedTuple):
    """A kind of rows, each of which is a loop."""

    number: str
    """The inherited column with a row's number in its message; empty for messages."""
    begins: str | Mapping[str, str]
    """The header of messages; or type of message → the segment that begins a loop."""
    inherited: Mapping[str, Column]
    """Columns whose value may be that of an enclosing loop, the nearest one that has it."""
    columns: Mapping[str, Column]

    def is_begun(self, message: Message, segment: Segment) -> bool:
        """Return whether a segment of this message begins a row."""
        if isinstance(self.begins, str):
            return segment.id == self.begins
        return segment.id == self.begins.get(message.type)


@dataclass
class Loop:
    """An open loop of a message, whose outermost one is the message itself."""

    begin: Segment
    position: int
    """The number of its first segment in the message."""
    rank: int
    values: dict[str, str] = field(default_factory=dict)
    leaf: int = 0
    """The position of the newest segment that begins a loop without others in it."""


@dataclass
class Open:
    """An open level of the envelope."""

    level: Level
    header: Segment
    count: int = 0
    """Segments of a message, members of anything else."""


@dataclass
class Message:
    """The open message with its loops, outermost first."""

    type: str
    head: Mapping[str, Any]
    loops: list[Loop]
    rows: Counter[str] = field(default_factory=Counter)
    """Column with a row's number → the newest one."""
    stated: Decimal | None = None
    """The total that it states of itself."""
    total: Decimal = field(default_factory=Decimal)

    @classmethod
    def begun(
        cls,
        header: Segment,
        kind: str | None,
        head: Mapping[str, Any],
        values: dict[str, str] | None = None,
    ) -> Message:
        """Return a message that its header begins, with values from the headers around it."""
        return cls(kind or "", head, [Loop(header, 1, -1, values or {})])

    def value(self, column: str) -> str | None:
        """Return the value that the innermost loop has, or the nearest one around it."""
        return next(
            (loop.values[column] for loop in reversed(self.loops) if column in loop.values), None
        )


def places(text: str) -> tuple[Place, ...]:
    """Parse `CLP03 NM1[QC]03 CLM05-1`."""
    parsed = []
    for word in text.split():
        match = _PLACE.fullmatch(word)
        assert match is not None, word
        parsed.append(Place(match[1], match[2], int(match[3]), int(match[4] or 1)))
    return tuple(parsed)


def given_column(kind: str) -> Column:
    """Return a column whose values no segment has: numbers of rows, and what headers say."""
    return Column(kind, (), lambda _segment, text: text)


def text_column(text: str) -> Column:
    """Return a column of text."""
    return Column(TEXT, places(text), lambda _segment, value: value)


def decimal_column(kind: str, text: str, point: int = 0) -> Column:
    """Return a column of numbers, whose last `point` digits are decimals without a point."""
    scale = int(kind[:-1].rpartition(",")[2])
    whole = int(kind[len("DECIMAL(") :].partition(",")[0]) - scale

    def read(segment: Segment, value: str) -> str:
        return decimal(segment, value, whole, scale, point)

    return Column(kind, places(text), read)


def decimal(segment: Segment, text: str, whole: int = 18, scale: int = 18, point: int = 0) -> str:
    """Return a number with a decimal point. Raises CannotRead if it isn't one, or doesn't fit."""
    match = _DECIMAL.fullmatch(text) if text.isascii() else None
    if match is None or not (match[2] or match[3] or "0" in text):
        raise segment.refused(f"{marked(printable(text))} is no number")
    digits, decimals = match[2], (match[3] or "").rstrip("0")
    if point:
        if match[3] is not None:
            raise segment.refused(f"{marked(printable(text))} has a decimal point of its own")
        filled = digits.rjust(point, "0")
        digits, decimals = filled[:-point], filled[-point:].rstrip("0")
    if len(digits) > whole or len(decimals) > scale:
        raise segment.refused(
            f"{marked(printable(text))} has more than {whole} digits, or {scale} decimals"
        )
    return f"{match[1].strip('+')}{digits or 0}{'.' if decimals else ''}{decimals}"


def instant(segment: Segment, text: str, *forms: str) -> str:
    """Return a day or time as ISO 8601; the form is the one with the text's length."""
    value = _instant(text, forms)
    if value is None:
        raise segment.refused(f"{marked(printable(text))} is no date or time")
    return value


@lru_cache(maxsize=1 << 10)
def _instant(text: str, forms: tuple[str, ...]) -> str | None:
    for form in forms:
        if len(text) == len(datetime(2000, 1, 1).strftime(form)):  # noqa: DTZ001
            try:
                value = datetime.strptime(text, form)  # noqa: DTZ007 - the file has no zone
            except ValueError:
                return None
            return value.isoformat() if "%H" in form else value.date().isoformat()
    return None


def kinds_of(
    head: Mapping[str, str],
    tables: Mapping[str, Table],
    others: Mapping[str, Mapping[str, str]] | None = None,
    elements: tuple[str, str] = ("elements", ELEMENTS),
) -> dict[str, Mapping[str, str]]:
    """Return the columns of each kind of rows."""
    return {
        SEGMENTS: {**head, "segment": COUNT, "loop": COUNT, "id": TEXT, elements[0]: elements[1]},
        **{
            kind: {
                **head,
                **{name: item.type for name, item in table.inherited.items()},
                **{name: item.type for name, item in table.columns.items()},
            }
            for kind, table in tables.items()
        },
        **{kind: {**head, **columns} for kind, columns in (others or {}).items()},
    }


class SegmentFormat(KindsOfRows):
    """A format of segments in an envelope."""

    line_bytes_max = 1 << 62
    segment_bytes_max = SEGMENT_BYTES_MAX
    blank = b" \t\r\n"
    """Bytes between segments."""
    begins: tuple[str, ...]
    """What may declare separators, for messages."""
    levels: tuple[Level, ...]
    """Outermost first; the last one is that of messages."""
    outside: Collection[str] = ()
    """Segments in no message, behind the header of an interchange."""
    kinds: Mapping[str, Table]
    """The kinds of rows that are loops."""
    loops: Mapping[str, Mapping[str, int]]
    """Type of message, empty for all others → segment that begins a loop → its rank.

    It ends loops of the same rank, or more.
    """
    leaves: Mapping[str, Collection[str]]
    """Type of message, empty for all others → segments that begin a loop without others in it."""
    ends: Mapping[str, str] = {"": ""}
    """Type of message, empty for all others → the segment that ends all its loops."""
    totals: Mapping[str, Total] = {}
    elements = "elements"
    """The column of segments with all values."""

    @abstractmethod
    def syntax(self, start: bytes) -> Syntax | None:
        """Return the separators that the start of an interchange declares; None if it isn't one."""

    @abstractmethod
    def message(self, opened: Sequence[Open], number: int) -> Message:
        """Return the message with this number in the file, whose header is the newest one."""

    def rows_in(self, segment: Segment, message: Message) -> Iterator[dict[str, Any]]:
        """Yield the rows of the kind without a table that a segment has."""
        del segment, message
        return iter(())

    def enclosing(self, segment: Segment, rank: int, loops: Sequence[Loop]) -> int:
        """Return how many of the open loops enclose one that begins; 0 if none does begin."""
        del segment
        return sum(loop.rank < rank for loop in loops)

    def unwrapped(self, piece: bytes, offset: int, stream: Stream) -> bytes:
        """Return a segment without the ends of lines, if all have one length.

        Raises CannotRead for any other line break.
        """
        if b"\n" not in piece and b"\r" not in piece:
            return piece
        for end in _LINE_END.finditer(piece):
            if end[0] == b"\r" or not stream.is_wrapped(offset + end.end()):
                raise CannotRead(
                    f"there is a line break in the segment at byte {offset:,}, and not all lines"
                    " have one length"
                )
        return _LINE_END.sub(b"", piece)

    def segment(self, text: str, number: int, offset: int, syntax: Syntax) -> Segment:
        """Return the segment with this number in the file."""
        return Segment(text, number, offset, syntax)

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one kind from a file in UTF-8; counts and totals are checked."""
        reading = _Reading(self, self._read_kind(options))
        with path.open("rb") as file:
            for segment in self._segments(Stream(file)):
                reading.take(segment)
                if reading.rows:
                    yield from reading.rows
                    reading.rows.clear()
        reading.end()
        yield from reading.rows
        if reading.problem is not None:
            raise reading.problem

    def _segments(self, stream: Stream) -> Iterator[Segment]:
        """Yield all segments, with the separators of their interchange."""
        number = 0
        last = self.levels[0].trailer
        while stream.skip(self.blank):
            syntax = self.syntax(stream.peek())
            if syntax is None:
                raise CannotRead(
                    f"at byte {stream.offset:,} no header ({', '.join(self.begins)}) declares"
                    " separators",
                    line=number + 1,
                )
            stream.advance(syntax.declared_bytes)
            for offset, piece in stream.pieces(syntax, self.blank, self.segment_bytes_max):
                number += 1
                if len(piece) > self.segment_bytes_max:
                    raise CannotRead(
                        f"segment {number:,} at byte {offset:,} has more than"
                        f" {self.segment_bytes_max:,} bytes",
                        line=number,
                    )
                text = self.unwrapped(piece, offset, stream).decode()
                segment = self.segment(text, number, offset, syntax)
                syntax = segment.syntax
                yield segment
                if segment.id == last:
                    break


class Stream:
    """A file that is cut into pieces, at a separator that may change."""

    def __init__(self, file: BinaryIO) -> None:
        self.offset = len(_MARK) if file.read(len(_MARK)) == _MARK else 0
        file.seek(self.offset)
        self._file = file
        self._buffer, self._at = b"", 0
        self._begin = self._regular_until = self.offset
        self._line_bytes = 0

    def is_wrapped(self, end: int) -> bool:
        """Return whether a line that ends here has the length of all before it."""
        return end <= self._regular_until and end % self._line_bytes == 0

    def skip(self, blank: bytes) -> bool:
        """Skip blanks; return False at the end of the file."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in blank:
                    return True
                self._at += 1
                self.offset += 1
            if not self._read():
                return False

    def advance(self, count: int) -> None:
        """Skip bytes that `peek` has returned."""
        self._at += count
        self.offset += count

    def peek(self) -> bytes:
        """Return what comes, enough for a header."""
        while len(self._buffer) - self._at < _HEADER_BYTES and self._read():
            pass
        return self._buffer[self._at : self._at + _HEADER_BYTES]

    def pieces(self, syntax: Syntax, blank: bytes, bytes_max: int) -> Iterator[tuple[int, bytes]]:
        """Yield the texts before terminators, or the end of the file, with their offsets.

        A text that is too long may be cut.
        """
        end, release = syntax.terminator, syntax.release.encode()
        while self.skip(blank):
            *complete, rest = _joined(self._buffer[self._at :].split(end), end, release)
            for whole in complete:
                self.advance(len(whole) + len(end))
                piece = whole.lstrip(blank)
                if piece or end not in blank:
                    yield self.offset - len(piece) - len(end), piece
            is_end = len(rest) > bytes_max or not self._read()
            if is_end and (piece := rest.lstrip(blank)):
                self.advance(len(rest))
                yield self.offset - len(piece), piece

    def _read(self) -> bool:
        begin = self._file.tell()
        chunk = self._file.read(_CHUNK_BYTES)
        if begin == self._begin and b"\n" in chunk:
            self._line_bytes = begin + chunk.index(b"\n") + 1
        if self._line_bytes and begin == self._regular_until:
            self._regular_until += _regular_bytes(chunk, begin, self._line_bytes)
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)


def _joined(parts: list[bytes], end: bytes, release: bytes) -> list[bytes]:
    """Return parts, joined where an odd number of release characters stands before a terminator."""
    if not release:
        return parts
    results = parts[:1]
    for part in parts[1:]:
        last = results[-1]
        if last.endswith(release) and (len(last) - len(last.rstrip(release))) % 2:
            results[-1] = last + end + part
        else:
            results.append(part)
    return results


def _regular_bytes(chunk: bytes, begin: int, line_bytes: int) -> int:
    """Return how much of a chunk of the file has only lines of this length."""
    end = chunk.find(b"\n")
    while end >= 0:
        if (begin + end + 1) % line_bytes:
            return end
        end = chunk.find(b"\n", end + 1)
    return len(chunk)


class _Reading:
    """Turns segments into rows of one kind, and checks counts, references and totals."""

    def __init__(self, form: SegmentFormat, kind: str) -> None:
        self.rows: list[Mapping[str, Any]] = []
        """The rows that are complete."""
        self.problem: Disagrees | None = None
        """The first contradiction."""
        self._form, self._kind = form, kind
        self._open: list[Open] = []
        self._messages = 0
        self._message: Message | None = None
        self._headers = {level.header: rank for rank, level in enumerate(form.levels)}
        self._trailers = {level.trailer for level in form.levels if level.trailer}
        self._envelope = self._trailers.union(self._headers)
        self._loop_names = {*form.ends.values()}.union(*form.loops.values(), *form.leaves.values())
        self._summed = {name for total in form.totals.values() for name in total.names()}
        self._table = form.kinds.get(kind)
        self._fills = {} if self._table is None else _fills(self._table)

    def take(self, segment: Segment) -> None:
        """Begin or end a level with an envelope's segment, and add a message's segments to it.

        A message's own header and trailer are also segments of it.
        """
        if self._message is not None and segment.id not in self._envelope:
            self._add(segment, self._message, is_trailer=False)
            return
        is_header, is_trailer = segment.id in self._headers, segment.id in self._trailers
        if is_header or is_trailer:
            self._end_without_trailer()
        if is_header:
            self._begin(segment, self._headers[segment.id])
        if self._message is not None:
            self._add(segment, self._message, is_trailer=is_trailer)
        elif self._open and segment.id in self._form.outside:
            self._add_outside(segment)
        elif not is_header and not is_trailer:
            raise segment.refused(f"it is in no {self._form.levels[-1].name}")
        if is_trailer:
            self._end_level(segment)

    def end(self) -> None:
        """End the file. Raises CannotRead for an open level."""
        self._end_without_trailer()
        if self._open:
            level, header = self._open[-1].level, self._open[-1].header
            raise CannotRead(
                f"{header.place}: this {level.name} has no end ({level.trailer}): the file is cut"
                " off",
                line=header.number,
                code="delivery_truncated",
            )

    def _begin(self, segment: Segment, rank: int) -> None:
        levels = self._form.levels
        inner = self._headers[self._open[-1].header.id] + 1 if self._open else 0
        if segment.syntax.is_bare and not self._open and rank == len(levels) - 1:
            self._note(segment, f"it is in no {levels[0].name}, which would declare separators")
        elif rank < inner or not all(level.optional for level in levels[inner:rank]):
            raise segment.refused("it can't stand here")
        if self._open and self._open[-1].level.counts in ("", segment.id):
            self._open[-1].count += 1
        self._open.append(Open(levels[rank], segment))
        if rank == len(levels) - 1:
            self._messages += 1
            self._message = self._form.message(self._open, self._messages)

    def _end_without_trailer(self) -> None:
        """End a message that has no trailer of its own."""
        if self._message is not None and not self._open[-1].level.trailer:
            self._end_message(self._message)

    def _end_message(self, message: Message) -> None:
        message.loops[0].values["segments"] = str(self._open[-1].count)
        self._leave(message, 0)
        self._message = None
        self._open.pop()

    def _end_level(self, segment: Segment) -> None:
        if not self._open or self._open[-1].level.trailer != segment.id:
            raise segment.refused("it can't stand here")
        self._compare(segment, self._open[-1])
        message = self._message
        if message is None:
            self._open.pop()
            return
        if message.stated not in (None, message.total):
            self._note(
                segment,
                f"its {self._open[-1].level.name} states {_value(message.stated)}"
                f" {self._form.totals[message.type].what}, of {_value(message.total)}",
            )
        self._end_message(message)

    def _compare(self, segment: Segment, opened: Open) -> None:
        """Compare a trailer with its header and with what they enclose."""
        level, header, count = opened.level, opened.header, opened.count
        begun, ended = header.at(level.references[0]), segment.at(level.references[1])
        is_same = _number(begun) == _number(ended) if level.numbered else begun == ended
        if level.references[0] and not is_same:
            self._note(
                segment, f"it ends {_value(ended)}, and {header.place} begins {_value(begun)}"
            )
        is_stated = level.references[0] or segment.at(level.counted) is not None
        if is_stated and (count or not level.counts):
            stated = segment.count(level.counted)
            if stated != count:
                self._note(
                    segment, f"it states {_value(stated)} {level.members}, of {_value(count)}"
                )

    def _note(self, segment: Segment, why: str) -> None:
        """Keep the first contradiction."""
        if self.problem is None:
            self.problem = Disagrees(f"{segment.place}: {why}", line=segment.number)

    def _add(self, segment: Segment, message: Message, *, is_trailer: bool) -> None:
        """Count a segment of the open message, and add what it is in rows of this kind."""
        form, opened, name = self._form, self._open[-1], segment.id
        opened.count = position = opened.count + 1
        if name in self._summed and message.type in form.totals:
            _sum(form.totals[message.type], segment, message)
        if is_trailer or name in self._loop_names:
            enclosing = self._enter(segment, message, position, is_trailer=is_trailer)
        else:
            enclosing = message.loops[-1].leaf or message.loops[-1].position
        # One row per segment, a row of the format's own, or values of the row that its loop is.
        if self._kind == SEGMENTS:
            self.rows.append(
                {
                    **message.head,
                    "segment": str(position),
                    "loop": str(enclosing) if position > 1 else None,
                    "id": name,
                    form.elements: segment.elements(),
                }
            )
        elif self._table is None:
            self.rows.extend(form.rows_in(segment, message))
        elif name in self._fills:
            self._fill(segment, message.loops[-1].values)

    def _add_outside(self, segment: Segment) -> None:
        if self._kind == SEGMENTS:
            outermost = self._open[0]
            self.rows.append(
                {
                    **dict.fromkeys(self._form.kinds_of_rows[SEGMENTS]),
                    "interchange": outermost.header.at(outermost.level.references[0]),
                    "id": segment.id,
                    self._form.elements: segment.elements(),
                }
            )

    def _fill(self, segment: Segment, values: dict[str, str]) -> None:
        """Take the values of columns from a segment. The first value of a loop stays."""
        fills = self._fills[segment.id]
        qualifier = segment.at(1) if len(fills) > 1 else None
        for name, read, element, component in fills.get(qualifier, fills[None]):
            if name not in values and (text := segment.at(element, 1, component)) is not None:
                value = read(segment, text)
                if value is not None:
                    values[name] = value

    def _enter(self, segment: Segment, message: Message, position: int, *, is_trailer: bool) -> int:
        """Enter the loop that a segment begins; return the position of the one around it."""
        form = self._form
        if is_trailer or segment.id == _of(form.ends, message):
            self._leave(message, 1)
        inner = message.loops[-1]
        rank = _of(form.loops, message).get(segment.id)
        enclosing = 0 if rank is None else form.enclosing(segment, rank, message.loops)
        if rank is not None and enclosing:
            self._leave(message, enclosing)
            around = message.loops[-1].position
            self._open_loop(message, Loop(segment, position, rank))
            return around
        if segment.id in _of(form.leaves, message):
            inner.leaf = position
            return inner.position
        return inner.leaf or inner.position

    def _open_loop(self, message: Message, loop: Loop) -> None:
        if len(message.loops) == DEPTH_MAX:
            raise loop.begin.refused(f"more than {DEPTH_MAX} loops are inside of each other")
        for table in self._form.kinds.values():
            if table.is_begun(message, loop.begin):
                message.rows[table.number] += 1
                loop.values[table.number] = str(message.rows[table.number])
        message.loops.append(loop)

    def _leave(self, message: Message, keep: int) -> None:
        """Leave all loops but the outermost `keep`, and add the rows that they are."""
        while len(message.loops) > keep:
            if self._table is not None and self._table.is_begun(message, message.loops[-1].begin):
                self.rows.append(_row(self._table, message))
            message.loops.pop()
        if message.loops:
            message.loops[-1].leaf = 0


def _fills(table: Table) -> dict[str, dict[str | None, list[_Fill]]]:
    """Return which columns segments fill, by their name and their qualifier, None for any other."""
    columns = [*table.inherited.items(), *table.columns.items()]
    places = [(name, column.read, place) for name, column in columns for place in column.places]
    qualifiers: dict[str, set[str | None]] = {place.segment: {None} for *_, place in places}
    for *_, place in places:
        qualifiers[place.segment].add(place.qualifier)
    return {
        segment: {
            qualifier: [
                (name, read, place.element, place.component)
                for name, read, place in places
                if place.segment == segment and place.qualifier in (None, qualifier)
            ]
            for qualifier in known
        }
        for segment, known in qualifiers.items()
    }


def _row(table: Table, message: Message) -> dict[str, Any]:
    """Return the row of a message's innermost loop."""
    around: dict[str, str] = {}
    for loop in message.loops:
        around |= loop.values
    values = message.loops[-1].values
    return {
        **message.head,
        **{name: around.get(name) for name in table.inherited},
        **{name: values.get(name) for name in table.columns},
    }


def _of(table: Mapping[str, _Value], message: Message) -> _Value:
    """Return the entry of a message's type, else that of all others."""
    return table[message.type if message.type in table else ""]


def _sum(total: Total, segment: Segment, message: Message) -> None:
    """Add what a segment has of the message's total."""
    if segment.id == total.counts:
        message.total += 1
    if segment.id == total.stated.segment and total.stated.qualifier in (None, segment.at(1)):
        message.stated = segment.number_at(total.stated)
    for sign, added in ((1, total.adds), (-1, total.subtracts)):
        for place in added:
            if place.segment == segment.id:
                message.total += sign * segment.number_at(place)


def _number(text: str | None) -> str | None:
    """Return a number without zeros before it; None for nothing."""
    return text and (text.lstrip("0") or "0")


def _value(value: object) -> str:
    return marked(printable("nothing" if value is None else value))
