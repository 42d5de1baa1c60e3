#!/usr/bin/env bash
# Of a text with a carriage return, "a\r\nb", xlsxwriter 3.3.1 (and so pandas and polars with it) writes the _x000D_ of the
# standard, which openpyxl 3.1.5 (and so pandas) gives back as letters, "a_x000D_\nb", and python-calamine 0.9.1 as the
# return. openpyxl itself keeps the return where lxml is installed, and loses it in the file where it isn't. It writes the
# letters "_x000D_" without the standard's escape, so that python-calamine makes a return of them. Nothing is raised. Exits
# with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    xlsxwriter==3.3.1 openpyxl==3.1.5 python-calamine==0.9.1 lxml==6.1.3
cat > "$folder/notes.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import openpyxl
import python_calamine
import xlsxwriter

print(*(f"{name} {version(name)}" for name in ("xlsxwriter", "openpyxl", "python-calamine")), end="; ")
print("openpyxl with lxml:", openpyxl.LXML)
path = str(Path(sys.argv[1], "notes.xlsx"))
for writer in ("xlsxwriter", "openpyxl"):
    for text in ("a\r\nb", "_x000D_"):
        if writer == "xlsxwriter":
            with xlsxwriter.Workbook(path) as book:
                book.add_worksheet().write_string(0, 0, text)
        else:
            book = openpyxl.Workbook()
            book.active["A1"] = text
            book.save(path)
        by_openpyxl = openpyxl.load_workbook(path).active["A1"].value
        by_calamine = python_calamine.CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()[0][0]
        print(f"{text!r} by {writer}: openpyxl {by_openpyxl!r}, python-calamine {by_calamine!r}")
PYTHON
for lxml in True False; do
    OPENPYXL_LXML=$lxml "$folder/venv/bin/python" "$folder/notes.py" "$folder" | tee -a "$folder/seen"
done
diff "$folder/seen" - <<'SEEN' && exit 0 || exit 1
xlsxwriter 3.3.1 openpyxl 3.1.5 python-calamine 0.9.1; openpyxl with lxml: True
'a\r\nb' by xlsxwriter: openpyxl 'a_x000D_\nb', python-calamine 'a\r\nb'
'_x000D_' by xlsxwriter: openpyxl '_x000D_', python-calamine '_x000D_'
'a\r\nb' by openpyxl: openpyxl 'a\r\nb', python-calamine 'a\r\nb'
'_x000D_' by openpyxl: openpyxl '_x000D_', python-calamine '\r'
xlsxwriter 3.3.1 openpyxl 3.1.5 python-calamine 0.9.1; openpyxl with lxml: False
'a\r\nb' by xlsxwriter: openpyxl 'a_x000D_\nb', python-calamine 'a\r\nb'
'_x000D_' by xlsxwriter: openpyxl '_x000D_', python-calamine '_x000D_'
'a\r\nb' by openpyxl: openpyxl 'a\nb', python-calamine 'a\nb'
'_x000D_' by openpyxl: openpyxl '_x000D_', python-calamine '\r'
SEEN
