"""Random tables, and whether what Headrace reads is what was delivered.

A delivered value is one of Python's types where the format says types (Parquet, JSON, databases,
workbooks), and a `str` where all that is written is text (CSV, XML, fixed width).
"""

from __future__ import annotations

import base64
import json
import math
import random
import re
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Context, Decimal
from typing import Any

from headrace.lake.types import parse

Dice = random.Random
NULL_WORDS = ("NA", "N/A", "NULL", "null", "\\N", "NaN", "nan", "None")
"""No value, in columns of numbers or dates that have one of them when their type is inferred."""
WORDS = (
    *("ann", "Bob O'Hara", "naïve ☃", "日本", "🙂 smile", 'say "hi"', "a,b;c|d", "x" * 300),
    *("NA", "null", "None", "N/A", "-", "nan", "True", "yes", "#N/A", "=1+1", "\\N", "\\n", "a\\"),
)
BLANKS = (" lead", "trail ", "two\nlines", "tab\there", "\xa0nbsp", "two\r\nlines")
DIGITS = (
    *("007", "0", "00", "1E5", "7E2", "12E3", "1e400", "+5", "1_000", "0x1F", "1,234", "12.50"),
    *("19.999999999999999999", "9007199254740993", "123456789012345678901234567890", "1.", ".5"),
    *("-0", "1 000", "5%", "١٢", "1.10.2", "0.1e1", "0.10000000000000001", "-80.697472200000007"),
    *("83094542621.77251", "9.949999999999999"),
)
MOMENTS = (
    *(
        "2024-02-30",
        "24:00",
        "2024-01-01",
        "01.02.2024",
        "2024-01-01T25:00:00",
        "12:30",
        "0000-00-00",
    ),
    *(
        "2024-06-01 10:00:00.123456789",
        "2024-06-01T10:00:00Z",
        "2024-06-01 10:00+05:30",
        "20240101",
    ),
)


def _text(dice: Dice) -> str:
    letters = string.ascii_letters + string.digits + "  ,;|'\"\\/<>&%äß€"
    return dice.choice(
        (dice.choice(WORDS), "".join(dice.choices(letters, k=dice.randrange(1, 12))))
    )


def _fraction(dice: Dice) -> timedelta:
    """Microseconds, never half a millisecond: a workbook's number of days can't tell where to round
    it.
    """
    drawn = dice.randrange(10**6)
    return timedelta(microseconds=drawn + (drawn % 1000 == 500))


def _moment(dice: Dice) -> datetime:
    start = datetime(1971, 1, 1)  # noqa: DTZ001 - without a zone, as it is delivered
    return start + timedelta(seconds=dice.randrange(2_000_000_000))


def _decimal(digits: int, scale: int) -> Callable[[Dice], Decimal]:
    return lambda dice: Decimal(dice.randrange(-(10**digits) + 1, 10**digits)).scaleb(
        -scale, Context(prec=80)
    )


def _old_instant(dice: Dice) -> datetime:
    """Zones had offsets with seconds once."""
    year = dice.choice((1583, 1880, 2024))
    return datetime(year, 3, 1, tzinfo=UTC) + timedelta(microseconds=dice.randrange(10**13))


class Pairs(dict[Any, Any]):
    """A value of a MAP; other dictionaries are of a STRUCT."""


KINDS: dict[str, Callable[[Dice], Any]] = {
    "int": lambda dice: dice.randrange(-1000, 1000),
    "int32": lambda dice: dice.choice((2**31 - 1, -(2**31), dice.randrange(-(2**31), 2**31))),
    "int53": lambda dice: dice.choice((1, -1)) * (2**53 + dice.randrange(-2, 3)),
    "int64": lambda dice: dice.choice((2**63 - 1, -(2**63), dice.randrange(-(2**63), 2**63))),
    "uint64": lambda dice: dice.choice((2**64 - 1, 2**63, dice.randrange(2**64))),
    "bool": lambda dice: dice.random() < 0.5,
    "float": lambda dice: dice.choice((dice.uniform(-1e3, 1e3), dice.gauss(0, 1e-6), 1e300, 0.1)),
    "whole_float": lambda dice: float(dice.randrange(-1000, 1000)),
    "money": _decimal(9, 2),
    "decimal18": _decimal(18, 4),
    "decimal38": _decimal(38, 10),
    "date": lambda dice: _moment(dice).date(),
    "edge_date": lambda dice: dice.choice((date(1, 1, 1), date(9999, 12, 31), date(1582, 10, 10))),
    "seconds": _moment,
    "micros": lambda dice: _moment(dice) + _fraction(dice),
    "instant": lambda dice: (_moment(dice) + _fraction(dice)).replace(
        tzinfo=dice.choice((UTC, timezone(timedelta(hours=5, minutes=30))))
    ),
    "time": lambda dice: (_moment(dice) + _fraction(dice)).time(),
    "text": _text,
    "blanks": lambda dice: dice.choice((dice.choice(BLANKS), _text(dice))),
    "empty": lambda dice: dice.choice(("", _text(dice))),
    "digits": lambda dice: dice.choice(DIGITS),
    "moments": lambda dice: dice.choice(MOMENTS),
    "uuid": lambda dice: uuid.UUID(int=dice.getrandbits(128)),
    "bytes": lambda dice: dice.randbytes(dice.randrange(9)),
    "list": lambda dice: [dice.randrange(9) for _ in range(dice.randrange(4))],
    "struct": lambda dice: {"x": dice.randrange(9), "y": _text(dice)},
    "deep": lambda dice: {
        "amounts": [KINDS["decimal18"](dice), None, KINDS["decimal18"](dice)],
        "of": {"at": _old_instant(dice), "raw": dice.randbytes(dice.randrange(9))},
        "day": KINDS["edge_date"](dice),
        "share": KINDS["float"](dice),
        "words": dice.choice(([], [[_text(dice)], [None, ""]])),
    },
    "map": lambda dice: Pairs({_text(dice): _old_instant(dice) for _ in range(dice.randrange(3))}),
}
LONG_DECIMALS = ("decimal18", "decimal38")
"""Text has no types: its first value may be a DOUBLE exactly, and the next one not."""
LONG_FRACTION = 10
"""Decimals from which on a text is a DOUBLE as programs write it, with up to 17 digits."""
TEXTS = ("text", "blanks", "empty", "digits", "moments")


def _hollow(values: list[Any]) -> bool:
    """Whether they, or a part of each, are always empty, so that no type is known."""
    there = [value for value in values if value not in (None, "", [])]
    if not there:
        return True
    if isinstance(there[0], dict):
        return any(_hollow([value.get(name) for value in there]) for name in there[0])
    return isinstance(there[0], list) and _hollow([item for value in there for item in value])


@dataclass(frozen=True)
class Column:
    """A column with its kind; `seed` and the number of a row give the value."""

    name: str
    kind: str
    seed: int
    nulls: float

    def value(self, row: int) -> Any:
        dice = random.Random(f"{self.seed} {row}")
        return None if dice.random() < self.nulls else KINDS[self.kind](dice)


@dataclass(frozen=True)
class Table:
    """Columns, and the numbers of the rows in each of two deliveries.

    `later` has the columns of the second delivery: one of them may be of another kind.
    """

    seed: int
    columns: tuple[Column, ...]
    later: tuple[Column, ...]
    rows: tuple[tuple[int, ...], tuple[int, ...]]

    def delivery(self, number: int) -> dict[str, list[Any]]:
        """The values, with the number of each row: nobody promises an order."""
        columns = self.later if number else self.columns
        values = {each.name: [each.value(row) for row in self.rows[number]] for each in columns}
        return {"row": list(self.rows[number]), **values}

    def may_drift(self) -> bool:
        """Whether the second delivery may have values that the first gave no reason to expect."""
        return any(
            was.kind != now.kind
            or was.kind in (*TEXTS, "uint64", *LONG_DECIMALS)
            or any(_hollow(self.delivery(number)[was.name]) for number in (0, 1))
            for was, now in zip(self.columns, self.later, strict=True)
        )

    def without(self, column: int) -> Table:
        def rest(columns: tuple[Column, ...]) -> tuple[Column, ...]:
            return columns[:column] + columns[column + 1 :]

        return replace(self, columns=rest(self.columns), later=rest(self.later))

    def smaller(self) -> list[Table]:
        """Tables to try if this one fails: fewer columns, fewer rows."""
        tables = []
        if len(self.columns) > 1:
            tables += [self.without(number) for number in range(len(self.columns))]
        for number in (0, 1):
            rows = self.rows[number]
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :], rows[1:], rows[:-1]):
                if 0 < len(half) < len(rows):
                    both = (half, self.rows[1]) if number == 0 else (self.rows[0], half)
                    tables.append(replace(self, rows=both))
        return tables


WIDER = {
    "int": "float",
    "whole_float": "float",
    "money": "decimal18",
    "date": "seconds",
    "int32": "int64",
}


def table_of(seed: int, kinds: tuple[str, ...]) -> Table:
    """A table whose columns have some of these kinds."""
    dice = random.Random(seed)
    names = ["id", "name", "Amount", "when", "größe", "a b", "select", "x.y"]
    columns = tuple(
        Column(name, dice.choice(kinds), dice.randrange(10**9), dice.choice((0, 0, 0.1, 0.5)))
        for name in dice.sample(names, dice.randrange(1, 6))
    )
    later = list(columns)
    if dice.random() < 0.6:
        at = dice.randrange(len(later))
        wider = WIDER.get(later[at].kind, later[at].kind)
        kind = dice.choice((wider, dice.choice(kinds)))
        kind = kind if kind in kinds else later[at].kind
        later[at] = replace(later[at], kind=kind, nulls=dice.choice((0, 0.3, 1)))
    first, second = dice.randrange(1, 20), dice.randrange(1, 20)
    rows = (tuple(range(first)), tuple(range(100, 100 + second)))
    return Table(seed, columns, tuple(later), rows)


# Whether a stored value is the delivered one. Stored values are those of `read` (JSON), with the
# type of their column.

_NUMBER = re.compile(r"-?(0|[1-9]\d*|(?=\.))(\.\d*)?([eE][-+]?\d+)?")
_EXPONENT_ID = re.compile(r"\d+[eE]\d+")


def same(delivered: Any, stored: Any, kind: str) -> bool:
    """Whether `stored`, in a column of this type, means what was delivered."""
    match delivered:
        case None:
            return stored is None
        case _ if stored is None:  # quoted, and nothing between the quotes, or a word for it
            return delivered in ("", *NULL_WORDS) and not _is_text(kind)
        case bool():
            return stored is delivered or (
                _is_text(kind) and stored.lower() == str(delivered).lower()
            )
        case int() | Decimal():
            return _same_number(Decimal(delivered), stored, kind)
        case float():
            return _same_float(delivered, stored, kind)
        case datetime() | date() | time():
            return _same_moment(delivered, stored, kind)
        case bytes():
            return stored == base64.b64encode(delivered).decode()
        case list() | dict():
            return _same_nested(delivered, stored, kind)
        case uuid.UUID():
            return str(stored).lower() == str(delivered)
        case str():
            return _same_text(delivered, stored, kind)
    raise AssertionError(type(delivered))


def _is_text(kind: str) -> bool:
    return kind in ("VARCHAR", "JSON")


def _same_text(delivered: str, stored: Any, kind: str) -> bool:
    if kind == "JSON":  # beside objects and arrays; quoted, as any text in JSON
        return json.loads(stored) == delivered
    return stored == delivered if _is_text(kind) else _says(delivered, stored, kind)


def _same_number(delivered: Decimal, stored: Any, kind: str) -> bool:
    if isinstance(stored, bool):
        return False
    if kind == "JSON":  # a number with more digits than a double has is a text
        stored = json.loads(stored, parse_float=Decimal)
    try:
        return Decimal(repr(stored) if isinstance(stored, float) else stored) == delivered
    except (ArithmeticError, ValueError, TypeError):
        return False


def _same_float(delivered: float, stored: Any, kind: str) -> bool:
    try:
        read = float(stored)
    except (TypeError, ValueError):
        return False
    return read == delivered or (math.isnan(read) and math.isnan(delivered))


def _same_moment(delivered: date | time, stored: Any, kind: str) -> bool:
    try:
        if isinstance(delivered, time):
            return time.fromisoformat(stored) == delivered
        read = datetime.fromisoformat(stored)
    except (TypeError, ValueError):
        return False
    if not isinstance(delivered, datetime):
        delivered = datetime.combine(delivered, time())
    return read == delivered if read.tzinfo is None else read == delivered.astimezone(UTC)


def _same_nested(delivered: Any, stored: Any, kind: str) -> bool:
    read = json.loads(stored) if isinstance(stored, str) else stored
    if kind == "JSON[]":  # of a first list without elements; each is JSON, written as text
        read = [value and json.loads(value) for value in read]
    parsed = parse(kind)
    parts = [part.text for _, part in parsed.fields] or ["JSON"]
    if isinstance(delivered, list):
        items = zip(delivered, read, strict=True)
        return len(delivered) == len(read) and all(_same_inside(*pair, parts[-1]) for pair in items)
    types = {name: part.text for name, part in parsed.fields if parsed.name == "STRUCT"}
    return delivered.keys() == read.keys() and all(
        _same_inside(delivered[name], read[name], types.get(name, parts[-1])) for name in read
    )


def _same_inside(delivered: Any, stored: Any, kind: str) -> bool:
    """The same within another value, where null is the only word for it."""
    if kind == "JSON" and not isinstance(delivered, list | dict):
        return bool(delivered == stored)
    return stored == delivered == "" or same(delivered, stored, kind)


def _says(text: str, stored: Any, kind: str) -> bool:
    """Whether text means a value of another type, and nothing of it is lost."""
    if kind == "BOOLEAN":
        return text.lower() in (("true", "t", "yes", "y") if stored else ("false", "f", "no", "n"))
    if kind.startswith(("DATE", "TIME")):
        return _same_text_moment(text, str(stored), kind)
    if not _NUMBER.fullmatch(text) or _EXPONENT_ID.fullmatch(text):
        return False
    if kind == "DOUBLE" and len(text.partition(".")[2]) >= LONG_FRACTION:
        return _long_fraction(text, stored)
    return _same_number(Decimal(text), stored, kind)


def _long_fraction(text: str, stored: float) -> bool:
    """Whether a program that writes up to 17 digits writes the number like this."""
    return any(Decimal(f"{stored:.{digits}g}") == Decimal(text) for digits in range(1, 18))


def _same_text_moment(text: str, stored: str, kind: str) -> bool:
    """A text without a zone is local; the sources' zone is UTC."""
    text = re.sub(r"^(\d\d)\.(\d\d)\.(\d{4})$", r"\3-\2-\1", text)
    if re.search(r"\.\d{7,}", text):
        return False  # finer than microseconds
    try:
        if kind.startswith("TIME") and not kind.startswith("TIMESTAMP"):
            return time.fromisoformat(text) == time.fromisoformat(stored)
        delivered, read = datetime.fromisoformat(text), datetime.fromisoformat(stored)
    except ValueError:
        return False
    if len(text) < len("2024-01-01") and "-" not in text:
        return False
    if delivered.tzinfo is None and read.tzinfo is not None:
        delivered = delivered.replace(tzinfo=UTC)
    return delivered == read if (delivered.tzinfo is None) is (read.tzinfo is None) else False


@dataclass
class Difference(Exception):
    """What was delivered, and what came of it."""

    what: str
    table: Table | None = field(default=None)

    def __str__(self) -> str:
        return self.what
