"""MT940: movements and balances, and what a statement's balances say of its movements."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import yaml
from connect_workbench import Taken, Workbench
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import Disagrees, UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.mt940 import Mt940

HEAD = ":20:REF1\n:25:DE89/0532013000\n:28C:7/1\n"


def statement(
    *movements: str, opening: str = "C240101EUR1000,00", closing: str, head: str = HEAD
) -> bytes:
    lines = [f":60F:{opening}", *movements, f":62F:{closing}"]
    return (head + "\n".join(lines) + "\n-\n").encode()


def take(bench: Workbench, data: bytes, rows: str = "movements", **more: Any) -> Any:
    options = {"mt940": {"rows": rows, **more.pop("options", {})}}
    return bench.take(data, "a.sta", more.pop("pinned", None), options=options, **more)


def test_movements_have_signs_by_their_marks(bench: Workbench) -> None:
    """Would catch: a reversed credit that is added, a debit without its sign, the funds code taken
    for a part of the mark, and amounts as doubles."""
    data = statement(
        ":61:2401020102D25,10NTRFREF-A//BANK-A",
        ":86:first\nsecond",
        ":61:240102C100,NMSCNONREF",
        ":61:240103RC40,5NCHKNONREF",
        ":61:240103RD0,05NCHKNONREF",
        ":61:240103DR7,00NTRFX",
        ":61:240104EC999,NTRFNONREF\nsupplement",
        closing="C240104EUR1027,45",
    )
    taken = take(bench, data)
    assert isinstance(taken, Taken), taken
    assert taken.column("amount") == [
        Decimal(text) for text in ("-25.1", "100", "-40.5", "0.05", "-7", "999")
    ]
    assert taken.types()["amount"] == "DECIMAL(18,3)"
    assert taken.column("mark") == ["D", "C", "RC", "RD", "D", "EC"]
    assert taken.column("entry") == [1, 2, 3, 4, 5, 6]
    first = dict(zip(taken.names, taken.rows[0], strict=True))
    assert first["details"] == "first\nsecond"
    assert (first["customer_reference"], first["bank_reference"]) == ("REF-A", "BANK-A")
    assert (first["account"], first["statement"], first["sequence"]) == (
        "DE89/0532013000",
        "7",
        "1",
    )
    assert taken.column("supplement")[-1] == "supplement"


def test_each_statement_is_a_row_with_its_balances(bench: Workbench) -> None:
    data = statement(":61:240102C100,NMSCX", closing="C240102EUR1100,") + statement(
        opening="D240102JPY5,", closing="D240103JPY5,", head=HEAD + ":86:about it\n"
    )
    taken = take(bench, data, "balances")
    assert isinstance(taken, Taken), taken
    rows = [dict(zip(taken.names, row, strict=True)) for row in taken.rows]
    assert [(row["currency"], row["opening"], row["closing"]) for row in rows] == [
        ("EUR", Decimal(1000), Decimal(1100)),
        ("JPY", Decimal(-5), Decimal(-5)),
    ]
    assert (rows[0]["opening_date"], rows[0]["movements"]) == (date(2024, 1, 1), 1)
    assert rows[1]["details"] == "about it"


@pytest.mark.parametrize("rows", ["movements", "balances"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            statement(":61:240102D25,NTRFX", closing="C240102EUR965,"),
            "line 1 begins with 1,000.00, its 1 movements come to -25, and it ends with 965",
        ),
        (statement(closing="C240102USD1000,"), "begins in EUR and ends in USD"),
        (
            statement(closing="C240102EUR1000,").replace(b":62F:", b":62M:")
            + statement(opening="C240102EUR900,", closing="C240102EUR900,").replace(
                b":60F:", b":60M:"
            ),
            "continues with 900, and the one before ended with 1,000",
        ),
    ],
)
def test_a_statement_that_contradicts_itself_is_held(
    bench: Workbench, data: bytes, reason: str, rows: str
) -> None:
    """Would catch: a lost or doubled movement that is published; totals that are only checked where
    movements are read."""
    refused = take(bench, data, rows)
    assert isinstance(refused, UnreadableFile)
    assert refused.code == "delivery_total"
    assert reason in plain(refused.reason)
    assert isinstance(take(bench, data, rows, accepted=True), Taken), "a person decides"


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (HEAD.encode() + b":60F:C240101EUR1,\n:61:240102D1,NTRFX\n", "has no closing balance", 1),
        (HEAD.encode() + b":62F:C240101EUR1,\n-\n", "has no opening balance", 1),
        (
            statement(":61:240102X1,NTRFX", closing="C240102EUR1,"),
            "line 5: :61: isn't a movement",
            5,
        ),
        (statement(":61:240132D1,NTRFX", closing="C240102EUR1,"), "line 5: 240132 is no day", 5),
        (statement(":61:2401020000C1,NTRFX", closing="C240102EUR1,"), "line 5: 0000 is no day", 5),
        (statement(":61:2401021350C1,NTRFX", closing="C240102EUR1,"), "line 5: 1350 is no day", 5),
        (
            statement(":61:240102C\u0661,NTRFX", closing="C240102EUR1001,"),
            ":61: isn't a movement",
            5,
        ),
        (statement(closing="C24010\u0662EUR1000,"), ":62F: isn't a balance", 5),
        (statement(closing="C240102EUR1"), "line 5: :62F: isn't a balance: C240102EUR1", 5),
        (statement(":61:240102C1.5NTRFX", closing="C240102EUR1,"), ":61: isn't a movement", 5),
        (
            statement(":61:240102C1,NTRFX", *[":86:a\nb"] * 51, closing="C240102EUR1,"),
            "line 106: the fields :86: have more than 100 lines",
            106,
        ),
        (b"date;amount\n1;2\n", "there is no statement", None),
    ],
)
def test_what_isnt_a_statement_is_refused_with_its_line(
    bench: Workbench, data: bytes, reason: str, line: int | None
) -> None:
    refused = take(bench, data)
    assert isinstance(refused, UnreadableFile)
    assert refused.code != "delivery_total"
    assert reason in plain(refused.reason)
    assert refused.line == line


def pages(first: bytes, second: bytes) -> bytes:
    return first.replace(b":62F:", b":62M:") + second.replace(b":60F:", b":60M:")


@pytest.mark.parametrize(
    "data",
    [
        pages(
            statement(closing="C240102EUR1000,"),
            statement(opening="C240103EUR1000,00", closing="C240103EUR1000,"),
        ),
        statement(closing="C240101EUR1000,")
        + pages(
            statement(opening="C240101USD5,", closing="C240101USD5,"),
            statement(opening="C240101USD5,", closing="C240101USD5,"),
        ),
        pages(
            statement(closing="C240101EUR1000,"),
            statement(opening="C240101USD5,", closing="C240101USD5,"),
        ),
    ],
)
def test_a_page_continues_its_account_in_its_currency(bench: Workbench, data: bytes) -> None:
    """Would catch: "continues with 1, and the one before ended with 1"."""
    assert isinstance(take(bench, data), Taken)


def test_nothing_of_a_second_field_86_is_lost(bench: Workbench) -> None:
    """Would catch: details that the next ones replace."""
    data = statement(
        ":61:240102C1,NTRFX",
        ":86:166?00GUTSCHRIFT?20Rechnung",
        ":86:166?21 4711?32Ann",
        ":86:?33 Lee",
        ":86:a note",
        ":61:240102C1,NTRFX",
        ":86:first",
        ":86:second",
        ":61:240102C1,NTRFX",
        closing="C240102EUR1003,",
    ).replace(b"\n-\n", b"\n:86:of all\n:86:and more\n-\n")
    taken = take(bench, data)
    assert isinstance(taken, Taken), taken
    assert taken.column("details") == [
        "166?00GUTSCHRIFT?20Rechnung\n166?21 4711?32Ann\n?33 Lee\na note",
        "first\nsecond",
        None,
    ]
    assert taken.column("purpose") == ["Rechnung 4711", None, None]
    assert taken.column("counterparty_name") == ["Ann Lee", None, None]
    balances = take(bench, data, "balances")
    assert balances.column("details") == ["of all\nand more"]


def test_fields_of_german_banks_beside_the_standard_are_left_out(bench: Workbench) -> None:
    """Would catch: `:NS:` in a movement's supplement, or in the balance before it."""
    data = statement(
        ":NS:01Girokonto\n02more",
        ":61:240102C1,NTRFX\nown",
        ":NS:20text",
        ":86:about it",
        ":NS:20text",
        closing="C240102EUR1001,\n:NS:22Ann Lee",
    )
    taken = take(bench, data)
    assert isinstance(taken, Taken), taken
    assert taken.column("supplement") == ["own"]
    assert taken.column("details") == ["about it"]


def test_blocks_other_line_ends_and_encodings(bench: Workbench) -> None:
    """Would catch: the message's blocks taken for data, and lines that end in CR LF as others."""
    text = statement(":61:240102C1,NTRFX", ":86:Müller", closing="C240102EUR1001,").decode()
    data = f"{{1:F01BANKDEFF}}{{2:O940}}{{4:\n{text[:-2]}-}}\n".replace("\n", "\r\n").encode(
        "cp1252"
    )
    taken = take(bench, data, options={"encoding": "cp1252"})
    assert isinstance(taken, Taken), taken
    assert taken.column("details") == ["Müller"]


def test_days_near_the_turn_of_the_year_and_of_months_of_30_days(bench: Workbench) -> None:
    data = statement(
        ":61:2312310102C1,NTRFX",
        ":61:2401021229C1,NTRFX",
        ":61:2302300301C1,NTRFX",
        ":61:991231C1,NTRFX",
        closing="C240102EUR1004,",
    )
    taken = take(bench, data)
    assert isinstance(taken, Taken), taken
    assert taken.column("entry_date") == [
        date(2024, 1, 2),
        date(2023, 12, 29),
        date(2023, 3, 1),
        None,
    ]
    assert taken.column("value_date")[2:] == [date(2023, 2, 28), date(1999, 12, 31)]


def test_structured_details(bench: Workbench) -> None:
    """Would catch: a subfield that is broken by the end of a line."""
    details = (
        ":86:166?00GUTSCHRIFT?20EREF+77 SVWZ+Rech\nnung 4?2112?30DEUTDEFF?31DE02?32Ann\n?33 Lee"
    )
    data = statement(":61:240102C1,NTRFX", details, closing="C240102EUR1001,")
    taken = take(bench, data)
    assert isinstance(taken, Taken), taken
    row = dict(zip(taken.names, taken.rows[0], strict=True))
    assert (row["code"], row["posting_text"]) == ("166", "GUTSCHRIFT")
    assert row["purpose"] == "EREF+77 SVWZ+Rechnung 412"
    assert (row["counterparty_bank"], row["counterparty_account"]) == ("DEUTDEFF", "DE02")
    assert row["counterparty_name"] == "Ann Lee"


def test_a_question_mark_within_a_text(bench: Workbench) -> None:
    """Would catch: a text that ends at its question mark."""
    data = statement(
        ":61:240102C1,NTRFX", ":86:166?20Paid? Yes?21?!?32Ann?", closing="C240102EUR1001,"
    )
    taken = take(bench, data)
    assert isinstance(taken, Taken), taken
    assert taken.column("purpose") == ["Paid? Yes?!"]
    assert taken.column("counterparty_name") == ["Ann?"]


def test_a_day_without_movements_is_a_delivery(bench: Workbench) -> None:
    """Would catch: a first statement without movements that can't be read, and columns that come
    and go with the values of a day."""
    nothing = take(bench, statement(closing="C240101EUR1000,"))
    assert isinstance(nothing, Taken), nothing
    assert nothing.rows == []
    later = take(
        bench,
        statement(":61:240102C1,NTRFX", closing="C240102EUR1001,"),
        pinned=nothing.schema,
    )
    assert isinstance(later, Taken), later
    assert not later.learnt
    assert len(later.rows) == 1
    again = take(bench, statement(closing="C240101EUR1000,"), pinned=later.schema)
    assert isinstance(again, Taken), again


def child(node: Any, *path: str) -> Any:
    """The node below a path, in YAML whose objects are Python's."""
    for name in path:
        node = next(value for key, value in node.value if key.value == name)
    return node


@needs_samples
@pytest.mark.parametrize("name", sorted(path.stem for path in (SAMPLES / "mt940").glob("*.sta")))
def test_samples_of_banks(name: str) -> None:
    """Would catch: another amount, type or reference than mt-940's tests expect."""
    document = yaml.compose((SAMPLES / "mt940" / f"{name}.yml").read_text(), yaml.SafeLoader)
    wanted = [child(item, "data") for item in child(document, "transactions").value]
    rows: list[Any] = []
    with suppress(Disagrees):  # some were shortened
        rows.extend(Mt940().records(SAMPLES / "mt940" / f"{name}.sta", {}))
    amounts = [child(item, "amount", "amount").value[0].value for item in wanted]
    assert [Decimal(row["amount"]) for row in rows] == [Decimal(amount) for amount in amounts]
    assert [row["type"] for row in rows] == [child(item, "id").value for item in wanted]
    references = [
        reference(child(item, "customer_reference"), child(item, "bank_reference"))
        for item in wanted
    ]
    ours = [(row["customer_reference"] or "", row["bank_reference"] or "") for row in rows]
    assert ours == references


def reference(customer: Any, bank: Any) -> tuple[str, str]:
    """Both references, which mt-940 doesn't always tell apart."""
    texts = ["" if node.value == "null" else node.value for node in (customer, bank)]
    own, _, of_bank = "//".join(filter(None, texts)).partition("//")
    return own.strip(), of_bank.strip()
