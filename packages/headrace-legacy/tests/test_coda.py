"""CODA: movements of Belgian accounts, and what balances and trailers say of them."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from mutations import shuffled

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.coda import Coda


def record(*placed: tuple[int, str]) -> str:
    """A record with texts at positions, which are counted from 1."""
    text = " " * 127 + "0"
    for first, part in placed:
        text = text[: first - 1] + part + text[first - 1 + len(part) :]
    assert len(text) == 128, placed
    return text


def money(amount: str) -> str:
    return f"{int(amount.startswith('-'))}{int(Decimal(amount.strip('-')) * 1000):015}"


IBAN = "BE68539007547034"


def opening(amount: str = "100", **more: str) -> str:
    account = more.get("account", IBAN)
    return record(
        (1, "12001"), (6, account), (40, "EUR"), (43, money(amount)), (59, "010124"), (126, "007")
    )


def closing(amount: str, account: str = IBAN) -> str:
    return record((1, "8001"), (5, account), (39, "EUR"), (42, money(amount)), (58, "020124"))


def movement(key: str, amount: str, text: str = "0", code: str = "00150000", **more: str) -> str:
    return record(
        (1, "21"),
        (3, key),
        (11, more.get("bank", "REF")),
        (32, money(amount)),
        (48, more.get("day", "020124")),
        (54, code),
        (62, text),
        (116, "030124"),
        (125, "0"),
    )


def statement(*records: str, head: str = "", stated: str = "", more: str = "1") -> bytes:
    """A statement whose trailer is right unless it is `stated`."""
    lines = [head or record((1, "00000020124"), (15, "05"), (61, "GEBABEBB"), (128, "2"))]
    lines += records
    moved = [Decimal(each[32:47]) for each in records if each[:2] == "21" and each[6:10] == "0000"]
    signs = [each[31] for each in records if each[:2] == "21" and each[6:10] == "0000"]
    count = sum(each[0] in "1238" for each in records)
    debit, credit = (
        sum(amount for amount, sign in zip(moved, signs, strict=True) if sign == which)
        for which in "10"
    )
    totals = stated or f"{count:06}{int(debit):015}{int(credit):015}"
    return "\r\n".join([*lines, record((1, "9"), (17, totals), (128, more)), ""]).encode()


def take(bench: Workbench, data: bytes, rows: str = "movements", **more: Any) -> Any:
    accepted = more.pop("accepted", False)
    return bench.take(data, "a.cod", options={"coda": {"rows": rows, **more}}, accepted=accepted)


LONG = "1127010124211" + "CRED".ljust(35) + "MANDATE-1".ljust(35)
GOOD = statement(
    opening(),
    movement("00010000", "25.5", "1101090933755493"),
    record(
        (1, "2200010000"), (64, "INVOICE 7"), (99, "KREDBEBB"), (113, "2MD06"), (118, "SALAOTHR")
    ),
    record((1, "2300010000"), (11, "BE02"), (45, "EUR"), (48, "Ann Lee")),
    record((1, "3100010001"), (11, "REF"), (32, "00150000"), (40, "1001Ann Lee")),
    record((1, "3200010001"), (11, "MAIN STREET 1")),
    movement("00020000", "-40.125", "0" + "a text that is cut".ljust(52) + "w", code="10107000"),
    record((1, "2200020000"), (11, "ithin a word")),
    movement("00020001", "-30", "0one", code="50107000"),
    movement("00020002", "-10.125", "0two", code="50107000"),
    movement("00030000", "-5", LONG[:54], day="000000"),
    record((1, "2200030000"), (11, LONG[54:])),
    closing("80.375"),
    record((1, "4 00010000"), (33, "a message ")),
    record((1, "4 00010001"), (33, "in two")),
    record((1, "4 00020000"), (33, "another")),
)


def test_movements_with_what_belongs_to_them(bench: Workbench) -> None:
    """Would catch: a debit without its sign, details that are added to their total, a word that is
    cut in two, and a wrong place of a field."""
    taken = take(bench, GOOD)
    assert isinstance(taken, Taken), taken
    assert taken.types()["amount"] == "DECIMAL(18,3)"
    first, second, third = rows_of(taken)
    assert [row["amount"] for row in (first, second, third)] == [
        Decimal("25.5"),
        Decimal("-40.125"),
        Decimal(-5),
    ]
    assert {name: value for name, value in first.items() if value is not None} == {
        "account": IBAN,
        "currency": "EUR",
        "statement": "007",
        "created": date(2024, 1, 2),
        "entry": "0001",
        "detail": "0000",
        "bank_reference": "REF",
        "amount": Decimal("25.5"),
        "value_date": date(2024, 1, 2),
        "entry_date": date(2024, 1, 3),
        "code": "00150000",
        "type": "0",
        "family": "01",
        "operation": "50",
        "category": "000",
        "globalisation": "0",
        "structure": "101",
        "structured": "090933755493",
        "reference": "090933755493",
        "customer_reference": "INVOICE 7",
        "return_type": "2",
        "return_reason": "MD06",
        "category_purpose": "SALA",
        "purpose": "OTHR",
        "counterparty_bank": "KREDBEBB",
        "counterparty_account": "BE02",
        "counterparty_currency": "EUR",
        "counterparty_name": "Ann Lee",
    }
    assert second["text"] == "a text that is cut".ljust(52) + "within a word"
    assert (third["structure"], third["creditor"], third["mandate"]) == ("127", "CRED", "MANDATE-1")
    assert third["value_date"] is None


def test_details_information_messages_and_balances_are_rows_of_their_own(bench: Workbench) -> None:
    details = rows_of(take(bench, GOOD, "details"))
    assert [(row["entry"], row["detail"], row["amount"]) for row in details] == [
        ("0002", "0001", Decimal(-30)),
        ("0002", "0002", Decimal("-10.125")),
    ]
    (informed,) = rows_of(take(bench, GOOD, "information"))
    assert (informed["entry"], informed["structure"]) == ("0001", "001")
    assert informed["structured"] == "Ann Lee".ljust(70) + "MAIN STREET 1"
    messages = rows_of(take(bench, GOOD, "messages"))
    assert [row["text"] for row in messages] == ["a message ".ljust(80) + "in two", "another"]
    (balance,) = rows_of(take(bench, GOOD, "balances"))
    assert (balance["opening"], balance["closing"]) == (Decimal(100), Decimal("80.375"))
    assert (balance["movements"], balance["bank"]) == (3, "GEBABEBB")
    assert balance["opening_date"] == date(2024, 1, 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            statement(opening(), movement("00010000", "5"), closing("106")),
            (
                "line 1: the statement begins with 100.000, its movements come to 5.000, and it ends"
                " with 106.000"
            ),
        ),
        (
            statement(opening(), closing("100"), stated="000003" + "0" * 30),
            "line 4: the statement ends with a trailer that states 3 records, and has 2",
        ),
        (
            statement(
                opening(), movement("00010000", "-5"), closing("95"), stated="000003" + "0" * 30
            ),
            "states 0.000 of debits, and has 5.000",
        ),
        (
            statement(opening(), closing("100"), stated="000002" + "0" * 29 + "1"),
            "states 0.001 of credits, and has 0",
        ),
        (statement(opening(), closing("100", "BE02")), "new balance of another account"),
    ],
)
@pytest.mark.parametrize("rows", ["movements", "messages"])
def test_a_statement_that_contradicts_itself_is_held(
    bench: Workbench, data: bytes, reason: str, rows: str
) -> None:
    """Would catch: a lost movement that is published, in whichever rows are read."""
    held = take(bench, data, rows)
    assert isinstance(held, UnreadableFile), held
    assert held.code == "delivery_total"
    assert reason in plain(held.reason)
    assert isinstance(take(bench, data, rows, accepted=True), Taken)


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (GOOD[:-132], "it is cut off", None),
        (GOOD[:-20], "line 18: a record has 128 characters, and this one 110", 18),
        (GOOD.replace(b"\r\n2300", b" \r\n2300 ", 1), "line 5: a record has 128 characters", 5),
        (
            GOOD[:17] + GOOD[18:127] + b" " + GOOD[128:],
            "line 1: a record has 128 characters, and this one 127",
            1,
        ),
        (GOOD[:127] + b" " + GOOD[128:], "and this one 128 with the blanks at its end", 1),
        (b"\r\n".join(GOOD.split(b"\r\n")[1:]), "its first record isn't a header", 1),
        (GOOD.replace(b"2\r\n", b"1\r\n", 1), "version 1 of CODA isn't read, only 2", 1),
        (GOOD.replace(b"\r\n4 0001", b"\r\n5 0001", 1), "there is no record 5", 15),
        (GOOD.replace(b"\r\n2200010000", b"\r\n2200010001"), "its numbers aren't those", 4),
        (GOOD.replace(b"\r\n3100010001", b"\r\n3100090001"), "isn't the one that it informs", 6),
        (statement(opening(), movement("00010000", "5")), "a record 9 can't follow a record 21", 4),
        (statement(opening(), opening(), closing("1")), "a record 1 can't follow a record 1", 3),
        (statement(movement("00010000", "1")), "a record 21 can't follow a record 0", 2),
        (
            statement(opening(), movement("00010001", "1"), closing("1")),
            "a detail without the movement that it belongs to",
            3,
        ),
        (statement(opening(), movement("00010000", "1", day="320124"), closing("1")), "no day", 3),
        (
            statement(opening(), movement("00010000", "1", day="0\u0661024"), closing("1")),
            "is no day",
            3,
        ),
        (statement(opening().replace("0000000000", "00000000x0")), "isn't an amount", 2),
        (statement(opening(), movement("00010000", "1", "2"), closing("1")), "communication 2", 3),
    ],
)
def test_what_isnt_a_statement_is_refused_with_its_line(
    bench: Workbench, data: bytes, reason: str, line: int | None
) -> None:
    refused = take(bench, data)
    assert isinstance(refused, UnreadableFile), refused
    assert refused.code != "delivery_total"
    assert reason in plain(refused.reason)
    assert refused.line == line


def test_a_day_without_movements_has_no_new_balance(bench: Workbench) -> None:
    """Would catch: a new balance that no record states."""
    (balance,) = rows_of(take(bench, statement(opening()), "balances"))
    assert (balance["opening"], balance["closing"], balance["movements"]) == (100, None, 0)


def test_several_statements_and_an_extract(bench: Workbench) -> None:
    """Would catch: totals that go on into the next statement; an extract, whose balances are zeros,
    that is held."""
    head = record((1, "00000020124"), (15, "05D"), (84, "00001"), (128, "2"))
    extract = statement(opening("0"), movement("00010000", "5"), closing("0"), head=head, more="2")
    rows = rows_of(take(bench, GOOD + extract, "balances"))
    assert [row["movements"] for row in rows] == [3, 1]
    assert [row["duplicate"] for row in rows] == [None, "D"]
    assert rows[1]["separate_application"] == "00001"


def test_details_begin_anew_after_9999(tmp_path: Path) -> None:
    """Would catch: the 10,000th detail, whose number is 0000 again, counted as a movement."""
    details = [movement(f"0001{number % 10_000:04}", "0.001") for number in range(1, 10_002)]
    stated = f"{10_004:06}" + "0" * 15 + f"{10_001:015}"
    path = tmp_path / "a.cod"
    path.write_bytes(
        statement(
            opening(),
            movement("00010000", "10.001"),
            *details,
            closing("110.001"),
            stated=stated,
        )
    )
    assert len([*Coda().records(path, {})]) == 1


def test_accounts_of_other_structures(bench: Workbench) -> None:
    """Would catch: a currency that is taken for a part of the account."""
    start = record(
        (1, "10001539007547034 USD0BE"), (43, money("100")), (59, "010124"), (126, "007")
    )
    end = record((1, "8001539007547034 USD0BE"), (42, money("101")), (58, "020124"))
    other = record((1, "2300010000"), (11, "001548226815 GBP"))
    (row,) = rows_of(take(bench, statement(start, movement("00010000", "1"), other, end)))
    assert (row["account"], row["currency"]) == ("539007547034", "USD")
    assert (row["counterparty_account"], row["counterparty_currency"]) == ("001548226815", "GBP")
    refused = take(bench, statement(start.replace("10001", "14001"), end))
    assert "there is no structure of accounts 4" in plain(refused.reason)


def test_a_reference_that_fails_its_check_isnt_one(bench: Workbench) -> None:
    data = statement(opening(), movement("00010000", "1", "1101090933755494"), closing("101"))
    (row,) = rows_of(take(bench, data))
    assert (row["structured"], row["reference"]) == ("090933755494", None)


@pytest.mark.long
def test_mutated_files_are_read_or_refused(bench: Workbench) -> None:
    """Would catch: an exception of Python's, and a movement that is lost without a word."""
    chance = random.Random("coda")
    amounts = take(bench, GOOD).column("amount")
    for _ in range(500):
        outcome = take(bench, shuffled(GOOD, chance))
        if isinstance(outcome, Taken):
            assert outcome.column("amount") == amounts
        else:
            assert isinstance(outcome, UnreadableFile), outcome
            assert "installed package" not in plain(outcome.reason), outcome
