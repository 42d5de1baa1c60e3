#!/usr/bin/env bash
# fastparquet 2026.9.0 writes pandas durations (01:30, 36:00, -01:00) as the Parquet type TIME, which holds a time of
# the day. Each reader makes something else of them: fastparquet itself reads durations back by pandas's words in the
# footer; pyarrow 26.0.1 wraps them into one day (01:30, 12:00, 23:00) without an error, but through pandas 3.1.1 it
# raises "hour must be in 0..23"; DuckDB 1.5.5 shows 36:00:00 and `0/:00:00`; polars 2.1.0 reads nulls.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastparquet==2026.9.0 pandas==3.1.1 pyarrow==26.0.1 duckdb==1.5.5 polars==2.1.0
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import duckdb
import fastparquet
import pandas
import polars
import pyarrow.parquet

print(*(f"{name} {version(name)}" for name in ("fastparquet", "pandas", "pyarrow", "duckdb", "polars")))
path = str(Path(sys.argv[1], "took.parquet"))
fastparquet.write(path, pandas.DataFrame({"took": pandas.to_timedelta(["01:30:00", "36:00:00", "-1:00:00"])}))
print(pyarrow.parquet.ParquetFile(path).schema.column(0).logical_type)
readers = {
    "fastparquet": lambda: fastparquet.ParquetFile(path).to_pandas()["took"],
    "pyarrow": lambda: pyarrow.parquet.read_table(path)["took"].to_pylist(),
    "pandas, pyarrow": lambda: pandas.read_parquet(path, engine="pyarrow")["took"],
    "DuckDB": lambda: [row[0] for row in duckdb.sql(f"select took::varchar from '{path}'").fetchall()],
    "polars": lambda: polars.read_parquet(path)["took"].to_list(),
}
results = {}
for name, read in readers.items():
    try:
        results[name] = [str(value) for value in read()]
    except ValueError as error:
        results[name] = [f"{type(error).__name__}: {error}"]
    print(f"{name}: {', '.join(results[name])}")
expected = {
    "fastparquet": ["0 days 01:30:00", "1 days 12:00:00", "-1 days +23:00:00"],
    "pyarrow": ["01:30:00", "12:00:00", "23:00:00"],
    "pandas, pyarrow": ["ValueError: hour must be in 0..23"],
    "DuckDB": ["01:30:00", "36:00:00", "0/:00:00"],
    "polars": ["01:30:00", "None", "None"],
}
sys.exit(0 if results == expected else 1)
PYTHON
