"""camt.052, 053 and 054: entries, details and balances, and what balances say of the entries."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from mutations import flipped
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import Disagrees, UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.camt import Camt


def balance(kind: str, amount: str, sign: str = "CRDT", currency: str = "EUR") -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt Ccy='{currency}'>{amount}</Amt>"
        f"<CdtDbtInd>{sign}</CdtDbtInd><Dt><Dt>2024-01-31</Dt></Dt></Bal>"
    )


def entry(amount: str, sign: str = "CRDT", more: str = "", status: str = "BOOK") -> str:
    return (
        f"<Ntry><Amt Ccy='EUR'>{amount}</Amt><CdtDbtInd>{sign}</CdtDbtInd>{more}"
        f"<Sts>{status}</Sts><BookgDt><DtTm>2024-01-31T23:30:00-05:00</DtTm></BookgDt></Ntry>"
    )


def statement(*entries: str, opening: str = "100.00", closing: str, before: str = "") -> str:
    return (
        "<Stmt><Id>S1</Id><ElctrncSeqNb>7</ElctrncSeqNb><Acct><Id><IBAN>DE02</IBAN></Id></Acct>"
        f"{balance('OPBD', opening)}{balance('CLBD', closing)}{before}{''.join(entries)}</Stmt>"
    )


def message(*statements: str, version: str = "053.001.02") -> bytes:
    root = {"052": "BkToCstmrAcctRpt", "053": "BkToCstmrStmt", "054": "BkToCstmrDbtCdtNtfctn"}
    name = root[version[:3]]
    return (
        f"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.{version}'><{name}>"
        f"<GrpHdr><MsgId>1</MsgId></GrpHdr>{''.join(statements)}</{name}></Document>"
    ).encode()


def take(bench: Workbench, data: bytes, rows: str = "entries", **more: Any) -> Any:
    return bench.take(data, "a.xml", options={"camt": {"rows": rows}}, **more)


def test_entries(bench: Workbench) -> None:
    """Would catch: a debit without its sign, a reversal whose sign is turned once more, a pending
    entry among the booked ones, a day moved by its zone."""
    data = message(
        statement(
            entry("25.50", "DBIT"),
            entry("25.50", "CRDT", "<RvslInd>true</RvslInd>"),
            entry("9", status="PDNG"),
            entry("0.001", more="<AcctSvcrRef>B</AcctSvcrRef>"),
            closing="100.001",
        )
    )
    found = rows_of(take(bench, data))
    assert [row["amount"] for row in found] == [
        Decimal(text) for text in ("-25.5", "25.5", "9", "0.001")
    ]
    assert [row["reversal"] for row in found] == [False, True, False, False]
    assert [row["status"] for row in found] == ["BOOK", "BOOK", "PDNG", "BOOK"]
    assert {row["booking_date"] for row in found} == {date(2024, 1, 31)}
    assert found[3]["bank_reference"] == "B"
    assert [row["entry"] for row in found] == [1, 2, 3, 4]
    first = found[0]
    assert (first["message"], first["statement"]) == ("camt.053.001.02", "S1")
    assert (first["sequence"], first["account"], first["currency"]) == ("7", "DE02", "EUR")


def detail(amount: str, currency: str = "EUR", sign: str = "", more: str = "") -> str:
    sign = f"<CdtDbtInd>{sign}</CdtDbtInd>" if sign else ""
    stated = f"<Amt Ccy='{currency}'>{amount}</Amt>" if amount else ""
    return f"<NtryDtls><TxDtls>{stated}{sign}{more}</TxDtls></NtryDtls>"


def test_details_have_amounts_if_they_add_up_to_the_entry(bench: Workbench) -> None:
    """Would catch: a charge that replaces the amount, and details that each repeat the entry's."""
    version_8 = (
        "<Refs><EndToEndId>E2E</EndToEndId></Refs><RltdPties><Dbtr><Pty><Nm>Ann</Nm></Pty></Dbtr>"
        "<CdtrAcct><Id><IBAN>FR1</IBAN></Id></CdtrAcct></RltdPties><RltdAgts><DbtrAgt><FinInstnId>"
        "<BICFI>BICA</BICFI></FinInstnId></DbtrAgt></RltdAgts><RmtInf><Ustrd>a</Ustrd><Ustrd>b"
        "</Ustrd></RmtInf><Chrgs><Amt Ccy='EUR'>1</Amt></Chrgs>"
    )
    data = message(
        statement(
            entry("30", "DBIT", detail("40", more=version_8) + detail("10", sign="CRDT")),
            entry("30", "DBIT", detail("20") + detail("5")),
            entry("30", "CRDT", detail("33", "USD")),
            entry("30", "CRDT", detail("")),
            closing="100.00",
        ),
        version="053.001.08",
    )
    found = rows_of(take(bench, data, "details"))
    assert [(row["entry"], row["detail"], row["amount"]) for row in found] == [
        (1, 1, Decimal(-40)),
        (1, 2, Decimal(10)),
        (2, 1, None),
        (2, 2, None),
        (3, 1, None),
        (4, 1, None),
    ]
    assert [row["stated_amount"] for row in found] == [40, 10, 20, 5, 33, None]
    assert found[4]["stated_currency"] == "USD"
    first = found[0]
    assert (first["debtor"], first["debtor_bank"]) == ("Ann", "BICA")
    assert (first["creditor_account"], first["end_to_end"]) == ("FR1", "E2E")
    assert first["remittance"] == "a\nb"


def test_balances_of_several_statements(bench: Workbench) -> None:
    data = message(statement(closing="100.00"), statement(entry("1", "DBIT"), closing="99"))
    found = rows_of(take(bench, data, "balances"))
    assert [(row["type"], row["amount"]) for row in found] == [
        ("OPBD", 100),
        ("CLBD", 100),
        ("OPBD", 100),
        ("CLBD", 99),
    ]
    assert found[0]["day"] == date(2024, 1, 31)


SUMMARY = (
    "<TxsSummry><TtlCdtNtries><NbOfNtries>{}</NbOfNtries><Sum>{}</Sum></TtlCdtNtries></TxsSummry>"
)


@pytest.mark.parametrize("kind", ["entries", "details", "balances"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            statement(entry("5", "DBIT"), closing="96"),
            "statement 1 (S1) begins with 100.00, its booked entries come to -5, and it ends with 96",
        ),
        (
            statement(closing="100") + statement(entry("5", status="PDNG"), closing="105"),
            "statement 2 (S1) begins with 100.00, its booked entries come to 0",
        ),
        (statement(closing="1").replace("CLBD", "CLAV"), "has no closing balance"),
        (statement(closing="1").replace("OPBD", "OPAV"), "has no opening balance"),
        (
            statement(closing="100").replace("Ccy='EUR'>100<", "Ccy='USD'>100<"),
            "begins in EUR, and has amounts in USD",
        ),
        (
            statement(entry("5"), closing="105", before=SUMMARY.format(2, 5)),
            "states 2 entries (TtlCdtNtries), and has 1",
        ),
        (
            statement(entry("5"), closing="105", before=SUMMARY.format(1, 6)),
            "states a sum of 6 (TtlCdtNtries), and its entries come to 5",
        ),
    ],
)
def test_a_statement_that_contradicts_itself_is_held(
    bench: Workbench, text: str, reason: str, kind: str
) -> None:
    """Would catch: a lost entry that is published."""
    held = take(bench, message(text), kind)
    assert isinstance(held, UnreadableFile), held
    assert held.code == "delivery_total"
    assert reason in plain(held.reason)
    assert isinstance(take(bench, message(text), kind, accepted=True), Taken), "a person decides"


def test_numbers_as_the_standard_writes_them(bench: Workbench) -> None:
    """Would catch: a statement held for "01" entries, or refused for an amount with a plus, without
    a digit before its point or after it."""
    texts = [entry(".5"), entry("+0.50"), entry("1.")]
    data = message(statement(*texts, closing="102.00", before=SUMMARY.format("03", "+2.0")))
    found = rows_of(take(bench, data))
    assert [row["amount"] for row in found] == [Decimal("0.5"), Decimal("0.5"), 1]


def test_a_file_has_a_table_for_each_kind_of_rows(tmp_path: Path) -> None:
    """Would catch: `headrace init --from` with entries only."""
    path = tmp_path / "a.c53"
    path.write_bytes(message(statement(entry("5", more=detail("5")), closing="105")))
    assert Camt().tables(path) == {kind: {"rows": kind} for kind in Camt.kinds_of_rows}
    path.write_bytes(message(statement(entry("5"), closing="105")))
    assert [*Camt().tables(path)] == ["entries", "balances"]


def test_pages_begin_and_end_with_interim_balances(bench: Workbench) -> None:
    pages = [
        statement(entry("5"), closing="105").replace("CLBD", "ITBD"),
        statement(entry("5"), opening="105", closing="110").replace("OPBD", "ITBD"),
        statement(entry("5"), opening="105", closing="110")
        .replace("OPBD", "ITBD")
        .replace("CLBD", "ITBD"),
    ]
    assert len(rows_of(take(bench, message(*pages)))) == 3


@pytest.mark.parametrize("version", ["052.001.08", "054.001.02"])
def test_reports_and_notifications_need_no_balances(bench: Workbench, version: str) -> None:
    name = "Rpt" if version.startswith("052") else "Ntfctn"
    data = message(f"<{name}><Id>R</Id>{entry('5')}</{name}>", version=version)
    assert [row["amount"] for row in rows_of(take(bench, data))] == [5]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<a/>", "it isn't camt.052, 053 or 054"),
        (message(statement(closing="1"))[:-60], "the file is cut off"),
        (message(statement(entry("1,5"), closing="1")), "entry 1: the amount isn't a number: 1,5"),
        (message(statement(entry("-1"), closing="1")), "entry 1: the amount isn't a number: -1"),
        (message(statement(entry("1", "X"), closing="1")), "isn't a credit or debit"),
        (
            message(statement(entry("1", "CRDT", "<RvslInd>TRUE</RvslInd>"), closing="1")),
            "TRUE is neither true nor false",
        ),
        (
            message(statement(entry("1"), closing="1")).replace(b"2024-01-31T", b"2024-02-31T"),
            "no day",
        ),
        (b"<!DOCTYPE a><a/>", "a document type"),
        (message("<a>" * 300), "nested more than"),
    ],
)
def test_what_isnt_camt_is_refused(bench: Workbench, data: bytes, reason: str) -> None:
    refused = take(bench, data)
    assert isinstance(refused, UnreadableFile), refused
    assert refused.code != "delivery_total"
    assert reason in plain(refused.reason)


def test_a_statement_around_which_an_envelope_lies(bench: Workbench) -> None:
    data = b"<Envelope><AppHdr/>" + message(statement(closing="100.00")) + b"</Envelope>"
    assert isinstance(take(bench, data), Taken)


def money(value: Any) -> Decimal:
    return Decimal(value["getAmount"]).scaleb(0 if value["getCurrency"]["getCode"] == "JPY" else -2)


def objects(value: Any, kind: str) -> Iterator[dict[str, Any]]:
    """All objects of a class in genkgo's result, once each."""
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from objects(item, kind)
    if isinstance(value, dict) and value.get("__CLASS__", "").endswith(f"\\{kind}"):
        yield value


@needs_samples
@pytest.mark.parametrize("name", sorted(path.stem for path in (SAMPLES / "camt").glob("*.xml")))
def test_samples_of_genkgo(name: str) -> None:
    """Would catch: another value than genkgo/camt's own tests expect."""
    path = SAMPLES / f"camt/{name}.xml"
    wanted = json.loads(path.with_suffix(".json").read_text())
    found: dict[str, list[Any]] = {}
    for kind in ("entries", "details", "balances"):
        found[kind] = []
        with suppress(Disagrees):  # one closes in another currency
            found[kind].extend(Camt().records(path, {"rows": kind}))
    several = name == "camt053.v2.multi.statement"
    ours = {Decimal(row["amount"]): row for row in found["entries"]}
    assert len(ours) == 1 + several
    # the expected values of several statements have one of their entries
    for item in objects(wanted, "Entry"):
        row = ours[money(item["getAmount"])]
        assert row["currency"] == item["getAmount"]["getCurrency"]["getCode"]
        assert row["bank_reference"] == item["getAccountServicerReference"]
        assert row["batch"] == item["getBatchPaymentId"]
        assert (row["text"] or "") == item["getAdditionalInfo"]
        assert row["status"] == item["getStatus"]
        assert row["booking_date"] == item["getBookingDate"]["0"][:10]
        assert row["code"] == item["getBankTransactionCode"]["getProprietary"]["getCode"]
        assert row["details"] == str(len(item["getTransactionDetails"]))
    balances = list(objects(wanted, "Balance"))
    days = {(row["day"], Decimal(row["amount"])) for row in found["balances"]}
    assert {(item["getDate"]["0"][:10], money(item["getAmount"])) for item in balances} <= days
    if several:
        assert [row["end_to_end"] for row in found["details"]] == ["000000001", "000000002"]


@pytest.mark.parametrize("seed", range(3))
def test_mutated_files_are_read_or_refused(bench: Workbench, seed: int) -> None:
    """Would catch: an exception of Python's, and a sum that a flipped bit passes by."""
    chance = random.Random(seed)
    whole = message(statement(entry("25.50", "DBIT"), entry("30.00"), closing="104.50"))
    for _ in range(40):
        data = flipped(whole, chance)
        outcome = take(bench, data)
        assert isinstance(outcome, Taken | UnreadableFile), outcome
        if isinstance(outcome, Taken):
            booked = [row["amount"] for row in rows_of(outcome) if row["status"] == "BOOK"]
            assert sum(booked) == Decimal("4.5")
