"""COBOL copybooks: the items of a record with their pictures, sizes and offsets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from headrace.extension.formats import COLUMNS_MAX, RECORD_MAX, folded, shown

ITEMS_MAX = 20_000
MACHINES = ("mainframe", "pc")
"""Byte order of COMP-5 and format of floats: big-endian and hexadecimal, or little and IEEE 754."""
OCCURS = ("variable", "maximum")
"""Whether a table with fewer elements than its maximum ends after them."""
OTHER = "*"
"""In `choose`, all other values; in `trailer`, all records."""
RECORDS = ("fixed", "rdw", "bdw", "rdw-little", "lines")
"""How records follow each other.

`rdw`: each behind its descriptor word. `bdw`: in blocks with one of their own. `rdw-little`: the
length is little-endian, in the last two bytes, and doesn't count the descriptor itself.
"""
BAD_RECORDS = ("refuse", "keep")
"""Whether a record with a bad value refuses the file, or is a row that says so."""
DIGITS_MAX = 38
FILLER = "FILLER"


class CopybookError(Exception):
    """A copybook that isn't understood, with the line that is at fault."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line} of the copybook: {message}")


class Usage(Enum):
    """How the bytes of an item hold its value."""

    DISPLAY = "DISPLAY"
    NATIONAL = "NATIONAL"
    BINARY = "COMP"
    NATIVE = "COMP-5"
    PACKED = "COMP-3"
    FLOAT = "COMP-1"
    DOUBLE = "COMP-2"


_USAGES = {
    "DISPLAY": Usage.DISPLAY,
    "NATIONAL": Usage.NATIONAL,
    "BINARY": Usage.BINARY,
    "COMP": Usage.BINARY,
    "COMP-4": Usage.BINARY,
    "COMP-5": Usage.NATIVE,
    "COMP-3": Usage.PACKED,
    "PACKED-DECIMAL": Usage.PACKED,
    "COMP-1": Usage.FLOAT,
    "COMP-2": Usage.DOUBLE,
}
_FLOATS = {Usage.FLOAT: 4, Usage.DOUBLE: 8}


class Kind(Enum):
    """What a picture describes."""

    TEXT = "text"
    NUMBER = "number"
    EDITED = "edited number"


class Picture(NamedTuple):
    """A picture: its kind, its characters, and the digits of a number."""

    kind: Kind
    characters: int
    """Positions, without V and P, and without the S of a sign that has no place of its own."""
    digits: int = 0
    scale: int = 0
    """Digits after the point; negative for numbers of hundreds or thousands (`9PP`)."""
    signed: bool = False
    national: bool = False
    zero_is_blank: bool = False
    """Whether all its digits are suppressed if they are zeros: `ZZZ`, `***.**`."""


class Sign(NamedTuple):
    """Where the sign of a zoned number is."""

    leading: bool = False
    separate: bool = False


@dataclass(eq=False)
class Item:
    """An item of a copybook. `offset` is its place in the record, or in its table's element."""

    level: int
    name: str
    line: int
    picture: Picture | None = None
    usage: Usage | None = None
    sign: Sign | None = None
    redefines: str = ""
    occurs: int = 0
    """The number of elements, or their maximum; 0 if it isn't a table."""
    depending: str = ""
    """The item with the number of elements."""
    blank_is_zero: bool = False
    conditions: list[list[str]] = field(default_factory=list)
    """The words of its conditions (level 88), without their names."""
    clusters: list[list[Item]] = field(default_factory=list)
    """For groups: its children, each with those that redefine it."""
    offset: int = 0
    size: int = 0
    """Bytes of one element."""
    column: str = ""

    @property
    def is_group(self) -> bool:
        """Whether it consists of other items."""
        return bool(self.clusters)

    @property
    def children(self) -> Iterator[Item]:
        """The items directly inside, those that redefine others among them."""
        for cluster in self.clusters:
            yield from cluster

    @property
    def whole(self) -> int:
        """Bytes of all elements."""
        return self.size * (self.occurs or 1)

    def inside(self) -> Iterator[Item]:
        """Yield the item and all items inside it."""
        yield self
        for child in self.children:
            yield from child.inside()


def parse_copybook(text: str) -> list[Item]:
    """Return the records of a copybook, those of level 01; at least one.

    Items without a record belong to one called RECORD. Raises CopybookError.
    """
    records = _records(list(_items(text)))
    for record in records:
        _lay_out(record, Usage.DISPLAY, Sign())
        if record.whole > RECORD_MAX:
            raise CopybookError(record.line, f"a record has more than {RECORD_MAX:,} bytes")
    return records


# Statements: a copybook's lines without sequence numbers and comments, up to each full stop.

_TAG = r"(?!\d{1,2} )(?=.{6}[ \-])\S{1,6} *"
"""A programmer's mark of a change in the first six columns."""
_FIXED = re.compile(rf"(?: {{6}}|\d{{6}}|{_TAG}|.{{0,5}}$|\t)[ \-]?.*", re.DOTALL)
_WORD = re.compile(r"'(?:[^']|'')*'\.?|\"(?:[^\"]|\"\")*\"\.?|[^\s'\"]\S*")
_LISTING = re.compile(r"(EJECT|SKIP[123])\.?", re.IGNORECASE)


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    words: list[str] = []
    begun = 1
    for number, word in _words(text):
        begun = begun if words else number
        if bare := word.removesuffix(".").rstrip(",;"):
            words.append(bare if bare[0] in "'\"" else bare.upper())
        if words and word.endswith("."):
            yield begun, words
            words = []
    if words:
        raise CopybookError(begun, "the statement has no full stop at its end")


def _words(text: str) -> Iterator[tuple[int, str]]:
    for number, line in _code_lines(text):
        for word in _WORD.findall(line):
            yield number, word


def _code_lines(text: str) -> Iterator[tuple[int, str]]:
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("*") and line[6:7] not in ("*", "/")
    ]
    is_fixed = all(_FIXED.fullmatch(line) and not line[6:7].isalnum() for _, line in lines)
    for number, line in lines:
        code = line
        if is_fixed and "\t" not in line:
            code = line[7:72]
        if not _LISTING.fullmatch(code.strip()):
            yield number, code.partition("*>")[0]


def _items(text: str) -> Iterator[Item]:
    newest: Item | None = None
    for count, (line, words) in enumerate(_statements(text), 1):
        if count > ITEMS_MAX:
            raise CopybookError(line, f"there are more than {ITEMS_MAX:,} items")
        if not words[0].isdecimal() or not words[0].isascii():
            raise CopybookError(line, f"{shown(words[0])} isn't the number of a level")
        level = int(words[0])
        if level == 88:
            if newest is not None:
                newest.conditions.append(words[2:])
        elif level != 66:
            newest = _item(level, line, words[1:])
            yield newest


# Clauses of an item.

_CLAUSES = {
    *("REDEFINES", "PIC", "PICTURE", "USAGE", "OCCURS", "SIGN", "LEADING", "TRAILING", "VALUE"),
    *("VALUES", "JUSTIFIED", "JUST", "BLANK", "GLOBAL", "EXTERNAL", "SYNC", "SYNCHRONIZED"),
    *_USAGES,
    *(name.replace("COMP", "COMPUTATIONAL") for name in _USAGES),
}


class _Words:
    """The words of a statement, taken from the left."""

    def __init__(self, words: Sequence[str], line: int) -> None:
        self._words, self._at, self._line = words, 0, line

    def __bool__(self) -> bool:
        return self._at < len(self._words)

    def take(self) -> str:
        """Return the next word."""
        if not self:
            raise CopybookError(self._line, "the statement ends too early")
        self._at += 1
        return self._words[self._at - 1]

    def skip(self, *wanted: str) -> bool:
        """Pass over the next word if it is one of these; return whether it was."""
        if self and self._words[self._at] in wanted:
            self._at += 1
            return True
        return False

    def number(self) -> int:
        """Return the next word as a number that is a possible size."""
        word = self.take()
        if not (word.isascii() and word.isdecimal() and 0 <= int(word[:9]) <= RECORD_MAX):
            raise CopybookError(self._line, f"{shown(word)} isn't a number of elements")
        return int(word[:9])

    def skip_clause(self) -> None:
        """Pass over all words up to the next clause."""
        while self and self._words[self._at] not in _CLAUSES:
            self._at += 1


def _item(level: int, line: int, rest: Sequence[str]) -> Item:
    if not (1 <= level <= 49 or level == 77):
        raise CopybookError(line, f"there is no level {level}")
    named = bool(rest) and rest[0] not in _CLAUSES
    item = Item(1 if level == 77 else level, rest[0] if named else FILLER, line)
    words = _Words(rest[named:], line)
    while words:
        _clause(item, words.take(), words)
    return item


def _clause(item: Item, word: str, words: _Words) -> None:
    usage = _USAGES.get(word.replace("COMPUTATIONAL", "COMP"))
    if usage is not None:
        item.usage = usage
        return
    match word:
        case "REDEFINES":
            item.redefines = words.take()
        case "PIC" | "PICTURE":
            words.skip("IS")
            item.picture = parse_picture(words.take(), item.line)
            item.blank_is_zero |= item.picture.zero_is_blank
        case "USAGE":
            words.skip("IS")
            _clause_of_usage(item, words.take())
        case "OCCURS":
            _occurs(item, words)
        case "SIGN":
            words.skip("IS")
            _sign(item, words.take(), words)
        case "LEADING" | "TRAILING":
            _sign(item, word, words)
        case "VALUE" | "VALUES":
            words.skip_clause()
        case "BLANK":
            words.skip("WHEN")
            words.skip("ZERO", "ZEROS", "ZEROES")
            item.blank_is_zero = True
        case "JUSTIFIED" | "JUST":
            words.skip("RIGHT")
        case "GLOBAL" | "EXTERNAL":
            words.skip_clause()
        case _:
            raise CopybookError(item.line, f"{shown(word)} isn't understood")


def _clause_of_usage(item: Item, word: str) -> None:
    usage = _USAGES.get(word.replace("COMPUTATIONAL", "COMP"))
    if usage is None:
        raise CopybookError(item.line, f"items with the usage {shown(word)} aren't read")
    item.usage = usage


def _sign(item: Item, place: str, words: _Words) -> None:
    separate = words.skip("SEPARATE")
    words.skip("CHARACTER")
    item.sign = Sign(place == "LEADING", separate)


def _occurs(item: Item, words: _Words) -> None:
    item.occurs = words.number()
    if words.skip("TO"):
        item.occurs = words.number()
    words.skip("TIMES")
    if words.skip("DEPENDING"):
        words.skip("ON")
        item.depending = words.take()
        while words.skip("OF", "IN"):
            words.take()
    if not item.occurs:
        raise CopybookError(item.line, f"{item.name} occurs 0 times")
    words.skip_clause()  # keys and indexes


# Pictures.

_PART = re.compile(r"(CR|DB|.)(?:\((\d{1,7})\))?")
_PICTURE = re.compile(r"(?:(?:CR|DB|[SVPXAN9B0/Z*+\-,.$GE])(?:\(\d{1,7}\))?)+", re.ASCII)
_NO_PLACE = re.compile(r"[^9Z*+\-$]")
_NUMBER = re.compile(r"S?[9VP]+")
_CURRENCY = re.compile(r"CR|DB")
_THOUSANDS = re.compile(r"[^,.]*(?:,[9Z*+\-$]{3}(?=[,.+\-]|$))*[+\-]?(?:\.[^,.]*)?")
"""Commas of an edited picture that stand before three places each, and none after the point."""
_EDITED = re.compile(r"(?:[9Z*+\-,.$]|CR|DB)+")


def parse_picture(text: str, line: int) -> Picture:
    """Return a picture such as `S9(7)V99`. Raises CopybookError."""
    if not _PICTURE.fullmatch(text):
        raise CopybookError(line, f"the picture {shown(text)} isn't understood")
    parts = [(sign, int(count or 1)) for sign, count in _PART.findall(text)]
    characters = sum(count * len(sign) for sign, count in parts if sign not in ("S", "V", "P"))
    spelled = "".join(sign * min(count, 99) for sign, count in parts)
    if not 0 < characters <= RECORD_MAX or set(spelled) & {"G", "E"}:
        raise CopybookError(line, f"the picture {shown(text)} isn't read")
    if _NUMBER.fullmatch(spelled):
        return _number(text, spelled, line)
    if set(spelled) == {"N"}:
        return Picture(Kind.TEXT, characters, national=True)
    if _EDITED.fullmatch(spelled.replace("V", "", 1)):
        return _edited(text, spelled, characters, line)
    return Picture(Kind.TEXT, characters)


def _edited(text: str, spelled: str, characters: int, line: int) -> Picture:
    if "V" in spelled:
        raise CopybookError(line, f"the picture {shown(text)}, edited with a V, isn't read")
    if not _THOUSANDS.fullmatch(_CURRENCY.sub("", spelled)):
        raise CopybookError(
            line,
            f"in the picture {shown(text)} a comma stands where thousands don't: programs with"
            " DECIMAL-POINT IS COMMA aren't read; read the item as text, PIC X(n)",
        )
    after = spelled.partition(".")[2]
    scale = len(_NO_PLACE.sub("", after.rstrip("+-")))
    digits = min(len(_NO_PLACE.sub("", spelled)), DIGITS_MAX)
    return Picture(
        Kind.EDITED, characters, digits, scale, signed=True, zero_is_blank="9" not in spelled
    )


def _number(text: str, spelled: str, line: int) -> Picture:
    whole, _, fraction = spelled.removeprefix("S").partition("V")
    digits = spelled.count("9")
    # a point that isn't written stands before leading P's and after trailing ones
    trailing = len(whole) - len(whole.rstrip("P"))
    leading = 0 if trailing == len(whole) else len(whole) - len(whole.lstrip("P"))
    scale = len(fraction) - trailing
    if leading:
        scale, trailing = digits + leading, 0
    if trailing == len(whole) and trailing:
        scale = digits + trailing
    widest = max(digits, scale, digits - min(scale, 0))
    if not digits or widest > (DIGITS_MAX if scale >= 0 else 18) or "V" in fraction:
        raise CopybookError(line, f"the picture {shown(text)} isn't read")
    return Picture(Kind.NUMBER, digits, digits, scale, spelled.startswith("S"))


# The tree, and the places of its items.


def _records(items: list[Item]) -> list[Item]:
    if not items:
        raise CopybookError(1, "it has no items")
    first = min(item.level for item in items)
    root = Item(-1, "RECORD", items[0].line)
    if first > 1:
        items = [Item(1, "RECORD", items[0].line), *items]
    open_items = [root]
    for item in items:
        while open_items[-1].level >= item.level:
            open_items.pop()
        parent = open_items[-1]
        if parent.picture is not None or parent.usage in _FLOATS:
            raise CopybookError(
                item.line, f"{item.name} lies in {parent.name}, which has a picture"
            )
        _put(parent, item)
        open_items.append(item)
    return [cluster[0] for cluster in root.clusters]


def _put(parent: Item, item: Item) -> None:
    if not item.redefines or parent.level < 0:
        parent.clusters.append([item])
        return
    last = parent.clusters[-1] if parent.clusters else []
    if item.redefines not in [other.name for other in last]:
        raise CopybookError(
            item.line,
            f"{item.name} redefines {item.redefines}, which isn't the item before it",
        )
    last.append(item)


def _lay_out(item: Item, usage: Usage, sign: Sign) -> None:
    """Set the sizes of an item and of all inside, and the places of those inside."""
    item.usage, item.sign = item.usage or usage, item.sign or sign
    if not item.is_group:
        item.size = _width(item)
        return
    at = 0
    for cluster in item.clusters:
        for child in cluster:
            _lay_out(child, item.usage, item.sign)
            _move(child, at)
        at += max(child.whole for child in cluster)
    item.size = at


def _move(item: Item, by: int) -> None:
    """Move an item, and those inside that aren't in a table of their own."""
    item.offset += by
    if not item.occurs:
        for child in item.children:
            _move(child, by)


def _width(item: Item) -> int:
    """Return the bytes of an item with a picture."""
    usage, picture = item.usage, item.picture
    if usage in _FLOATS:
        return _FLOATS[usage]
    if picture is None:
        raise CopybookError(item.line, f"{item.name} has neither a picture nor items inside")
    if picture.kind is not Kind.NUMBER and usage in (Usage.DISPLAY, Usage.NATIONAL):
        return picture.characters * (2 if picture.national else 1)
    if picture.kind is not Kind.NUMBER or usage is Usage.NATIONAL:
        raise CopybookError(item.line, f"{item.name} has a usage that its picture can't have")
    if usage is Usage.PACKED:
        return picture.digits // 2 + 1
    if usage is Usage.DISPLAY:
        assert item.sign is not None
        return picture.digits + (item.sign.separate and picture.signed)
    if picture.digits > 18:
        raise CopybookError(item.line, f"{item.name} is binary, with more than 18 digits")
    return 2 if picture.digits < 5 else 4 if picture.digits < 10 else 8


# Names of columns.


def name_columns(items: Sequence[tuple[Item, Sequence[str]]]) -> None:
    """Set the names of columns: the item's own, with those of its groups where several have it.

    Each item comes with the names of the groups around it, the outermost first.
    """
    if len(items) > COLUMNS_MAX:
        raise CopybookError(items[0][0].line, f"there are more than {COLUMNS_MAX:,} columns")
    paths = [[item.name] for item, _ in items]
    names, doubled = _names(paths)
    for depth in range(1, 1 + max((len(groups) for _, groups in items), default=0)):
        for position, (item, groups) in enumerate(items):
            if names[position] in doubled:
                paths[position] = [*groups[-depth:], item.name]
        names, doubled = _names(paths)
    for name, (item, _) in zip(names, items, strict=True):
        item.column = name
        if name in doubled:
            raise CopybookError(item.line, f"two items are called {item.name}")


def _names(parts: Sequence[Sequence[str]]) -> tuple[Sequence[str], set[str]]:
    """Return the names of columns, and those that there are several of."""
    names = folded(["_".join(path).replace("-", "_") for path in parts])
    return names, {name for name, count in Counter(names).items() if count > 1}
