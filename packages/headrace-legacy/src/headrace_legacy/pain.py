"""pain.001, 002 and 008 of ISO 20022: credit transfers, direct debits, and their status reports.

The numbers and sums of transactions in headers and payments must be those of the transactions.
"""

from __future__ import annotations

from collections import Counter
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

TRANSACTIONS, PAYMENTS, STATUSES = "transactions", "payments", "statuses"
_OF_MESSAGE = {"message": "VARCHAR", "message_id": "VARCHAR", "created": "VARCHAR"}
_OF_PAYMENT = {
    "initiator": "VARCHAR",
    "payment": "BIGINT",
    "payment_id": "VARCHAR",
    "method": "VARCHAR",
    "day": "DATE",
    "service": "VARCHAR",
    "local_instrument": "VARCHAR",
    "sequence_type": "VARCHAR",
}
_DEBTOR = dict.fromkeys(("debtor", "debtor_account", "debtor_bank"), "VARCHAR")
_CREDITOR = dict.fromkeys(("creditor", "creditor_account", "creditor_bank"), "VARCHAR")
_AMOUNT = {"amount": MONEY, "currency": "VARCHAR"}
COLUMNS = {
    TRANSACTIONS: {
        **_OF_MESSAGE,
        **_OF_PAYMENT,
        "transaction": "BIGINT",
        **_AMOUNT,
        "transfer_currency": "VARCHAR",
        "end_to_end": "VARCHAR",
        "instruction": "VARCHAR",
        "mandate": "VARCHAR",
        "creditor_id": "VARCHAR",
        **_DEBTOR,
        **_CREDITOR,
        "purpose": "VARCHAR",
        "remittance": "VARCHAR",
        "remittance_reference": "VARCHAR",
    },
    PAYMENTS: {
        **_OF_MESSAGE,
        **_OF_PAYMENT,
        **_DEBTOR,
        **_CREDITOR,
        "creditor_id": "VARCHAR",
        "batch_booking": "BOOLEAN",
        "transactions": "BIGINT",
        "sum": MONEY,
    },
    STATUSES: {
        **_OF_MESSAGE,
        "level": "VARCHAR",
        "original_message": "VARCHAR",
        "original_kind": "VARCHAR",
        "original_payment": "VARCHAR",
        "status": "VARCHAR",
        "reason": "VARCHAR",
        "reason_text": "VARCHAR",
        "original_transactions": "BIGINT",
        "original_sum": MONEY,
        "transaction": "BIGINT",
        "status_id": "VARCHAR",
        "instruction": "VARCHAR",
        "end_to_end": "VARCHAR",
        **_AMOUNT,
        "mandate": "VARCHAR",
        **_DEBTOR,
        **_CREDITOR,
    },
}
_TRANSFERS = ("CdtTrfTxInf", "DrctDbtTxInf")
_GROUP, _PAYMENT, _TRANSACTION = "OrgnlGrpInfAndSts", "OrgnlPmtInfAndSts", "TxInfAndSts"
_LEVELS = {
    _GROUP: ("message", "GrpSts"),
    _PAYMENT: ("payment", "PmtInfSts"),
    _TRANSACTION: ("transaction", "TxSts"),
}
"""Element → what it has the status of, and where the status is."""


class Pain(MessageFormat):
    """Credit transfers and direct debits as transactions or payments, and reports of their status.

    Messages of ISO 20022.
    """

    name = "pain"
    meaning = "which rows of payment orders and status reports of ISO 20022 are read"
    endings = (".pain",)
    kinds_of_rows = COLUMNS
    family = "pain.001, 002 or 008"
    messages = document(r"pain\.00[128]")
    names = ("GrpHdr", "PmtInf", *_TRANSFERS, *_LEVELS)

    def reading(self) -> Reading:
        """Return what reads a file."""
        return _Reading()


@dataclass
class Totals:
    """The transactions of a message or a payment."""

    transactions: int = 0
    sum: Decimal = field(default_factory=Decimal)

    def add(self, other: Totals) -> None:
        """Add those of a payment to those of its message."""
        self.transactions += other.transactions
        self.sum += other.sum

    def unlike(self, stated: Element) -> str:
        """Return the first stated figure that differs; empty if there is none."""
        number_of, total = text_at(stated, "NbOfTxs"), text_at(stated, "CtrlSum")
        if number_of is not None and count(number_of, "NbOfTxs") != self.transactions:
            return (
                f"states {marked(printable(number_of, 20))} transactions, and has"
                f" {self.transactions:,}"
            )
        if total is not None and number(total, "CtrlSum") != self.sum:
            return (
                f"states a sum of {marked(printable(total, 30))}, and its transactions come to"
                f" {shown(self.sum)}"
            )
        return ""


@dataclass
class Message:
    """A message that is being read."""

    head: dict[str, Any]
    header: Element | None = None
    report: Element | None = None
    """What a status report says of the whole original message."""
    original: dict[str, Any] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    payment: Totals | None = None
    """The open payment."""
    stated: dict[str, Any] = field(default_factory=dict)
    """What the open payment says of all its transactions, once one of them has been read."""
    payments: int = 0
    transactions: int = 0
    listed: Counter[str | None] = field(default_factory=Counter)
    """Status → transactions of a report that have it."""
    listed_in_payment: Counter[str | None] = field(default_factory=Counter)

    @property
    def place(self) -> str:
        """It, and its newest payment and transaction."""
        places = [f"message {marked(printable(self.head['message_id'] or '', 40))}"]
        places += [f"payment {self.payments:,}"] if self.payments else []
        places += [f"transaction {self.transactions:,}"] if self.transactions else []
        return ", ".join(places)

    def begin(self, name: str) -> None:
        """Begin an element."""
        if name == "PmtInf":
            self.payments += 1
            self.payment, self.stated = Totals(), {}
        elif name == _PAYMENT:
            self.payments += 1
            self.listed_in_payment.clear()

    def read_header(self, element: Element) -> None:
        """Read what stands before all payments."""
        self.header = element
        self.head |= {
            "message_id": text_at(element, "MsgId"),
            "created": text_at(element, "CreDtTm"),
        }

    def transfer(self, element: Element, around: Element, payment: Totals) -> dict[str, Any]:
        """Return the row of a transaction, and add it to its payment."""
        self.transactions += 1
        amount, currency = _amount(element)
        payment.add(Totals(1, amount))
        self.stated = self.stated or self._of_payment(around)
        return {
            **self.head,
            **self.stated,
            **{name: value for name, value in _anywhere(element).items() if value is not None},
            "transaction": str(self.transactions),
            "amount": str(amount),
            "currency": currency,
            "transfer_currency": text_at(element, "Amt/EqvtAmt/CcyOfTrf"),
            "end_to_end": text_at(element, "PmtId/EndToEndId"),
            "instruction": text_at(element, "PmtId/InstrId"),
            "mandate": text_at(element, "DrctDbtTx/MndtRltdInf/MndtId"),
            "purpose": code_at(element, "Purp"),
            "remittance": lines_at(element, "RmtInf/Ustrd"),
            "remittance_reference": text_at(element, "RmtInf/Strd/CdtrRefInf/Ref")
            or text_at(element, "RmtInf/Strd/CdtrRefInf/CdtrRef"),
        }

    def paid(self, element: Element, payment: Totals) -> dict[str, Any]:
        """Return the row of a payment whose transactions have all been read."""
        booking = flag_at(element, "BtchBookg")
        self.totals.add(payment)
        return {
            **self.head,
            **self._of_payment(element),
            "batch_booking": None if booking is None else str(booking).lower(),
            "transactions": str(payment.transactions),
            "sum": str(payment.sum),
        }

    def _of_payment(self, element: Element) -> dict[str, Any]:
        assert self.header is not None
        return {
            "initiator": text_at(self.header, "InitgPty/Nm"),
            "payment": str(self.payments),
            "payment_id": text_at(element, "PmtInfId"),
            "method": text_at(element, "PmtMtd"),
            "day": day_at(element, "ReqdExctnDt") or day_at(element, "ReqdColltnDt"),
            **_anywhere(element),
        }

    def status(self, name: str, element: Element, around: Element) -> dict[str, Any]:
        """Return the row of a status: of the original message, a payment or a transaction."""
        level, path = _LEVELS[name]
        if name == _GROUP:
            self.report = element
            self.original = {
                "original_message": text_at(element, "OrgnlMsgId"),
                "original_kind": text_at(element, "OrgnlMsgNmId"),
            }
        is_transaction = name == _TRANSACTION
        status, total = text_at(element, path), text_at(element, "OrgnlCtrlSum")
        if is_transaction:
            self.transactions += 1
            self.listed[status] += 1
            self.listed_in_payment[status] += 1
        amount, currency = _maybe_amount(element, "OrgnlTxRef/")
        reasons = every(element, "StsRsnInf")
        codes = (code_at(item, "Rsn") or code_at(item, "StsRsn") for item in reasons)
        original = text_at(element, "OrgnlNbOfTxs")
        return {
            **self.head,
            "level": level,
            **self.original,
            "original_payment": text_at(around if is_transaction else element, "OrgnlPmtInfId")
            or text_at(element, "OrgnlPmtInfId"),
            "status": status,
            "reason": "\n".join(filter(None, codes)) or None,
            "reason_text": lines_at(element, "StsRsnInf/AddtlInf")
            or lines_at(element, "StsRsnInf/AddtlStsRsnInf"),
            "original_transactions": original and str(count(original, "OrgnlNbOfTxs")),
            "original_sum": total and str(number(total, "OrgnlCtrlSum")),
            "transaction": str(self.transactions) if is_transaction else None,
            "status_id": text_at(element, "StsId"),
            "instruction": text_at(element, "OrgnlInstrId"),
            "end_to_end": text_at(element, "OrgnlEndToEndId"),
            "amount": None if amount is None else str(amount),
            "currency": currency,
            "mandate": text_at(element, "OrgnlTxRef/MndtRltdInf/MndtId"),
            **_parties(element, "OrgnlTxRef/"),
        }

    def unlike(self) -> str:
        """Return how the whole message contradicts what it states; empty if it doesn't."""
        if self.report is not None:
            return _unlike_statuses(self.report, self.listed)
        return "" if self.header is None else self.totals.unlike(self.header)


class _Reading(Reading):
    open: Message | None = None

    @property
    def where(self) -> str:
        """The newest message, payment and transaction."""
        return self.open.place if self.open is not None else "outside of messages"

    def take(
        self, event: str, element: Element, around: Element | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows that are complete once an element begins or ends, with their kinds."""
        name, message = local_name(element.tag), self.open
        if event == "start":
            if name == "Document":
                self.open = Message({"message": self.message, "message_id": None, "created": None})
            elif message is not None:
                message.begin(name)
        elif message is None or not self.message:
            return
        elif name == "Document":
            self._note("", message.unlike())
            self.open = None
        elif name == "GrpHdr":
            message.read_header(element)
        elif around is not None:
            yield from self._rows(message, name, element, around)

    def _rows(
        self, message: Message, name: str, element: Element, around: Element
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        payment = message.payment
        if name in _LEVELS:
            yield STATUSES, message.status(name, element, around)
            if name == _PAYMENT:
                unlike = _unlike_statuses(element, message.listed_in_payment)
                self._note(f", payment {message.payments:,}", unlike)
        elif payment is None or message.header is None:
            raise Malformed("a transaction or a payment stands outside of its message or payment")
        elif name in _TRANSFERS:
            yield TRANSACTIONS, message.transfer(element, around, payment)
        else:
            self._note(f", payment {message.payments:,}", payment.unlike(element))
            message.payment = None
            yield PAYMENTS, message.paid(element, payment)

    def _note(self, place: str, unlike: str) -> None:
        """Keep the first contradiction."""
        if unlike and self.problem is None and self.open is not None:
            identity = marked(printable(self.open.head["message_id"] or "", 40))
            self.problem = Disagrees(f"message {identity}{place} {unlike}")


def _unlike_statuses(element: Element, listed: Counter[str | None]) -> str:
    """Return which status more transactions have than an element states; empty if none."""
    for stated in every(element, "NbOfTxsPerSts"):
        status = text_at(stated, "DtldSts")
        number_of = count(text_at(stated, "DtldNbOfTxs") or "", "DtldNbOfTxs")
        if listed[status] > number_of:
            return (
                f"states {marked(f'{number_of:,}')} transactions with the status"
                f" {marked(printable(status or '', 20))}, and has {listed[status]:,}"
            )
    return ""


def _maybe_amount(element: Element, inside: str = "") -> tuple[Decimal | None, str | None]:
    """Return an instructed amount and its currency; None if there is none."""
    for path in ("InstdAmt", "Amt/InstdAmt", "Amt/EqvtAmt/Amt", "IntrBkSttlmAmt"):
        for amount in every(element, inside + path):
            return number(own_text(amount), "the amount"), amount.get("Ccy")
    return None, None


def _amount(element: Element) -> tuple[Decimal, str | None]:
    amount, currency = _maybe_amount(element)
    if amount is None:
        raise Malformed("a transaction has no amount")
    return amount, currency


def _anywhere(element: Element) -> dict[str, Any]:
    """Return what a payment may say, and each transaction in its place."""
    kind, scheme = "PmtTpInf", "CdtrSchmeId/Id/PrvtId/Othr/Id"
    return {
        "service": code_at(element, f"{kind}/SvcLvl"),
        "local_instrument": code_at(element, f"{kind}/LclInstrm"),
        "sequence_type": text_at(element, f"{kind}/SeqTp"),
        "creditor_id": text_at(element, scheme) or text_at(element, f"DrctDbtTx/{scheme}"),
        **_parties(element),
    }


def _parties(element: Element, inside: str = "") -> dict[str, Any]:
    return {
        **party(element, "debtor", "Dbtr", (inside, inside)),
        **party(element, "creditor", "Cdtr", (inside, inside)),
    }
