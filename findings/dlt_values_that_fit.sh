#!/usr/bin/env bash
# dlt 1.31.0 gives a value of another type than its column has a column of its own (a__v_double), unless it can be "coerced",
# which loses it in part without an error: a time in a column of dates becomes its date, 5 in a column of booleans becomes
# true, and decimals, which are DECIMAL(38,9), are rounded after the ninth digit. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "dlt[duckdb]==1.31.0" duckdb==1.5.5
RUNTIME__DLTHUB_TELEMETRY=false RUNTIME__LOG_LEVEL=CRITICAL "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import dlt
import duckdb

print("dlt", dlt.__version__)
seen = []
for number, values in enumerate(
    (
        [date(2026, 1, 1), datetime(2026, 1, 1, 12, 30, tzinfo=UTC)],
        [True, 5],
        [Decimal("1.1234567891234")],
        [1, 1.5],
    )
):
    path = Path(sys.argv[1], f"{number}.duckdb")
    pipeline = dlt.pipeline(
        f"p{number}", pipelines_dir=sys.argv[1], destination=dlt.destinations.duckdb(str(path)), dataset_name="shop"
    )
    pipeline.run([{"a": value} for value in values], table_name="sales")
    with duckdb.connect(str(path)) as database:
        cursor = database.execute("SELECT COLUMNS('^a') FROM shop.sales")
        names, rows = [column[0] for column in cursor.description], cursor.fetchall()
    print(f"{values}: {names} {rows}")
    seen.append([row[0] if len(row) == 1 else row for row in rows])
right = [[date(2026, 1, 1)] * 2, [True, True], [Decimal("1.123456789")], [(1, None), (None, 1.5)]]
sys.exit(0 if seen == right else 1)
PYTHON
