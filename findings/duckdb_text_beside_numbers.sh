#!/usr/bin/env bash
# DuckDB 1.5.5 rounds a text to a whole number when it is compared with one by `=`, IN or NULLIF: the text '12.4' equals 12,
# and '12.7' equals 13. By `>` or BETWEEN the same comparison is an error. SQLite compares the texts ('12.4' isn't '12'),
# Spark without ANSI cuts the digits ('12.7' equals 12). Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5
"$folder/venv/bin/python" - <<'PYTHON'
import sqlite3
import sys

import duckdb

print("DuckDB", duckdb.__version__, "SQLite", sqlite3.sqlite_version)
duckdb.execute("CREATE TABLE t AS SELECT * FROM (VALUES ('12.4'), ('12.7'), ('012')) AS v(b)")
other = sqlite3.connect(":memory:")
other.execute("CREATE TABLE t (b TEXT)")
other.executemany("INSERT INTO t VALUES (?)", [("12.4",), ("12.7",), ("012",)])
answers = []
for query in ("SELECT b FROM t WHERE b = 12", "SELECT b FROM t WHERE b IN (13)"):
    here, there = duckdb.execute(query).fetchall(), other.execute(query).fetchall()
    print(f"{query}: {here}; SQLite {there}")
    answers.append(([b for (b,) in here], there))
try:
    duckdb.execute("SELECT b FROM t WHERE b > 12")
    refused = False
except duckdb.BinderException as error:
    refused = True
    print("b > 12:", str(error).splitlines()[0])
same = answers == [(["12.4", "012"], []), (["12.7"], [])]
sys.exit(0 if same and refused else 1)
PYTHON
