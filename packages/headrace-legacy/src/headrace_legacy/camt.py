"""camt.052, 053 and 054 of ISO 20022: reports, statements and notifications of accounts in XML.

The opening balance of a statement plus its booked entries must be its closing balance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from headrace.extension import marked
from headrace.extension.formats import Disagrees, printable
from headrace_legacy.iso20022 import (
    MONEY,
    Malformed,
    MessageFormat,
    Reading,
    code_at,
    count,
    day_at,
    document,
    every,
    flag_at,
    lines_at,
    number,
    own_text,
    party,
    shown,
    text_at,
)
from headrace_legacy.xml import local_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ENTRIES, DETAILS, BALANCES = "entries", "details", "balances"
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
        "amount": MONEY,
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
        "amount": MONEY,
        "currency": "VARCHAR",
        "stated_amount": MONEY,
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
        "amount": MONEY,
        "currency": "VARCHAR",
    },
}
_STATEMENTS = ("Stmt", "Rpt", "Ntfctn")
_RELATED = ("RltdPties/", "RltdAgts/")
_OPENING, _CLOSING, _INTERIM = ("OPBD", "PRCD"), ("CLBD",), "ITBD"


class Camt(MessageFormat):
    """Entries, their details or the balances of accounts, in messages of ISO 20022."""

    name = "camt"
    meaning = "which rows of account statements of ISO 20022 are read"
    endings = (".camt", ".c52", ".c53", ".c54")
    kinds_of_rows = COLUMNS
    family = "camt.052, 053 or 054"
    messages = document(r"camt\.05[234]")
    names = (*_STATEMENTS, "Ntry")

    def reading(self) -> Reading:
        """Return what reads a file."""
        return _Reading()


class _Reading(Reading):
    statements = 0
    statement: Statement | None = None

    @property
    def where(self) -> str:
        """The newest statement and entry."""
        return self.statement.place if self.statement is not None else "outside of statements"

    def take(
        self, event: str, element: Element, around: Element | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows that are complete once an element begins or ends, with their kinds."""
        name = local_name(element.tag)
        if event == "start":
            if self.message and name in _STATEMENTS:
                self.statements += 1
                self.statement = Statement(self.message, self.statements)
        elif self.statement is not None and around is not None:
            is_entry = name == "Ntry"
            self.statement.begin(around if is_entry else element)
            if is_entry:
                yield from self.statement.entry(element)
            elif name in _STATEMENTS:
                yield from ((BALANCES, row) for row in self.statement.balances)
                self.problem = self.problem or self.statement.problem(element)
                self.statement = None


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
        account = text_at(element, "Acct/Id/IBAN") or text_at(element, "Acct/Id/Othr/Id")
        self.head = {
            "message": self.message,
            "statement": text_at(element, "Id"),
            "sequence": text_at(element, "ElctrncSeqNb") or text_at(element, "LglSeqNb"),
            "account": account,
        }
        for balance in every(element, "Bal"):
            amount, currency = self._amount(balance, "a balance")
            self.balances.append(
                {
                    **self.head,
                    "type": code_at(balance, "Tp/CdOrPrtry"),
                    "sub_type": code_at(balance, "Tp/SubTp"),
                    "day": day_at(balance, "Dt"),
                    "amount": str(amount),
                    "currency": currency,
                }
            )

    def entry(self, element: Element) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows of an entry and of its details, with their kinds."""
        self.entries += 1
        amount, currency = self._amount(element, "the amount")
        status = code_at(element, "Sts") or text_at(element, "Sts")
        if status == "BOOK":
            self.booked[currency] = self.booked.get(currency, Decimal(0)) + amount
        self._count(amount, is_booked=status == "BOOK")
        details = every(element, "NtryDtls/TxDtls")
        of_entry = {
            **self.head,
            "entry": str(self.entries),
            "booking_date": day_at(element, "BookgDt"),
            "value_date": day_at(element, "ValDt"),
            "reversal": str(flag_at(element, "RvslInd") or False).lower(),
        }
        yield (
            ENTRIES,
            {
                **of_entry,
                "amount": str(amount),
                "currency": currency,
                "status": status,
                "reference": text_at(element, "NtryRef"),
                "bank_reference": text_at(element, "AcctSvcrRef"),
                "domain": text_at(element, "BkTxCd/Domn/Cd"),
                "family": text_at(element, "BkTxCd/Domn/Fmly/Cd"),
                "sub_family": text_at(element, "BkTxCd/Domn/Fmly/SubFmlyCd"),
                "code": text_at(element, "BkTxCd/Prtry/Cd"),
                "details": str(len(details)),
                "batch": text_at(element, "NtryDtls/Btch/PmtInfId"),
                "text": text_at(element, "AddtlNtryInf"),
            },
        )
        parts = self._parts(details, amount, currency)
        for position, (detail, part) in enumerate(zip(details, parts, strict=True), 1):
            row = self._detail(detail, part, currency)
            yield DETAILS, {**of_entry, "detail": str(position), **row}

    def _detail(self, detail: Element, part: Decimal | None, currency: str) -> dict[str, Any]:
        stated = _stated(detail)
        return {
            "amount": None if part is None else str(part),
            "currency": None if part is None else currency,
            "stated_amount": None if stated is None else str(number(own_text(stated), "a detail")),
            "stated_currency": None if stated is None else stated.get("Ccy"),
            "end_to_end": text_at(detail, "Refs/EndToEndId"),
            "instruction": text_at(detail, "Refs/InstrId"),
            "transaction": text_at(detail, "Refs/TxId"),
            "mandate": text_at(detail, "Refs/MndtId"),
            "bank_reference": text_at(detail, "Refs/AcctSvcrRef"),
            "code": text_at(detail, "BkTxCd/Prtry/Cd"),
            **party(detail, "debtor", "Dbtr", _RELATED),
            **party(detail, "creditor", "Cdtr", _RELATED),
            "purpose": code_at(detail, "Purp"),
            "remittance": lines_at(detail, "RmtInf/Ustrd"),
            "remittance_reference": text_at(detail, "RmtInf/Strd/CdtrRefInf/Ref"),
            "return_reason": code_at(detail, "RtrInf/Rsn"),
            "text": text_at(detail, "AddtlTxInf"),
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
            sign = text_at(detail, "CdtDbtInd")
            minus = sign == "DBIT" if sign else amount < 0
            part = number(own_text(stated), "a detail")
            parts.append(-part if minus else part)
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
                f"begins with {shown(begin)}, its booked entries come to {shown(booked)}, and it"
                f" ends with {shown(end)}"
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
                entries, total = sums.get(group, (0, Decimal(0)))
                sums[group] = entries + 1, total + abs(amount)

    def _unlike_totals(self, element: Element) -> str:
        """Return how the summary differs from all entries, and from the booked ones, too."""
        for name in ("TtlNtries", "TtlCdtNtries", "TtlDbtNtries"):
            entries = text_at(element, f"TxsSummry/{name}/NbOfNtries")
            total = text_at(element, f"TxsSummry/{name}/Sum")
            counted = [
                self.sums.get(name, {}).get(group, (0, Decimal(0))) for group in ("all", "booked")
            ]
            if entries is not None and count(entries, name) not in [each for each, _ in counted]:
                return (
                    f"states {marked(printable(entries, 20))} entries ({name}), and has"
                    f" {counted[0][0]:,}"
                )
            if total is not None and number(total, name) not in [sums for _, sums in counted]:
                return (
                    f"states a sum of {marked(printable(total, 30))} ({name}), and its entries come"
                    f" to {shown(counted[0][1])}"
                )
        return ""

    @property
    def _where(self) -> str:
        return f"statement {self.number:,} ({marked(printable(self.head['statement'] or '', 40))})"

    def _amount(self, element: Element, what: str) -> tuple[Decimal, str]:
        """Return the signed amount of an entry or a balance, and its currency."""
        amounts, sign = every(element, "Amt"), text_at(element, "CdtDbtInd")
        if not amounts or sign not in ("CRDT", "DBIT"):
            raise Malformed(f"{what} has no amount, or isn't a credit or debit")
        absolute = number(own_text(amounts[0]), what)
        return -absolute if sign == "DBIT" else absolute, amounts[0].get("Ccy", "")

    @property
    def place(self) -> str:
        """The statement and its newest entry, for messages."""
        return f"{self._where}, entry {self.entries:,}" if self.entries else self._where


def _stated(detail: Element) -> Element | None:
    """Return the element with a detail's amount, as the bank transferred it."""
    return next(iter(every(detail, "Amt") or every(detail, "AmtDtls/TxAmt/Amt")), None)
