"""NACHA: files of the Automated Clearing House. Each entry, addendum or batch is a row.

The counts, hashes and sums in the controls of batches and of the file must be those of the entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Disagrees,
    printable,
)
from headrace_legacy.text_lines import TextFormat, full_year

ENTRIES, ADDENDA, BATCHES = "entries", "addenda", "batches"
LENGTH = 94
PER_BLOCK = 10
HASH_END = 10**10
"""Hashes keep their last ten digits."""
_MONEY = "DECIMAL(18,2)"
_OF_BATCH = {
    "file_date": "DATE",
    "origin": "VARCHAR",
    "destination": "VARCHAR",
    "batch": "BIGINT",
    "class": "VARCHAR",
    "company": "VARCHAR",
    "company_id": "VARCHAR",
    "description": "VARCHAR",
    "effective_date": "DATE",
}
_OF_ENTRY = {
    "entry": "BIGINT",
    "trace": "VARCHAR",
}
COLUMNS = {
    ENTRIES: {
        **_OF_BATCH,
        **_OF_ENTRY,
        "code": "VARCHAR",
        "direction": "VARCHAR",
        "amount": _MONEY,
        "routing": "VARCHAR",
        "account": "VARCHAR",
        "individual_id": "VARCHAR",
        "name": "VARCHAR",
        "discretionary": "VARCHAR",
    },
    ADDENDA: {
        **_OF_BATCH,
        **_OF_ENTRY,
        "addendum": "BIGINT",
        "type": "VARCHAR",
        "reason": "VARCHAR",
        "original_trace": "VARCHAR",
        "text": "VARCHAR",
    },
    BATCHES: {
        **_OF_BATCH,
        "service_class": "VARCHAR",
        "originating_bank": "VARCHAR",
        "entries_and_addenda": "BIGINT",
        "debits": _MONEY,
        "credits": _MONEY,
    },
}
_RETURNS = ("98", "99")
"""Addenda of corrections and returns, which begin with a reason and the original trace number."""


@dataclass
class Totals:
    """The totals of a batch or a file, from its control record or from its entries."""

    count: int = 0
    """Entries and addenda."""
    hash: int = 0
    debits: int = 0
    credits: int = 0

    def add(self, other: Totals) -> None:
        """Add the totals of a batch to those of its file."""
        self.count += other.count
        self.hash = (self.hash + other.hash) % HASH_END
        self.debits += other.debits
        self.credits += other.credits

    def unlike(self, stated: Totals) -> str:
        """Return the first figure in which the stated totals differ; empty if there is none."""
        for name, counted, written in (
            ("entries and addenda", self.count, stated.count),
            ("as the entry hash", self.hash, stated.hash),
            ("cents of debits", self.debits, stated.debits),
            ("cents of credits", self.credits, stated.credits),
        ):
            if counted != written:
                return f"states {marked(f'{written:,}')} {name}, and has {marked(f'{counted:,}')}"
        return ""


class Record(str):
    """A record of 94 characters, with its line."""

    line: int

    __slots__ = ("line",)

    def at(self, begin: int, end: int) -> str | None:
        """Return the text at these positions, counted from 1, without blanks around it."""
        return self[begin - 1 : end].strip() or None

    def number(self, begin: int, end: int, what: str) -> int:
        """Return the digits at these positions. Raises CannotRead for anything else."""
        text = self[begin - 1 : end]
        if not (text.isascii() and text.isdecimal()):
            raise self.refused(f"{what} isn't a number: {marked(printable(text))}")
        return int(text)

    def day(self, begin: int) -> str | None:
        """Return the day YYMMDD that begins there; None for blanks or zeros."""
        text = self[begin - 1 : begin + 5]
        if not text.strip(" 0"):
            return None
        self.number(begin, begin + 5, "the day")
        try:
            return date(full_year(int(text[:2])), int(text[2:4]), int(text[4:])).isoformat()
        except ValueError as error:
            raise self.refused(f"{marked(printable(text))} is no day") from error

    def totals(self, count_begin: int, hash_begin: int) -> Totals:
        """Return the totals of a control record: a count, the hash right after it, and two sums."""
        return Totals(
            self.number(count_begin, hash_begin - 1, "the number of entries and addenda"),
            self.number(hash_begin, hash_begin + 9, "the entry hash"),
            self.number(hash_begin + 10, hash_begin + 21, "the sum of debits"),
            self.number(hash_begin + 22, hash_begin + 33, "the sum of credits"),
        )

    def refused(self, why: str) -> CannotRead:
        """Return the error of a record that can't be read."""
        return CannotRead(f"line {self.line:,}: {why}", line=self.line)


@dataclass
class _Batch:
    header: Record
    head: dict[str, Any]
    totals: Totals = field(default_factory=Totals)
    entries: int = 0
    entry: dict[str, Any] = field(default_factory=dict)
    """The newest entry's number and trace number."""
    addenda: int = 0
    """The number of its addenda."""


class Nacha(TextFormat):
    """ACH files with records of 94 characters, one per line."""

    name = "nacha"
    meaning = "which rows of an ACH file are read"
    endings = (".ach", ".nacha")
    kinds_of_rows = COLUMNS

    def rows(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the entries, addenda and batches, and compare the controls with them."""
        reading = _Reading()
        for line, written in lines:
            text = written.rstrip()
            if not text:
                continue
            if len(text) > LENGTH:
                raise CannotRead(
                    f"line {line:,} has {len(text):,} characters where a record has {LENGTH}",
                    line=line,
                )
            record = Record(text.ljust(LENGTH))
            record.line = line
            row = reading.take(record)
            if row is not None:
                yield row
        reading.end()


class _Reading:
    """Turns records into rows, and checks the controls."""

    def __init__(self) -> None:
        self._head: dict[str, Any] | None = None
        self._batch: _Batch | None = None
        self._totals = Totals()
        self._batches = self._records = 0
        self._ended = False
        self._problem: Disagrees | None = None

    def take(self, record: Record) -> tuple[str, dict[str, Any]] | None:
        """Return the row of a record with its kind; None for a record without one."""
        if self._ended:
            if record.rstrip().strip("9"):
                raise record.refused("a record after the file control")
            return None
        self._records += 1
        if self._head is None and record[0] != "1":
            raise record.refused("it isn't an ACH file: its first record isn't a file header")
        match record[0]:
            case "1" if self._head is None:
                self._head = {
                    "file_date": record.day(24),
                    "origin": record.at(14, 23),
                    "destination": record.at(4, 13),
                }
            case "5" if self._batch is None:
                self._begin(record)
            case "6" if self._batch is not None:
                return ENTRIES, self._entry(record, self._batch)
            case "7" if self._batch is not None and self._batch.entry:
                return ADDENDA, self._addendum(record, self._batch)
            case "8" if self._batch is not None:
                return BATCHES, self._batch_control(record, self._batch)
            case "9" if self._batch is None:
                self._file_control(record)
            case _:
                raise record.refused(f"a record of type {printable(record[0])} can't stand here")
        return None

    def end(self) -> None:
        """Raise CannotRead for a file without its end, and Disagrees for the first wrong total."""
        if not self._ended:
            raise CannotRead(
                "the file has no file control: it is cut off", code="delivery_truncated"
            )
        if self._problem is not None:
            raise self._problem

    def _begin(self, record: Record) -> None:
        kind = record.at(51, 53)
        if kind == "ADV":
            raise record.refused("entries of the class ADV aren't read")
        assert self._head is not None
        head = {
            **self._head,
            "batch": str(record.number(88, 94, "the batch's number")),
            "class": kind,
            "company": None if kind == "IAT" else record.at(5, 20),
            "company_id": record.at(41, 50),
            "description": record.at(54, 63),
            "effective_date": record.day(70),
        }
        self._batch = _Batch(record, head)

    def _entry(self, record: Record, batch: _Batch) -> dict[str, Any]:
        cents = record.number(30, 39, "the amount")
        is_debit = record.number(3, 3, "the transaction code") >= 5
        batch.entries += 1
        batch.addenda = 0
        batch.totals.add(
            Totals(
                1,
                record.number(4, 11, "the routing number"),
                cents if is_debit else 0,
                0 if is_debit else cents,
            )
        )
        batch.entry = {"entry": str(batch.entries), "trace": record.at(80, 94)}
        kind = batch.head["class"]
        is_iat, is_ctx = kind == "IAT", kind == "CTX"
        return {
            **batch.head,
            **batch.entry,
            "code": record.at(2, 3),
            "direction": "debit" if is_debit else "credit",
            "amount": _money(cents),
            "routing": record.at(4, 12),
            "account": record.at(40, 74) if is_iat else record.at(13, 29),
            "individual_id": None if is_iat else record.at(40, 54),
            "name": None if is_iat else record.at(59 if is_ctx else 55, 74 if is_ctx else 76),
            "discretionary": None if is_iat else record.at(77, 78),
        }

    def _addendum(self, record: Record, batch: _Batch) -> dict[str, Any]:
        batch.addenda += 1
        batch.totals.count += 1
        kind = record.at(2, 3)
        is_return = kind in _RETURNS
        return {
            **batch.head,
            **batch.entry,
            "addendum": str(batch.addenda),
            "type": kind,
            "reason": record.at(4, 6) if is_return else None,
            "original_trace": record.at(7, 21) if is_return else None,
            "text": record.at(36, 79) if is_return else record.at(4, 83),
        }

    def _batch_control(self, record: Record, batch: _Batch) -> dict[str, Any]:
        stated = record.totals(5, 11)
        if record[87:] != batch.header[87:]:
            self._note(record, "the batch control is of another batch than the header")
        elif unlike := batch.totals.unlike(stated):
            self._note(record, f"the control of batch {batch.head['batch']} {unlike}")
        self._totals.add(batch.totals)
        self._batches += 1
        self._batch = None
        return {
            **batch.head,
            "service_class": batch.header.at(2, 4),
            "originating_bank": batch.header.at(80, 87),
            "entries_and_addenda": str(batch.totals.count),
            "debits": _money(batch.totals.debits),
            "credits": _money(batch.totals.credits),
        }

    def _file_control(self, record: Record) -> None:
        self._ended = True
        stated = record.totals(14, 22)
        batches = record.number(2, 7, "the number of batches")
        blocks = record.number(8, 13, "the number of blocks")
        needed = -(-self._records // PER_BLOCK)
        if batches != self._batches:
            self._note(
                record, f"the file control states {batches:,} batches, and has {self._batches:,}"
            )
        elif unlike := self._totals.unlike(stated):
            self._note(record, f"the file control {unlike}")
        elif blocks != needed:
            self._note(record, f"the file control states {blocks:,} blocks, and has {needed:,}")

    def _note(self, record: Record, why: str) -> None:
        """Keep the first contradiction."""
        if self._problem is None:
            self._problem = Disagrees(f"line {record.line:,}: {why}", line=record.line)


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"
