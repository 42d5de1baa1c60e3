#!/usr/bin/env bash
# sqlglot 30.30.0 writes NUMERIC of BigQuery, NUMBER of Oracle, and DECIMAL of MySQL, Spark and SQL Server as DuckDB's
# bare DECIMAL, which is DECIMAL(18,3): 0.123456789 is rounded to 0.123, and 2.5 stays 2.5. NUMBER of Snowflake gets no
# decimals: 2.5 is 3. BIGNUMERIC of BigQuery gets five: 0.12346. Nothing is raised. Exits with 0 while this is so.
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
seen = []
for dialect, kind, text in (
    ("bigquery", "NUMERIC", "0.123456789"),
    ("bigquery", "BIGNUMERIC", "0.123456789"),
    ("oracle", "NUMBER", "0.123456789"),
    ("mysql", "DECIMAL", "2.5"),
    ("spark", "DECIMAL", "2.5"),
    ("tsql", "DECIMAL", "2.5"),
    ("snowflake", "NUMBER", "2.5"),
):
    translated = sqlglot.transpile(f"SELECT CAST('{text}' AS {kind}) AS x", read=dialect, write="duckdb")[0]
    value = str(duckdb.execute(translated).fetchone()[0])
    print(f"{dialect} {kind} of {text}: {translated} is {value}")
    seen.append(value)
sys.exit(0 if seen == ["0.123", "0.12346", "0.123", "2.500", "2.500", "2.500", "3"] else 1)
PYTHON
