"""pain.001, 002 and 008: transactions, payments and statuses, and what headers say of them."""

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
from headrace_legacy.pain import COLUMNS, Pain


def party(tag: str, name: str, iban: str, bic: str) -> str:
    return (
        f"<{tag}><Nm>{name}</Nm></{tag}><{tag}Acct><Id><IBAN>{iban}</IBAN></Id></{tag}Acct>"
        f"<{tag}Agt><FinInstnId><BICFI>{bic}</BICFI></FinInstnId></{tag}Agt>"
    )


def transfer(amount: str, end_to_end: str = "E1", more: str = "") -> str:
    return (
        f"<CdtTrfTxInf><PmtId><EndToEndId>{end_to_end}</EndToEndId></PmtId>"
        f"<Amt><InstdAmt Ccy='EUR'>{amount}</InstdAmt></Amt>{party('Cdtr', 'Bob', 'FR1', 'BICB')}"
        f"{more}</CdtTrfTxInf>"
    )


def totals(count: int | None, total: str) -> str:
    return (f"<NbOfTxs>{count}</NbOfTxs>" if count is not None else "") + (
        f"<CtrlSum>{total}</CtrlSum>" if total else ""
    )


def payment(*transfers: str, count: int | None = None, total: str = "") -> str:
    return (
        f"<PmtInf><PmtInfId>P1</PmtInfId><PmtMtd>TRF</PmtMtd><BtchBookg>true</BtchBookg>"
        f"{totals(count, total)}<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>"
        f"<ReqdExctnDt><Dt>2024-01-31</Dt></ReqdExctnDt>{party('Dbtr', 'Ann', 'DE1', 'BICA')}"
        f"{''.join(transfers)}</PmtInf>"
    )


def message(*parts: str, count: int | None = None, total: str = "", kind: str = "001") -> bytes:
    root = {"001": "CstmrCdtTrfInitn", "002": "CstmrPmtStsRpt", "008": "CstmrDrctDbtInitn"}[kind]
    return (
        f"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:pain.{kind}.001.09'><{root}>"
        f"<GrpHdr><MsgId>M1</MsgId><CreDtTm>2024-01-30T10:00:00</CreDtTm>{totals(count, total)}"
        f"<InitgPty><Nm>Acme</Nm></InitgPty></GrpHdr>{''.join(parts)}</{root}></Document>"
    ).encode()


def take(bench: Workbench, data: bytes, rows: str = "transactions", **more: Any) -> Any:
    return bench.take(data, "a.xml", options={"pain": {"rows": rows}}, **more)


ORDERS = message(
    payment(
        transfer("10.5"),
        transfer(
            ".25",
            "E2",
            "<RmtInf><Ustrd>a</Ustrd><Ustrd>b</Ustrd></RmtInf><Purp><Cd>SALA</Cd></Purp>",
        ),
        count=2,
        total="10.75",
    ),
    payment(transfer("1")),
    count=3,
    total="11.750",
)
DEBIT = (
    "<DrctDbtTxInf><PmtId><InstrId>I1</InstrId><EndToEndId>E1</EndToEndId></PmtId>"
    "<InstdAmt Ccy='EUR'>7</InstdAmt><DrctDbtTx><MndtRltdInf><MndtId>MANDATE</MndtId></MndtRltdInf>"
    f"</DrctDbtTx>{party('Dbtr', 'Ann', 'DE1', 'BICA')}</DrctDbtTxInf>"
)
DEBITS = message(
    "<PmtInf><PmtInfId>P1</PmtInfId><PmtMtd>DD</PmtMtd><NbOfTxs>1</NbOfTxs><PmtTpInf><SeqTp>FRST"
    "</SeqTp></PmtTpInf><ReqdColltnDt>2024-02-01</ReqdColltnDt>"
    f"{party('Cdtr', 'Bob', 'FR1', 'BICB')}<CdtrSchmeId><Id><PrvtId><Othr><Id>DE98ZZZ</Id></Othr>"
    f"</PrvtId></Id></CdtrSchmeId>{DEBIT}</PmtInf>",
    count=1,
    kind="008",
)


def status(end_to_end: str, code: str, reason: str = "") -> str:
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn><AddtlInf>why</AddtlInf></StsRsnInf>"
    return (
        f"<TxInfAndSts><StsId>S</StsId><OrgnlEndToEndId>{end_to_end}</OrgnlEndToEndId>"
        f"<TxSts>{code}</TxSts>{why if reason else ''}<OrgnlTxRef><Amt><InstdAmt Ccy='EUR'>5"
        f"</InstdAmt></Amt><Cdtr><Pty><Nm>Bob</Nm></Pty></Cdtr></OrgnlTxRef></TxInfAndSts>"
    )


def per_status(code: str, count: int) -> str:
    return f"<NbOfTxsPerSts><DtldNbOfTxs>{count}</DtldNbOfTxs><DtldSts>{code}</DtldSts></NbOfTxsPerSts>"


REPORT = message(
    "<OrgnlGrpInfAndSts><OrgnlMsgId>M1</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
    f"<OrgnlNbOfTxs>3</OrgnlNbOfTxs><OrgnlCtrlSum>11.75</OrgnlCtrlSum><GrpSts>PART</GrpSts>"
    f"{per_status('RJCT', 1)}{per_status('ACCP', 2)}</OrgnlGrpInfAndSts>",
    "<OrgnlPmtInfAndSts><OrgnlPmtInfId>P1</OrgnlPmtInfId><PmtInfSts>PART</PmtInfSts>"
    f"{per_status('RJCT', 1)}{status('E1', 'RJCT', 'AC04')}{status('E2', 'ACCP')}</OrgnlPmtInfAndSts>",
    kind="002",
)


def test_transactions_and_payments(bench: Workbench) -> None:
    """Would catch: the debtor of a payment missing in its transactions, a sum through a double."""
    first, second, third = rows_of(take(bench, ORDERS))
    assert [row["amount"] for row in (first, second, third)] == [
        Decimal("10.5"),
        Decimal("0.25"),
        1,
    ]
    assert [(row["payment"], row["transaction"]) for row in (first, second, third)] == [
        (1, 1),
        (1, 2),
        (2, 3),
    ]
    assert (first["message"], first["message_id"], first["initiator"]) == (
        "pain.001.001.09",
        "M1",
        "Acme",
    )
    assert (first["debtor"], first["debtor_account"], first["creditor_bank"]) == (
        "Ann",
        "DE1",
        "BICB",
    )
    assert (first["day"], first["service"], first["method"]) == (date(2024, 1, 31), "SEPA", "TRF")
    assert (second["end_to_end"], second["remittance"], second["purpose"]) == ("E2", "a\nb", "SALA")
    paid, _ = rows_of(take(bench, ORDERS, "payments"))
    assert (paid["transactions"], paid["sum"], paid["batch_booking"]) == (2, Decimal("10.75"), True)
    assert (paid["debtor"], paid["creditor"]) == ("Ann", None)


def test_direct_debits(bench: Workbench) -> None:
    (debit,) = rows_of(take(bench, DEBITS))
    assert (debit["amount"], debit["currency"], debit["mandate"]) == (7, "EUR", "MANDATE")
    assert (debit["debtor"], debit["creditor_account"]) == ("Ann", "FR1")
    assert (debit["sequence_type"], debit["day"]) == ("FRST", date(2024, 2, 1))
    (paid,) = rows_of(take(bench, DEBITS, "payments"))
    assert paid["creditor_id"] == "DE98ZZZ"


def test_a_transaction_says_its_own_service(bench: Workbench) -> None:
    """Would catch: an urgent transfer that takes its payment's service, or none."""
    kind = "<PmtTpInf><SvcLvl><Cd>URGP</Cd></SvcLvl><LclInstrm><Prtry>IN</Prtry></LclInstrm></PmtTpInf>"
    data = message(payment(transfer("1", more=kind), transfer("1", "E2")), count=2)
    first, second = rows_of(take(bench, data))
    assert (first["service"], first["local_instrument"]) == ("URGP", "IN")
    assert (second["service"], second["local_instrument"]) == ("SEPA", None)


def test_a_transaction_says_its_own_creditor_and_sequence(bench: Workbench) -> None:
    scheme = b"<CdtrSchmeId><Id><PrvtId><Othr><Id>%s</Id></Othr></PrvtId></Id></CdtrSchmeId>"
    (of_payment,) = rows_of(take(bench, DEBITS))
    assert of_payment["creditor_id"] == "DE98ZZZ"
    data = DEBITS.replace(b"</MndtRltdInf>", b"</MndtRltdInf>" + scheme % b"FR2ZZZ").replace(
        b"<InstdAmt", b"<PmtTpInf><SeqTp>RCUR</SeqTp></PmtTpInf><InstdAmt"
    )
    (of_transaction,) = rows_of(take(bench, data))
    assert (of_transaction["creditor_id"], of_transaction["sequence_type"]) == ("FR2ZZZ", "RCUR")


@pytest.mark.parametrize(
    ("namespace", "kind"),
    [
        ("urn:iso:std:iso:20022:tech:xsd:pain.001.003.03", "pain.001.003.03"),
        ("urn:swift:xsd:$pain.001.002.02", "pain.001.002.02"),
        ("urn:sepade:xsd:pain.001.001.02", "pain.001.001.02"),
        (
            "http://www.six-interbank-clearing.com/de/pain.001.001.03.ch.02.xsd",
            "pain.001.001.03",
        ),
        ("ISO:pain.001.001.03:APC:STUZZA:payments:003", "pain.001.001.03"),
    ],
)
def test_messages_of_countries(bench: Workbench, namespace: str, kind: str) -> None:
    data = ORDERS.replace(b"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09", namespace.encode())
    assert {row["message"] for row in rows_of(take(bench, data))} == {kind}


def test_a_time_is_of_the_day_in_its_own_zone(bench: Workbench) -> None:
    time = b"<DtTm>2024-01-31T23:30:00.5-05:00</DtTm>"
    first, *_ = rows_of(take(bench, ORDERS.replace(b"<Dt>2024-01-31</Dt>", time)))
    assert first["day"] == date(2024, 1, 31)


def test_statuses(bench: Workbench) -> None:
    """Would catch: a rejection without its reason, or of another payment."""
    found = rows_of(take(bench, REPORT, "statuses"))
    assert [(row["level"], row["status"], row["original_payment"]) for row in found] == [
        ("message", "PART", None),
        ("transaction", "RJCT", "P1"),
        ("transaction", "ACCP", "P1"),
        ("payment", "PART", "P1"),
    ]
    assert {row["original_message"] for row in found} == {"M1"}
    assert (found[0]["original_transactions"], found[0]["original_sum"]) == (3, Decimal("11.75"))
    assert (found[1]["reason"], found[1]["reason_text"], found[1]["end_to_end"]) == (
        "AC04",
        "why",
        "E1",
    )
    assert (found[1]["amount"], found[1]["creditor"]) == (5, "Bob")


@pytest.mark.parametrize("kind", ["transactions", "payments"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            message(payment(transfer("1")), count=2),
            "message M1 states 2 transactions, and has 1",
        ),
        (
            message(payment(transfer("1")), count=1, total="2"),
            "message M1 states a sum of 2, and its transactions come to 1",
        ),
        (
            message(payment(transfer("1"), count=2), count=1),
            "message M1, payment 1 states 2 transactions, and has 1",
        ),
        (
            message(payment(transfer("1")), payment(transfer("1"), total="1.01"), count=2),
            "message M1, payment 2 states a sum of 1.01, and its transactions come to 1",
        ),
    ],
)
def test_a_message_that_contradicts_itself_is_held(
    bench: Workbench, data: bytes, reason: str, kind: str
) -> None:
    """Would catch: an order with a lost or a doubled payment that is published."""
    held = take(bench, data, kind)
    assert isinstance(held, UnreadableFile), held
    assert held.code == "delivery_total"
    assert reason in plain(held.reason)
    assert isinstance(take(bench, data, kind, accepted=True), Taken), "a person decides"


@pytest.mark.parametrize("place", ["message M1 states", "message M1, payment 1 states"])
def test_a_report_with_more_rejections_than_it_states_is_held(bench: Workbench, place: str) -> None:
    at = REPORT.index(b"DtldNbOfTxs>1", REPORT.index(b"PmtInfAndSts") if "payment" in place else 0)
    data = REPORT[:at] + REPORT[at:].replace(b"DtldNbOfTxs>1", b"DtldNbOfTxs>0", 1)
    held = take(bench, data, "statuses")
    assert isinstance(held, UnreadableFile), held
    assert held.code == "delivery_total"
    assert f"{place} 0 transactions with the status RJCT, and has 1" in plain(held.reason)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<a/>", "it isn't pain.001, 002 or 008"),
        (ORDERS[:-40], "the file is cut off"),
        (
            ORDERS.replace(b">10.5<", b">10,5<"),
            "payment 1, transaction 1: the amount isn't a number",
        ),
        (ORDERS.replace(b">10.5<", b">-1<"), "the amount isn't a number: -1"),
        (ORDERS.replace(b"InstdAmt", b"Other"), "a transaction has no amount"),
        (ORDERS.replace(b"<Dt>2024-01-31", b"<Dt>2024-02-31"), "2024-02-31 is no day"),
        (
            ORDERS.replace(b"<Dt>2024-01-31", b"<Dt>2024-01-31garbage"),
            "2024-01-31garbage is no day",
        ),
        (ORDERS.replace(b"<Dt>2024-01-31", b"<Dt>2024-W18-3"), "2024-W18-3 is no day"),
        (ORDERS.replace(b"<Dt>2024-01-31", b"<Dt>20240131"), "20240131 is no day"),
        (ORDERS.replace(b"<BtchBookg>true", b"<BtchBookg>TRUE"), "TRUE is neither true nor false"),
        (ORDERS.replace(b"<NbOfTxs>2<", b"<NbOfTxs>two<"), "NbOfTxs isn't a number: two"),
        (ORDERS.replace(b"PmtInf>", b"Pmt>"), "stands outside of its message or payment"),
        (ORDERS.replace(b"pain.001", b"pain.013"), "it isn't pain.001, 002 or 008"),
    ],
)
def test_what_isnt_pain_is_refused(bench: Workbench, data: bytes, reason: str) -> None:
    refused = take(bench, data)
    assert isinstance(refused, UnreadableFile), refused
    assert refused.code != "delivery_total"
    assert reason in plain(refused.reason)


def test_a_file_has_a_table_for_each_kind_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.pain"
    for data, kinds in ((ORDERS, ["transactions", "payments"]), (REPORT, ["statuses"])):
        path.write_bytes(data)
        assert [*Pain().tables(path)] == kinds
        path.write_bytes(b"<Envelope>" + data + data + b"</Envelope>")
        assert [*Pain().tables(path)] == kinds


def test_a_page_names_all_rows_and_columns() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/legacy/pain.md").read_text()
    for kind, columns in COLUMNS.items():
        assert f"`{kind}`" in page
        assert [column for column in columns if f"`{column}`" not in page] == []


@pytest.mark.parametrize("seed", range(3))
def test_mutated_files_are_read_or_refused(bench: Workbench, seed: int) -> None:
    """Would catch: an exception of Python's, and a sum that a flipped bit passes by."""
    chance = random.Random(seed)
    for _ in range(40):
        data = flipped(ORDERS, chance)
        outcome = take(bench, data)
        assert isinstance(outcome, Taken | UnreadableFile), outcome
        if isinstance(outcome, Taken) and b"CtrlSum>11.750<" in data:
            assert sum(row["amount"] for row in rows_of(outcome)) == Decimal("11.75")
