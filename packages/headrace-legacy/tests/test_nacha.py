"""ACH files: entries, addenda and batches, and what the controls say of them."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.nacha import COLUMNS, Nacha

HEAD = "101 09100001  1210428822401021530A094101DESTINATION            ORIGIN"


def batch(kind: str = "PPD", number: int = 1) -> str:
    return (
        f"5200{'ACME':16}{'':20}{'1234567890':10}{kind}{'PAYROLL':10}{'240102':6}{'240103':6}"
        f"   1{'12104288':8}{number:07}"
    )


def entry(
    code: str, cents: int, account: str = "123456789", addenda: int = 0, name: str = ""
) -> str:
    return (
        f"6{code}091000019{account:17}{cents:010}{'ID-1':15}{name or 'Ann Lee':22}  {addenda}"
        "121042880000001"
    )


def control(count: int, debited: int, credited: int, *, hashed: int, number: int = 1) -> str:
    return (
        f"8200{count:06}{hashed:010}{debited:012}{credited:012}{'1234567890':10}{'':25}"
        f"{'12104288':8}{number:07}"
    )


def end(batches: int, blocks: int, count: int, debited: int, credited: int, *, hashed: int) -> str:
    return f"9{batches:06}{blocks:06}{count:08}{hashed:010}{debited:012}{credited:012}"


HASH = 9100001
REMITTANCE = f"705{'INVOICE 4711':80}00010000001"
GOOD = [
    HEAD,
    batch(),
    entry("22", 10050, account="12-34'56", addenda=1),
    REMITTANCE,
    entry("27", 999),
    control(3, 999, 10050, hashed=2 * HASH),
    end(1, 1, 3, 999, 10050, hashed=2 * HASH),
    *["9" * 94] * 3,
]


def data(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def changed(at: int, line: str) -> bytes:
    return data([*GOOD[:at], line, *GOOD[at + 1 :]])


def take(bench: Workbench, content: bytes, rows: str = "entries", **more: Any) -> Any:
    return bench.take(content, "a.ach", options={"nacha": {"rows": rows}}, **more)


def test_entries(bench: Workbench) -> None:
    """Would catch: an account cut at its hyphen or apostrophe, cents as dollars, a debit taken for
    a credit."""
    taken = take(bench, data(GOOD))
    first, second = rows_of(taken)
    assert (first["account"], first["amount"], first["direction"]) == (
        "12-34'56",
        Decimal("100.50"),
        "credit",
    )
    assert (second["code"], second["amount"], second["direction"]) == (
        "27",
        Decimal("9.99"),
        "debit",
    )
    assert (first["routing"], first["name"], first["individual_id"]) == (
        "091000019",
        "Ann Lee",
        "ID-1",
    )
    assert (first["file_date"], first["effective_date"]) == (date(2024, 1, 2), date(2024, 1, 3))
    assert (first["class"], first["company"], first["batch"], first["entry"]) == (
        "PPD",
        "ACME",
        1,
        1,
    )
    assert taken.types()["amount"] == "DECIMAL(18,2)"


def test_addenda_and_batches(bench: Workbench) -> None:
    (addendum,) = rows_of(take(bench, data(GOOD), "addenda"))
    assert (addendum["entry"], addendum["addendum"], addendum["type"]) == (1, 1, "05")
    assert addendum["text"] == "INVOICE 4711"
    (one,) = rows_of(take(bench, data(GOOD), "batches"))
    assert (one["debits"], one["credits"], one["entries_and_addenda"]) == (
        Decimal("9.99"),
        Decimal("100.50"),
        3,
    )


def test_a_return_names_its_reason_and_the_original(bench: Workbench) -> None:
    returned = f"799R01{'091000010000007':15}{'':6}{'12104288':8}{'NO FUNDS':44}121042880000001"
    content = data([*GOOD[:3], returned, *GOOD[4:]])
    (addendum,) = rows_of(take(bench, content, "addenda"))
    assert (addendum["reason"], addendum["original_trace"], addendum["text"]) == (
        "R01",
        "091000010000007",
        "NO FUNDS",
    )


@pytest.mark.parametrize("rows", COLUMNS)
@pytest.mark.parametrize(
    ("at", "line", "reason"),
    [
        (5, control(2, 999, 10050, hashed=2 * HASH), "states 2 entries and addenda, and has 3"),
        (5, control(3, 999, 10050, hashed=5), "states 5 as the entry hash, and has 18,200,002"),
        (5, control(3, 0, 10050, hashed=2 * HASH), "batch 1 states 0 cents of debits, and has 999"),
        (5, control(3, 999, 1, hashed=2 * HASH), "states 1 cents of credits, and has 10,050"),
        (5, control(3, 999, 10050, hashed=2 * HASH, number=2), "is of another batch than"),
        (6, end(2, 1, 3, 999, 10050, hashed=2 * HASH), "states 2 batches, and has 1"),
        (6, end(1, 2, 3, 999, 10050, hashed=2 * HASH), "states 2 blocks, and has 1"),
        (6, end(1, 1, 3, 998, 10050, hashed=2 * HASH), "the file control states 998 cents"),
    ],
)
def test_a_file_that_contradicts_its_controls_is_held(
    bench: Workbench, at: int, line: str, reason: str, rows: str
) -> None:
    """Would catch: an entry lost on the way, or doubled, that is published."""
    refused = take(bench, changed(at, line), rows)
    assert isinstance(refused, UnreadableFile)
    assert (refused.code, refused.line) == ("delivery_total", at + 1)
    assert reason in plain(refused.reason)
    assert isinstance(take(bench, changed(at, line), rows, accepted=True), Taken)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (data(GOOD[:6]), "no file control: it is cut off"),
        (data(GOOD[:5]), "no file control: it is cut off"),
        (data(GOOD[1:]), "its first record isn't a file header"),
        (
            changed(2, entry("22", 1)[:33] + "x" + entry("22", 1)[34:]),
            "line 3: the amount isn't a number",
        ),
        (changed(2, entry("22", 1) + "x"), "line 3 has 95 characters where a record has 94"),
        (changed(5, batch()), "line 6: a record of type 5 can't stand here"),
        (changed(8, entry("22", 1)), "line 9: a record after the file control"),
        (changed(8, "99 9"), "line 9: a record after the file control"),
        (changed(1, batch().replace("240103", "24010\u0663")), "line 2: the day isn't a number"),
        (changed(1, batch("ADV")), "line 2: entries of the class ADV aren't read"),
        (changed(1, batch().replace("240103", "240132")), "line 2: 240132 is no day"),
    ],
)
def test_what_isnt_an_ach_file_is_refused(bench: Workbench, content: bytes, reason: str) -> None:
    refused = take(bench, content)
    assert isinstance(refused, UnreadableFile)
    assert refused.code != "delivery_total"
    assert reason in plain(refused.reason)


def test_lines_without_blanks_at_their_ends(bench: Workbench) -> None:
    taken = take(bench, data([line.rstrip() for line in GOOD]))
    assert len(rows_of(taken)) == 2


@pytest.mark.parametrize(
    "content",
    [
        data([line.ljust(94) + "  " for line in GOOD]),
        data([*GOOD[:-1], "9" * 60]),
        data([*GOOD[:-1], "9" * 60 + " " * 34]),
    ],
)
def test_blanks_after_a_record_and_a_short_filler(bench: Workbench, content: bytes) -> None:
    """Would catch: a line of nines that is cut short taken for a record after the file control."""
    assert len(rows_of(take(bench, content))) == 2


@needs_samples
@pytest.mark.parametrize(
    "name", sorted(path.name for path in (SAMPLES / "ach_nacha").glob("*.ach"))
)
def test_samples(name: str) -> None:
    """Would catch: a real file that is refused, or whose controls are read otherwise."""
    for rows in COLUMNS:
        assert [*Nacha().records(SAMPLES / "ach_nacha" / name, {"rows": rows})] or rows == "addenda"
    expected = SAMPLES / "ach_nacha" / name.replace(".ach", ".json")
    if expected.exists():
        batches = json.loads(expected.read_text())["IATBatches"]
        entries = [*Nacha().records(SAMPLES / "ach_nacha" / name, {})]
        assert [int(Decimal(row["amount"]) * 100) for row in entries] == [
            item["amount"] for each in batches for item in each["IATEntryDetails"]
        ]
