"""CODA: coded statements of account of Belgian banks, by version 2 of Febelfin's standard.

The old balance plus the movements must be the new one, and the trailer's count and totals must be
those of the records. Records have 128 characters, in positions that the standard counts from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from headrace.extension import marked
from headrace.extension.formats import CannotRead, Disagrees, printable
from headrace_legacy.text_lines import TextFormat, full_year

MOVEMENTS, DETAILS, INFORMATION = "movements", "details", "information"
BALANCES, MESSAGES = "balances", "messages"
RECORD_CHARACTERS = 128
_MONEY = "DECIMAL(18,3)"
_OF_STATEMENT = {
    "account": "VARCHAR",
    "currency": "VARCHAR",
    "statement": "VARCHAR",
    "created": "DATE",
    "duplicate": "VARCHAR",
}
_OF_CODE = {"code": "VARCHAR", "type": "VARCHAR", "family": "VARCHAR", "operation": "VARCHAR"}
_OF_TEXT = {"text": "VARCHAR", "structure": "VARCHAR", "structured": "VARCHAR"}
_OF_MOVEMENT = {
    **_OF_STATEMENT,
    "entry": "VARCHAR",
    "detail": "VARCHAR",
    "bank_reference": "VARCHAR",
    "amount": _MONEY,
    "value_date": "DATE",
    "entry_date": "DATE",
    **_OF_CODE,
    "category": "VARCHAR",
    "globalisation": "VARCHAR",
    **_OF_TEXT,
    "reference": "VARCHAR",
    "creditor": "VARCHAR",
    "mandate": "VARCHAR",
    "customer_reference": "VARCHAR",
    "return_type": "VARCHAR",
    "return_reason": "VARCHAR",
    "category_purpose": "VARCHAR",
    "purpose": "VARCHAR",
    "counterparty_bank": "VARCHAR",
    "counterparty_account": "VARCHAR",
    "counterparty_currency": "VARCHAR",
    "counterparty_name": "VARCHAR",
}
COLUMNS = {
    MOVEMENTS: _OF_MOVEMENT,
    DETAILS: _OF_MOVEMENT,
    INFORMATION: {
        **_OF_STATEMENT,
        "entry": "VARCHAR",
        "detail": "VARCHAR",
        "bank_reference": "VARCHAR",
        **_OF_CODE,
        **_OF_TEXT,
    },
    BALANCES: {
        **_OF_STATEMENT,
        "paper_statement": "VARCHAR",
        "holder": "VARCHAR",
        "description": "VARCHAR",
        "bank": "VARCHAR",
        "company": "VARCHAR",
        "separate_application": "VARCHAR",
        "opening_date": "DATE",
        "opening": _MONEY,
        "closing_date": "DATE",
        "closing": _MONEY,
        "movements": "BIGINT",
    },
    MESSAGES: {**_OF_STATEMENT, "message": "VARCHAR", "text": "VARCHAR"},
}
_FOLLOWS = {
    kind: frozenset(before.split())
    for kind, before in {
        "0": "9",
        "1": "0",
        "21": "1 21 22 23 31 32 33",
        "22": "21",
        "23": "21 22",
        "31": "21 22 23 31 32 33",
        "32": "31",
        "33": "31 32",
        "8": "1 21 22 23 31 32 33",
        "4": "1 8 4",
        "9": "1 8 4",
    }.items()
}
"""Kind of a record → the kinds of those that it may follow; only a header may be the first."""
_COUNTED = frozenset(("1", "21", "22", "23", "31", "32", "33", "8"))
"""Records that the trailer counts."""
_BELGIAN_REFERENCES = ("101", "102")
_DIRECT_DEBIT = "127"


class Coda(TextFormat):
    """Statements of accounts as Belgian banks write them: version 2 of CODA."""

    name = "coda"
    meaning = "which rows of a Belgian statement of account are read"
    endings = (".cod", ".coda")
    kinds_of_rows = COLUMNS

    def rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the movements and all else, and compare balances and trailers with them."""
        reading = _Reading()
        for number, line in lines:
            if line.strip():
                yield from reading.take(_record(number, line))
        reading.end()


class Record(NamedTuple):
    """A record of 128 characters."""

    line: int
    text: str
    kind: str = ""
    """Its identification, with the article of movements and information: `0`, `21`."""

    @property
    def key(self) -> str:
        """The numbers of the entry and of its detail, in records 2, 3 and 4."""
        return self.text[2:10]

    def at(self, first: int, last: int) -> str | None:
        """Return the text in positions counted from 1, without blanks around; None if blank."""
        return self.text[first - 1 : last].strip() or None

    def written(self, first: int, last: int) -> str:
        """Return the text in positions counted from 1, with its blanks."""
        return self.text[first - 1 : last]

    def day(self, first: int) -> str | None:
        """Return the day DDMMYY at a position; None for zeros."""
        digits = self.written(first, first + 5)
        if digits == "000000":
            return None
        try:
            day = date(*_of_day(digits))
        except ValueError as error:
            raise self.refused(f"{marked(printable(digits))} is no day") from error
        return day.isoformat()

    def amount(self, first: int) -> Decimal:
        """Return the amount whose sign is at a position. Raises CannotRead for anything else."""
        sign = self.written(first, first)
        if sign not in ("0", "1"):
            raise self.refused(f"{marked(printable(sign))} is no sign: 0 is a credit, 1 a debit")
        amount = self.amount_without_sign(first + 1)
        return -amount if sign == "1" else amount

    def amount_without_sign(self, first: int) -> Decimal:
        """Return the amount at a position, which has no sign."""
        digits = self.written(first, first + 14)
        if not (digits.isascii() and digits.isdecimal()):
            raise self.refused(f"{marked(printable(digits))} isn't an amount")
        return Decimal(digits).scaleb(-3)

    def refused(self, why: str) -> CannotRead:
        """Return the error of the record."""
        return CannotRead(f"line {self.line:,}: {why}", line=self.line)


def _record(number: int, line: str) -> Record:
    text = line.rstrip()
    record = Record(number, text, text[:2] if text[0] in "23" else text[0])
    if len(text) != RECORD_CHARACTERS:
        blank = " with the blanks at its end" * (len(line) == RECORD_CHARACTERS)
        raise record.refused(
            f"a record has {RECORD_CHARACTERS} characters, and this one {len(line):,}{blank}"
        )
    if record.kind not in _FOLLOWS:
        raise record.refused(f"there is no record {marked(printable(record.kind))}")
    return record


@dataclass
class Statement:
    """What has been read of a statement."""

    head: dict[str, Any]
    line: int
    balances: dict[str, Any] = field(default_factory=dict)
    structure: str = ""
    """How the account is written."""
    opening: Decimal = field(default_factory=Decimal)
    closing: Decimal | None = None
    debit: Decimal = field(default_factory=Decimal)
    credit: Decimal = field(default_factory=Decimal)
    movements: int = 0
    records: int = 0
    """Those that its trailer counts."""


class _Reading:
    """Turns records into rows, and checks the totals."""

    def __init__(self) -> None:
        self.problem: Disagrees | None = None
        """The first contradiction."""
        self._before: Record | None = None
        self._statement: Statement | None = None
        self._movement: Record | None = None
        """The newest record 2.1."""
        self._parts: list[Record] = []
        """The records of the movement, information or message that is open."""

    def take(self, record: Record) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows that are complete once a record begins, each with its kind."""
        self._require_order(record)
        kind = record.kind
        if kind not in ("22", "23", "32", "33") and not self._continues_message(record):
            yield from self._ended()
        self._before = record
        if kind == "0":
            self._begin(record)
            return
        assert self._statement is not None
        self._statement.records += kind in _COUNTED
        match kind:
            case "1":
                self._open(self._statement, record)
            case "8":
                self._close(self._statement, record)
            case "9":
                yield from self._end(self._statement, record)
            case _:
                self._add(record)

    def end(self) -> None:
        """Raise CannotRead for a file without its end, and Disagrees for the first wrong total."""
        if self._before is None or self._before.kind != "9":
            raise CannotRead(
                "the file has no trailer (record 9): it is cut off", code="delivery_truncated"
            )
        if self.problem is not None:
            raise self.problem

    def _require_order(self, record: Record) -> None:
        before = self._before
        if before is None and record.kind != "0":
            raise record.refused("it isn't a CODA file: its first record isn't a header")
        if before is not None and before.kind not in _FOLLOWS[record.kind]:
            raise record.refused(
                f"a record {marked(record.kind)} can't follow a record {marked(before.kind)}"
            )

    def _continues_message(self, record: Record) -> bool:
        """Whether a record 4 belongs to the message before: the entry's number is the same."""
        return record.kind == "4" and bool(self._parts) and self._parts[0].key[:4] == record.key[:4]

    def _begin(self, record: Record) -> None:
        if record.written(128, 128) != "2":
            raise record.refused(
                f"version {marked(printable(record.written(128, 128)))} of CODA isn't read, only 2"
            )
        self._statement = Statement(
            {"created": record.day(6), "duplicate": record.at(17, 17)},
            record.line,
            {
                "bank": record.at(61, 71),
                "company": record.at(72, 82),
                "separate_application": _unless_zero(record.at(84, 88)),
            },
        )
        self._movement = None

    def _open(self, statement: Statement, record: Record) -> None:
        statement.structure = record.written(2, 2)
        account, currency = _account(statement.structure, record.written(6, 42), record)
        statement.opening = record.amount(43)
        statement.head |= {
            "account": account,
            "currency": currency,
            "statement": record.at(126, 128),
        }
        statement.balances |= {
            "paper_statement": record.at(3, 5),
            "opening": str(statement.opening),
            "opening_date": record.day(59),
            "holder": record.at(65, 90),
            "description": record.at(91, 125),
        }

    def _close(self, statement: Statement, record: Record) -> None:
        statement.closing = record.amount(42)
        statement.balances |= {
            "closing": str(statement.closing),
            "closing_date": record.day(58),
        }
        account, currency = _account(statement.structure, record.written(5, 41), record)
        if (account, currency) != (statement.head["account"], statement.head["currency"]):
            self._disagrees_at(record.line, "has a new balance of another account than its old one")

    def _add(self, record: Record) -> None:
        """Add a record to the movement, information or message that it belongs to."""
        of = self._parts[0] if self._parts else self._movement
        if record.kind in ("22", "23", "32", "33") and of is not None and of.key != record.key:
            raise record.refused("its numbers aren't those of the record that it continues")
        is_information = record.kind == "31"
        if is_information and of is not None and of.key[:4] != record.key[:4]:
            raise record.refused("its entry isn't the one that it informs about")
        self._parts.append(record)

    def _ended(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the row of the records that are open."""
        parts, self._parts = self._parts, []
        statement = self._statement
        if not parts or statement is None:
            return
        first = parts[0]
        match first.kind:
            case "21":
                yield self._moved(statement, parts)
            case "31":
                yield INFORMATION, {**statement.head, **_information(parts)}
            case "4":
                text = "".join(part.written(33, 112) for part in parts).rstrip()
                yield MESSAGES, {**statement.head, "message": first.key[:4], "text": text or None}

    def _moved(self, statement: Statement, parts: list[Record]) -> tuple[str, dict[str, Any]]:
        """Return the row of a movement or a detail, and count a movement.

        The detail after 9999 is 0000 again, and no movement of its own.
        """
        first, before = parts[0], self._movement
        self._movement = first
        is_detail = first.key[4:] != "0000" or (
            before is not None and before.key == f"{first.key[:4]}9999"
        )
        if is_detail and (before is None or before.key[:4] != first.key[:4]):
            raise first.refused("a detail without the movement that it belongs to")
        amount = first.amount(32)
        if not is_detail:
            statement.movements += 1
            if amount < 0:
                statement.debit -= amount
            else:
                statement.credit += amount
        row = {**statement.head, **_movement(parts), "amount": str(amount)}
        return DETAILS if is_detail else MOVEMENTS, row

    def _end(self, statement: Statement, record: Record) -> Iterator[tuple[str, dict[str, Any]]]:
        counted = record.written(17, 22)
        if not (counted.isascii() and counted.isdecimal()):
            raise record.refused(f"{marked(printable(counted))} isn't a number of records")
        self._compare(record, "records", int(counted), statement.records)
        for name, first, moved in (
            ("debits", 23, statement.debit),
            ("credits", 38, statement.credit),
        ):
            self._compare(record, f"of {name}", record.amount_without_sign(first), moved)
        self._check_balances(statement)
        yield (
            BALANCES,
            {
                **dict.fromkeys(COLUMNS[BALANCES]),
                **statement.head,
                **statement.balances,
                "movements": str(statement.movements),
            },
        )

    def _check_balances(self, statement: Statement) -> None:
        """Compare the balances with the movements, unless the statement is an extract."""
        if statement.balances["separate_application"]:
            return
        moved = statement.credit - statement.debit
        if statement.closing not in (None, statement.opening + moved):
            self._disagrees_at(
                statement.line,
                f"begins with {_shown(statement.opening)}, its movements come to {_shown(moved)},"
                f" and it ends with {_shown(statement.closing)}",
            )

    def _compare(self, record: Record, what: str, stated: Decimal | int, counted: Any) -> None:
        if stated != counted:
            self._disagrees_at(
                record.line,
                f"ends with a trailer that states {_shown(stated)} {what}, and has"
                f" {_shown(counted)}",
            )

    def _disagrees_at(self, line: int, how: str) -> None:
        """Keep the first contradiction."""
        if self.problem is None:
            self.problem = Disagrees(f"line {line:,}: the statement {how}", line=line)


def _account(structure: str, zone: str, record: Record) -> tuple[str | None, str | None]:
    """Return an account and its currency, whose places depend on the structure."""
    match structure:
        case "0":
            number, currency = zone[:12], zone[13:16]
        case "2":
            number, currency = zone[:31], zone[34:]
        case "1" | "3":
            number, currency = zone[:34], zone[34:]
        case _:
            raise record.refused(
                f"there is no structure of accounts {marked(printable(structure))}"
            )
    return number.strip() or None, currency.strip() or None


def _counterparty(zone: str) -> tuple[str | None, str | None]:
    """Return the counterparty's account and currency: Belgian numbers of 12 digits have their own
    places.
    """
    is_belgian = zone[12:13] == " " and zone[:12].isdecimal()
    number, currency = (zone[:12], zone[13:16]) if is_belgian else (zone[:34], zone[34:])
    return number.strip() or None, currency.strip() or None


def _of_day(digits: str) -> tuple[int, int, int]:
    """Return year, month and day of six digits; a month 0, which is none, for anything else."""
    if not (digits.isascii() and digits.isdecimal()):
        return 1, 0, 0
    return full_year(int(digits[4:])), int(digits[2:4]), int(digits[:2])


def _unless_zero(number: str | None) -> str | None:
    """Return a number; None for zeros."""
    return number if number and number.strip("0") else None


def _code(code: str) -> dict[str, str]:
    """Return a transaction code and its parts but for the category."""
    return {"code": code, "type": code[0], "family": code[1:3], "operation": code[3:5]}


def _movement(parts: list[Record]) -> dict[str, Any]:
    """Return the columns of a movement or a detail from its records 2.1, 2.2 and 2.3."""
    blank = " " * RECORD_CHARACTERS
    by_kind = {part.kind: part for part in parts}
    first, second, third = (by_kind.get(kind, Record(0, blank)) for kind in ("21", "22", "23"))
    text = first.written(63, 115) + second.written(11, 63) + third.written(83, 125)
    account, currency = _counterparty(third.written(11, 47))
    code = first.written(54, 61)
    return {
        "entry": first.key[:4],
        "detail": first.key[4:],
        "bank_reference": first.at(11, 31),
        "value_date": first.day(48),
        "entry_date": first.day(116),
        **_code(code),
        "category": code[5:],
        "globalisation": first.at(125, 125),
        **_text(first.written(62, 62), text, first),
        "customer_reference": second.at(64, 98),
        "counterparty_bank": second.at(99, 109),
        "return_type": second.at(113, 113),
        "return_reason": second.at(114, 117),
        "category_purpose": second.at(118, 121),
        "purpose": second.at(122, 125),
        "counterparty_account": account,
        "counterparty_currency": currency,
        "counterparty_name": third.at(48, 82),
    }


def _information(parts: list[Record]) -> dict[str, Any]:
    """Return the columns of information from its records 3.1, 3.2 and 3.3."""
    first = parts[0]
    ends = {"31": (41, 113), "32": (11, 115), "33": (11, 100)}
    text = "".join(part.written(*ends[part.kind]) for part in parts)
    columns = _text(first.written(40, 40), text, first)
    return {
        "entry": first.key[:4],
        "detail": first.key[4:],
        "bank_reference": first.at(11, 31),
        **_code(first.written(32, 39)),
        **{name: columns[name] for name in _OF_TEXT},
    }


def _text(is_structured: str, text: str, record: Record) -> dict[str, Any]:
    """Return a communication: free text, or the number of its structure and what follows it."""
    columns: dict[str, Any] = dict.fromkeys((*_OF_TEXT, "reference", "creditor", "mandate"))
    if is_structured == "0":
        return {**columns, "text": text.strip() or None}
    if is_structured != "1":
        raise record.refused(f"there is no communication {marked(printable(is_structured))}")
    structure, structured = text[:3], text[3:].rstrip()
    columns |= {"structure": structure, "structured": structured or None}
    if structure in _BELGIAN_REFERENCES and _is_valid(structured[:12]):
        columns["reference"] = structured[:12]
    elif structure == _DIRECT_DEBIT:
        columns |= {
            "creditor": structured[9:44].strip() or None,
            "mandate": structured[44:79].strip() or None,
        }
    return columns


def _is_valid(reference: str) -> bool:
    """Whether the last two of twelve digits are the remainder of the others by 97, or 97."""
    if not (len(reference) == 12 and reference.isascii() and reference.isdecimal()):
        return False
    return (int(reference[:10]) % 97 or 97) == int(reference[10:])


def _shown(amount: Decimal | int | None) -> str:
    return marked(f"{amount:,}")
