#!/usr/bin/env bash
# ibis 12.0.0 believes the declared width of a SQLite column: 1099511627776 in a SMALLINT column is read as 0, 40000 as
# -25536, and 300 in a TINYINT column as 44, without an error. SQLite keeps 64 bits in each of them, and ADBC reads
# them. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ibis-framework[sqlite]==12.0.0" adbc-driver-sqlite==1.13.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path

import adbc_driver_sqlite.dbapi
import ibis

print(*(f"{name} {version(name)}" for name in ("ibis-framework", "adbc-driver-sqlite")))
path = str(Path(sys.argv[1], "counts.db"))
with sqlite3.connect(path) as database:
    database.execute("CREATE TABLE counts (big SMALLINT, middle SMALLINT, small TINYINT)")
    database.execute("INSERT INTO counts VALUES (1099511627776, 40000, 300)")
read = ibis.sqlite.connect(path).table("counts").to_pandas().iloc[0].tolist()
with adbc_driver_sqlite.dbapi.connect(path) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT * FROM counts")
    others = list(cursor.fetchone())
print("ibis", read, "ADBC", others)
sys.exit(0 if read == [0, -25536, 44] and others == [1099511627776, 40000, 300] else 1)
PYTHON
