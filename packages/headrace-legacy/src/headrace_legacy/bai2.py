"""BAI2: cash management files of banks. A row is a transaction, or a balance or summary.

The sums and counts in the controls of accounts, groups and the file must be those of the records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from headrace.extension import marked
from headrace.extension.formats import CannotRead, Disagrees, printable
from headrace_legacy.text_lines import TextFormat, full_year

TRANSACTIONS, BALANCES = "transactions", "balances"
CONTINUATIONS_MAX = 1_000
_MONEY = "DECIMAL(22,4)"
_OF_ACCOUNT = {
    "sender": "VARCHAR",
    "receiver": "VARCHAR",
    "file_date": "DATE",
    "file": "VARCHAR",
    "group": "BIGINT",
    "originator": "VARCHAR",
    "group_status": "VARCHAR",
    "as_of": "DATE",
    "as_of_time": "VARCHAR",
    "account": "VARCHAR",
    "currency": "VARCHAR",
}
_OF_FUNDS = {"funds": "VARCHAR", "value_date": "DATE", "availability": "VARCHAR"}
COLUMNS = {
    TRANSACTIONS: {
        **_OF_ACCOUNT,
        "entry": "BIGINT",
        "type": "VARCHAR",
        "direction": "VARCHAR",
        "amount": _MONEY,
        **_OF_FUNDS,
        "bank_reference": "VARCHAR",
        "customer_reference": "VARCHAR",
        "text": "VARCHAR",
    },
    BALANCES: {
        **_OF_ACCOUNT,
        "type": "VARCHAR",
        "amount": _MONEY,
        "items": "BIGINT",
        **_OF_FUNDS,
    },
}
_AMOUNT = re.compile(r"[+-]?[0-9]{1,18}")
_TYPE = re.compile(r"[0-9]{3}")
_DAY = re.compile(r"[0-9]{6}")
_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {currency: count for count, names in _DECIMALS.items() for currency in names.split()}
"""Decimals of currencies that don't have two."""


class Bai2(TextFormat):
    """BAI2: balances and transactions of accounts, with controls of accounts, groups and files."""

    name = "bai2"
    meaning = "which rows of a BAI2 file are read"
    endings = (".bai", ".bai2")
    kinds_of_rows = COLUMNS

    def rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the balances and transactions, and compare the controls with them."""
        reading = _Reading()
        for record in _records(lines):
            yield from reading.take(record)
        reading.end()


@dataclass
class Record:
    """A record with the lines that continue it."""

    line: int
    lines: list[str]

    @property
    def code(self) -> str:
        """Its first field."""
        return self.lines[0].partition(",")[0].strip()

    def parts(self) -> _Parts:
        """Return the fields after the first one."""
        bare = [line.removesuffix("/") for line in self.lines]
        return _Parts(self, [bare[0].partition(",")[2], *bare[1:]])

    def refused(self, why: str) -> CannotRead:
        """Return the error of the record."""
        return CannotRead(f"line {self.line:,}: {why}", line=self.line)


def _records(lines: Iterator[tuple[int, str]]) -> Iterator[Record]:
    newest: Record | None = None
    for number, written in lines:
        line = written.rstrip()
        if not line:
            continue
        if line.partition(",")[0] == "88":
            if newest is None or len(newest.lines) > CONTINUATIONS_MAX:
                raise CannotRead(f"line {number:,}: it continues no record", line=number)
            newest.lines.append(line.partition(",")[2])
            continue
        if newest is not None:
            yield newest
        newest = Record(number, [line])
    if newest is not None:
        yield newest


class _Parts:
    """The fields of a record, taken from the left."""

    def __init__(self, record: Record, lines: list[str]) -> None:
        self._record = record
        self._lines = [line.split(",") for line in lines]

    def __bool__(self) -> bool:
        return any(self._lines)

    def take(self) -> str:
        """Return the next field; empty if there is none."""
        while self._lines and not self._lines[0]:
            self._lines.pop(0)
        return self._lines[0].pop(0).strip() if self._lines else ""

    def refused(self, why: str) -> CannotRead:
        """Return the error of the record."""
        return self._record.refused(why)

    def type(self) -> str | None:
        """Return the next field, a type of three digits; None if it is empty."""
        text = self.take()
        if text and not _TYPE.fullmatch(text):
            raise self.refused(f"{marked(printable(text, 40))} isn't a type")
        return text or None

    def maybe_number(self, what: str) -> int | None:
        """Return the next field as a whole number; None if it is empty."""
        text = self.take()
        if text and not _AMOUNT.fullmatch(text):
            raise self.refused(f"{what} isn't a number: {marked(printable(text, 40))}")
        return int(text) if text else None

    def text(self) -> str | None:
        """Return all that is left, which may have commas."""
        lines = [",".join(line).strip() for line in self._lines]
        return "\n".join(line for line in lines if line) or None

    def number(self, what: str) -> int:
        """Return the next field as a whole number. Raises CannotRead for anything else."""
        number = self.maybe_number(what)
        if number is None:
            raise self.refused(f"{what} is missing")
        return number

    def day(self, what: str) -> str | None:
        """Return the next field, YYMMDD, as a day; None if it is empty."""
        text = self.take()
        if not text:
            return None
        digits = text if _DAY.fullmatch(text) else "000000"
        try:
            return date(full_year(int(digits[:2])), int(digits[2:4]), int(digits[4:])).isoformat()
        except ValueError as error:
            raise self.refused(f"{what} isn't a day: {marked(printable(text, 40))}") from error

    def funds(self, currency: str) -> dict[str, Any]:
        """Return when the money is available: the type of funds and what follows it."""
        kind = self.take().upper()
        day, parts = None, []
        match kind:
            case "V":
                day = self.day("the value date")
                self.take()
            case "S":
                names = ("0", "1", "2+")
                parts = [(name, self.number("an available amount")) for name in names]
            case "D":
                count = self.number("the number of distributions")
                if not 0 <= count <= CONTINUATIONS_MAX:
                    raise self.refused(f"{count:,} distributions")
                parts = [
                    (str(self.number("the days")), self.number("an available amount"))
                    for _ in range(count)
                ]
            case "" | "0" | "1" | "2" | "Z":
                pass
            case _:
                raise self.refused(f"there is no type of funds {marked(printable(kind))}")
        availability = " ".join(f"{days}:{_money(amount, currency)}" for days, amount in parts)
        return {"funds": kind or None, "value_date": day, "availability": availability or None}


@dataclass
class Totals:
    """What the controls of an account, a group or a file state, counted from its records."""

    what: str
    sum: int = 0
    records: int = 0
    inside: int = 0
    """Accounts of a group, groups of a file."""

    def unlike(self, stated: Totals) -> str:
        """Return the first figure in which the stated totals differ; empty if there is none."""
        names = {"group": "accounts", "file": "groups"}
        for name, counted, written in (
            ("as the sum of amounts", self.sum, stated.sum),
            (names.get(self.what, ""), self.inside, stated.inside),
            ("records", self.records, stated.records),
        ):
            if counted != written:
                return f"states {marked(f'{written:,}')} {name}, and has {marked(f'{counted:,}')}"
        return ""


@dataclass
class _Reading:
    """Turns records into rows, and checks the controls."""

    problem: Disagrees | None = None
    """The first contradiction."""
    files: int = 0
    entries: int = 0
    head: dict[str, Any] = field(default_factory=dict)
    currency: str = ""
    """The group's."""
    open_totals: list[Totals] = field(default_factory=list)
    """Of the file, the group and the account that are open."""

    def take(self, record: Record) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows of a record with their kinds."""
        parts = record.parts()
        for totals in self.open_totals:
            totals.records += len(record.lines)
        match record.code, len(self.open_totals):
            case "01", 0:
                self._file(parts)
                self._begin("file", record)
            case "02", 1:
                self._group(parts)
                self._begin("group", record)
            case "03", 2:
                self._begin("account", record)
                yield from self._account(parts)
            case "16", 3:
                yield TRANSACTIONS, self._transaction(parts)
            case ("49", 3) | ("98", 2) | ("99", 1):
                self._control(record, parts)
            case _ if not self.files:
                raise record.refused("it isn't a BAI2 file: its first record isn't a file header")
            case _:
                raise record.refused(
                    f"a record of type {marked(printable(record.code, 10))} can't stand here"
                )

    def end(self) -> None:
        """Raise CannotRead for a file without its end, and Disagrees for the first wrong total."""
        if self.open_totals or not self.files:
            raise CannotRead(
                "the file has no file trailer (99): it is cut off", code="delivery_truncated"
            )
        if self.problem is not None:
            raise self.problem

    def _begin(self, what: str, record: Record) -> None:
        if self.open_totals:
            self.open_totals[-1].inside += 1
        self.open_totals.append(Totals(what, records=len(record.lines)))

    def _file(self, parts: _Parts) -> None:
        self.files += 1
        self.head = {"sender": parts.take() or None, "receiver": parts.take() or None}
        self.head["file_date"] = parts.day("the file's date")
        parts.take()
        self.head["file"] = parts.take() or None

    def _group(self, parts: _Parts) -> None:
        parts.take()
        self.head["group"] = str(self.open_totals[-1].inside + 1)
        self.head["originator"] = parts.take() or None
        self.head["group_status"] = parts.take() or None
        self.head["as_of"] = parts.day("the group's date")
        self.head["as_of_time"] = parts.take() or None
        self.currency = parts.take().upper() or "USD"

    def _account(self, parts: _Parts) -> Iterator[tuple[str, dict[str, Any]]]:
        self.entries = 0
        self.head["account"] = parts.take() or None
        self.head["currency"] = currency = parts.take().upper() or self.currency
        while parts:
            kind = parts.type()
            amount = parts.maybe_number("the amount")
            items = parts.maybe_number("the number of items")
            funds = parts.funds(currency)
            if kind is None:
                if amount or items:
                    raise parts.refused("an amount without its type")
                continue
            self.open_totals[-1].sum += amount or 0
            yield (
                BALANCES,
                {
                    **self.head,
                    "type": kind,
                    "amount": None if amount is None else _money(amount, currency),
                    "items": None if items is None else str(items),
                    **funds,
                },
            )

    def _transaction(self, parts: _Parts) -> dict[str, Any]:
        currency = self.head["currency"]
        kind = parts.type()
        amount = parts.maybe_number("the amount")
        if kind is None:
            raise parts.refused("a transaction without its type")
        self.entries += 1
        self.open_totals[-1].sum += amount or 0
        return {
            **self.head,
            "entry": str(self.entries),
            "type": kind,
            "direction": _direction(int(kind)),
            "amount": None if amount is None else _money(amount, currency),
            **parts.funds(currency),
            "bank_reference": parts.take() or None,
            "customer_reference": parts.take() or None,
            "text": parts.text(),
        }

    def _control(self, record: Record, parts: _Parts) -> None:
        totals = self.open_totals.pop()
        stated = Totals(totals.what, parts.number("the sum"))
        if self.open_totals:
            self.open_totals[-1].sum += totals.sum
        if record.code != "49":
            stated.inside = parts.number("the number inside")
        else:
            totals.inside = 0
        stated.records = parts.number("the number of records")
        if self.problem is None and (unlike := totals.unlike(stated)):
            self.problem = Disagrees(
                f"line {record.line:,}: the control of the {totals.what} {unlike}", line=record.line
            )


def _direction(kind: int) -> str | None:
    """Return what a type of transactions does to the account; None where the standard leaves it."""
    if 100 <= kind <= 399 or 920 <= kind <= 959:
        return "credit"
    return "debit" if 400 <= kind <= 699 or 960 <= kind <= 999 else None


def _money(amount: int, currency: str) -> str:
    return str(Decimal(amount).scaleb(-_EXPONENTS.get(currency, 2)))
