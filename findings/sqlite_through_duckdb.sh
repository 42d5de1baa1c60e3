#!/usr/bin/env bash
# DuckDB 1.5.5 leaves the generated columns of an attached SQLite table out of the table, so that SELECT * has fewer columns
# than in SQLite, which says nothing. It reads numbers in a DATE or TIMESTAMP column as seconds since 1970, also a Julian
# day, one of the three forms of SQLite's manual: julianday('2026-01-02') becomes 29 January 1970. Exits with 0 while this
# is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    duckdb==1.5.5 duckdb-extensions==1.5.5 duckdb-extension-sqlite-scanner==1.5.5
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sqlite3
import sys
from pathlib import Path

import duckdb
from duckdb_extensions import import_extension

import_extension("sqlite_scanner")
print("DuckDB", duckdb.__version__, "SQLite", sqlite3.sqlite_version)
path = str(Path(sys.argv[1], "shop.db"))
with sqlite3.connect(path) as database:
    database.execute(
        "CREATE TABLE sales (net INTEGER, gross INTEGER AS (net * 119 / 100) STORED, tax INTEGER AS (gross - net),"
        " sold_on DATE)"
    )
    database.execute("INSERT INTO sales VALUES (100, julianday('2026-01-02'))")
    cursor = database.execute("SELECT *, date(sold_on) FROM sales")
    print("SQLite:", [column[0] for column in cursor.description], cursor.fetchone())
duckdb.execute("LOAD sqlite_scanner")
duckdb.execute(f"ATTACH '{path}' AS shop (TYPE sqlite)")
cursor = duckdb.execute("SELECT *, CAST(sold_on AS VARCHAR) FROM shop.sales")
columns, row = [column[0] for column in cursor.description], cursor.fetchone()
print("DuckDB:", columns, row)
sys.exit(0 if columns[:-1] == ["net", "sold_on"] and row[-1] == "1970-01-29" else 1)
PYTHON
