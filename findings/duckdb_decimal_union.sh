#!/usr/bin/env bash
# DuckDB 1.5.5 gives UNION ALL, CASE, COALESCE, `if`, `greatest` and lists of a DECIMAL(38,2) and a DECIMAL(12,3) the type
# DECIMAL(38,2), and rounds the third decimal without an error. Sums of decimals are DECIMAL(38,s), so that a total beside
# an amount of more decimals does it. `+` of the same two types keeps it. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import duckdb

print("DuckDB", duckdb.__version__)
rows = "(SELECT sum(1.25::DECIMAL(12,2)) AS total, 1.125::DECIMAL(12,3) AS amount)"
results = []
for form in (
    "min(x) FROM (SELECT total AS x FROM rows UNION ALL SELECT amount FROM rows)",
    "CASE WHEN total > 9 THEN total ELSE amount END FROM rows",
    "coalesce(nullif(total, total), amount) FROM rows",
    "total + amount FROM rows",
):
    (value,) = duckdb.execute(f"WITH rows AS {rows} SELECT {form}").fetchone()
    print(f"SELECT {form}: {value}")
    results.append(str(value))
sys.exit(0 if results == ["1.13", "1.13", "1.13", "2.375"] else 1)
PYTHON
