#!/usr/bin/env bash
# A HUGEINT column of a DuckLake 1.5.5 table keeps its values while they are inlined in the catalog, and rounds them to a
# DOUBLE when they are flushed to a Parquet file, although the column's type stays HUGEINT and nothing is raised. sum() of
# BIGINT is a HUGEINT, so that a total of 9007199254740993 is 9007199254740992 once it is in a file. An INTERVAL loses its
# microseconds in the same way. COPY to Parquet does the same, but the file says DOUBLE. Exits with 0 while this is so.
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
duckdb.execute(
    "CREATE TABLE lake.totals AS SELECT sum(n) AS total, INTERVAL '0.000001 seconds' AS took"
    " FROM (VALUES (9007199254740992), (1)) t(n)"
)
query = "SELECT typeof(total), CAST(total AS VARCHAR), CAST(took AS VARCHAR) FROM "
seen = [duckdb.execute(query + "lake.totals").fetchone()]
duckdb.execute(f"COPY lake.totals TO '{sys.argv[1]}/totals.parquet'")
duckdb.execute("CALL ducklake_flush_inlined_data('lake')")
seen.append(duckdb.execute(query + "lake.totals").fetchone())
seen.append(duckdb.execute(query + f"'{sys.argv[1]}/totals.parquet'").fetchone())
for where, (kind, total, took) in zip(("inlined", "flushed", "copied to Parquet"), seen, strict=True):
    print(f"{where}: {kind} {total}, interval {took}")
exact, rounded = ("9007199254740993", "00:00:00.000001"), ("9007199254740992", "00:00:00")
right = [("HUGEINT", *exact), ("HUGEINT", *rounded), ("DOUBLE", "9007199254740992.0", "00:00:00")]
sys.exit(0 if seen == right else 1)
PYTHON
