#!/usr/bin/env bash
# python-calamine 0.9.1 reads a workbook's number by whether its format is one of dates at all, not by which one: a cell
# shown as a time of the day (hh:mm) that holds 1 (24:00) is the date 1900-01-01, one that holds -0.5 is 12:00, one that
# holds 0.9999999999 is 00:00, and a cell shown as a date that holds 0 (the first day of a workbook from 1904) is 00:00.
# Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check python-calamine==0.9.1 xlsxwriter==3.2.9
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import python_calamine
import xlsxwriter

CASES = [
    ("hh:mm", 1, False, "datetime.date(1900, 1, 1)"),
    ("hh:mm", -0.5, False, "datetime.time(12, 0)"),
    ("hh:mm", 0.9999999999, False, "datetime.time(0, 0)"),
    ("[h]:mm", 1, False, "datetime.timedelta(days=1)"),
    ("yyyy-mm-dd", 0, True, "datetime.time(0, 0)"),
]
print("python-calamine", version("python-calamine"), "xlsxwriter", version("xlsxwriter"))
changed = False
for form, number, from_1904, expected in CASES:
    path = Path(sys.argv[1], "book.xlsx")
    with xlsxwriter.Workbook(path, {"date_1904": from_1904}) as book:
        sheet = book.add_worksheet()
        sheet.write_number(0, 0, number, book.add_format({"num_format": form}))
    value = repr(python_calamine.CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()[0][0])
    print(f"{form:12} {number:<14} {'from 1904' if from_1904 else 'from 1900'}  {value}")
    changed = changed or value != expected
sys.exit(1 if changed else 0)
PYTHON
