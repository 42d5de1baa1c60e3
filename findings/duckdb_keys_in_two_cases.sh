#!/usr/bin/env bash
# DuckDB 1.5.5 reads JSON lines whose keys differ in case, {"x": 1, "X": 2}, as columns x and X_1. Whoever gives these names and
# types back to the reader, as `columns = {x: 'BIGINT', X_1: 'BIGINT'}`, so that each file is read alike, gets NULL for X_1: there
# the names are keys. Inside of an object such keys are an error; in Parquet, X_1 always has the value of X. Polars keeps
# both names. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5 polars==1.35.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import sys

import duckdb
import polars

print("DuckDB", duckdb.__version__, "polars", polars.__version__)
pathlib.Path("a.jsonl").write_text('{"x": 1, "X": 2}\n')
pathlib.Path("b.jsonl").write_text('{"o": {"x": 1, "X": 2}}\n')
read = duckdb.sql("FROM read_json('a.jsonl', format = 'newline_delimited')")
columns = ", ".join(f"{name}: '{kind}'" for name, kind in zip(read.columns, read.types, strict=True))
again = duckdb.sql(f"FROM read_json('a.jsonl', format = 'newline_delimited', columns = {{{columns}}})")
lines = (read.columns, read.fetchall(), again.fetchall())
print("JSON lines:", *lines[:2])
print(f"with columns = {{{columns}}}:", lines[2])
try:
    duckdb.sql("FROM read_json('b.jsonl', format = 'newline_delimited')").fetchall()
    inside = "read"
except duckdb.Error as error:
    inside = str(error).splitlines()[0]
print("inside of an object:", inside)
frame = polars.read_ndjson("a.jsonl")
frame.write_parquet("a.parquet")
parquet = duckdb.sql("FROM 'a.parquet'")
rows = (parquet.columns, parquet.fetchall())
print("Parquet:", *rows)
print("polars, from JSON lines:", frame.rows(named=True))
same = lines == (["x", "X_1"], [(1, 2)], [(1, None)]) and rows == (["x", "X_1"], [(1, 2)])
sys.exit(0 if same and "Duplicate name" in inside and frame.rows() == [(1, 2)] else 1)
PYTHON
