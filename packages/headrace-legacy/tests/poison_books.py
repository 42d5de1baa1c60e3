"""Workbooks that end who parses them, and a good one."""

from __future__ import annotations

import io
import zipfile

import xlsxwriter


def _good() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as made:
        sheet = made.add_worksheet("Data")
        for y, row in enumerate([["a", "b"], [1, "x"], [2, "y"]]):
            sheet.write_row(y, 0, row)
    return out.getvalue()


GOOD = _good()


def far_cell(column: str = "XFD", row: int = 1_048_576) -> bytes:
    """A workbook of a few KiB, with one cell far away: by default in the last row and column that
    there can be."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(GOOD)) as good,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in good.namelist():
            data = good.read(name)
            if name == "xl/worksheets/sheet1.xml":
                data = data.replace(
                    b"</sheetData>",
                    f'<row r="{row}"><c r="{column}{row}"><v>1</v></c></row></sheetData>'.encode(),
                )
                data = data.replace(b'ref="A1:B3"', f'ref="A1:{column}{row}"'.encode())
            made.writestr(name, data)
    return out.getvalue()


def bomb() -> bytes:
    """A workbook whose sheet unpacks to 3 GiB of spaces."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(GOOD)) as good,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
    ):
        for name in good.namelist():
            with made.open(name, "w", force_zip64=True) as member:
                member.write(good.read(name))
                for _ in range(3 * 2**10 if name == "xl/worksheets/sheet1.xml" else 0):
                    member.write(b" " * 2**20)
    return out.getvalue()
