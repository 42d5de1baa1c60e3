#!/usr/bin/env bash
# DuckDB 1.5.5 and 2.0.1 change values to fit the types that `columns` declares, where an error would be expected: 10.75 declared
# BIGINT is 11, from CSV and from JSON, 10.755 as DECIMAL(9,2) is 10.76, and a timestamp declared DATE loses its time of day. Of the
# same kind, `2` declared BOOLEAN is true in JSON and an error in CSV. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/read.py" <<'PYTHON'
import sys
from pathlib import Path

import duckdb

print("DuckDB", duckdb.__version__)
CASES = [
    ("10.75", "BIGINT"),
    ("10.755", "DECIMAL(9,2)"),
    ('"2026-03-01 10:00:00"', "DATE"),
    ("2", "BOOLEAN"),
]


def read(query):
    try:
        return duckdb.execute(query).fetchone()[0]
    except duckdb.Error as error:
        return type(error).__name__


csv, lines = Path(sys.argv[1], "v.csv"), Path(sys.argv[1], "v.json")
for text, kind in CASES:
    value = text.replace('"', "")
    csv.write_text(f"v,w\n{value},x\n")
    lines.write_text(f'{{"v": {text}}}\n')
    columns = f"{{v: '{kind}', w: 'VARCHAR'}}"
    of_csv = read(f"SELECT v FROM read_csv('{csv}', header = true, auto_detect = false, columns = {columns})")
    of_json = read(f"SELECT v FROM read_json('{lines}', columns = {{v: '{kind}'}})")
    print(f"{value} as {kind}: CSV {of_csv}, JSON {of_json}")
PYTHON
for version in 1.5.5 2.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check duckdb=="$version"
    "$folder/$version/bin/python" "$folder/read.py" "$folder" | tee -a "$folder/seen"
done
diff "$folder/seen" - <<'SEEN' && exit 0 || exit 1
DuckDB 1.5.5
10.75 as BIGINT: CSV 11, JSON 11
10.755 as DECIMAL(9,2): CSV 10.76, JSON 10.76
2026-03-01 10:00:00 as DATE: CSV 2026-03-01, JSON 2026-03-01
2 as BOOLEAN: CSV ConversionException, JSON True
DuckDB 2.0.1
10.75 as BIGINT: CSV 11, JSON 11
10.755 as DECIMAL(9,2): CSV 10.76, JSON 10.76
2026-03-01 10:00:00 as DATE: CSV 2026-03-01, JSON 2026-03-01
2 as BOOLEAN: CSV ConversionException, JSON True
SEEN
