#!/usr/bin/env bash
# DuckDB 1.5.5 reads a number of JSON through a DOUBLE when a column is declared DECIMAL, and writes digits behind it that
# neither the text nor the DOUBLE has: 12345678901234567.89 becomes 12345678901234567.68 as DECIMAL(20,2). Declared as
# VARCHAR, the column holds the DOUBLE's text. The same digits in quotes are read exactly, and DuckDB 2.0.1 reads both
# exactly as DECIMAL. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/read.py" <<'PYTHON'
import sys
from pathlib import Path

import duckdb

path = Path(sys.argv[1], "amounts.json")
print("DuckDB", duckdb.__version__)
for text in ("12345678901234567.89", '"12345678901234567.89"'):
    path.write_text(f'{{"amount": {text}}}\n')
    for kind in ("DECIMAL(20,2)", "VARCHAR"):
        query = f"FROM read_json('{path}', columns = {{amount: '{kind}'}})"
        print(f"{text} as {kind}: {duckdb.execute(query).fetchone()[0]}")
PYTHON
for version in 1.5.5 2.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check duckdb=="$version"
    "$folder/$version/bin/python" "$folder/read.py" "$folder" | tee -a "$folder/seen"
done
diff "$folder/seen" - <<'SEEN' && exit 0 || exit 1
DuckDB 1.5.5
12345678901234567.89 as DECIMAL(20,2): 12345678901234567.68
12345678901234567.89 as VARCHAR: 1.2345678901234568e+16
"12345678901234567.89" as DECIMAL(20,2): 12345678901234567.89
"12345678901234567.89" as VARCHAR: 12345678901234567.89
DuckDB 2.0.1
12345678901234567.89 as DECIMAL(20,2): 12345678901234567.89
12345678901234567.89 as VARCHAR: 1.2345678901234568e+16
"12345678901234567.89" as DECIMAL(20,2): 12345678901234567.89
"12345678901234567.89" as VARCHAR: 12345678901234567.89
SEEN
