#!/usr/bin/env bash
# One line of JSON whose time has an offset, 2026-01-01T23:30:00+05:00, becomes a time without a zone in DuckDB 1.5.5,
# pyarrow 26.0.1 and polars 2.1.0, and not the same one: DuckDB that detects the type, pyarrow, and polars with a
# declared Datetime make 18:30 of it (UTC); DuckDB with the column declared as TIMESTAMP makes 23:30. From CSV pyarrow
# keeps the zone. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5 pyarrow==26.0.1 polars==2.1.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import duckdb
import polars
from pyarrow import csv, json

print(*(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "polars")))
moment = "2026-01-01T23:30:00+05:00"
lines = Path(sys.argv[1], "seen.json")
lines.write_text(f'{{"seen": "{moment}"}}\n')
table = Path(sys.argv[1], "seen.csv")
table.write_text(f"seen\n{moment}\n")
query = "SELECT typeof(seen), CAST(seen AS VARCHAR) FROM read_json('{}'{})"
arrow, arrow_csv = json.read_json(lines), csv.read_csv(table)
frame = polars.read_ndjson(lines, schema={"seen": polars.Datetime("us")})
found = {
    "DuckDB, detected": duckdb.execute(query.format(lines, "")).fetchone(),
    "DuckDB, declared": duckdb.execute(query.format(lines, ", columns = {seen: 'TIMESTAMP'}")).fetchone(),
    "pyarrow": (str(arrow.schema.field("seen").type), str(arrow["seen"][0])),
    "polars, declared": (str(frame["seen"].dtype), str(frame["seen"][0])),
    "pyarrow, from CSV": (str(arrow_csv.schema.field("seen").type), str(arrow_csv["seen"][0])),
}
for reader, (kind, value) in found.items():
    print(f"{reader}: {kind} {value}")
values = [value[:16] for _, value in found.values()]
zones = ["UTC" in kind for kind, _ in found.values()]
utc, local = "2026-01-01 18:30", "2026-01-01 23:30"
sys.exit(0 if values == [utc, local, utc, utc, utc] and zones == [False] * 4 + [True] else 1)
PYTHON
