"""camt.052, 053 and 054 of ISO 20022: reports, statements and notifications of accounts in XML.

The opening balance of a statement plus its booked entries must be its closing balance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.extension import marked
from headrace.extension.formats import (
    CannotRead,
    Disagrees,
    Fields,
    PartitionSpec,
    RecordFormat,
    printable,
)
from headrace_legacy.xml import growing, local_name, refuse_document_type

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ENTRIES, DETAILS, BALANCES = "entries", "details", "balances"
_MONEY = "DECIMAL(23,5)"
_OF_STATEMENT = {
    "message": "VARCHAR",
    "statement": "VARCHAR",
    "sequence": "VARCHAR",
    "account": "VARCHAR",
}
_OF_ENTRY = {"entry": "BIGINT", "booking_date": "DATE", "value_date": "DATE", "reversal": "BOOLEAN"}
COLUMNS = {
    ENTRIES: {
        **_OF_STATEMENT,
        **_OF_ENTRY,
        "amount": _MONEY,
        "currency": "VARCHAR",
        "status": "VARCHAR",
        "reference": "VARCHAR",
        "bank_reference": "VARCHAR",
        "domain": "VARCHAR",
        "family": "VARCHAR",
        "sub_family": "VARCHAR",
        "code": "VARCHAR",
        "details": "BIGINT",
        "batch": "VARCHAR",
        "text": "VARCHAR",
    },
    DETAILS: {
        **_OF_STATEMENT,
        **_OF_ENTRY,
        "detail": "BIGINT",
        "amount": _MONEY,
        "currency": "VARCHAR",
        "stated_amount": _MONEY,
        "stated_currency": "VARCHAR",
        "end_to_end": "VARCHAR",
        "instruction": "VARCHAR",
        "transaction": "VARCHAR",
        "mandate": "VARCHAR",
        "bank_reference": "VARCHAR",
        "code": "VARCHAR",
        "debtor": "VARCHAR",
        "debtor_account": "VARCHAR",
        "debtor_bank": "VARCHAR",
        "creditor": "VARCHAR",
        "creditor_account": "VARCHAR",
        "creditor_bank": "VARCHAR",
        "purpose": "VARCHAR",
        "remittance": "VARCHAR",
        "remittance_reference": "VARCHAR",
        "return_reason": "VARCHAR",
        "text": "VARCHAR",
    },
    BALANCES: {
        **_OF_STATEMENT,
        "type": "VARCHAR",
        "sub_type": "VARCHAR",
        "day": "DATE",
        "amount": _MONEY,
        "currency": "VARCHAR",
    },
}
_MESSAGE = re.compile(r"\{urn:iso:std:iso:20022:tech:xsd:(camt\.05[234]\.001\.\d\d)\}Document")
_STATEMENTS = ("Stmt", "Rpt", "Ntfctn")
_AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,5})?")
_OPENING, _CLOSING, _INTERIM = ("OPBD", "PRCD"), ("CLBD",), "ITBD"


class Camt(RecordFormat):
    """Entries, their details or the balances of accounts, in messages of ISO 20022."""

    name = "camt"
    meaning = "which rows of account statements of ISO 20022 are read"
    endings = (".camt", ".c52", ".c53", ".c54")
    fields = ("rows",)
    unmistakable = True

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Validate `rows`."""
        fields.choice("rows", tuple(COLUMNS), ENTRIES)
        return super().read(fields, partition)

    def columns(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the columns of the rows that are read."""
        return COLUMNS[options.get("rows", ENTRIES)]

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one kind; the balances of all statements are checked."""
        refuse_document_type(path, None)
        wanted = options.get("rows", ENTRIES)
        reading = _Reading()
        for event, element, around in growing(path, ("Document", *_STATEMENTS, "Ntry")):
            for kind, row in reading.take(event, element, around):
                if kind == wanted:
                    yield row
        reading.end()


@dataclass
class _Reading:
    """Turns elements into rows, and keeps the first contradiction."""

    message: str = ""
    statements: int = 0
    statement: Statement | None = None
    problem: Disagrees | None = None

    def take(
        self, event: str, element: Element, around: Element | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows that are complete once an element begins or ends, with their kinds."""
        name = local_name(element.tag)
        if event == "start":
            self._begin(name, element)
        elif self.statement is not None and around is not None:
            is_entry = name == "Ntry"
            self.statement.begin(around if is_entry else element)
            if is_entry:
                yield from self.statement.entry(element)
            elif name in _STATEMENTS:
                yield from ((BALANCES, row) for row in self.statement.balances)
                self.problem = self.problem or self.statement.problem(element)
                self.statement = None

    def _begin(self, name: str, element: Element) -> None:
        if match := _MESSAGE.fullmatch(element.tag):
            self.message = match[1]
        elif self.message and name in _STATEMENTS:
            self.statements += 1
            self.statement = Statement(self.message, self.statements)

    def end(self) -> None:
        """Raise CannotRead for another document, and the first contradiction."""
        if not self.message:
            raise CannotRead("it isn't camt.052, 053 or 054: no `Document` has their namespace")
        if self.problem is not None:
            raise self.problem


@dataclass
class Statement:
    """A statement that is being read."""

    message: str
    number: int
    """From 1, in the file."""
    head: dict[str, Any] = field(default_factory=dict)
    balances: list[dict[str, Any]] = field(default_factory=list)
    entries: int = 0
    booked: dict[str, Decimal] = field(default_factory=dict)
    """By currency."""
    sums: dict[str, dict[str, tuple[int, Decimal]]] = field(default_factory=dict)

    def begin(self, element: Element) -> None:
        """Read what stands before the entries, once."""
        if self.head:
            return
        account = _text(element, "Acct/Id/IBAN") or _text(element, "Acct/Id/Othr/Id")
        self.head = {
            "message": self.message,
            "statement": _text(element, "Id"),
            "sequence": _text(element, "ElctrncSeqNb") or _text(element, "LglSeqNb"),
            "account": account,
        }
        for balance in _all(element, "Bal"):
            amount, currency = self._amount(balance, "a balance")
            self.balances.append(
                {
                    **self.head,
                    "type": _code(balance, "Tp/CdOrPrtry"),
                    "sub_type": _code(balance, "Tp/SubTp"),
                    "day": self._day(balance, "Dt"),
                    "amount": str(amount),
                    "currency": currency,
                }
            )

    def entry(self, element: Element) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows of an entry and of its details, with their kinds."""
        self.entries += 1
        amount, currency = self._amount(element, "the amount")
        status = _code(element, "Sts") or _text(element, "Sts")
        reversal = _text(element, "RvslInd") in ("true", "1")
        if status == "BOOK":
            self.booked[currency] = self.booked.get(currency, Decimal(0)) + amount
        self._count(amount, is_booked=status == "BOOK")
        details = _all(element, "NtryDtls/TxDtls")
        of_entry = {
            **self.head,
            "entry": str(self.entries),
            "booking_date": self._day(element, "BookgDt"),
            "value_date": self._day(element, "ValDt"),
            "reversal": "true" if reversal else "false",
        }
        yield (
            ENTRIES,
            {
                **of_entry,
                "amount": str(amount),
                "currency": currency,
                "status": status,
                "reference": _text(element, "NtryRef"),
                "bank_reference": _text(element, "AcctSvcrRef"),
                "domain": _text(element, "BkTxCd/Domn/Cd"),
                "family": _text(element, "BkTxCd/Domn/Fmly/Cd"),
                "sub_family": _text(element, "BkTxCd/Domn/Fmly/SubFmlyCd"),
                "code": _text(element, "BkTxCd/Prtry/Cd"),
                "details": str(len(details)),
                "batch": _text(element, "NtryDtls/Btch/PmtInfId"),
                "text": _text(element, "AddtlNtryInf"),
            },
        )
        parts = self._parts(details, amount, currency)
        for position, (detail, part) in enumerate(zip(details, parts, strict=True), 1):
            row = self._detail(detail, part, currency)
            yield DETAILS, {**of_entry, "detail": str(position), **row}

    def _detail(self, detail: Element, part: Decimal | None, currency: str) -> dict[str, Any]:
        stated = _stated(detail)
        remittance = [_own_text(item) for item in _all(detail, "RmtInf/Ustrd")]
        return {
            "amount": None if part is None else str(part),
            "currency": None if part is None else currency,
            "stated_amount": None if stated is None else str(self._number(stated, "a detail")),
            "stated_currency": None if stated is None else stated.get("Ccy"),
            "end_to_end": _text(detail, "Refs/EndToEndId"),
            "instruction": _text(detail, "Refs/InstrId"),
            "transaction": _text(detail, "Refs/TxId"),
            "mandate": _text(detail, "Refs/MndtId"),
            "bank_reference": _text(detail, "Refs/AcctSvcrRef"),
            "code": _text(detail, "BkTxCd/Prtry/Cd"),
            **_party(detail, "debtor", "Dbtr"),
            **_party(detail, "creditor", "Cdtr"),
            "purpose": _code(detail, "Purp"),
            "remittance": "\n".join(text for text in remittance if text) or None,
            "remittance_reference": _text(detail, "RmtInf/Strd/CdtrRefInf/Ref"),
            "return_reason": _code(detail, "RtrInf/Rsn"),
            "text": _text(detail, "AddtlTxInf"),
        }

    def _parts(
        self, details: list[Element], amount: Decimal, currency: str
    ) -> list[Decimal | None]:
        """Return the details' parts of the entry; None for all unless they add up to it."""
        parts: list[Decimal] = []
        for detail in details:
            stated = _stated(detail)
            if stated is None or stated.get("Ccy") != currency:
                return [None] * len(details)
            sign = _text(detail, "CdtDbtInd")
            minus = sign == "DBIT" if sign else amount < 0
            number = self._number(stated, "a detail")
            parts.append(-number if minus else number)
        return [*parts] if sum(parts) == amount else [None] * len(details)

    def problem(self, element: Element) -> Disagrees | None:
        """Return how the statement contradicts its balances or totals; None if it doesn't."""
        why = self._unlike_totals(element)
        if not why and self.message.startswith("camt.053"):
            why = self._unlike_balances()
        return Disagrees(f"{self._where} {why}") if why else None

    def _unlike_balances(self) -> str:
        opening = self._balance(_OPENING, 0)
        closing = self._balance(_CLOSING, -1)
        if opening is None or closing is None or opening is closing:
            missing = "closing" if closing is None or opening is closing else "opening"
            return f"has no {missing} balance, so nothing says whether its entries are complete"
        currency = opening["currency"]
        others = {closing["currency"], *self.booked} - {currency}
        if others:
            return f"begins in {marked(currency)}, and has amounts in {marked(min(others))}"
        begin, end = Decimal(opening["amount"]), Decimal(closing["amount"])
        booked = self.booked.get(currency, Decimal(0))
        if begin + booked != end:
            return (
                f"begins with {_shown(begin)}, its booked entries come to {_shown(booked)}, and it"
                f" ends with {_shown(end)}"
            )
        return ""

    def _balance(self, types: tuple[str, ...], position: int) -> dict[str, Any] | None:
        """Return the first or last balance of a type, or else of the interim ones."""
        for wanted in (*types, _INTERIM):
            balances = [balance for balance in self.balances if balance["type"] == wanted]
            if balances:
                return balances[position]
        return None

    def _count(self, amount: Decimal, *, is_booked: bool) -> None:
        names = ("TtlNtries", "TtlDbtNtries" if amount < 0 else "TtlCdtNtries")
        for group in ("all", "booked") if is_booked else ("all",):
            for name in names:
                sums = self.sums.setdefault(name, {})
                number, total = sums.get(group, (0, Decimal(0)))
                sums[group] = number + 1, total + abs(amount)

    def _unlike_totals(self, element: Element) -> str:
        """Return how the summary differs from all entries, and from the booked ones, too."""
        for name in ("TtlNtries", "TtlCdtNtries", "TtlDbtNtries"):
            number = _text(element, f"TxsSummry/{name}/NbOfNtries")
            total = _text(element, f"TxsSummry/{name}/Sum")
            counted = [
                self.sums.get(name, {}).get(group, (0, Decimal(0))) for group in ("all", "booked")
            ]
            if number is not None and number not in [str(count) for count, _ in counted]:
                return (
                    f"states {marked(printable(number, 20))} entries ({name}), and has"
                    f" {counted[0][0]:,}"
                )
            if total is not None and self._parsed(total, name) not in [sums for _, sums in counted]:
                return (
                    f"states a sum of {marked(printable(total, 30))} ({name}), and its entries come"
                    f" to {_shown(counted[0][1])}"
                )
        return ""

    @property
    def _where(self) -> str:
        return f"statement {self.number:,} ({marked(printable(self.head['statement'] or '', 40))})"

    def _amount(self, element: Element, what: str) -> tuple[Decimal, str]:
        """Return the signed amount of an entry or a balance, and its currency."""
        amounts, sign = _all(element, "Amt"), _text(element, "CdtDbtInd")
        if not amounts or sign not in ("CRDT", "DBIT"):
            raise self._refused(f"{what} has no amount, or isn't a credit or debit")
        number = self._number(amounts[0], what)
        return -number if sign == "DBIT" else number, amounts[0].get("Ccy", "")

    def _number(self, element: Element, what: str) -> Decimal:
        return self._parsed(_own_text(element) or "", what)

    def _parsed(self, text: str, what: str) -> Decimal:
        if not _AMOUNT.fullmatch(text):
            raise self._refused(f"{what} isn't a number: {marked(printable(text, 40))}")
        return Decimal(text)

    def _day(self, element: Element, name: str) -> str | None:
        """Return a day, that of a time in its own zone."""
        text = _text(element, f"{name}/Dt") or _text(element, f"{name}/DtTm") or ""
        if not text:
            return None
        try:
            return date.fromisoformat(text[:10]).isoformat()
        except ValueError as error:
            raise self._refused(f"{marked(printable(text, 40))} is no day") from error

    def _refused(self, why: str) -> CannotRead:
        entry = f", entry {self.entries:,}" if self.entries else ""
        return CannotRead(f"{self._where}{entry}: {why}")


def _party(detail: Element, name: str, tag: str) -> dict[str, str | None]:
    parties, account = "RltdPties", f"RltdPties/{tag}Acct/Id"
    bank = f"RltdAgts/{tag}Agt/FinInstnId"
    return {
        name: _text(detail, f"{parties}/{tag}/Nm") or _text(detail, f"{parties}/{tag}/Pty/Nm"),
        f"{name}_account": _text(detail, f"{account}/IBAN") or _text(detail, f"{account}/Othr/Id"),
        f"{name}_bank": _text(detail, f"{bank}/BICFI") or _text(detail, f"{bank}/BIC"),
    }


def _stated(detail: Element) -> Element | None:
    """Return the element with a detail's amount, as the bank transferred it."""
    return next(iter(_all(detail, "Amt") or _all(detail, "AmtDtls/TxAmt/Amt")), None)


def _all(element: Element, path: str) -> list[Element]:
    """Return the elements at a path of names, whatever their namespace."""
    elements = [element]
    for name in path.split("/"):
        elements = [
            child for parent in elements for child in parent if local_name(child.tag) == name
        ]
    return elements


def _text(element: Element, path: str) -> str | None:
    """Return the text of the first element at a path that has some."""
    return next(filter(None, map(_own_text, _all(element, path))), None)


def _code(element: Element, path: str) -> str | None:
    """Return a code of the standard, or else of the bank."""
    return _text(element, f"{path}/Cd") or _text(element, f"{path}/Prtry")


def _own_text(element: Element) -> str | None:
    return (element.text or "").strip() or None


def _shown(amount: Decimal) -> str:
    return marked(f"{amount:,}")
