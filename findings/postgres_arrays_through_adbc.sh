#!/usr/bin/env bash
# The ADBC driver for PostgreSQL 1.13.0 reads an array of two dimensions, {{1,2},{3,4}}, as one flat list of four
# values, and the identifier 4294967295 (an oid, 32 bits without a sign) as -1. Nothing is raised. psycopg 3.3.9 keeps
# both. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    adbc-driver-postgresql==1.13.0 pyarrow==26.0.1 pgserver==0.1.4 "psycopg[binary]==3.3.9"
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import adbc_driver_postgresql.dbapi
import pgserver
import psycopg

print(*(f"{name} {version(name)}" for name in ("adbc-driver-postgresql", "psycopg")))
server = pgserver.get_server(Path(sys.argv[1], "data"))
query = "SELECT '{{1,2},{3,4}}'::int[] AS grid, 4294967295::oid AS id"
with psycopg.connect(server.get_uri()) as database:
    other = database.execute(query).fetchone()
with adbc_driver_postgresql.dbapi.connect(server.get_uri()) as database, database.cursor() as cursor:
    cursor.execute(query)
    (read,) = cursor.fetch_arrow_table().to_pylist()
server.cleanup()
print(f"ADBC {tuple(read.values())}, psycopg {other}")
right = read == {"grid": [1, 2, 3, 4], "id": -1} and other == ([[1, 2], [3, 4]], 4294967295)
sys.exit(0 if right else 1)
PYTHON
