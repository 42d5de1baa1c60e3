#!/usr/bin/env bash
# sqlglot 30.30.0 carries the day of the week over to DuckDB by name. It is 1 to 7 from Sunday in MySQL, Spark, BigQuery and
# SQL Server and 0 to 6 in DuckDB; WEEKDAY is 0 on Monday in MySQL and Spark and 0 on Sunday in DuckDB; weeks are counted from
# the year's first Sunday in MySQL and BigQuery and as ISO does in DuckDB. The result runs, and its values are others. What
# the expressions mean is from the engines' manuals. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5 sqlglot==30.30.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import duckdb
import sqlglot

print("sqlglot", sqlglot.__version__, "DuckDB", duckdb.__version__)
sunday, friday = "CAST('2026-01-04' AS DATE)", "CAST('2026-01-02' AS DATE)"
seen = []
for dialect, expression, meant in (
    ("mysql", f"DAYOFWEEK({sunday})", 1),
    ("mysql", f"WEEKDAY({sunday})", 6),
    ("mysql", f"WEEK({friday})", 0),
    ("spark", f"DAYOFWEEK({sunday})", 1),
    ("spark", f"WEEKDAY({sunday})", 6),
    ("bigquery", f"EXTRACT(DAYOFWEEK FROM {sunday})", 1),
    ("bigquery", f"EXTRACT(WEEK FROM {friday})", 0),
    ("tsql", f"DATEPART(weekday, {sunday})", 1),
    ("postgres", f"EXTRACT(dow FROM {sunday})", 0),
    ("snowflake", f"DAYOFWEEK({sunday})", 0),
):
    translated = sqlglot.transpile(f"SELECT {expression} AS x", read=dialect, write="duckdb")[0]
    value = duckdb.execute(translated).fetchone()[0]
    print(f"{dialect}: {expression} is {meant} there; {translated} is {value} in DuckDB")
    seen.append(value == meant)
sys.exit(0 if seen == [False] * 8 + [True] * 2 else 1)
PYTHON
