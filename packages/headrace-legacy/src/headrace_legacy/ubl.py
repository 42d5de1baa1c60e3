"""UBL 2: invoices and credit notes, such as those of Peppol, as documents, lines or taxes.

Totals of a document must be those that EN 16931 computes, by its rules BR-CO-10 to 16.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from headrace.extension import marked
from headrace.extension.formats import Disagrees, printable
from headrace_legacy.iso20022 import (
    MONEY,
    Malformed,
    MessageFormat,
    Reading,
    day_at,
    every,
    flag_at,
    lines_at,
    own_text,
    shown,
    text_at,
)
from headrace_legacy.xml import local_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

DOCUMENTS, LINES, TAXES = "documents", "lines", "taxes"
QUANTITY = "DECIMAL(30,12)"
_OF_DOCUMENT = {"document": "BIGINT", "kind": "VARCHAR", "id": "VARCHAR", "currency": "VARCHAR"}
_PARTY = ("", "_id", "_tax_id", "_endpoint", "_country")
_ROLES = {"seller": "AccountingSupplierParty/Party", "buyer": "AccountingCustomerParty/Party"}
_TOTALS = {
    "lines_amount": "LineExtensionAmount",
    "allowances": "AllowanceTotalAmount",
    "charges": "ChargeTotalAmount",
    "without_tax": "TaxExclusiveAmount",
    "with_tax": "TaxInclusiveAmount",
    "prepaid": "PrepaidAmount",
    "rounding": "PayableRoundingAmount",
    "payable": "PayableAmount",
}
"""Column → the element of LegalMonetaryTotal."""
_TEXTS = {
    "type": ("InvoiceTypeCode", "CreditNoteTypeCode"),
    "customization": ("CustomizationID",),
    "profile": ("ProfileID",),
    "tax_currency": ("TaxCurrencyCode",),
    "buyer_reference": ("BuyerReference",),
    "purchase_order": ("OrderReference/ID",),
    "contract": ("ContractDocumentReference/ID",),
    "preceding": ("BillingReference/InvoiceDocumentReference/ID",),
    "payee": ("PayeeParty/PartyName/Name",),
    "payment_means": ("PaymentMeans/PaymentMeansCode",),
    "payment_reference": ("PaymentMeans/PaymentID",),
    "account": ("PaymentMeans/PayeeFinancialAccount/ID",),
}
_DAYS = {
    "issued": ("IssueDate",),
    "due": ("DueDate", "PaymentMeans/PaymentDueDate"),
    "tax_point": ("TaxPointDate",),
    "delivered": ("Delivery/ActualDeliveryDate",),
    "period_begin": ("InvoicePeriod/StartDate",),
    "period_end": ("InvoicePeriod/EndDate",),
}
_TEXTS_OF_LINE = {
    "line_id": ("ID",),
    "accounting_cost": ("AccountingCost",),
    "order_line": ("OrderLineReference/LineID",),
    "item": ("Item/Name",),
    "seller_item": ("Item/SellersItemIdentification/ID",),
    "buyer_item": ("Item/BuyersItemIdentification/ID",),
    "standard_item": ("Item/StandardItemIdentification/ID",),
    "tax_category": ("Item/ClassifiedTaxCategory/ID",),
}
COLUMNS = {
    DOCUMENTS: {
        **_OF_DOCUMENT,
        **dict.fromkeys(_TEXTS, "VARCHAR"),
        **dict.fromkeys(_DAYS, "DATE"),
        **{f"{role}{end}": "VARCHAR" for role in _ROLES for end in _PARTY},
        "note": "VARCHAR",
        "terms": "VARCHAR",
        "lines": "BIGINT",
        **dict.fromkeys(_TOTALS, MONEY),
        "tax": MONEY,
        "tax_in_tax_currency": MONEY,
    },
    LINES: {
        **_OF_DOCUMENT,
        "line": "BIGINT",
        **dict.fromkeys(_TEXTS_OF_LINE, "VARCHAR"),
        "description": "VARCHAR",
        "note": "VARCHAR",
        "quantity": QUANTITY,
        "unit": "VARCHAR",
        "amount": MONEY,
        "allowances": MONEY,
        "charges": MONEY,
        "price": QUANTITY,
        "price_basis": QUANTITY,
        "tax_rate": QUANTITY,
        "period_begin": "DATE",
        "period_end": "DATE",
    },
    TAXES: {
        **_OF_DOCUMENT,
        "tax_currency": "VARCHAR",
        "category": "VARCHAR",
        "rate": QUANTITY,
        "taxable": MONEY,
        "tax": MONEY,
        "exemption": "VARCHAR",
        "exemption_reason": "VARCHAR",
    },
}
_NEEDS = {
    "BR-CO-10": {"lines_amount"},
    "BR-CO-13": {"without_tax", "lines_amount"},
    "BR-CO-15": {"with_tax", "without_tax", "tax"},
    "BR-CO-16": {"payable", "with_tax"},
}
"""Rule → the totals without which it says nothing."""
_NUMBER = re.compile(r"[+-]?(?:0*[0-9]{1,18}(?:\.([0-9]*))?|\.([0-9]+))")
_CENT = Decimal("0.01")


class Ubl(MessageFormat):
    """Invoices and credit notes of UBL 2, such as those of Peppol BIS Billing and EN 16931."""

    name = "ubl"
    meaning = "which rows of UBL invoices are read"
    endings = (".ubl",)
    kinds_of_rows = COLUMNS
    family = "an invoice or credit note of UBL 2"
    roots = ("Invoice", "CreditNote")
    messages = re.compile(
        r"\{urn:oasis:names:specification:ubl:schema:xsd:(?:Invoice|CreditNote)-2\}"
        r"(Invoice|CreditNote)"
    )
    # an attached file is dropped once it ends, so that it doesn't fill the memory
    names = ("InvoiceLine", "CreditNoteLine", "AdditionalDocumentReference")

    def reading(self) -> Reading:
        """Return what reads a file."""
        return _Reading()


@dataclass
class Document:
    """An invoice or credit note that is being read."""

    number: int
    """From 1, in the file."""
    kind: str
    head: dict[str, Any] = field(default_factory=dict)
    """The columns that all its rows have, once one of them has been read."""
    lines: int = 0
    amount: Decimal = field(default_factory=Decimal)
    """The sum of its lines."""
    currencies: set[str | None] = field(default_factory=set)
    """Those of its lines."""

    @property
    def place(self) -> str:
        """It and its newest line, for messages."""
        line = f", line {self.lines:,}" if self.lines else ""
        return f"document {self.number:,} ({self.identity}){line}"

    @property
    def identity(self) -> str:
        """What it calls itself, for messages."""
        return marked(printable(self.head.get("id") or "", 40))

    def _read_head(self, root: Element) -> None:
        self.head = {
            "document": str(self.number),
            "kind": self.kind,
            "id": text_at(root, "ID"),
            "currency": text_at(root, "DocumentCurrencyCode"),
        }

    def line(self, element: Element, root: Element) -> dict[str, Any]:
        """Return the row of a line, and add its amount."""
        if not self.head:
            self._read_head(root)
        self.lines += 1
        amount = _number(element, "LineExtensionAmount")
        self.amount += amount or 0
        self.currencies |= {
            item.get("currencyID") for item in every(element, "LineExtensionAmount")
        }
        quantity = every(element, "InvoicedQuantity") or every(element, "CreditedQuantity")
        return {
            **self.head,
            "line": str(self.lines),
            **_texts(element, _TEXTS_OF_LINE),
            "description": lines_at(element, "Item/Description"),
            "note": lines_at(element, "Note"),
            "quantity": _written(_value(own_text(quantity[0]), 12)) if quantity else None,
            "unit": quantity[0].get("unitCode") if quantity else None,
            "amount": _written(amount),
            "allowances": _written(_allowed(element, is_charge=False)),
            "charges": _written(_allowed(element, is_charge=True)),
            "price": _written(_number(element, "Price/PriceAmount", 12)),
            "price_basis": _written(_number(element, "Price/BaseQuantity", 12)),
            "tax_rate": _written(_number(element, "Item/ClassifiedTaxCategory/Percent", 12)),
            "period_begin": day_at(element, "InvoicePeriod/StartDate"),
            "period_end": day_at(element, "InvoicePeriod/EndDate"),
        }

    def whole(self, root: Element) -> dict[str, Any]:
        """Return the row of the document."""
        self._read_head(root)
        total = "LegalMonetaryTotal"
        return {
            **self.head,
            **_texts(root, _TEXTS),
            **{
                name: next(filter(None, (day_at(root, path) for path in paths)), None)
                for name, paths in _DAYS.items()
            },
            **{
                name: value
                for role, path in _ROLES.items()
                for name, value in _party(root, role, path).items()
            },
            "note": lines_at(root, "Note"),
            "terms": lines_at(root, "PaymentTerms/Note"),
            "lines": str(self.lines),
            **{name: _written(_number(root, f"{total}/{path}")) for name, path in _TOTALS.items()},
            "tax": _written(_tax(root, self.head["currency"])),
            "tax_in_tax_currency": _written(_tax(root, text_at(root, "TaxCurrencyCode") or "")),
        }

    def taxes(self, root: Element) -> Iterator[dict[str, Any]]:
        """Yield the rows of taxes by category and rate."""
        for part in every(root, "TaxTotal/TaxSubtotal"):
            amounts = every(part, "TaxAmount")
            yield {
                **self.head,
                "tax_currency": amounts[0].get("currencyID") if amounts else None,
                "category": text_at(part, "TaxCategory/ID"),
                "rate": _written(_number(part, "TaxCategory/Percent", 12)),
                "taxable": _written(_number(part, "TaxableAmount")),
                "tax": _written(_number(part, "TaxAmount")),
                "exemption": text_at(part, "TaxCategory/TaxExemptionReasonCode"),
                "exemption_reason": lines_at(part, "TaxCategory/TaxExemptionReason"),
            }

    def unlike(self, root: Element) -> str:
        """Return the first rule of EN 16931 that its totals break; empty if there is none."""
        currency = text_at(root, "DocumentCurrencyCode")
        totals = [item for total in every(root, "LegalMonetaryTotal") for item in total]
        others = {item.get("currencyID") for item in totals} | self.currencies
        if currency is not None and others - {currency}:
            other = marked(printable(min(map(str, others - {currency})), 20))
            return f"is in {marked(printable(currency, 20))}, and has amounts in {other}"
        return self._unlike_totals(root, currency) or _unlike_taxes(root)

    def _unlike_totals(self, root: Element, currency: str | None) -> str:
        stated = {
            name: _number(root, f"LegalMonetaryTotal/{path}") for name, path in _TOTALS.items()
        }
        stated["tax"] = _tax(root, currency)
        absent = {name for name, amount in stated.items() if amount is None}
        value = {name: amount or Decimal() for name, amount in stated.items()}
        left_out = _left_out(root)
        for rule, name, computed in (
            ("BR-CO-10", "lines_amount", self.amount),
            ("BR-CO-11", "allowances", _allowed(root, is_charge=False) or Decimal()),
            ("BR-CO-12", "charges", _allowed(root, is_charge=True) or Decimal()),
            (
                "BR-CO-13",
                "without_tax",
                value["lines_amount"] - value["allowances"] + value["charges"],
            ),
            ("BR-CO-15", "with_tax", value["without_tax"] + value["tax"]),
            ("BR-CO-16", "payable", value["with_tax"] - value["prepaid"] + value["rounding"]),
        ):
            applies = rule not in left_out and absent.isdisjoint(_NEEDS.get(rule, ()))
            if applies and not _is_same(value[name], computed):
                return (
                    f"states {shown(value[name])} as {_TOTALS[name]}, of {shown(computed)} ({rule})"
                )
        return ""


class _Reading(Reading):
    documents = 0
    open: Document | None = None

    @property
    def where(self) -> str:
        """The newest document and line."""
        return self.open.place if self.open is not None else "outside of documents"

    def take(
        self, event: str, element: Element, around: Element | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows that are complete once an element begins or ends, with their kinds."""
        name = local_name(element.tag)
        if event == "start":
            if name in Ubl.roots:
                self.documents += 1
                self.open = Document(self.documents, self.message)
        elif self.open is None:
            return
        elif name in Ubl.roots:
            yield DOCUMENTS, self.open.whole(element)
            yield from ((TAXES, row) for row in self.open.taxes(element))
            unlike = self.open.unlike(element)
            if unlike and self.problem is None:
                place = f"document {self.open.number:,} ({self.open.identity})"
                self.problem = Disagrees(f"{place} {unlike}")
            self.open = None
        elif name.endswith("Line") and around is not None and Ubl.messages.fullmatch(around.tag):
            yield LINES, self.open.line(element, around)


def _left_out(root: Element) -> set[str]:
    """Return the rules that mean other totals than the document's."""
    rules = {"BR-CO-16"} if every(root, "WithholdingTaxTotal") else set()
    if (text_at(root, "CustomizationID") or "").startswith("OIOUBL"):
        rules |= {"BR-CO-13", "BR-CO-15"}  # its TaxExclusiveAmount is the tax
    return rules


def _unlike_taxes(root: Element) -> str:
    for total in every(root, "TaxTotal"):
        parts = every(total, "TaxSubtotal")
        stated = _number(total, "TaxAmount") or Decimal()
        computed = sum((_number(part, "TaxAmount") or Decimal() for part in parts), Decimal())
        if parts and not _is_same(stated, computed):
            return f"states {shown(stated)} as TaxAmount, of {shown(computed)} (BR-CO-14)"
    return ""


def _is_same(stated: Decimal, computed: Decimal) -> bool:
    """Return whether a total is as computed, which may have been rounded to two decimals."""
    return stated in (computed, computed.quantize(_CENT, ROUND_HALF_UP))


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum of the amounts that are stated; None if none is."""
    stated = [amount for amount in amounts if amount is not None]
    return sum(stated, Decimal()) if stated else None


def _allowed(element: Element, *, is_charge: bool) -> Decimal | None:
    """Return the sum of an element's own allowances or charges; None if it has none."""
    return _sum(
        _number(item, "Amount")
        for item in every(element, "AllowanceCharge")
        if (flag_at(item, "ChargeIndicator") or False) is is_charge
    )


def _tax(root: Element, currency: str | None) -> Decimal | None:
    """Return the tax of a document in a currency, such as the sum of several kinds of tax.

    Without a currency, the tax is in that of the first one.
    """
    amounts = every(root, "TaxTotal/TaxAmount")
    if currency is None and amounts:
        currency = amounts[0].get("currencyID")
    return _sum(
        _value(own_text(amount), 5) for amount in amounts if amount.get("currencyID") == currency
    )


def _party(root: Element, role: str, path: str) -> dict[str, str | None]:
    def first(*paths: str) -> str | None:
        return next(filter(None, (text_at(root, f"{path}/{each}") for each in paths)), None)

    legal = "PartyLegalEntity"
    schemes = every(root, f"{path}/PartyTaxScheme")
    schemes.sort(key=lambda scheme: text_at(scheme, "TaxScheme/ID") != "VAT")
    return {
        role: first(f"{legal}/RegistrationName", "PartyName/Name"),
        f"{role}_id": first("PartyIdentification/ID", f"{legal}/CompanyID"),
        f"{role}_tax_id": next(
            filter(None, (text_at(scheme, "CompanyID") for scheme in schemes)), None
        ),
        f"{role}_endpoint": first("EndpointID"),
        f"{role}_country": first("PostalAddress/Country/IdentificationCode"),
    }


def _texts(element: Element, paths: Mapping[str, Sequence[str]]) -> dict[str, str | None]:
    return {
        name: next(filter(None, (text_at(element, path) for path in each)), None)
        for name, each in paths.items()
    }


def _number(element: Element, path: str, scale: int = 5) -> Decimal | None:
    """Return the first number at a path; None if there is none."""
    text = text_at(element, path)
    return None if text is None else _value(text, scale)


def _value(text: str | None, scale: int) -> Decimal:
    match = _NUMBER.fullmatch(text or "")
    if match is None or len((match[1] or match[2] or "").rstrip("0")) > scale:
        raise Malformed(
            f"{marked(printable(text or '', 40))} isn't a number with at most {scale} decimals"
        )
    return Decimal(text or "")


def _written(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:f}"
