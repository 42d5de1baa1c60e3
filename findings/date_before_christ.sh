#!/usr/bin/env bash
# DuckDB 1.5.5 casts the text of a date BC, as PostgreSQL writes it with DateStyle ISO, to the same date AD without an
# error, while it refuses the same text with a time. Its own form of such a date is `0044-03-15 (BC)`. Exits with 0 while
# this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import duckdb

print("DuckDB", duckdb.__version__)
results = {}
for text, kind in (
    ("0044-03-15 BC", "DATE"),
    ("0044-03-15 (BC)", "DATE"),
    ("0044-03-15 00:00:00 BC", "TIMESTAMP"),
):
    try:
        year = duckdb.execute(f"SELECT year(CAST(? AS {kind}))", [text]).fetchone()[0]
    except duckdb.Error as error:
        year = type(error).__name__
    results[text] = year
    print(f"CAST('{text}' AS {kind}): year {year}")
sys.exit(0 if list(results.values()) == [44, -43, "ConversionException"] else 1)
PYTHON
