"""FIX: logs of messages of brokers, venues and funds. A row is a message, order, fill or field.

Each message states its length and checksum, and numbers count the messages from a sender to a
target. A file that contradicts them is held.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Disagrees,
    Fields,
    Opened,
    PartitionSpec,
    RecordFormat,
    SourceSchema,
    UnpackLimits,
    printable,
)
from headrace_legacy.text_lines import KindsOfRows

MESSAGES, FIELDS = "messages", "fields"
MESSAGE_BYTES_MAX = 1 << 24
DEPTH_MAX = 10
"""Groups inside of each other."""
OWN_MIN = 5_000
"""The first tag that venues and firms give to fields of their own."""
RANGES_MAX = 10_000
"""Ranges of numbers without gaps that are kept for a sender and target."""
CHECKED, UNCHECKED = "checked", "unchecked"
TEXT, COUNT, FLAG, DAY = "VARCHAR", "BIGINT", "BOOLEAN", "DATE"
NUMBER, TIME = "DECIMAL(38,15)", "TIMESTAMP_NS"
_SOH = b"\x01"
_SEPARATOR = rb"\x01|\|| \| |\^A|\^|;|<SOH>|\\x01|\\u0001|\xe2\x90\x81"
_VERSION = rb"(?<![0-9])8=(FIXT?\.[0-9]\.[0-9](?:SP[0-9])?)"
_HEADER = re.compile(_VERSION + rb"(" + _SEPARATOR + rb")9=([0-9]{1,9})\2")
_BEGIN = re.compile(
    _VERSION
    + (rb"(?:%b)[0-9]" % _SEPARATOR)
    + rb"|(?<![0-9])8=FIX[^\s]*\Z"
    + (rb"|(?:%b)(?:10|34|35|49|52|56)=" % _SEPARATOR)
)
"""What is a part of a message, such as the beginning of one that is cut off."""
_TAG = re.compile(rb"[1-9][0-9]{0,8}")
_CHECKSUM = re.compile(rb"10=([0-9]{3})(?![0-9])")
_NUMBER = re.compile(r"-?0*([0-9]{0,23})(?:\.([0-9]{0,15})0*)?")
_TIME = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})-([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9})0*)?"
)
_LOGGED = re.compile(
    r"([0-9]{4})[-/]?([0-9]{2})[-/]?([0-9]{2})[-T ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:[.,]([0-9]+))?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DATA = {
    95: 96,
    93: 89,
    90: 91,
    212: 213,
    348: 349,
    350: 351,
    352: 353,
    354: 355,
    356: 357,
    358: 359,
    360: 361,
    362: 363,
    364: 365,
    445: 446,
    618: 619,
    621: 622,
    1184: 1185,
    1277: 1278,
    1280: 1281,
    1282: 1283,
    1397: 1398,
    1401: 1402,
    1403: 1404,
    1578: 1579,
}
"""Fields that state a length → the fields that have it, in bytes with the separators."""
_ENCODED = {
    349,
    351,
    353,
    355,
    357,
    359,
    361,
    363,
    365,
    446,
    619,
    622,
    1278,
    1281,
    1283,
    1398,
    1579,
}
"""Fields in the encoding that field 347 names."""
_ENCODINGS = {"ISO-2022-JP", "EUC-JP", "SHIFT_JIS", "UTF-8"}


class Value(NamedTuple):
    """A field of a message."""

    tag: int
    text: str
    path: tuple[tuple[int, int], ...] = ()
    """The groups around it, each with the number of the entry."""


class Table(NamedTuple):
    """A kind of rows: messages of some types, or entries of a repeating group."""

    columns: Mapping[str, tuple[str, int]]
    """Name → type and field."""
    types: Collection[str] = ()
    """Types of messages; empty for all."""
    group: int = 0


_ORDER = {
    "account": (TEXT, 1),
    "client_order": (TEXT, 11),
    "original_client_order": (TEXT, 41),
    "order": (TEXT, 37),
    "symbol": (TEXT, 55),
    "security": (TEXT, 48),
    "security_source": (TEXT, 22),
    "side": (TEXT, 54),
    "order_type": (TEXT, 40),
    "time_in_force": (TEXT, 59),
    "quantity": (NUMBER, 38),
    "price": (NUMBER, 44),
    "stop_price": (NUMBER, 99),
    "currency": (TEXT, 15),
    "transacted": (TIME, 60),
    "text": (TEXT, 58),
}
TABLES = {
    MESSAGES: Table(
        {
            "sender_sub": (TEXT, 50),
            "target_sub": (TEXT, 57),
            "on_behalf_of": (TEXT, 115),
            "deliver_to": (TEXT, 128),
            "possible_resend": (FLAG, 97),
            "first_sent": (TIME, 122),
            "reference_sequence": (COUNT, 45),
            "new_sequence": (COUNT, 36),
            "text": (TEXT, 58),
        }
    ),
    "orders": Table(_ORDER, ("D", "F", "G", "AB", "AC")),
    "executions": Table(
        {
            "execution": (TEXT, 17),
            "execution_type": (TEXT, 150),
            "status": (TEXT, 39),
            "reference_execution": (TEXT, 19),
            **_ORDER,
            "last_quantity": (NUMBER, 32),
            "last_price": (NUMBER, 31),
            "filled_quantity": (NUMBER, 14),
            "open_quantity": (NUMBER, 151),
            "average_price": (NUMBER, 6),
            "last_market": (TEXT, 30),
            "trade_date": (DAY, 75),
            "settlement_date": (DAY, 64),
        },
        ("8",),
    ),
    "market_data": Table(
        {
            "request": (TEXT, 262),
            "action": (TEXT, 279),
            "type": (TEXT, 269),
            "entry_id": (TEXT, 278),
            "symbol": (TEXT, 55),
            "security": (TEXT, 48),
            "security_source": (TEXT, 22),
            "price": (NUMBER, 270),
            "size": (NUMBER, 271),
            "currency": (TEXT, 15),
            "day": (DAY, 272),
            "time": (TEXT, 273),
            "position": (COUNT, 290),
            "text": (TEXT, 58),
        },
        group=268,
    ),
    "parties": Table({"party": (TEXT, 448), "source": (TEXT, 447), "role": (TEXT, 452)}, group=453),
}
_HEAD = {
    "message": COUNT,
    "prefix": TEXT,
    "logged": TEXT,
    "version": TEXT,
    "message_type": TEXT,
    "sender": TEXT,
    "target": TEXT,
    "sequence": COUNT,
    "possible_duplicate": FLAG,
    "sent": TIME,
}
COLUMNS = {
    **{
        kind: {
            **_HEAD,
            **({"path": TEXT} if table.group else {}),
            **{name: kind for name, (kind, _tag) in table.columns.items()},
        }
        for kind, table in TABLES.items()
    },
    FIELDS: {**_HEAD, "position": COUNT, "path": TEXT, "tag": COUNT, "value": TEXT},
}


class Fix(KindsOfRows):
    """Messages of FIX (tag=value), as engines and venues log them."""

    name = "fix"
    meaning = "which rows of a log of FIX messages are read"
    endings = (".fix",)
    fields = (*KindsOfRows.fields, "sequence", "groups")
    kinds_of_rows = COLUMNS

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `sequence` and `groups`, too: `{453: [448, 447, 452]}`."""
        fields.choice("sequence", (CHECKED, UNCHECKED), CHECKED)
        groups: dict[Any, Any] = fields.block_of("groups") or {}
        for tags in ([count, *_listed(members)] for count, members in groups.items()):
            if len(tags) < 2 or not all(_TAG.fullmatch(str(tag).encode()) for tag in tags):
                fields.refuse(
                    "groups",
                    "a group has the tag of its count, and a list of its fields' tags",
                    "write groups: {453: [448, 447, 452]}",
                )
                break
        return super().read(fields, partition)

    def unfold(
        self, opened: Opened, temporary: Path, bounds: UnpackLimits, pinned: SourceSchema | None
    ) -> Opened:
        """Convert to records: lengths and checksums are those of the bytes as they are."""
        return RecordFormat.unfold(self, opened, temporary, bounds, pinned)

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one kind; lengths, checksums and numbers of all are checked."""
        wanted = self._read_kind(options)
        declared = {
            int(count): frozenset(int(tag) for tag in members)
            for count, members in (options.get("groups") or {}).items()
        }
        numbers, problem = Sequences(), None
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            for message in _messages(data, options.get("encoding", "utf-8")):
                message.find_groups(declared)
                problem = problem or message.problem
                numbers.add(message)
                yield from message.rows(wanted)
        if problem is None and options.get("sequence", CHECKED) == CHECKED:
            problem = numbers.problem()
        if problem is not None:
            raise problem


@dataclass
class Message:
    """A message with its fields."""

    number: int
    offset: int
    prefix: str
    version: str
    values: list[Value]
    problem: Disagrees | None = None
    """The first contradiction."""
    plain: dict[int, str] = field(default_factory=dict)
    """The fields outside of groups."""

    @property
    def place(self) -> str:
        """Its number and offset, for errors."""
        return f"message {self.number:,} at byte {self.offset:,}"

    def refused(self, why: str) -> CannotRead:
        """Return the error of the message."""
        return CannotRead(f"{self.place}: {why}", line=self.number)

    def disagrees(self, why: str) -> None:
        """Keep a contradiction, unless there is one already."""
        self.problem = self.problem or Disagrees(f"{self.place} {why}", line=self.number)

    def find_groups(self, declared: Mapping[int, frozenset[int]]) -> None:
        """Give each field the groups around it."""
        kind = next((value.text for value in self.values if value.tag == 35), "")
        counts = _known_counts().union(declared)
        if not counts.isdisjoint(value.tag for value in self.values):
            finding = _Groups(self, declared, kind)
            finding.read_top()
            self.values = finding.found
        for value in self.values:
            if not value.path:
                if value.tag in self.plain:
                    tag = marked(value.tag)
                    raise self.refused(
                        f"field {tag} stands twice; if it is of a repeating group, declare it:"
                        f" fix: {{groups: {{COUNT: [{tag}, …]}}}}"
                    )
                self.plain[value.tag] = value.text

    def rows(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield the message's rows of one kind."""
        head = self._head()
        table = TABLES.get(kind)
        if table is None:
            for position, value in enumerate(self.values, 1):
                yield {
                    **head,
                    "position": str(position),
                    "path": _path(value.path),
                    "tag": str(value.tag),
                    "value": value.text or None,
                }
        elif not table.group:
            if not table.types or head["message_type"] in table.types:
                yield {**head, **self._columns(table, self.plain)}
        else:
            for path, entry in self._entries(table.group):
                values = {**self.plain, **entry}
                yield {**head, "path": _path(path), **self._columns(table, values)}

    def _entries(self, group: int) -> Iterator[tuple[tuple[tuple[int, int], ...], dict[int, str]]]:
        entries: dict[tuple[tuple[int, int], ...], dict[int, str]] = {}
        for value in self.values:
            if value.path and value.path[-1][0] == group:
                entries.setdefault(value.path, {})[value.tag] = value.text
        yield from entries.items()

    def _columns(self, table: Table, values: Mapping[int, str]) -> dict[str, Any]:
        return {
            name: self.typed(kind, tag, values.get(tag))
            for name, (kind, tag) in table.columns.items()
        }

    def _head(self) -> dict[str, Any]:
        plain = self.plain
        return {
            "message": str(self.number),
            "prefix": self.prefix or None,
            "logged": _logged(self.prefix),
            "version": self.version,
            "message_type": plain.get(35) or None,
            "sender": plain.get(49) or None,
            "target": plain.get(56) or None,
            "sequence": self.typed(COUNT, 34, plain.get(34)),
            "possible_duplicate": self.typed(FLAG, 43, plain.get(43)),
            "sent": self.typed(TIME, 52, plain.get(52)),
        }

    def typed(self, kind: str, tag: int, text: str | None) -> str | None:
        """Return a value as its column's type reads it. Raises CannotRead if it isn't one."""
        if not text or kind == TEXT:
            return text or None
        value = _TYPES[kind](text)
        if value is None:
            raise self.refused(f"field {tag} is no {_NAMES[kind]}: {marked(printable(text, 60))}")
        return value


# Messages in the bytes of a file.


def _messages(data: mmap, encoding: str) -> Iterator[Message]:
    """Yield the messages of a file. Text between them is left out, but that of their line."""
    end = number = 0
    while header := _HEADER.search(data, end):
        number += 1
        prefix = _text_between(data, end, header.start())
        message, end = _message(data, header, number, prefix, encoding)
        yield message
    _text_between(data, end, len(data))
    if not number:
        raise CannotRead("it has no FIX message: none begins with 8=FIX, and 9 after it")


def _text_between(data: mmap, start: int, end: int) -> str:
    """Return the last line between two messages. Raises CannotRead if it is part of one."""
    if part := _BEGIN.search(data, start, end):
        raise CannotRead(
            f"at byte {part.start():,}: a part of a message without its beginning (8, 9)"
        )
    line = data[max(start, data.rfind(b"\n", start, end) + 1, end - 1_000) : end]
    return line.decode(errors="replace").strip("\x01 \t\r(|").strip()


def _message(
    data: mmap, header: re.Match[bytes], number: int, prefix: str, encoding: str
) -> tuple[Message, int]:
    """Return a message, and where it ends."""
    separator, stated = header[2], int(header[3])
    message = Message(number, header.start(), prefix, header[1].decode(), [])
    if stated > MESSAGE_BYTES_MAX:
        raise message.refused(f"longer than {MESSAGE_BYTES_MAX:,} bytes")
    start, at = header.end(), header.end() + stated
    trailer = _CHECKSUM.match(data, at) if len(separator) == 1 else None
    if trailer is None or data[at - 1 : at] != separator:
        trailer = _trailer(data, start, separator, message)
    body = data[start : trailer.start()]
    wide = separator != _SOH
    length = len(body) - body.count(separator) * (len(separator) - 1)
    if length != stated:
        message.disagrees(f"states {marked(f'{stated:,}')} bytes (9), and has {marked(length)}")
    whole = data[header.start() : trailer.start()]
    total = sum(whole.replace(separator, _SOH) if wide else whole) % 256
    if total != int(trailer[1]):
        checksum = trailer[1].decode()
        message.disagrees(
            f"states the checksum {marked(checksum)} (10), and has {marked(f'{total:03}')}"
        )
    message.values = [*_values(message, body, separator, encoding)]
    return message, trailer.end()


def _trailer(data: mmap, start: int, separator: bytes, message: Message) -> re.Match[bytes]:
    """Return the checksum of a message whose stated length doesn't lead to it."""
    pattern = re.compile(rb"(?<=" + re.escape(separator) + rb")" + _CHECKSUM.pattern)
    end = min(len(data), start + MESSAGE_BYTES_MAX)
    if other := _HEADER.search(data, start, end):
        end = other.start()
    trailer = pattern.search(data, start, end)
    if trailer is None:
        raise CannotRead(
            f"{message.place} has no checksum (10): it is cut off",
            line=message.number,
            code="delivery_truncated",
        )
    return trailer


def _values(message: Message, body: bytes, separator: bytes, encoding: str) -> Iterator[Value]:
    """Yield the fields between 9 and 10; those with data are as long as the field before says."""
    parts = iter(body.removesuffix(separator).split(separator))
    encodings = [encoding, encoding]
    data_tag, length = 0, 0
    for part in parts:
        tag, value = _split(message, part)
        if data_tag:
            _require_data(message, tag, data_tag)
            value = _data(message, value, length, parts, separator)
        text = _decoded(message, tag, value, encodings[tag in _ENCODED])
        if tag == 347 and text in _ENCODINGS:
            encodings[True] = text
        data_tag = _DATA.get(tag, 0)
        length = int(message.typed(COUNT, tag, text) or 0) if data_tag else 0
        yield Value(tag, text)
    _require_data(message, 0, data_tag)


def _require_data(message: Message, tag: int, data_tag: int) -> None:
    if tag != data_tag:
        raise message.refused(f"field {data_tag} is missing after its length")


def _split(message: Message, part: bytes) -> tuple[int, bytes]:
    tag, equals, value = part.partition(b"=")
    if not equals or not _TAG.fullmatch(tag):
        text = printable(part.decode(errors="replace"), 60)
        raise message.refused(f"{marked(text)} is no field: tag=value")
    return int(tag), value


def _data(
    message: Message, value: bytes, length: int, parts: Iterator[bytes], separator: bytes
) -> bytes:
    """Return the data of this length that begins like this."""
    while len(value) < length and (part := next(parts, None)) is not None:
        value += separator + part
    if len(value) != length:
        raise message.refused("a field with data isn't as long as the field before says")
    return value


def _decoded(message: Message, tag: int, value: bytes, encoding: str) -> str:
    try:
        text = value.decode(encoding)
    except UnicodeDecodeError as error:
        raise CannotRead(
            f"{message.place}: field {tag} isn't {encoding}: declare its encoding, such as"
            " fix: {encoding: latin-1}",
            line=message.number,
            code="delivery_encoding",
        ) from error
    if "\0" in text:
        raise message.refused(f"field {tag} has a nul byte")
    return text


# Repeating groups.


@cache
def _known_groups() -> dict[tuple[int, str], frozenset[int]]:
    """Return the fields of groups: by the field with their count, and type of message or `*`."""
    groups = {}
    lines = (Path(__file__).parent / "fix_groups.txt").read_text().splitlines()[1:]
    for count, types, *tags in (line.split() for line in lines):
        for kind in types.split(","):
            groups[int(count), kind] = frozenset(map(int, tags))
    return groups


@cache
def _known_counts() -> frozenset[int]:
    return frozenset(count for count, _kind in _known_groups())


class _Groups:
    """Finds which fields are of which entry.

    A group begins with its count, an entry with the field after that. What stands before the last
    entry is of the group; the last one ends where neither an earlier entry nor the table has the
    field, nor the one after fields of the writer's own.
    """

    def __init__(self, message: Message, declared: Mapping[int, frozenset[int]], kind: str) -> None:
        self._message, self._declared, self._kind = message, declared, kind
        self._fields = message.values
        self._at = 0
        self.found: list[Value] = []

    def read_top(self) -> None:
        """Read the whole message."""
        while self._at < len(self._fields):
            self._take(())

    def _take(self, path: tuple[tuple[int, int], ...]) -> None:
        """Take a field, and the group that it begins."""
        value = self._fields[self._at]
        self._at += 1
        self.found.append(value._replace(path=path))
        members = self._members(value.tag)
        if members:
            if not (value.text.isascii() and value.text.isdecimal()):
                text = marked(printable(value.text, 20))
                raise self._message.refused(f"field {value.tag} is no number: {text}")
            if len(path) == DEPTH_MAX:
                raise self._message.refused(f"more than {DEPTH_MAX} groups inside of each other")
            self._group(value.tag, int(value.text), members, path)

    def _members(self, count: int) -> frozenset[int]:
        known = _known_groups()
        return self._declared.get(count) or (
            known.get((count, "*"), frozenset()) | known.get((count, self._kind), frozenset())
        )

    def _group(
        self, count: int, stated: int, members: frozenset[int], path: tuple[tuple[int, int], ...]
    ) -> None:
        first = self._fields[self._at].tag if stated and self._at < len(self._fields) else 0
        entries, seen, of_entry = 0, set(members), set[int]()
        while first and self._at < len(self._fields):
            tag = self._fields[self._at].tag
            if tag == first:
                entries += 1
                of_entry = set()
            elif tag in of_entry or (entries >= stated and not self._continues(seen - of_entry)):
                break
            of_entry.add(tag)
            seen.add(tag)
            self._take((*path, (count, entries)))
        if entries != stated:
            self._message.disagrees(
                f"states {marked(stated)} entries ({count}), and has {marked(entries)}"
            )

    def _continues(self, tags: set[int]) -> bool:
        """Return whether the next field that isn't the writer's own has one of these tags."""
        following = (value.tag for value in self._fields[self._at :])
        return next((tag for tag in following if tag in tags or tag < OWN_MIN), 0) in tags


# Numbers of messages.


class _Ranges(list[tuple[int, int]]):
    """Numbers, as the first and the last of each range without gaps, in order."""

    def include(self, first: int, last: int) -> bool:
        """Add numbers; return whether one of them was there."""
        start, end = bisect_left(self, (first, 0)), bisect_left(self, (last + 2, 0))
        if start and self[start - 1][1] >= first - 1:
            start -= 1
        near = self[start:end]
        self[start:end] = [
            (min(first, *(low for low, _ in near)), max(last, *(high for _, high in near)))
            if near
            else (first, last)
        ]
        return any(low <= last and high >= first for low, high in near)

    def gaps(self) -> list[tuple[int, int]]:
        """Return the first and the last number of each gap."""
        return [(before[1] + 1, after[0] - 1) for before, after in pairwise(self)]


@dataclass
class _Session:
    """The messages from a sender to a target, in any order."""

    way: str
    seen: _Ranges = field(default_factory=_Ranges)
    again: _Ranges = field(default_factory=_Ranges)
    """The numbers of messages that were sent again."""
    start: int | None = None
    """The number that a logon or a reset says is the next one."""
    missing: list[tuple[int, int]] = field(default_factory=list)
    """The gaps before it."""
    twice: Disagrees | None = None

    def add(self, message: Message, first: int, following: int) -> None:
        """Take the numbers of a message: several, if it fills a gap."""
        plain = message.plain
        if self.twice is not None:
            return
        if _begins_anew(plain, first):
            self.missing = self.gaps()[:RANGES_MAX]
            self.seen, self.again, self.start = _Ranges(), _Ranges(), following
            if plain.get(35) == "A":
                self.seen.include(first, first)
            return
        numbers = self.again if plain.get(43) == "Y" else self.seen
        is_twice = numbers.include(first, max(first, following - 1)) and numbers is self.seen
        if is_twice or len(numbers) > RANGES_MAX:
            what = f"number {marked(first)} (34) {self.way} stands twice"
            if not is_twice:
                what = f"the numbers (34) {self.way} have more than {RANGES_MAX:,} gaps"
            self.twice = Disagrees(
                f"{message.place}: {what}; fix: {{sequence: unchecked}} allows it",
                line=message.number,
            )

    def gaps(self) -> list[tuple[int, int]]:
        """Return the gaps up to now, which no message that was sent again fills."""
        numbers = _Ranges(self.seen or self.again)
        if self.start is not None and numbers and numbers[-1][1] >= self.start:
            numbers.include(self.start - 1, self.start - 1)
        for first, last in self.again:
            if last >= numbers[0][0]:
                numbers.include(max(first, numbers[0][0]), last)
        return [*self.missing, *numbers.gaps()]

    def problem(self) -> Disagrees | None:
        """Return the first number that is there twice, or the gaps."""
        if self.twice is None and (gaps := self.gaps()):
            return Disagrees(
                f"messages {marked(_ranges(gaps))} (34) {self.way} are missing;"
                " fix: {sequence: unchecked} allows it"
            )
        return self.twice


class Sequences:
    """Follows the numbers (34) of each sender and target. Messages sent again fill gaps.

    Subs (50, 57) have numbers of their own, or are persons in one session: either may be right.
    """

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], dict[tuple[str, str], _Session]] = {}
        self._whole: dict[tuple[str, str], _Session] = {}

    def add(self, message: Message) -> None:
        """Take the number of a message."""
        plain = message.plain
        number = message.typed(COUNT, 34, plain.get(34))
        if number is None:
            return
        first = int(number)
        new = message.typed(COUNT, 36, plain.get(36)) if plain.get(35) == "4" else None
        comps = (plain.get(49, ""), plain.get(56, ""))
        subs = (plain.get(50, ""), plain.get(57, ""))
        if comps not in self._whole:
            self._whole[comps] = _Session(_way(comps, ("", "")))
            self._sessions[comps] = {}
        parts = self._sessions[comps]
        if subs not in parts:
            parts[subs] = _Session(_way(comps, subs))
        for session in (self._whole[comps], parts[subs]):
            session.add(message, first, int(new) if new else first + 1)

    def problem(self) -> Disagrees | None:
        """Return the first number that is there twice, or the first gaps."""
        for comps, whole in self._whole.items():
            of_whole = whole.problem()
            parts = (part.problem() for part in self._sessions[comps].values())
            of_parts = None if of_whole is None else next(filter(None, parts), None)
            if of_parts is not None:
                return of_parts if whole.twice is not None else of_whole
        return None


def _begins_anew(plain: Mapping[int, str], sequence: int) -> bool:
    """Return whether a message is a logon that resets numbers, or a reset that fills no gap."""
    if plain.get(35) == "A":
        return sequence == 1 or plain.get(141) == "Y"
    return plain.get(35) == "4" and plain.get(123) != "Y"


def _ranges(missing: Sequence[tuple[int, int]]) -> str:
    texts = [f"{low}" if low == high else f"{low} to {high}" for low, high in missing]
    return ", ".join([*texts[:10], *(["…"] if len(texts) > 10 else [])])


def _way(comps: Sequence[str], subs: Sequence[str]) -> str:
    sender, target = (
        ", ".join(marked(printable(name, 40)) for name in (comp, sub) if name)
        for comp, sub in zip(comps, subs, strict=True)
    )
    return f"from {sender} to {target}"


# Values.


def _number(text: str) -> str | None:
    match = _NUMBER.fullmatch(text)
    return text if match and text.isascii() and any(map(str.isdigit, text)) else None


def _count(text: str) -> str | None:
    return text if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _flag(text: str) -> str | None:
    return {"Y": "true", "N": "false"}.get(text)


def _day(text: str) -> str | None:
    if not (text.isascii() and text.isdecimal() and len(text) == 8):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date().isoformat()  # noqa: DTZ007 - a day
    except ValueError:
        return None


def _time(text: str) -> str | None:
    """Return a time in UTC to the nanosecond, if the column's type has it: no leap second."""
    match = _TIME.fullmatch(text)
    if match is None or not text.isascii() or not "1678" <= match[1] <= "2261":
        return None
    year, month, day, time, fraction = match.groups()
    value = f"{year}-{month}-{day} {time}"
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return None
    return f"{value}.{fraction}" if fraction else value


_TYPES = {NUMBER: _number, COUNT: _count, FLAG: _flag, DAY: _day, TIME: _time}
_NAMES = {
    NUMBER: "number of at most 23 digits and 15 decimals",
    COUNT: "number",
    FLAG: "Y or N",
    DAY: "day (YYYYMMDD)",
    TIME: "time in UTC of at most nine decimals (YYYYMMDD-HH:MM:SS) from 1678 to 2261",
}


def _logged(prefix: str) -> str | None:
    """Return the first time in the text before a message, as ISO 8601 and as precise as there."""
    match = _LOGGED.search(prefix)
    if match is None:
        return None
    year, month, day, time, fraction, zone = match.groups()
    return f"{year}-{month}-{day}T{time}{f'.{fraction}' if fraction else ''}{zone or ''}"


def _path(path: tuple[tuple[int, int], ...]) -> str | None:
    return "/".join(f"{group}[{entry}]" for group, entry in path) or None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
