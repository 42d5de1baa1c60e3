#!/usr/bin/env bash
# DuckDB 1.5.5 takes a MERGE of two source rows that match one target row: it reports two rows and keeps the first of
# them; in a DuckLake table the same statement keeps the last. INSERT … ON CONFLICT DO UPDATE of two rows with one key
# keeps the first and forgets the second, though its SET adds them up. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    duckdb==1.5.5 duckdb-extensions==1.5.5 duckdb-extension-ducklake==1.5.5
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import duckdb
from duckdb_extensions import import_extension

import_extension("ducklake")
duckdb.execute("LOAD ducklake")
duckdb.execute(f"ATTACH 'ducklake:{sys.argv[1]}/catalog.db' AS lake (DATA_PATH '{sys.argv[1]}/data')")
print("DuckDB", duckdb.__version__)
MERGE = (
    "MERGE INTO {0} USING (VALUES (1, 10), (1, 20)) s(id, amount) ON {0}.id = s.id"
    " WHEN MATCHED THEN UPDATE SET amount = s.amount"
)
INSERT = (
    "INSERT INTO {0} VALUES (2, 10), (2, 20)"
    " ON CONFLICT (id) DO UPDATE SET amount = {0}.amount + excluded.amount"
)
seen = []
for table, statement in (("memory.main.paid", MERGE), ("lake.paid", MERGE), ("memory.main.paid", INSERT)):
    key = "" if table == "lake.paid" else " PRIMARY KEY"
    duckdb.execute(f"DROP TABLE IF EXISTS {table}")
    duckdb.execute(f"CREATE TABLE {table} (id INTEGER{key}, amount INTEGER)")
    duckdb.execute(f"INSERT INTO {table} VALUES (1, 0)")
    count = duckdb.execute(statement.format(table.split(".")[-1] if "memory" in table else table)).fetchone()[0]
    rows = duckdb.execute(f"FROM {table} ORDER BY id").fetchall()
    print(f"{statement.split()[0]} into {table}: {count} rows; now {rows}")
    seen.append((count, rows[-1]))
sys.exit(0 if seen == [(2, (1, 10)), (2, (1, 20)), (1, (2, 10))] else 1)
PYTHON
