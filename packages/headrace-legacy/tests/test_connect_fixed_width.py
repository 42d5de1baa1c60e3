from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from connect_workbench import Outcome, Taken, Workbench
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import TypeDrift, UnreadableFile
from headrace.connect.raw_files import UnpackLimits
from headrace.model import ContractColumn

COLUMNS = [
    {"name": "id", "width": 4},
    {"name": "amount", "width": 8, "type": "decimal(9,2)", "scale": 2},
    {"name": "who", "width": 5},
]
GOOD = b"   100000150ann  \n   200000225bob  \n   3-0000300it's \n"


def take(bench: Workbench, data: bytes, declared: Any = COLUMNS, **more: Any) -> Outcome:
    return bench.take(data, "orders.txt", options={"fixed_width": declared}, **more)


def test_values_are_cut_out_by_place(bench: Workbench) -> None:
    """Would catch: places off by one, implied decimals forgotten, signs lost, blanks kept."""
    taken = take(bench, GOOD)
    assert isinstance(taken, Taken)
    assert taken.types() == {"id": "BIGINT", "amount": "DECIMAL(9,2)", "who": "VARCHAR"}
    assert taken.rows == [
        (1, Decimal("1.50"), "ann"),
        (2, Decimal("2.25"), "bob"),
        (3, Decimal("-3.00"), "it's"),
    ]


@pytest.mark.parametrize(
    "change",
    [lambda d: d.replace(b"\n", b"\r\n"), lambda d: d.rstrip(b"\n"), lambda d: b"\xef\xbb\xbf" + d],
)
def test_line_ends_and_marks(bench: Workbench, change: Any) -> None:
    """Would catch: a carriage return that counts as a character, a last line that is lost."""
    taken = take(bench, change(GOOD), pinned=schema(bench))
    assert isinstance(taken, Taken)
    assert len(taken.rows) == 3


def schema(bench: Workbench, declared: Any = COLUMNS, data: bytes = GOOD) -> Any:
    taken = take(bench, data, declared)
    assert isinstance(taken, Taken), taken
    return taken.schema


@pytest.mark.parametrize(
    ("line", "length"), [(b"   400000100x", 13), (b"   400000100bob   x", 19), (b"", 0)]
)
def test_a_line_of_another_length_is_told_with_its_number(
    bench: Workbench, line: bytes, length: int
) -> None:
    """Would catch: a short line read as NULLs, a long one cut, and everything after it moved."""
    for pinned in (None, schema(bench)):
        outcome = take(bench, GOOD + line + b"\n" + GOOD, pinned=pinned)
        assert isinstance(outcome, UnreadableFile)
        assert outcome.line == 4
        assert f"{length} character" in outcome.reason


def test_no_rows_one_row_and_many(bench: Workbench) -> None:
    """Would catch: rows lost where a file is read in pieces, a skipped first line
    counted as a row.
    """
    declared = {"columns": COLUMNS, "skip": 1}
    head = b"HEADER 2024\n"
    pinned = schema(bench, declared, head + GOOD)
    for count in (0, 1, 100_000):
        taken = take(bench, head + b"   100000150ann  \n" * count, declared, pinned=pinned)
        assert isinstance(taken, Taken)
        assert len(taken.rows) == count


def test_an_empty_file_is_refused(bench: Workbench) -> None:
    """Would catch: 0 bytes read as 0 rows."""
    outcome = take(bench, b"")
    assert isinstance(outcome, UnreadableFile)
    assert "empty" in outcome.reason


def test_gaps_starts_and_fillers(bench: Workbench) -> None:
    """Would catch: a column without a name that is delivered, `start` counted from 0."""
    declared = [
        {"name": "a", "width": 2},
        {"width": 3},
        {"name": "b", "width": 1},
        {"name": "whole", "start": 1, "width": 6},
    ]
    taken = take(bench, b"12xxx3\n", declared)
    assert isinstance(taken, Taken)
    assert taken.rows == [(12, 3, "12xxx3")]


def test_a_value_that_is_not_of_its_type_is_held_with_its_line(bench: Workbench) -> None:
    """Would catch: text that becomes NULL or 0."""
    drift = take(bench, GOOD.replace(b"00000225", b"0000 225"), pinned=schema(bench))
    assert isinstance(drift, TypeDrift)
    assert [(column.column, column.value, column.line) for column in drift.columns] == [
        ("amount", "0000 225", 2)
    ]


@pytest.mark.parametrize("text", ["0000001{", "0000001E", "0000001}", "0000001N"])
def test_overpunched_signs(bench: Workbench, text: str) -> None:
    """Would catch: the sign of a mainframe's number read as a letter, or dropped."""
    declared = [{"name": "v", "width": 8, "type": "decimal(9,2)", "scale": 2, "sign": "overpunch"}]
    taken = take(bench, text.encode() + b"\n", declared)
    assert isinstance(taken, Taken)
    assert (
        taken.rows[0][0]
        == {
            "{": Decimal("0.10"),
            "E": Decimal("0.15"),
            "}": Decimal("-0.10"),
            "N": Decimal("-0.15"),
        }[text[-1]]
    )


def test_ebcdic_records(bench: Workbench) -> None:
    """Would catch: EBCDIC read as Latin-1, records split at bytes that look like line ends, nul
    taken for text.
    """
    declared = {
        "columns": [{"name": "id", "width": 4, "type": "bigint"}, {"name": "who", "width": 5}],
        "encoding": "cp037",
        "record": 12,
    }
    records = b"".join(
        f"{n:4}{who:5}".encode("cp037") + b"\x15\x25\x00"
        for n, who in enumerate(["ann", "bob", "é"])
    )
    taken = take(bench, records, declared)
    assert isinstance(taken, Taken)
    assert taken.rows == [(0, "ann"), (1, "bob"), (2, "é")]
    cut = take(bench, records[:-1], declared, pinned=taken.schema)
    assert isinstance(cut, UnreadableFile)
    assert (cut.code, cut.line) == ("delivery_truncated", 3)


def test_latin1_lines_are_read_and_utf8_is_required_otherwise(bench: Workbench) -> None:
    """Would catch: a declared encoding that is ignored, places counted in bytes where characters
    are meant.
    """
    line = "   100000150café \n"
    for encoding in ("latin-1", "utf-8"):
        taken = take(bench, line.encode(encoding), {"columns": COLUMNS, "encoding": encoding})
        assert isinstance(taken, Taken)
        assert taken.rows == [(1, Decimal("1.50"), "café")]
    outcome = take(bench, line.encode("latin-1"))
    assert isinstance(outcome, UnreadableFile)
    assert outcome.code == "delivery_encoding"


def test_control_characters_and_mixed_line_ends_are_named(bench: Workbench) -> None:
    """Would catch: a line that is split by the sign that lines are read with, and DuckDB's long
    message about it.
    """
    for data in (GOOD.replace(b"bob  ", b"b\x01b  "), GOOD.replace(b"bob  \n", b"bob  \r\n")):
        outcome = take(bench, data, pinned=schema(bench))
        if isinstance(outcome, UnreadableFile):
            assert outcome.line in (2, 3)
            assert len(outcome.reason) < 100
        else:
            assert isinstance(outcome, Taken)
            assert len(outcome.rows) == 3


def test_unpacking_is_bounded(bench: Workbench) -> None:
    """Would catch: a copy in another encoding that fills the disk."""
    outcome = take(
        bench,
        GOOD * 100,
        {"columns": COLUMNS, "encoding": "latin-1"},
        bounds=UnpackLimits(bytes_max=100),
    )
    assert isinstance(outcome, UnreadableFile)
    assert outcome.code == "delivery_too_large"


@needs_samples
def test_a_mainframes_accounts_are_the_same_in_ebcdic_and_in_ascii(bench: Workbench) -> None:
    """Would catch: an encoding or a sign that only our own samples have."""
    columns = [
        {"name": "id", "width": 11, "type": "varchar"},
        {"name": "active", "width": 1},
        {"name": "balance", "width": 12, "type": "decimal(12,2)", "scale": 2, "sign": "overpunch"},
        {"name": "credit", "width": 12, "type": "decimal(12,2)", "scale": 2, "sign": "overpunch"},
        {"width": 12},
        {"name": "opened", "width": 10, "type": "date"},
        {"width": 242},
    ]
    ebcdic = take(
        bench,
        (SAMPLES / "carddemo/ACCTDATA.PS").read_bytes(),
        {"columns": columns, "encoding": "cp037", "record": 300},
    )
    ascii_ = take(bench, (SAMPLES / "carddemo/ascii_acctdata.txt").read_bytes(), columns)
    assert isinstance(ebcdic, Taken)
    assert isinstance(ascii_, Taken)
    assert len(ebcdic.rows) == 50
    assert ebcdic.rows == ascii_.rows


def test_trimmed_lines_an_end_mark_and_dates_without_separators(bench: Workbench) -> None:
    """Would catch: cut blanks that reject a file, 0x1A as a row, a file without it taken for whole,
    and 20260301 as a number.
    """
    columns = [
        {"name": "id", "width": 2},
        {"name": "d", "width": 8, "format": "%Y%m%d"},
        {"name": "t", "width": 10, "type": "timestamp", "format": "%d%m%y%H%M"},
        {"name": "note", "width": 4},
    ]
    options = {"fixed_width": {"columns": columns, "trimmed": True, "end": "0x1A"}}
    data = b"01202603010103262359ab c\r\n0220240229\r\n03        0103260000x\r\n"
    for end in (b"\x1a", b"\x1a" * 90, b"\x1a\r\n"):
        taken = bench.take(data + end, "x.txt", options=options)
        assert isinstance(taken, Taken), taken
        assert taken.rows == [
            ("01", dt.date(2026, 3, 1), dt.datetime(2026, 3, 1, 23, 59), "ab c"),  # noqa: DTZ001
            ("02", dt.date(2024, 2, 29), None, None),
            ("03", None, dt.datetime(2026, 3, 1), "x"),  # noqa: DTZ001
        ]
    cut = bench.take(data[:-9], "x.txt", options=options)
    assert isinstance(cut, UnreadableFile)
    assert cut.code == "delivery_truncated"
    for bad in (b"20260230", b"2026031 ", b" 2026-3-1"[:8]):
        drift = bench.take(b"04" + bad + b"\x1a", "x.txt", taken.schema, options=options)
        assert isinstance(drift, TypeDrift), (bad, drift)
        assert bad.decode().strip() in drift.reason
    long = bench.take(data + b"04" + b"x" * 23 + b"\r\n\x1a", "x.txt", options=options)
    assert isinstance(long, UnreadableFile)
    assert long.line == 4


@pytest.mark.parametrize(
    ("how", "good", "bad", "value"),
    [
        ({"format": "%Y%m%d"}, "20260301", "00000000", dt.date(2026, 3, 1)),
        ({"scale": 2}, "00000150", "N/A     ", Decimal("1.50")),
        ({"sign": "overpunch"}, "0000015}", "x       ", Decimal(-150)),
    ],
)
def test_a_value_in_the_first_file_that_isnt_written_as_declared(
    bench: Workbench, how: dict[str, Any], good: str, bad: str, value: Any
) -> None:
    """Would catch: a text column, in which the other values are rewritten: `000150` as `0001.50`
    beside `N/A`."""
    columns = [{"name": "id", "width": 2}, {"name": "v", "width": 8, **how}]
    taken = take(bench, f"01{good}\n02        \n".encode(), columns)
    assert isinstance(taken, Taken), taken
    assert taken.column("v") == [value, None]
    drift = take(bench, f"01{bad}\n02{good}\n".encode(), columns)
    assert isinstance(drift, TypeDrift), drift
    assert bad.strip() in drift.reason
    assert drift.columns[0].line == 1


def test_a_contract_declares_the_type_of_a_place(bench: Workbench) -> None:
    """Would catch: `007` that holds although the contract says number, as the place says nothing;
    and a type that a contract declared once and no longer does.
    """
    columns = [{"name": "id", "width": 3}, {"name": "who", "width": 3}]
    declared = [ContractColumn(name="id", type="BIGINT"), ContractColumn(name="who")]
    learnt = take(bench, b"  1ann\n", columns)
    agreed = take(bench, b"  1ann\n", columns, promised=declared)
    assert isinstance(learnt, Taken)
    assert isinstance(agreed, Taken)
    for pinned in (None, learnt.schema, agreed.schema):
        taken = take(bench, b"007bob\n", columns, pinned=pinned, promised=declared)
        assert isinstance(taken, Taken), taken
        assert taken.rows == [(7, "bob")]
    for pinned in (learnt.schema, agreed.schema):
        drift = take(bench, b"007bob\n", columns, pinned=pinned)
        assert isinstance(drift, TypeDrift), drift
    place = [{**columns[0], "type": "bigint"}, columns[1]]
    for promised in ((), declared, [ContractColumn(name="id")]):
        taken = take(bench, b"007bob\n", place, pinned=learnt.schema, promised=promised)
        assert isinstance(taken, Taken), taken
