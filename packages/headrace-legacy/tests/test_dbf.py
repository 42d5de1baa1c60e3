"""DBF: tables of dBase and FoxPro."""

from __future__ import annotations

import random
import struct
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from connect_workbench import Taken, Workbench

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain

FIELDS = [("NAME", "C", 10, 0), ("PRICE", "N", 10, 2), ("KEY", "N", 18, 0), ("DAY", "D", 8, 0)]
FIELDS += [("OK", "L", 1, 0)]
ROWS = [
    b" Zo\xeb       " + b"      1.10" + b"123456789012345678" + b"20240229" + b"T",
    b"*deleted   " + b"         1" + b" " * 18 + b"20240301" + b"F",
    b" " + b" " * 10 + b" " * 10 + b" " * 18 + b" " * 8 + b"?",
]


def table(
    rows: list[bytes],
    fields: list[tuple[str, str, int, int]] = FIELDS,
    driver: int = 3,
    **more: int,
) -> bytes:
    """A table of dBase III, or of FoxPro."""
    count, flags = more.get("count", len(rows)), more.get("flags", 0)
    head = struct.pack(
        "<B3xIHH", more.get("version", 3), count, 33 + 32 * len(fields), len(rows[0])
    )
    head = head.ljust(29, b"\0") + bytes([driver, 0, 0])
    for name, kind, width, decimals in fields:
        described = name.encode().ljust(11, b"\0") + kind.encode() + b"\0" * 4
        head += (described + bytes([width, decimals, flags if kind != "0" else 1])).ljust(32, b"\0")
    return head + b"\r" + b"".join(rows) + b"\x1a"


def take(bench: Workbench, content: bytes, **options: Any) -> Any:
    accepted = options.pop("accepted", False)
    return bench.take(content, "a.dbf", options={"dbf": options}, accepted=accepted)


def rows(taken: Any) -> list[tuple[Any, ...]]:
    assert isinstance(taken, Taken), taken
    return taken.rows


def test_values_keep_their_digits(bench: Workbench) -> None:
    """Would catch: a key through a double, a deleted record, a blank that becomes 0 or false."""
    taken = take(bench, table(ROWS))
    assert rows(taken) == [
        ("Zoë", Decimal("1.10"), Decimal(123456789012345678), date(2024, 2, 29), True),
        ("", None, None, None, None),
    ]
    assert taken.types()["PRICE"] == "DECIMAL(10,2)"


def test_types_and_nulls_of_foxpro(bench: Workbench) -> None:
    fields = [("I", "I", 4, 0), ("Y", "Y", 8, 0), ("T", "T", 8, 0), ("B", "B", 8, 0)]
    julian = date(2024, 1, 2).toordinal() + 1_721_425
    values = struct.pack("<iqiid", -5, 123456, julian, 11_045_000, 1.5)
    content = [b" " + values + b"\0", b" " + values + b"\x05"]
    found = rows(
        take(bench, table(content, [*fields, ("_NullFlags", "0", 1, 0)], flags=2, version=0x30))
    )
    at = datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001
    assert found == [(-5, Decimal("12.3456"), at, 1.5), (None, Decimal("12.3456"), None, 1.5)]


def test_a_number_that_didnt_fit_is_held(bench: Workbench) -> None:
    """Would catch: asterisks that become null without a word."""
    content = table([ROWS[0].replace(b"      1.10", b"*" * 10)])
    held = take(bench, content)
    assert isinstance(held, UnreadableFile), held
    assert held.code == "delivery_total"
    assert "record 1: `PRICE` is full of asterisks" in plain(held.reason)
    assert rows(take(bench, content, accepted=True))[0][1] is None


@pytest.mark.parametrize(
    ("content", "reason", "code"),
    [
        (table(ROWS)[:-20], "its header states 3 records, and it has 2", "delivery_truncated"),
        (table(ROWS, count=2), "its header states 2 records, and it has 3", "delivery_total"),
        (table(ROWS, driver=0), "text isn't ascii", "delivery_encoding"),
        (table(ROWS, version=2), "tables of dBase II and 7 aren't read", None),
        (table(ROWS, [("M", "M", 10, 0), *FIELDS[1:]]), "it has memo fields", None),
        (table(ROWS, [("V", "V", 10, 0), *FIELDS[1:]]), "`V` has an unknown type: `V`", None),
        (table(ROWS, FIELDS[1:]), "its fields have 38 bytes, and its records 48", None),
        (table([ROWS[0].replace(b"1.10", b"1.1x")]), "record 1: `PRICE` can't be read", None),
        (table([ROWS[0].replace(b"1.10", b".105")]), "record 1: `PRICE` can't be read", None),
        (table([ROWS[0].replace(b"0229", b"0230")]), "record 1: `DAY` can't be read", None),
        (table([b"x" + ROWS[0][1:]]), "isn't marked as a record", None),
        (b"DBF", "it has no header", None),
    ],
)
def test_what_cant_be_read_is_refused(
    bench: Workbench, content: bytes, reason: str, code: str | None
) -> None:
    refused = take(bench, content)
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)
    assert refused.code == (code or "unreadable_delivery")


def test_memo_fields_are_left_out_when_that_is_declared(bench: Workbench) -> None:
    taken = take(bench, table(ROWS, [("M", "M", 10, 0), *FIELDS[1:]]), memo="left_out")
    assert "M" not in taken.names


def test_mutated_files_are_read_or_refused(bench: Workbench) -> None:
    """Would catch: an exception of Python's."""
    chance, good = random.Random("dbf"), table(ROWS)
    for _ in range(100):
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 3))):
            at = chance.randrange(len(data))
            if chance.randrange(2):
                data[at] = chance.randrange(256)
            else:
                del data[at : at + chance.choice((1, 5, 40))]
        outcome = take(bench, bytes(data))
        if not isinstance(outcome, Taken):
            assert isinstance(outcome, UnreadableFile), outcome
            assert "installed package" not in plain(outcome.reason), outcome


@pytest.mark.parametrize(
    ("field", "stored", "value"),
    [
        (("X", "F", 19, 11), b" 1.23456789012e-002", 0.0123456789012),
        (("X", "N", 10, 2), b"         .", None),
        (("X", "C", 8, 0), b"abc\0zzz ", "abc"),
        (("X", "B", 8, 10), struct.pack("<d", 1.5), 1.5),
        (("X", "T", 8, 0), b" " * 8, None),
    ],
)
def test_values_of_other_writers(
    bench: Workbench, field: tuple[str, str, int, int], stored: bytes, value: Any
) -> None:
    """Would catch: what stands behind the end of a text, and tables that are refused."""
    assert rows(take(bench, table([b" " + stored], [field]))) == [(value,)]


def test_text_without_a_stated_encoding_is_ascii(bench: Workbench) -> None:
    refused = take(bench, table([" Zoë ".encode()], [("X", "C", 5, 0)], driver=0x57))
    assert refused.code == "delivery_encoding"
    refused = take(bench, table([b"      1_000"], [("X", "N", 10, 2)]))
    assert "`X` can't be read" in plain(refused.reason)
