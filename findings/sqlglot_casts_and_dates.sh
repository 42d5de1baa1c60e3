#!/usr/bin/env bash
# sqlglot 30.30.0 leaves CAST(1.9 AS INTEGER) as it is between SQLite, which cuts to 1, and DuckDB, which rounds to 2.
# It also leaves the difference of two dates as it is: 2 days in DuckDB, but 0 in SQLite, which subtracts the years.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5 sqlglot==30.30.0
"$folder/venv/bin/python" - <<'PYTHON'
import sqlite3
import sys

import duckdb
import sqlglot

print("sqlglot", sqlglot.__version__, "DuckDB", duckdb.__version__, "SQLite", sqlite3.sqlite_version)
run = {
    "duckdb": lambda sql: duckdb.execute(sql).fetchone()[0],
    "sqlite": lambda sql: sqlite3.connect(":memory:").execute(sql).fetchone()[0],
}
seen = []
for read, write, sql in (
    ("sqlite", "duckdb", "SELECT CAST(1.9 AS INTEGER)"),
    ("duckdb", "sqlite", "SELECT CAST(1.9 AS INTEGER)"),
    ("duckdb", "sqlite", "SELECT DATE '2026-03-01' - DATE '2026-02-27'"),
):
    translated = sqlglot.transpile(sql, read=read, write=write)[0]
    before, after = run[read](sql), run[write](translated)
    print(f"{sql} is {before} in {read}; {translated} is {after} in {write}")
    seen.append((before, after))
sys.exit(0 if seen == [(1, 2), (2, 1), (2, 0)] else 1)
PYTHON
