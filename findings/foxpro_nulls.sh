#!/usr/bin/env bash
# dbfread 2.0.7 reads NULL in FoxPro tables as 0 where a field is an integer or an amount (types I and Y), and as empty
# text where it is text: it doesn't read the flags of nulls (_NullFlags), which each record has. The dbf package 0.99.11,
# which writes the table here, reads them. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dbf==0.99.11 dbfread==2.0.7
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import dbf
import dbfread

print(*(f"{name} {version(name)}" for name in ("dbf", "dbfread")))
path = str(Path(sys.argv[1], "orders.dbf"))
table = dbf.Table(path, "name C(10) null; pieces I null; price Y null", dbf_type="vfp", codepage="cp1252")
table.open(dbf.READ_WRITE)
table.append(("a", 5, Decimal("12.25")))
table.append((dbf.Null, dbf.Null, dbf.Null))
own = [list(row) for row in table][1]
table.close()
other = [[row["NAME"], row["PIECES"], row["PRICE"]] for row in dbfread.DBF(path)][1]
print(f"three nulls: dbf {own}, dbfread {other}")
sys.exit(0 if own == [dbf.Null] * 3 and other == ["", 0, Decimal(0)] else 1)
PYTHON
