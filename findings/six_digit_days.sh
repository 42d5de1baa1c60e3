#!/usr/bin/env bash
# python-dateutil 4.0.0, and so to_datetime of pandas 3.1.1 without a format, reads days of six digits (YYMMDD, as in
# MT940, BAI2 and mainframe files) by their value: 240102 is 24 January 2002, 320102 is 2 January 2032, 120102 is
# 1 December 2002. So one column has days in three orders. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check python-dateutil==4.0.0 pandas==3.1.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from datetime import date, datetime
from importlib.metadata import version

import pandas
from dateutil.parser import parse

print(*(f"{name} {version(name)}" for name in ("python-dateutil", "pandas")))
right = {
    "240102": date(2002, 1, 24),
    "320102": date(2032, 1, 2),
    "120102": date(2002, 12, 1),
    "991231": date(1999, 12, 31),
}
seen = {}
for text in right:
    seen[text] = parse(text).date(), pandas.to_datetime([text])[0].date()
    meant = datetime.strptime(text, "%y%m%d").date()
    print(f"{text}, which is {meant} as YYMMDD: dateutil {seen[text][0]}, pandas {seen[text][1]}")
sys.exit(0 if seen == {text: (day, day) for text, day in right.items()} else 1)
PYTHON
