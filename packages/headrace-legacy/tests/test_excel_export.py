"""Exports to workbooks."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
from export_contract import ORDERS, TYPES, Row
from exportlab import Bench
from test_exports_to_files import INSIDE, FileContract

from headrace_legacy.excel_export import sheet_names


class TestExcel(FileContract):
    ending = "xlsx"

    def cells(self, path: Path, sheet: str = "delays") -> list[tuple[Any, ...]]:
        book = openpyxl.load_workbook(path)
        try:
            rows = list(book[sheet].iter_rows())
            assert all(cell.data_type != "f" for row in rows for cell in row), "a formula"
            return [tuple(cell.value for cell in row) for row in rows]
        finally:
            book.close()

    def decoded(self, path: Path) -> list[Row]:
        head, *rows = self.cells(path)
        text = [[None if v is None else _openpyxl_text(v) for v in row] for row in rows]
        return [dict(zip(map(str, head), row, strict=True)) for row in text]

    def test_what_is_missing_stays_missing(self, bench: Bench) -> None:
        """Would catch: NULL exported as a text. (A row of nothing but NULL is no row to Excel.)"""
        bench.export(
            self.declared(),
            bench.rows("select 1 as n, cast(null as varchar) as a union all select 2, 'x'"),
        )
        assert self.cells(self.path(bench)) == [("n", "a"), (1, None), (2, "x")]

    def test_types_as_excel_has_them(self, bench: Bench) -> None:
        """Would catch: numbers as text, dates as numbers, digits that Excel would round away."""
        bench.export(self.declared(), bench.rows(TYPES))
        head, row = self.cells(self.path(bench))
        result = dict(zip(head, row, strict=True))
        assert (result["bool"], result["i8"], result["dbl"], result["small"]) == (
            True,
            127,
            1.5,
            1.1,
        )
        assert (result["i64"], result["dec"], result["nan"]) == (
            "9007199254740993",
            "12345678901234567.89",
            "NaN",
        )
        assert (result["d"], result["ts"]) == (
            datetime(2013, 2, 11),  # noqa: DTZ001
            datetime(2013, 2, 11, 13, 14, 15, 250_000),  # noqa: DTZ001
        )
        assert result["tz"] == datetime(2013, 2, 11, 13, 14, 15)  # noqa: DTZ001
        long = 219.52549332853914  # 17 digits
        bench.export(self.declared(), bench.rows(f"select {long!r}::double as x"))
        assert self.cells(self.path(bench)) == [("x",), (long,)]

    def test_each_read_has_a_sheet(self, bench: Bench) -> None:
        """Would catch: the second read missing, or in the first one's sheet."""
        outcome = bench.export(
            self.declared(), bench.rows(ORDERS), bench.rows("select 7 as x", name="planes")
        )
        assert self.cells(self.path(bench), "planes") == [("x",), (7,)]
        assert [(item["asset"], item["rows"]) for item in outcome.manifest or ()] == [("", 3)]

    def test_what_a_sheet_cant_hold_is_said(self, bench: Bench) -> None:
        """Would catch: rows or characters that are silently left out."""
        many = bench.rows("select range as x from range(1048576)")
        assert "1,048,576 rows" in self.failed(
            bench.perform(bench.task(self.declared(), many)), "configuration_error"
        )
        long = bench.rows("select repeat('x', 32768) as x")
        assert "32,768 characters" in self.failed(
            bench.perform(bench.task(self.declared(), long)), "configuration_error"
        )
        assert self.read_back(bench, "2013-02-11") is None

    def test_it_is_a_whole_workbook(self, bench: Bench) -> None:
        """Would catch: a zip that is cut short."""
        bench.export(self.declared(), bench.rows(ORDERS))
        with zipfile.ZipFile(self.path(bench)) as book:
            assert book.testzip() is None


def _openpyxl_text(value: Any) -> str:
    """openpyxl gives carriage returns back as xlsxwriter escapes them."""
    return str(value).replace("_x000D_", "\r").replace("_x001B_", "\x1b").replace("_x005F_", "_")


def test_nested_values(export_bench: Bench) -> None:
    """Would catch: `Decimal('0.10')` in a workbook."""
    columns = [f"{value} as c{number}" for number, value in enumerate(INSIDE)]
    rows = export_bench.rows(f"select {', '.join(columns)}, null::integer[] as missing")
    export_bench.export({"to": "a.xlsx"}, rows)
    book = openpyxl.load_workbook(export_bench.root / "a.xlsx")
    assert [*next(book.active.iter_rows(2, values_only=True))] == [*INSIDE.values(), None]


def test_names_of_sheets() -> None:
    """Would catch: a workbook that Excel calls damaged: names too long, twice, or kept
    for itself."""
    long = "a" * 40
    assert sheet_names(["x", "History", long, f"{long}b"]) == [
        "x",
        "History_",
        "a" * 31,
        "a" * 29 + "~2",
    ]
