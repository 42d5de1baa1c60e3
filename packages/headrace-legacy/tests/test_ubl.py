"""UBL invoices and credit notes: documents, lines and taxes, and what totals say of the lines."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from mutations import flipped

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.ubl import COLUMNS, Ubl


def amount(name: str, text: str, currency: str = "EUR") -> str:
    return f"<{name} currencyID='{currency}'>{text}</{name}>" if text else ""


def charge(text: str, is_charge: str = "false") -> str:
    return (
        f"<AllowanceCharge><ChargeIndicator>{is_charge}</ChargeIndicator>"
        f"{amount('Amount', text)}</AllowanceCharge>"
    )


def line(number: int, text: str, more: str = "", kind: str = "Invoice") -> str:
    quantity = "InvoicedQuantity" if kind == "Invoice" else "CreditedQuantity"
    return (
        f"<{kind}Line><ID>{number}</ID><{quantity} unitCode='EA'>2</{quantity}>"
        f"{amount('LineExtensionAmount', text)}{more}<Item><Description>a</Description>"
        f"<Description>b</Description><Name>Paint</Name><SellersItemIdentification><ID>S-1</ID>"
        f"</SellersItemIdentification><ClassifiedTaxCategory><ID>S</ID><Percent>25</Percent>"
        f"</ClassifiedTaxCategory></Item><Price>{amount('PriceAmount', '50.123456')}"
        f"<BaseQuantity>1</BaseQuantity></Price></{kind}Line>"
    )


def subtotal(taxable: str, tax: str, currency: str = "EUR") -> str:
    return (
        f"<TaxSubtotal>{amount('TaxableAmount', taxable, currency)}"
        f"{amount('TaxAmount', tax, currency)}<TaxCategory><ID>S</ID><Percent>25</Percent>"
        f"<TaxExemptionReason>none</TaxExemptionReason></TaxCategory></TaxSubtotal>"
    )


TOTALS = {
    "LineExtensionAmount": "100.00",
    "TaxExclusiveAmount": "95.00",
    "TaxInclusiveAmount": "118.75",
    "AllowanceTotalAmount": "10.00",
    "ChargeTotalAmount": "5.00",
    "PrepaidAmount": "18.70",
    "PayableRoundingAmount": "-0.05",
    "PayableAmount": "100",
}


def party(role: str, name: str) -> str:
    return (
        f"<{role}><Party><EndpointID>E</EndpointID><PartyName><Name>{name} shop</Name></PartyName>"
        f"<PostalAddress><Country><IdentificationCode>NO</IdentificationCode></Country>"
        f"</PostalAddress><PartyTaxScheme><CompanyID>NO1</CompanyID></PartyTaxScheme>"
        f"<PartyLegalEntity><RegistrationName>{name}</RegistrationName></PartyLegalEntity></Party>"
        f"</{role}>"
    )


def document(kind: str = "Invoice", **changed: str) -> bytes:
    """Return an invoice or a credit note, with other texts than the usual ones in totals."""
    totals = "".join(amount(name, changed.get(name, text)) for name, text in TOTALS.items())
    tax = (
        f"<TaxTotal>{amount('TaxAmount', changed.get('tax', '23.75'))}{subtotal('95', '23.75')}"
        f"</TaxTotal><TaxTotal>{amount('TaxAmount', '270', 'NOK')}</TaxTotal>"
    )
    return (
        f"<{kind} xmlns='urn:oasis:names:specification:ubl:schema:xsd:{kind}-2'><ID>I-1</ID>"
        f"<IssueDate>2024-01-31</IssueDate><{kind}TypeCode>380</{kind}TypeCode>"
        "<Note>one</Note><Note>two</Note><DocumentCurrencyCode>EUR</DocumentCurrencyCode>"
        "<TaxCurrencyCode>NOK</TaxCurrencyCode><OrderReference><ID>PO-7</ID></OrderReference>"
        "<AdditionalDocumentReference><ID>A</ID></AdditionalDocumentReference>"
        f"{party('AccountingSupplierParty', 'Seller')}{party('AccountingCustomerParty', 'Buyer')}"
        "<PaymentMeans><PaymentMeansCode>30</PaymentMeansCode><PaymentDueDate>2024-02-29"
        "</PaymentDueDate></PaymentMeans>"
        f"{charge(changed.get('allowance', '10'))}{charge('5', changed.get('is_charge', '1'))}{tax}"
        f"<LegalMonetaryTotal>{totals}</LegalMonetaryTotal>"
        f"{line(1, '60.004', charge('1'), kind)}{line(2, changed.get('line', '40'), kind=kind)}"
        f"</{kind}>"
    ).encode()


def take(bench: Workbench, data: bytes, rows: str = "documents", **more: Any) -> Any:
    return bench.take(data, "a.xml", options={"ubl": {"rows": rows}}, **more)


@pytest.mark.parametrize("kind", ["Invoice", "CreditNote"])
def test_documents_lines_and_taxes(bench: Workbench, kind: str) -> None:
    """Would catch: a credit note without lines, the tax in another currency, a price cut."""
    (whole,) = rows_of(take(bench, document(kind)))
    assert (whole["kind"], whole["id"], whole["currency"], whole["type"]) == (
        kind,
        "I-1",
        "EUR",
        "380",
    )
    assert (whole["issued"], whole["due"]) == (date(2024, 1, 31), date(2024, 2, 29))
    assert (whole["seller"], whole["buyer"], whole["seller_tax_id"]) == ("Seller", "Buyer", "NO1")
    assert (whole["without_tax"], whole["tax"], whole["with_tax"]) == (
        95,
        Decimal("23.75"),
        Decimal("118.75"),
    )
    assert (whole["tax_in_tax_currency"], whole["lines"], whole["purchase_order"]) == (
        270,
        2,
        "PO-7",
    )
    assert whole["note"] == "one\ntwo"
    first, second = rows_of(take(bench, document(kind), "lines"))
    assert (first["amount"], second["amount"]) == (Decimal("60.004"), 40)
    assert (first["price"], first["quantity"], first["unit"]) == (Decimal("50.123456"), 2, "EA")
    assert (first["allowances"], first["charges"], first["description"]) == (1, None, "a\nb")
    assert (first["tax_category"], first["tax_rate"], first["seller_item"]) == ("S", 25, "S-1")
    (tax,) = rows_of(take(bench, document(kind), "taxes"))
    assert (tax["category"], tax["rate"], tax["taxable"], tax["tax"]) == (
        "S",
        25,
        95,
        Decimal("23.75"),
    )
    assert (tax["tax_currency"], tax["exemption_reason"]) == ("EUR", "none")


def test_figures_that_a_line_doesnt_state_are_null(bench: Workbench) -> None:
    """Would catch: a zero that no document has."""
    first, second = rows_of(take(bench, document(line="", LineExtensionAmount=""), "lines"))
    assert (first["allowances"], first["charges"]) == (1, None)
    assert (second["amount"], second["allowances"], second["charges"]) == (None, None, None)


def test_lines_of_an_extension_are_no_lines(bench: Workbench) -> None:
    """Would catch: a line of a signed or attached document that is counted as one of this."""
    other = (
        b"<UBLExtensions><x:Invoice xmlns:x='other'><x:InvoiceLine/></x:Invoice></UBLExtensions>"
    )
    data = document().replace(b"<IssueDate>", other + b"<IssueDate>")
    assert len(rows_of(take(bench, data, "lines"))) == 2
    (whole,) = rows_of(take(bench, data))
    assert whole["lines"] == 2


def test_several_kinds_of_tax_are_summed_up(bench: Workbench) -> None:
    """Would catch: the first tax of a country with two, and a second one in another currency."""
    data = document().replace(
        b"<TaxTotal><TaxAmount currencyID='NOK'>",
        b"<TaxTotal>"
        + amount("TaxAmount", "1.25").encode()
        + b"</TaxTotal><TaxTotal><TaxAmount currencyID='NOK'>",
    )
    data = data.replace(b">118.75<", b">120.00<").replace(b">100</Payable", b">101.25</Payable")
    (whole,) = rows_of(take(bench, data))
    assert (whole["tax"], whole["tax_in_tax_currency"]) == (25, 270)
    (without,) = rows_of(take(bench, data.replace(b"DocumentCurrencyCode", b"Other")))
    assert (without["currency"], without["tax"]) == (None, 25)


def test_a_party_has_its_vat_number(bench: Workbench) -> None:
    """Would catch: the number of another register as that of the tax."""
    data = document().replace(
        b"<PartyTaxScheme><CompanyID>NO1</CompanyID></PartyTaxScheme>",
        b"<PartyTaxScheme><CompanyID>Foretaksregisteret</CompanyID><TaxScheme><ID>TAX</ID>"
        b"</TaxScheme></PartyTaxScheme><PartyTaxScheme><CompanyID>NO1MVA</CompanyID><TaxScheme>"
        b"<ID>VAT</ID></TaxScheme></PartyTaxScheme>",
    )
    (whole,) = rows_of(take(bench, data))
    assert (whole["seller_tax_id"], whole["buyer_tax_id"]) == ("NO1MVA", "NO1MVA")


OIOUBL = b"<CustomizationID>OIOUBL-2.1</CustomizationID><IssueDate>"
WITHHELD = b"<WithholdingTaxTotal><TaxAmount currencyID='EUR'>9</TaxAmount></WithholdingTaxTotal>"


@pytest.mark.parametrize(
    "data",
    [
        document(TaxInclusiveAmount=""),
        document(TaxExclusiveAmount=""),
        document(LineExtensionAmount=""),
        document().replace(b"TaxTotal>", b"Other>"),
        document(TaxExclusiveAmount="23.75").replace(b"<IssueDate>", OIOUBL),
        document(PayableAmount="91").replace(b"<LegalMon", WITHHELD + b"<LegalMon"),
    ],
)
def test_a_rule_without_its_figures_holds_nothing(bench: Workbench, data: bytes) -> None:
    """Would catch: an invoice that is held for a figure that it needn't state."""
    rows_of(take(bench, data))


@pytest.mark.parametrize("kind", [*COLUMNS])
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"line": "40.01"}, "states 100.00 as LineExtensionAmount, of 100.014 (BR-CO-10)"),
        ({"allowance": "11"}, "states 10.00 as AllowanceTotalAmount, of 11 (BR-CO-11)"),
        ({"AllowanceTotalAmount": ""}, "states 0 as AllowanceTotalAmount, of 10 (BR-CO-11)"),
        ({"ChargeTotalAmount": "6"}, "states 6 as ChargeTotalAmount, of 5 (BR-CO-12)"),
        (
            {"TaxExclusiveAmount": "95.01"},
            "states 95.01 as TaxExclusiveAmount, of 95.00 (BR-CO-13)",
        ),
        ({"tax": "23.76", "TaxInclusiveAmount": "118.76", "PayableAmount": "100.01"}, "(BR-CO-14)"),
        ({"TaxInclusiveAmount": "118.76"}, "as TaxInclusiveAmount, of 118.75 (BR-CO-15)"),
        ({"PayableAmount": "100.05"}, "states 100.05 as PayableAmount, of 100.00 (BR-CO-16)"),
    ],
)
def test_a_document_that_contradicts_its_totals_is_held(
    bench: Workbench, changed: dict[str, str], reason: str, kind: str
) -> None:
    """Would catch: an invoice with a lost line that is published, and one that is to be paid
    twice."""
    data = document(**changed)
    held = take(bench, data, kind)
    assert isinstance(held, UnreadableFile), held
    assert held.code == "delivery_total"
    assert "document 1 (I-1) states" in plain(held.reason)
    assert reason in plain(held.reason)
    assert isinstance(take(bench, data, kind, accepted=True), Taken), "a person decides"


def test_amounts_in_another_currency_are_held(bench: Workbench) -> None:
    """Would catch: dollars that are added to euros."""
    held = take(bench, document().replace(b"'EUR'>40<", b"'USD'>40<"))
    assert isinstance(held, UnreadableFile)
    assert "is in EUR, and has amounts in USD" in plain(held.reason)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<a/>", "it isn't an invoice or credit note of UBL 2"),
        (b"<Invoice/>", "it isn't an invoice or credit note of UBL 2"),
        (document()[:-40], "the file is cut off"),
        (document(line="4O"), "line 2: 4O isn't a number with at most 5 decimals"),
        (document(line="1.123456"), "1.123456 isn't a number with at most 5 decimals"),
        (document().replace(b"2024-01-31", b"2024-02-31"), "2024-02-31 is no day"),
        (document(is_charge="TRUE"), "TRUE is neither true nor false"),
        (b"<!DOCTYPE a><a/>", "a document type"),
    ],
)
def test_what_isnt_ubl_is_refused(bench: Workbench, data: bytes, reason: str) -> None:
    refused = take(bench, data)
    assert isinstance(refused, UnreadableFile), refused
    assert refused.code != "delivery_total"
    assert reason in plain(refused.reason)


def test_a_file_has_a_table_for_each_kind_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.ubl"
    path.write_bytes(b"<StandardBusinessDocument>" + document() + b"</StandardBusinessDocument>")
    assert [*Ubl().tables(path)] == [*COLUMNS]


def test_a_page_names_all_rows_and_columns() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/legacy/ubl.md").read_text()
    for kind, columns in COLUMNS.items():
        assert f"`{kind}`" in page
        assert [column for column in columns if f"`{column}`" not in page] == []


@pytest.mark.parametrize("seed", range(3))
def test_mutated_files_are_read_or_refused(bench: Workbench, seed: int) -> None:
    """Would catch: an exception of Python's, and a sum that a flipped bit passes by."""
    chance = random.Random(seed)
    for _ in range(40):
        data = flipped(document(), chance)
        outcome = take(bench, data, "lines")
        assert isinstance(outcome, Taken | UnreadableFile), outcome
        if isinstance(outcome, Taken) and b"<LineExtensionAmount currencyID='EUR'>100.00<" in data:
            total = sum(row["amount"] or 0 for row in rows_of(outcome))
            assert total in (100, Decimal("100.004")) or round(total, 2) == 100
