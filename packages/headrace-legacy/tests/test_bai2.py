"""BAI2: transactions and balances, and what the controls say of them."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain

GOOD = [
    "01,BANK,ME,240131,0829,7,80,1,2/",
    "02,ME,BANK,1,240130,2359,USD,2/",
    "03,111,,010,+150000,,,100,5050,2,V,240202,/",
    "88,400,2500,1,S,500,1000/",
    "88,1000/",
    "16,142,5000,0,REF1,CUST1,a text, with a comma",
    "88,and a second line/",
    "16,115,50,D,2,0,20,1,30,,,/",
    "16,475,2500,,,/",
    "49,165100,8/",
    "03,222,JPY,040,,,/",
    "16,142,5000,Z,,,x/",
    "49,5000,3/",
    "98,170100,2,13/",
    "99,170100,1,15/",
]


def data(lines: list[str]) -> bytes:
    return "\n".join(lines).encode() + b"\n"


def take(bench: Workbench, content: bytes, rows: str = "transactions", **more: Any) -> Any:
    return bench.take(content, "a.bai", options={"bai2": {"rows": rows}}, **more)


def test_transactions(bench: Workbench) -> None:
    """Would catch: yen divided by 100, a text that ends at its comma or at its line, fields that
    are shifted by the type of funds."""
    first, second, third, last = rows_of(take(bench, data(GOOD)))
    assert first["amount"] == Decimal("50.00")
    assert (first["sender"], first["file"], first["group"]) == ("BANK", "7", 1)
    assert (first["as_of"], first["as_of_time"]) == (date(2024, 1, 30), "2359")
    assert (first["bank_reference"], first["customer_reference"]) == ("REF1", "CUST1")
    assert first["text"] == "a text, with a comma\nand a second line"
    assert (first["account"], first["currency"], first["entry"]) == ("111", "USD", 1)
    assert (second["amount"], second["availability"]) == (Decimal("0.5"), "0:0.20 1:0.30")
    assert [row["direction"] for row in (first, third)] == ["credit", "debit"]
    assert (third["amount"], third["text"]) == (Decimal(25), None)
    assert (last["currency"], last["amount"], last["text"]) == ("JPY", Decimal(5000), "x")


def test_balances(bench: Workbench) -> None:
    found = rows_of(take(bench, data(GOOD), "balances"))
    assert [(row["type"], row["amount"], row["items"]) for row in found] == [
        ("010", Decimal(1500), None),
        ("100", Decimal("50.50"), 2),
        ("400", Decimal(25), 1),
        ("040", None, None),
    ]
    assert found[1]["value_date"] == date(2024, 2, 2)
    assert found[2]["availability"] == "0:5.00 1:10.00 2+:10.00"


@pytest.mark.parametrize("kind", ["transactions", "balances"])
@pytest.mark.parametrize(
    ("line", "text", "reason"),
    [
        (9, "49,165101,8/", "line 10: the control of the account states 165,101 as the sum"),
        (9, "49,165100,7/", "line 10: the control of the account states 7 records, and has 8"),
        (13, "98,170100,3,13/", "line 14: the control of the group states 3 accounts, and has 2"),
        (14, "99,170100,1,16/", "line 15: the control of the file states 16 records, and has 15"),
        (14, "99,170100,2,15/", "line 15: the control of the file states 2 groups, and has 1"),
        (8, "16,475,2400,,,/", "line 10: the control of the account states 165,100 as the sum"),
    ],
)
def test_a_file_that_contradicts_its_controls_is_held(
    bench: Workbench, line: int, text: str, reason: str, kind: str
) -> None:
    """Would catch: a lost transaction, or an amount of another one, that is published."""
    lines = [*GOOD]
    lines[line] = text
    held = take(bench, data(lines), kind)
    assert isinstance(held, UnreadableFile), held
    assert held.code == "delivery_total"
    assert reason in plain(held.reason)
    assert isinstance(take(bench, data(lines), kind, accepted=True), Taken), "a person decides"


@pytest.mark.parametrize(
    ("lines", "reason", "code"),
    [
        (GOOD[:-1], "has no file trailer (99): it is cut off", "delivery_truncated"),
        (GOOD[1:], "its first record isn't a file header", None),
        ([GOOD[0], *GOOD[5:]], "a record of type 16 can't stand here", None),
        (["88,1/"], "line 1: it continues no record", None),
        ([*GOOD[:3], "16,142,1.5,,,,/"], "line 4: the amount isn't a number: 1.5", None),
        ([*GOOD[:3], "16,14,1,,,,/"], "line 4: 14 isn't a type", None),
        ([*GOOD[:3], "16,142,1,Q,,,/"], "line 4: there is no type of funds Q", None),
        ([*GOOD[:3], "16,142,1,V,241301,,,/"], "line 4: the value date isn't a day", None),
        ([*GOOD[:3], "49,,2/"], "line 4: the sum is missing", None),
    ],
)
def test_what_isnt_bai2_is_refused_with_its_line(
    bench: Workbench, lines: list[str], reason: str, code: str | None
) -> None:
    refused = take(bench, data(lines))
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)
    assert refused.code == (code or "unreadable_delivery")


def test_files_one_after_another(bench: Workbench) -> None:
    assert len(rows_of(take(bench, data(GOOD * 2)))) == 8


@needs_samples
def test_the_sample_of_moov(bench: Workbench) -> None:
    """Would catch: another sum than the controls of the sample state."""
    content = (SAMPLES / "bai2/sample1.txt").read_bytes()
    found = rows_of(take(bench, content))
    assert len(found) == 17
    assert sum(row["amount"] for row in found) == Decimal("6400.00")
    assert (found[0]["text"], found[0]["value_date"]) == ("RETURNED CHEQUE", date(2006, 3, 16))
    assert found[-1]["currency"] == "CAD"
    balances = rows_of(take(bench, content, "balances"))
    assert [row["type"] for row in balances] == ["040", "045", "100", "400"] * 2
    assert sum(row["amount"] for row in balances) == Decimal("6400.00")


@pytest.mark.parametrize("seed", range(3))
def test_mutated_files_are_read_or_refused(bench: Workbench, seed: int) -> None:
    """Would catch: an exception of Python's, and an amount that a flipped bit passes by."""
    chance = random.Random(seed)
    right = sorted(row["amount"] for row in rows_of(take(bench, data(GOOD))))
    for _ in range(40):
        content = bytearray(data(GOOD))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(content))
            match chance.randrange(3):
                case 0:
                    content[place] ^= 1 << chance.randrange(7)
                case 1:
                    del content[place : place + chance.randint(1, 9)]
                case _:
                    content[place:place] = bytes(chance.choices(b"0189,/\n ", k=3))
        outcome = take(bench, bytes(content))
        assert isinstance(outcome, Taken | UnreadableFile), outcome
        if isinstance(outcome, Taken) and b"JPY" in content and b",USD," in content:
            assert sum(row["amount"] or 0 for row in rows_of(outcome)) == sum(right)
