"""MT940: SWIFT's customer statements. A row is a movement, or a statement with its balances.

The opening balance of a statement plus its movements must be its closing balance.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Disagrees,
    printable,
)
from headrace_legacy.text_lines import TextFormat, full_year

MOVEMENTS, BALANCES = "movements", "balances"
_MONEY = "DECIMAL(18,3)"
_OF_STATEMENT = {
    "account": "VARCHAR",
    "reference": "VARCHAR",
    "statement": "VARCHAR",
    "sequence": "VARCHAR",
    "currency": "VARCHAR",
}
COLUMNS = {
    MOVEMENTS: {
        **_OF_STATEMENT,
        "entry": "BIGINT",
        "value_date": "DATE",
        "entry_date": "DATE",
        "mark": "VARCHAR",
        "amount": _MONEY,
        "type": "VARCHAR",
        "customer_reference": "VARCHAR",
        "bank_reference": "VARCHAR",
        "supplement": "VARCHAR",
        "details": "VARCHAR",
        "code": "VARCHAR",
        "posting_text": "VARCHAR",
        "purpose": "VARCHAR",
        "counterparty_bank": "VARCHAR",
        "counterparty_account": "VARCHAR",
        "counterparty_name": "VARCHAR",
    },
    BALANCES: {
        **_OF_STATEMENT,
        "opening_date": "DATE",
        "opening": _MONEY,
        "closing_date": "DATE",
        "closing": _MONEY,
        "available": _MONEY,
        "movements": "BIGINT",
        "details": "VARCHAR",
    },
}
FIELD_LINES_MAX = 100
_NOT_SWIFT = "NS"
"""The tag of a field that German banks add to the standard. It is ignored."""
_TAG = re.compile(rf":([0-9]{{2}}[A-Z]?|{_NOT_SWIFT}):(.*)")
_END = re.compile(r"-(\}.*|XXX)?\s*")
"""The line that ends a statement."""
_BALANCE = re.compile(r"([CD])([0-9]{6})([A-Z]{3})([0-9]{1,14},[0-9]{0,3})\s*")
_MOVEMENT = re.compile(
    r"([0-9]{6})([0-9]{4})?(RC|RD|EC|ED|C|D)([A-Z])?([0-9]{1,14},[0-9]{0,3})"
    r"([A-Z][A-Z0-9]{3})(.*)"
)
_SIGNS = {"C": 1, "RD": 1, "EC": 1, "D": -1, "RC": -1, "ED": -1}
"""Mark → sign. A reversal (R) has the opposite one."""
_EXPECTED = ("EC", "ED")
"""Marks of movements that aren't booked yet, and not in the balances."""
_STRUCTURED = re.compile(r"([0-9]{3})?(\?[0-9]{2}.*)")
_SUBFIELD = re.compile(r"\?(?=[0-9]{2})")
_PURPOSE = {f"{number:02}" for number in (*range(20, 30), *range(60, 64))}


class Balance(NamedTuple):
    """A balance: its day, currency and amount, negative if it is a debit."""

    day: date
    currency: str
    amount: Decimal


@dataclass
class Statement:
    """The fields of a statement that have been read so far."""

    line: int
    reference: str
    account: str = ""
    statement: str = ""
    sequence: str | None = None
    opening: Balance | None = None
    closing: Balance | None = None
    available: Decimal | None = None
    continues: bool = False
    """Whether its opening balance is an intermediate one (60M)."""
    movements: int = 0
    booked: Decimal = field(default_factory=Decimal)
    texts: list[str] = field(default_factory=list)
    """The fields :86: that describe the statement, not a movement."""

    def head(self) -> dict[str, Any]:
        """Return the columns that all rows of the statement have."""
        assert self.opening is not None
        return {
            "account": self.account,
            "reference": self.reference,
            "statement": self.statement,
            "sequence": self.sequence,
            "currency": self.opening.currency,
        }


class Mt940(TextFormat):
    """Statements in SWIFT's format MT940, with or without the blocks of a message around them."""

    name = "mt940"
    meaning = "which rows of SWIFT's customer statements are read"
    endings = (".sta", ".mt940", ".940")
    kinds_of_rows = COLUMNS

    def rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the movements and the statements, and compare the balances with them."""
        reading = _Reading()
        for part in _fields(lines):
            yield from reading.take(part.tag, part.text, part.line)
        yield from reading.end()
        if not reading.statements:
            raise CannotRead("there is no statement: no line begins with :20:")
        if reading.problem is not None:
            raise reading.problem


@dataclass
class Field:
    """A field of a statement. The tag is empty for the end of a statement."""

    tag: str
    lines: list[str]
    line: int
    """The number of its first line."""

    @property
    def text(self) -> str:
        """The content with its line breaks."""
        return "\n".join(self.lines)

    def add(self, line: str, number: int) -> None:
        """Add a line that continues the field."""
        if self.tag and line.strip():
            self.lines.append(line)
        if len(self.lines) > FIELD_LINES_MAX:
            raise CannotRead(
                f"line {number:,}: the field :{self.tag}: has more than {FIELD_LINES_MAX} lines",
                line=number,
            )


def _fields(lines: Iterator[tuple[int, str]]) -> Iterator[Field]:
    """Yield the fields of all statements. Lines between statements are ignored."""
    newest: Field | None = None
    for number, line in lines:
        begun = _begun(line, number)
        if begun is None and newest is not None:
            newest.add(line, number)
        if begun is None:
            continue
        if newest is not None:
            yield newest
        newest = begun
    if newest is not None:
        yield newest


def _begun(line: str, number: int) -> Field | None:
    """Return the field that a line begins; None if it continues one."""
    match = _TAG.fullmatch(line)
    if match is not None:
        return Field(match[1], [match[2]], number)
    return Field("", [], number) if _END.fullmatch(line) else None


class _Reading:
    """Turns fields into rows, and checks the balances."""

    def __init__(self) -> None:
        self.statements = 0
        self.problem: Disagrees | None = None
        """The first contradiction."""
        self._open: Statement | None = None
        self._movement: dict[str, Any] | None = None
        self._texts: list[str] = []
        """The newest movement's details."""
        self._closed: dict[tuple[str, str], Decimal] = {}
        """Account and currency → the amount with which its newest statement ended."""

    def take(self, tag: str, text: str, line: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows that are complete once a field begins, each with its kind."""
        if tag in ("", "20"):
            yield from self.end()
        if tag == "20":
            self.statements += 1
            self._open = Statement(line, text.strip())
            return
        statement = self._open
        if statement is None or tag == _NOT_SWIFT:
            return
        if tag == "86":
            _add(statement.texts if self._movement is None else self._texts, text, line)
        else:
            yield from self._ended_movement()
            self._set(statement, tag, text, line)

    def end(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows that are complete at the end of a statement."""
        statement, self._open = self._open, None
        if statement is None:
            return
        yield from self._ended_movement()
        if statement.opening is None or statement.closing is None:
            missing = "opening balance (:60F:)" if statement.opening is None else ""
            raise CannotRead(
                f"the statement in line {statement.line:,} has no"
                f" {missing or 'closing balance (:62F:): it may be cut off'}",
                line=statement.line,
                code="unreadable_delivery" if missing else "delivery_truncated",
            )
        self._check(statement, statement.opening, statement.closing)
        yield (
            BALANCES,
            {
                **statement.head(),
                "opening_date": statement.opening.day.isoformat(),
                "opening": str(statement.opening.amount),
                "closing_date": statement.closing.day.isoformat(),
                "closing": str(statement.closing.amount),
                "available": None if statement.available is None else str(statement.available),
                "movements": str(statement.movements),
                "details": "\n".join(statement.texts).strip() or None,
            },
        )

    def _ended_movement(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if self._movement is not None:
            yield MOVEMENTS, {**self._movement, **_details(self._texts)}
            self._movement = None

    def _set(self, statement: Statement, tag: str, text: str, line: int) -> None:
        match tag:
            case "25" | "25P":
                statement.account = text.split("\n", maxsplit=1)[0].strip()
            case "28" | "28C":
                number, _, sequence = text.strip().partition("/")
                statement.statement, statement.sequence = number, sequence or None
            case "60F" | "60M":
                statement.opening = _balance(tag, text, line)
                statement.continues = tag == "60M"
            case "61":
                self._movement, self._texts = _movement(statement, text, line), []
            case "62F" | "62M":
                statement.closing = _balance(tag, text, line)
            case "64":
                statement.available = _balance(tag, text, line).amount

    def _check(self, statement: Statement, opening: Balance, closing: Balance) -> None:
        """Keep the first contradiction between balances and movements."""
        before = self._closed.get((statement.account, opening.currency))
        self._closed[statement.account, closing.currency] = closing.amount
        if self.problem is not None:
            return
        where = f"the statement in line {statement.line:,}"
        if closing.currency != opening.currency:
            self.problem = Disagrees(
                f"{where} begins in {marked(opening.currency)} and ends in"
                f" {marked(closing.currency)}",
                line=statement.line,
            )
        elif opening.amount + statement.booked != closing.amount:
            self.problem = Disagrees(
                f"{where} begins with {_shown(opening.amount)}, its {statement.movements:,}"
                f" movements come to {_shown(statement.booked)}, and it ends with"
                f" {_shown(closing.amount)}",
                line=statement.line,
            )
        elif statement.continues and before not in (None, opening.amount):
            self.problem = Disagrees(
                f"{where} continues with {_shown(opening.amount)}, and the one before ended with"
                f" {_shown(before)}",
                line=statement.line,
            )


def _balance(tag: str, text: str, line: int) -> Balance:
    match = _BALANCE.fullmatch(text)
    if match is None:
        raise CannotRead(
            f"line {line:,}: :{tag}: isn't a balance: {marked(printable(text, 60))}", line=line
        )
    amount = _amount(match[4])
    return Balance(_day(match[2], line), match[3], amount if match[1] == "C" else -amount)


def _movement(statement: Statement, text: str, line: int) -> dict[str, Any]:
    first, _, supplement = text.partition("\n")
    match = _MOVEMENT.fullmatch(first)
    if match is None:
        raise CannotRead(
            f"line {line:,}: :61: isn't a movement: {marked(printable(first, 60))}", line=line
        )
    if statement.opening is None:
        raise CannotRead(f"line {line:,}: a movement before the opening balance", line=line)
    value_date, mark = _day(match[1], line), match[3]
    amount = _SIGNS[mark] * _amount(match[5])
    statement.movements += 1
    if mark not in _EXPECTED:
        statement.booked += amount
    customer_reference, _, bank_reference = match[7].partition("//")
    return {
        **statement.head(),
        "entry": str(statement.movements),
        "value_date": value_date.isoformat(),
        "entry_date": _entry_date(match[2], value_date, line),
        "mark": mark,
        "amount": str(amount),
        "type": match[6],
        "customer_reference": customer_reference.strip() or None,
        "bank_reference": bank_reference.strip() or None,
        "supplement": supplement.strip() or None,
    }


def _shown(amount: Decimal) -> str:
    return marked(f"{amount:,}")


def _amount(text: str) -> Decimal:
    return Decimal(text.replace(",", ".").rstrip("."))


def _day(text: str, line: int) -> date:
    """Parse YYMMDD; from 80 on the year is of the last century.

    30 February, which banks with months of 30 days write, is the month's last day.
    """
    return _date(full_year(int(text[:2])), text, line)


def _date(year: int, text: str, line: int) -> date:
    """Return the day in `year` from the last four digits of a text, MMDD."""
    month, day = int(text[-4:-2]), int(text[-2:])
    try:
        if month == 2 and day in (29, 30):
            day = min(day, monthrange(year, month)[1])
        return date(year, month, day)
    except ValueError as error:
        raise CannotRead(f"line {line:,}: {marked(text)} is no day", line=line) from error


def _entry_date(text: str | None, value_date: date, line: int) -> str | None:
    """Return the day MMDD that is nearest to the value date, maybe of the year before or after."""
    if text is None:
        return None
    days = [_date(value_date.year + years, text, line) for years in (-1, 0, 1)]
    return min(days, key=lambda entry: abs(entry - value_date)).isoformat()


def _add(texts: list[str], text: str, line: int) -> None:
    """Add a field :86:; some banks write several for one movement."""
    texts.append(text)
    if sum(each.count("\n") + 1 for each in texts) > FIELD_LINES_MAX:
        raise CannotRead(
            f"line {line:,}: the fields :86: have more than {FIELD_LINES_MAX} lines", line=line
        )


def _details(texts: Sequence[str]) -> dict[str, Any]:
    """Return the details as text, and their parts if they are structured: `166?00…?20…`."""
    wholes = (text.replace("\n", "").strip() for text in texts)
    structured = [match for whole in wholes if (match := _STRUCTURED.fullmatch(whole))]
    code = next((match[1] for match in structured if match[1]), "")
    parts: defaultdict[str, str] = defaultdict(str)
    for part in _SUBFIELD.split("".join(match[2] for match in structured if code))[1:]:
        parts[part[:2]] += part[2:]
    values = {
        "details": "\n".join(texts),
        "code": code,
        "posting_text": parts["00"],
        "purpose": "".join(value for key, value in parts.items() if key in _PURPOSE),
        "counterparty_bank": parts["30"],
        "counterparty_account": parts["31"],
        "counterparty_name": parts["32"] + parts["33"],
    }
    return {name: value.strip() or None for name, value in values.items()}
