from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from connect_contract import Columns, ReadingContract
from connect_workbench import Taken, Workbench
from samples import SAMPLES, needs_samples
from xlsxwriter.utility import xl_cell_to_rowcol

from headrace.connect.deliveries import TypeDrift, UnreadableFile
from headrace.connect.ingest import ReadRules, prepare
from headrace.connect.prepared import PreparedDelivery
from headrace.connect.raw_files import UnpackLimits


def book(*sheets: tuple[str, list[list[Any]]]) -> bytes:
    """A workbook; a value that begins with `=` is a formula, whose result is what stands after the
    bar.
    """
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, "remove_timezone": True}) as made:
        formats = {
            dt.date: made.add_format({"num_format": "yyyy-mm-dd"}),
            dt.datetime: made.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            dt.time: made.add_format({"num_format": "hh:mm:ss"}),
        }
        for name, rows in sheets:
            sheet = made.add_worksheet(name)
            for y, row in enumerate(rows):
                for x, value in enumerate(row):
                    if isinstance(value, (dt.date, dt.time)):
                        sheet.write_datetime(y, x, value, formats[type(value)])
                    elif isinstance(value, str) and value.startswith("="):
                        sheet.write_formula(y, x, value.split("|")[0], None, value.split("|")[1])
                    elif isinstance(value, str):
                        sheet.write_string(y, x, value)
                    elif value is not None:
                        sheet.write(y, x, value)
    return out.getvalue()


class TestExcel(ReadingContract):
    name = "orders.xlsx"

    def encode(self, columns: Columns) -> bytes:
        return book(
            ("Data", [list(columns), *(list(row) for row in zip(*columns.values(), strict=True))])
        )


def take(bench: Workbench, rows: list[list[Any]], **said: Any) -> Any:
    return bench.take(book(("Data", rows)), "x.xlsx", options={"excel": said})


def test_types_are_the_cells(bench: Workbench) -> None:
    """Would catch: dates as numbers of days, booleans as 1, ids in text turned into numbers, 3 as
    3.0.
    """
    day, moment, time = (
        dt.date(2024, 2, 29),
        dt.datetime.fromisoformat("2024-02-29 13:14:15"),
        dt.time(3, 4, 5),
    )
    taken = take(
        bench,
        [
            ["n", "x", "d", "t", "b", "s", "h"],
            [3, 0.1, day, moment, True, "007", time],
            [None] * 6 + [time],
        ],
    )
    assert isinstance(taken, Taken)
    assert taken.types() == {
        "n": "BIGINT",
        "x": "DOUBLE",
        "d": "DATE",
        "t": "TIMESTAMP",
        "b": "BOOLEAN",
        "s": "VARCHAR",
        "h": "TIME",
    }
    assert taken.rows == [(3, 0.1, day, moment, True, "007", time), (None,) * 6 + (time,)]


def test_a_mixed_column_is_text(bench: Workbench) -> None:
    """Would catch: the values of the rarer type lost, 5 written as 5.0, and a batch boundary that
    changes what is written.
    """
    rows: list[list[Any]] = [
        ["v", "w"],
        *([n, 0.5] for n in range(5000)),
        ["n/a", dt.date(2024, 1, 2)],
    ]
    taken = take(bench, rows)
    assert isinstance(taken, Taken)
    assert taken.types() == {"v": "VARCHAR", "w": "VARCHAR"}
    assert taken.rows[4999] == ("4999", "0.5")
    assert taken.rows[5000] == ("n/a", "2024-01-02")


def test_text_in_a_column_of_numbers_is_held_with_its_row(bench: Workbench) -> None:
    """Would catch: `n/a` read as NULL or 0."""
    schema = take(bench, [["v"], [1], [2]]).schema
    drift = bench.take(book(("Data", [["v"], [1], [None], ["n/a"]])), "x.xlsx", schema)
    assert isinstance(drift, TypeDrift)
    assert (drift.columns[0].value, drift.columns[0].line) == ("n/a", 4)


def test_sheets_by_name_and_by_number(bench: Workbench) -> None:
    """Would catch: always the first sheet, numbers counted from 0, an unknown sheet read as an
    empty one.
    """
    data = book(("A", [["v"], [1]]), ("B b", [["v"], [2]]))
    for sheet, value in ((None, 1), ("A", 1), ("B b", 2), (2, 2)):
        taken = bench.take(
            data, "x.xlsx", options={"excel": {} if sheet is None else {"sheet": sheet}}
        )
        assert isinstance(taken, Taken)
        assert taken.rows == [(value,)]
    for sheet in ("b b", 3):
        outcome = bench.take(data, "x.xlsx", options={"excel": {"sheet": sheet}})
        assert isinstance(outcome, UnreadableFile)
        assert outcome.code == "delivery_sheet"
        assert "`A`, `B b`" in outcome.reason


TITLED: list[list[Any]] = [
    ["Report of the day"],
    [],
    ["id", "v", None],
    [1, 2.5, None],
    [],
    [2, 3.5],
    [None, "Total: 6"],
    [],
    [],
]


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["Report of the day"], ["id", "v", "w"], [1, 2, 3]], 2),
        ([["Report of the day"], ["id", "v"], [1, 2]], 2),
        (
            [
                ["Report", None, None, None],
                ["of", "today"],
                [],
                ["id", "v", "w", "x"],
                [1, 2, 3, 4],
            ],
            4,
        ),
        ([["Report", "2026-03-01"], [], ["id", "v", "w", "x"], [1, None, 3, 4]], 3),
    ],
)
def test_a_title_above_the_header_is_not_guessed(
    bench: Workbench, rows: list[list[Any]], header: int
) -> None:
    """Would catch: a title taken for a header, with the columns named `column_2` and so on."""
    outcome = take(bench, rows)
    assert isinstance(outcome, UnreadableFile)
    assert outcome.code == "delivery_header"
    assert outcome.line == header
    assert f"declare excel: {{header: {header}}}, or header: 1" in outcome.reason
    taken = take(bench, rows, header=header)
    assert isinstance(taken, Taken)
    assert taken.names == tuple(rows[header - 1])


@pytest.mark.parametrize(
    "rows",
    [
        [["id", "v"], [1, None], [2, None]],
        [[None, "v"], ["ann", "x"], ["bob", "y"]],
        [["only"], ["a"], ["b"]],
        [["id", "who", "note"], ["a", None, None], ["b", "c", "d"]],
    ],
)
def test_a_header_is_no_title(bench: Workbench, rows: list[list[Any]]) -> None:
    """Would catch: a good first workbook that is rejected for a title that it hasn't."""
    assert isinstance(take(bench, rows), Taken)
    unnamed = take(bench, [["name"], ["ann", "x"]], header=1)
    assert isinstance(unnamed, Taken)
    assert unnamed.rows == [("ann", "x")]


def merged(rows: list[list[Any]], *ranges: str) -> bytes:
    """A workbook with merged cells, each of which has the value of its first cell."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as made:
        sheet = made.add_worksheet("Data")
        for y, row in enumerate(rows):
            sheet.write_row(y, 0, row)
        for cells in ranges:
            y, x = xl_cell_to_rowcol(cells.partition(":")[0])
            sheet.merge_range(cells, rows[y][x])
    return out.getvalue()


YEARS: list[list[Any]] = [
    ["Region", 2024, None, 2025, None],
    [None, "Q1", "Q2", "Q1", "Q2"],
    ["N", 1, 2, 3, 4],
]


@pytest.mark.parametrize(
    ("rows", "ranges", "names"),
    [
        (
            YEARS,
            ["A1:A2", "B1:C1", "D1:E1"],
            ("Region", "2024 Q1", "2024 Q2", "2025 Q1", "2025 Q2"),
        ),
        (
            [[None, "Sales", None], ["region", "units", "eur"], ["N", 1, 2.5]],
            ["B1:C1"],
            ("region", "Sales units", "Sales eur"),
        ),
        (
            [["Who", None, "What", None], ["id", "name", 2024, 2025], [1, "n", 2, 3]],
            ["A1:B1", "C1:D1"],
            ("Who id", "Who name", "What 2024", "What 2025"),
        ),
        (
            [["id", "amount", None], [None, "net", "gross"], ["a", 1, 2]],
            [],
            ("id", "amount net", "gross"),
        ),
        (
            [["id", "Sales", "Sales"], [None, "Plan", "Actual"], ["N", "a", "b"]],
            [],
            ("id", "Sales Plan", "Sales Actual"),
        ),
        (
            [["id", "Q1", None, "Q2", None], [None, "u", "v", "u", "v"], [*"Nabcd"]],
            [],
            ("id", "Q1 u", "v", "Q2 u", "v_2"),
        ),
    ],
)
def test_a_header_of_two_rows(
    bench: Workbench, rows: list[list[Any]], ranges: list[str], names: tuple[str, ...]
) -> None:
    """Would catch: the second row of a header published as a row, and numbers below it as texts."""
    data = merged(rows, *ranges)
    outcome = bench.take(data, "x.xlsx", options={"excel": {}})
    assert isinstance(outcome, UnreadableFile)
    assert (outcome.code, outcome.line) == ("delivery_header", 2)
    assert "declare excel: {header: [1, 2]}, or header: 1" in outcome.reason
    taken = bench.take(data, "x.xlsx", options={"excel": {"header": [1, 2]}})
    assert isinstance(taken, Taken)
    assert (taken.names, taken.rows) == (names, [tuple(rows[2])])


def test_a_title_over_merged_cells_is_no_part_of_a_header(bench: Workbench) -> None:
    """Would catch: `Report id`, since titles are merged over the columns, too."""
    rows: list[list[Any]] = [["Report", None, None], ["id", "v", "w"], [1, 2, 3]]
    outcome = bench.take(merged(rows, "A1:C1"), "x.xlsx", options={"excel": {}})
    assert isinstance(outcome, UnreadableFile)
    assert "declare excel: {header: 2}, or header: 1" in outcome.reason
    rows = [["Report", None, None, "2026-03-01"], [], ["id", "v", "w", "x"], [1, 2, 3, 4]]
    outcome = bench.take(merged(rows, "A1:C1"), "x.xlsx", options={"excel": {}})
    assert isinstance(outcome, UnreadableFile)
    assert "declare excel: {header: 3}, or header: 1" in outcome.reason


@pytest.mark.parametrize("again", [["id", "v"], ["ID", "V "]])
def test_a_header_in_the_middle_of_a_sheet(bench: Workbench, again: list[Any]) -> None:
    """Would catch: a joined sheet whose second header is a row, and makes numbers text."""
    rows: list[list[Any]] = [["id", "v"], [1, "a"], again, [2, "b"]]
    pinned = take(bench, [["id", "v"], ["x", "y"]])
    assert isinstance(pinned, Taken)
    for outcome in (
        take(bench, rows),
        bench.take(book(("Data", rows)), "x.xlsx", pinned.schema, options={"excel": {}}),
    ):
        assert isinstance(outcome, UnreadableFile)
        assert (outcome.line, outcome.code) == (3, "delivery_header")
        assert outcome.reason == "the header comes again in row 3: sheets may have been joined"
    one = take(bench, [["v"], ["a"], ["v"]])
    assert isinstance(one, Taken)
    assert one.rows == [("a",), ("v",)]


def test_header_row_range_and_empty_rows(bench: Workbench) -> None:
    """Would catch: rows counted from 0, a total below the range, blank rows as rows of NULL."""
    taken = take(bench, TITLED, header=3, range="A3:C6")
    assert isinstance(taken, Taken)
    assert taken.names == ("id", "v")
    assert taken.rows == [(1, 2.5), (2, 3.5)]
    only = take(bench, TITLED, range="B3:B6")
    assert isinstance(only, Taken)
    assert only.rows == [(2.5,), (3.5,)]


def test_a_table_that_begins_further_down_and_right(bench: Workbench) -> None:
    """Would catch: columns shifted where the library leaves out empty ones."""
    taken = take(bench, [[], [None, None, "a", "b"], [None, None, 1, "x"]], header=2)
    assert isinstance(taken, Taken)
    assert taken.rows == [(1, "x")]
    narrowed = take(bench, [[], [None, None, "a", "b"], [None, None, 1, "x"]], range="D2:D9")
    assert isinstance(narrowed, Taken)
    assert narrowed.rows == [("x",)]


@pytest.mark.parametrize("error", ["#REF!", "#DIV/0!", "#N/A", "#VALUE!"])
def test_formula_errors_are_named_with_their_cell(bench: Workbench, error: str) -> None:
    """Would catch: an error that is read as an empty cell."""
    outcome = take(bench, [["id", "v"], [1, "=1/0|2"], [2, f"=1/0|{error}"]])
    assert isinstance(outcome, UnreadableFile)
    assert (outcome.code, outcome.line) == ("delivery_cell_error", 3)
    assert f"cell B3: {error}" in outcome.reason
    inside = take(bench, [["id", "v"], [1, 2], [2, f"=1/0|{error}"]], range="A1:A3")
    assert isinstance(inside, Taken), "a cell that isn't read says nothing"


def rewritten(workbook: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """The workbook with the members of its zip file changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)))
    return out.getvalue()


@pytest.mark.parametrize("left", [b"", b"<v></v>", b"<v/>"])
def test_a_formula_without_a_saved_value_is_no_empty_cell(bench: Workbench, left: bytes) -> None:
    """Would catch: workbooks of libraries that don't calculate, whose totals were all published as
    NULL."""
    whole = book(("Data", [["id", "v"], [1, 2], [2, "=B2*2|4"]]))
    without = rewritten(
        whole, lambda _, data: data.replace(b"<v>4</v>", left).replace(b' t="str"', b"")
    )
    outcome = bench.take(without, "x.xlsx", options={"excel": {}})
    assert isinstance(outcome, UnreadableFile)
    assert (outcome.code, outcome.line) == ("delivery_cell_error", 3)
    assert "cell B3: a formula that wasn't computed" in outcome.reason
    assert isinstance(bench.take(whole, "x.xlsx", options={"excel": {}}), Taken)


def test_a_formula_that_nothing_has_computed_is_no_zero(bench: Workbench) -> None:
    """Would catch: workbooks of xlsxwriter, which saves 0 for each formula and asks the reader to
    compute, whose totals were all published as 0."""
    whole = book(("Data", [["id", "v"], [1, 2], [2, "=B2*2|0"]]))
    made = rewritten(whole, lambda _, data: data.replace(b' t="str"', b""))
    outcome = bench.take(made, "x.xlsx", options={"excel": {}})
    assert isinstance(outcome, UnreadableFile)
    assert "cell B3: a formula that wasn't computed" in outcome.reason
    saved = rewritten(made, lambda _, data: data.replace(b' fullCalcOnLoad="1"', b""))
    assert isinstance(bench.take(saved, "x.xlsx", options={"excel": {}}), Taken)


def test_a_formula_that_gives_empty_text_is_empty_text(bench: Workbench) -> None:
    whole = book(("Data", [["id", "v"], [1, "x"], [2, '=IF(1,"","")|']]))
    empty = rewritten(whole, lambda _, data: data.replace(b'r="B3"><f>', b'r="B3" t="str"><f>'))
    with zipfile.ZipFile(io.BytesIO(empty)) as archive:
        assert b't="str"' in archive.read("xl/worksheets/sheet1.xml")
    assert isinstance(bench.take(empty, "x.xlsx", options={"excel": {}}), Taken)


@pytest.mark.parametrize("member", ["xl/sharedStrings.xml", "xl/worksheets/sheet1.xml"])
def test_document_types_and_entities_of_a_workbook_are_refused(
    bench: Workbench, member: str
) -> None:
    """Would catch: `&company;` that becomes NULL, and a parser that is made to read other files."""
    whole = book(("Data", [["id", "v"], [1, "ACME &amp; Sons <x>"], [2, "é"]]))
    assert isinstance(bench.take(whole, "x.xlsx", options={"excel": {}}), Taken)

    def typed(name: str, data: bytes) -> bytes:
        return (
            data.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY company "ACME">]>', 1)
            if name == member
            else data
        )

    def entity(name: str, data: bytes) -> bytes:
        return data.replace(b"</", b"&company;</", 1) if name == member else data

    for change in (typed, entity):
        outcome = bench.take(rewritten(whole, change), "x.xlsx", options={"excel": {}})
        assert isinstance(outcome, UnreadableFile)
        assert outcome.code == "delivery_doctype"


def test_merged_cells_are_their_first(bench: Workbench) -> None:
    """Would catch: a merged value that is repeated, or that moves the others."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as made:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, ["region", "v"])
        sheet.merge_range(1, 0, 2, 0, "EMEA")
        sheet.write(1, 1, 1)
        sheet.write(2, 1, 2)
        sheet.merge_range(5, 0, 8, 1, "")
    taken = bench.take(out.getvalue(), "x.xlsx")
    assert isinstance(taken, Taken)
    assert taken.rows == [("EMEA", 1), (None, 2)]


def test_a_workbook_in_a_zip_and_under_another_name(bench: Workbench) -> None:
    """Would catch: a workbook taken for a zip of many files."""
    data = book(("Data", [["v"], [1]]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("inner.xlsx", data)
    for packed, name in ((data, "x.bin"), (data, "x.csv"), (out.getvalue(), "x.zip")):
        taken = bench.take(packed, name)
        assert isinstance(taken, Taken), name
        assert taken.rows == [(1,)]


def test_csv_where_a_workbook_is_pinned_and_the_other_way(bench: Workbench) -> None:
    """Would catch: a kind of file that changes without a word."""
    schema = bench.schema(book(("Data", [["v"], [1]])), "x.xlsx")
    other_way = bench.schema(b"v\n1\n", "x.csv")
    for outcome in (
        bench.take(b"v\n1\n", "x.csv", schema),
        bench.take(book(("Data", [["v"], [1]])), "x.csv", other_way),
    ):
        assert isinstance(outcome, UnreadableFile) and "is pinned" in outcome.reason


def test_a_sheet_that_unpacks_to_too_much(bench: Workbench) -> None:
    """B7. Would catch: a bomb in a workbook, which is read in memory."""
    data = book(("Data", [["v"], *([0] for _ in range(20_000))]))
    outcome = bench.take(data, "x.xlsx", bounds=UnpackLimits(ratio_max=3, free_bytes=1000))
    assert isinstance(outcome, UnreadableFile)
    assert outcome.code == "delivery_too_large"


@needs_samples
def test_real_workbooks(bench: Workbench) -> None:
    """Would catch: what only other writers' files have."""
    for file in sorted((SAMPLES / "xlsx").glob("*.xlsx")):
        taken = bench.take(file.read_bytes(), file.name)
        assert isinstance(taken, Taken), (file.name, taken)
        assert taken.rows


def test_a_name_twice_in_the_header(bench: Workbench) -> None:
    """Would catch: a second `amount` in a sheet that nothing says of, unlike in text."""
    (bench.raw / "f").write_bytes(book(("Data", [["amount", "Amount", None, "n"], [1, 2, 3, 4]])))
    prepared = prepare(
        bench.raw / "f", "x.xlsx", ReadRules(temporary=bench.temporary),
        connection=bench.session.connection, pinned=None,
    )  # fmt: skip
    assert isinstance(prepared, PreparedDelivery)
    prepared.discard()
    said = "the header names both columns 1 and 2 `amount` (the second as `Amount`)"
    assert prepared.header.doubled == (("Amount_2", said),)


Cells = list[Any]


def shown(cells: Cells, *, from_1904: bool = False) -> bytes:
    """A workbook of one column `v`; a pair is a number and the format that shows it."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"date_1904": from_1904}) as made:
        sheet = made.add_worksheet("Data")
        sheet.write(0, 0, "v")
        for row, cell in enumerate(cells, 1):
            if isinstance(cell, tuple):
                sheet.write_number(row, 0, cell[0], made.add_format({"num_format": cell[1]}))
            elif cell is not None:
                sheet.write(row, 0, cell)
    return out.getvalue()


HOURS = dt.timedelta(hours=1)
SHOWN: list[tuple[Cells, str, list[Any]]] = [
    ([(1.5, "[h]:mm"), (0.25, "[hh]:mm:ss"), None], "INTERVAL", [36 * HOURS, 6 * HOURS]),
    ([(1.5, "[h]:mm"), (0.25, "hh:mm")], "INTERVAL", [36 * HOURS, 6 * HOURS]),
    ([(49.75, "[h]:mm"), (669.5, "[h]:mm")], "INTERVAL", [1194 * HOURS, 16068 * HOURS]),
    ([(1.5, "[h]:mm"), (1 / 86_400, "[s]"), "n/a"], "VARCHAR", ["36:00:00", "00:00:01", "n/a"]),
    ([(0.25, "hh:mm"), (0.5, "h:mm AM/PM")], "TIME", [dt.time(6), dt.time(12)]),
    ([(45000.25, "hh:mm")], "TIMESTAMP", [dt.datetime.fromisoformat("2023-03-15 06:00")]),
    ([(501, "00000"), (90210, "00000"), None], "VARCHAR", ["00501", "90210"]),
    ([(7, "[Red]000;-000"), (12, "General"), (-7, "000")], "VARCHAR", ["007", "12", "-007"]),
    ([(5010001, "00000\\-0000"), (7, '"ID-0"00')], "VARCHAR", ["00501-0001", "ID-007"]),
    ([(7, "00#"), (7, "_(00000_)"), (7, "*000000")], "VARCHAR", ["007", "00007", "00007"]),
    ([(7, "[<10]000;0"), (12, "[<10]000;0"), (7, "#-00")], "VARCHAR", ["007", "12", "-07"]),
    ([(-7, "000;(000)"), (-7, "[<=9]000;0"), (0, '00;00;"no"')], "VARCHAR", ["(007)", "-007", "0"]),
    ([(930, "00:00"), (7, '"a;b"00'), (7, "€ 00 !")], "VARCHAR", ["09:30", "a;b07", "€ 07 !"]),
    ([(7, "[=1]0;[=7]000;0"), (123, "00?"), (5, "# 0#")], "VARCHAR", ["007", "123", " 05"]),
    ([(7, "0,000"), (7, "00/00"), (7, "000%"), (7, "[>9]000;0")], "BIGINT", [7] * 4),
    ([(7, "[<1.2.3]000"), (7, "[<]000"), (7, "000;;;;")], "VARCHAR", ["7", "7", "007"]),
    ([(2024, "0000"), (1999, "0000")], "BIGINT", [2024, 1999]),
    ([(0, "0"), (7, "#,##0"), (0, "0;0")], "BIGINT", [0, 7, 0]),
    ([(1.5, "000.00"), (2, "0.00")], "DOUBLE", [1.5, 2.0]),
]


@pytest.mark.parametrize(("cells", "kind", "values"), SHOWN)
@pytest.mark.parametrize("writer", ["xlsxwriter", "openpyxl"])
def test_a_cells_format_is_part_of_its_value(
    bench: Workbench, writer: str, cells: Cells, kind: str, values: list[Any]
) -> None:
    """Would catch: 36 hours as Python's text of them, a postal code without its zeros, and a year
    that becomes text because its format has four digits."""
    data = shown(cells)
    if writer == "openpyxl":
        out = io.BytesIO()
        openpyxl.load_workbook(io.BytesIO(data)).save(out)
        data = out.getvalue()
    taken = bench.take(data, "x.xlsx")
    assert isinstance(taken, Taken), taken
    assert taken.types() == {"v": kind}
    assert [value for value in taken.column("v") if value is not None] == values


@pytest.mark.parametrize("cell", [(1.5, "General"), (36, "0")])
def test_a_number_alone_is_no_duration(bench: Workbench, cell: tuple[float, str]) -> None:
    """Would catch: 36 in a column of durations published as 36 seconds."""
    schema = bench.schema(shown([(1.5, "[h]:mm")]), "x.xlsx")
    drift = bench.take(shown([cell]), "x.xlsx", schema)
    assert isinstance(drift, TypeDrift), drift
    assert str(cell[0]) in drift.reason


@pytest.mark.parametrize(
    ("cell", "from_1904", "means"),
    [
        ((1, "hh:mm"), False, "a time of the day; give a duration the format [h]:mm"),
        ((1.5, "h:mm:ss AM/PM"), False, "a time of the day"),
        ((-0.5, "hh:mm"), False, "a time of the day"),
        ((0.9999999999, "hh:mm"), False, "a time of the day"),
        ((0, "yyyy-mm-dd"), False, "a date"),
        ((0, "yyyy-mm-dd"), True, "a date"),
        ((60, "d mmm yy"), False, "a date"),
        ((1e300, "yyyy-mm-dd"), False, "a date"),
        ((-0.5, "[h]:mm"), False, "a duration from 0 on"),
        ((1e300, "[h]:mm"), False, "a duration from 0 on"),
    ],
)
def test_a_number_that_isnt_what_its_format_says_is_refused(
    bench: Workbench, cell: tuple[float, str], from_1904: bool, means: str
) -> None:
    """Would catch: 24:00 as a day of 1900, the first day of 1904 as midnight, 29 February 1900."""
    outcome = bench.take(shown([None, cell], from_1904=from_1904), "x.xlsx")
    assert isinstance(outcome, UnreadableFile), outcome
    assert outcome.reason.startswith("cell A3 holds the number ")
    assert f"which isn't {means}" in outcome.reason
    assert (outcome.code, outcome.line) == ("delivery_cell_error", 3)


def test_a_first_sheet_without_rows(bench: Workbench) -> None:
    """Would catch: an error of ours for a header alone, and a cover that is read instead of the
    table behind it."""
    taken = bench.take(book(("Data", [["a", "b"]])), "x.xlsx")
    assert isinstance(taken, Taken) and (taken.names, taken.rows) == (("a", "b"), [])
    covered = book(("Cover", [["Orders of March"]]), ("Notes", []), ("Data", [["a"], [1]]))
    outcome = bench.take(covered, "x.xlsx")
    assert isinstance(outcome, UnreadableFile) and outcome.code == "delivery_sheet"
    assert "excel: {sheet: NAME}; rows are in `Data`" in outcome.reason
    taken = bench.take(covered, "x.xlsx", options={"excel": {"sheet": "Data"}})
    assert isinstance(taken, Taken) and taken.rows == [(1,)]


@pytest.mark.parametrize(
    "cover",
    [[["Report"], ["by finance"], ["in March"]], [["By", "finance"], ["On", "2026-03-01"]]],
)
def test_a_cover_with_rows(bench: Workbench, cover: list[list[Any]]) -> None:
    """Would catch: the lines of a cover sheet published instead of the table behind it."""
    rows = [["id", "n", "v"], [1, "a", 2], [2, "b", 3]]
    covered = book(("Cover", cover), ("Data", rows))
    outcome = bench.take(covered, "x.xlsx")
    assert isinstance(outcome, UnreadableFile) and outcome.code == "delivery_sheet"
    assert "`Cover` is smaller than `Data`" in outcome.reason
    for sheet, kept in (("Data", 2), (2, 2), (1, len(cover) - 1)):
        taken = bench.take(covered, "x.xlsx", options={"excel": {"sheet": sheet}})
        assert isinstance(taken, Taken) and len(taken.rows) == kept
    larger = book(("Data", rows), ("Codes", [["code", "name"], ["a", "A"], ["b", "B"]]))
    assert isinstance(bench.take(larger, "x.xlsx"), Taken)


@pytest.mark.parametrize(
    ("digits", "value"),
    [
        ("9007199254740992", 2**53),
        ("9007199254740993", None),
        ("1234567890123456789", None),
        ("12345678901234567.891", None),
        ("0.35416666666666669", 0.3541666666666667),
        ("1234567890123456800.00", 1234567890123456800.0),
    ],
)
def test_digits_that_a_number_loses_are_refused(
    bench: Workbench, digits: str, value: float | None
) -> None:
    """Would catch: an id of 19 digits, as some programs write it, with others at its end."""
    with zipfile.ZipFile(io.BytesIO(shown([1, 77777]))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part.replace(b">77777<", f">{digits}<".encode()))
    outcome = bench.take(out.getvalue(), "x.xlsx")
    if value is None:
        assert isinstance(outcome, UnreadableFile), outcome
        assert outcome.reason.startswith(f"cell A3 holds {digits}, which has more digits")
    else:
        assert isinstance(outcome, Taken) and outcome.column("v") == [1, value]
