#!/usr/bin/env bash
# DuckDB 1.5.5 reads NaN of PostgreSQL's numeric as 0, both as DECIMAL (numeric(6,2)) and as DOUBLE (numeric), and so it
# does Infinity of numeric; a filter runs in PostgreSQL, so that `n > 1` finds the row that then shows 0. A numeric with
# a negative scale, numeric(5,-2), becomes DECIMAL(5,254); the year 294276 of a timestamp wraps around to a year before
# Christ. Nothing is raised; NaN in a double precision column is right. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    duckdb==1.5.5 duckdb-extensions==1.5.5 duckdb-extension-postgres-scanner==1.5.5 pgserver==0.1.4 "psycopg[binary]==3.3.9"
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import duckdb
import pgserver
import psycopg
from duckdb_extensions import import_extension

import_extension("postgres_scanner")
server = pgserver.get_server(Path(sys.argv[1], "data"))
seen = []
with psycopg.connect(server.get_uri(), autocommit=True) as database:
    print("DuckDB", duckdb.__version__, "PostgreSQL", database.info.server_version)
    database.execute(
        "CREATE TABLE seen (n numeric(6,2), any_n numeric, f float8, hundreds numeric(5,-2), seen_at timestamp);"
        "INSERT INTO seen VALUES ('NaN', 'NaN', 'NaN', 12345, '294276-12-31'), (1.5, 'Infinity', 1.5, 12345, now())"
    )
    print("PostgreSQL:", *database.execute("SELECT n::text, any_n::text, f::text, hundreds FROM seen").fetchall())
    duckdb.execute("LOAD postgres_scanner")
    duckdb.execute(f"ATTACH '{server.get_uri()}' AS shop (TYPE postgres, READ_ONLY)")
    rows = duckdb.execute(
        "SELECT CAST(n AS VARCHAR), CAST(any_n AS VARCHAR), CAST(f AS VARCHAR) FROM shop.seen WHERE n > 1"
    ).fetchall()
    kind = duckdb.execute("SELECT typeof(hundreds) FROM shop.seen LIMIT 1").fetchone()[0]
    late = duckdb.execute("SELECT CAST(seen_at AS VARCHAR) FROM shop.seen WHERE isnan(f)").fetchone()[0]
    print("DuckDB, n > 1:", *rows, "hundreds is", kind, "294276-12-31 is", late)
    duckdb.execute("DETACH shop")
server.cleanup()
right = rows == [("0.00", "0.0", "nan"), ("1.50", "0.0", "1.5")] and kind == "DECIMAL(5,254)" and "(BC)" in late
sys.exit(0 if right else 1)
PYTHON
