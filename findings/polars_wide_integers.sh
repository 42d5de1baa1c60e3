#!/usr/bin/env bash
# polars 2.1.0 reads whole numbers of 20 digits from CSV as Int128, and writes a column of them to Parquet as 16 bytes,
# which it reads back. DuckDB 1.5.5 reads a BLOB from the file without a word, fastparquet 2026.9.0 bytes, while pyarrow
# 26.0.1 refuses the file. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    polars==2.1.0 duckdb==1.5.5 pyarrow==26.0.1 fastparquet==2026.9.0 pandas==3.1.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import io
import sys
from importlib.metadata import version
from pathlib import Path

import duckdb
import fastparquet
import polars
import pyarrow
from pyarrow import parquet

print(*(f"{name} {version(name)}" for name in ("polars", "duckdb", "pyarrow", "fastparquet")))
path = str(Path(sys.argv[1], "parcels.parquet"))
frame = polars.read_csv(io.StringIO("sscc\n12345678901234567890\n"))
frame.write_parquet(path)
own = polars.read_parquet(path).item()
kind, value = duckdb.execute(f"SELECT typeof(sscc), sscc FROM '{path}'").fetchone()
third = fastparquet.ParquetFile(path).to_pandas()["sscc"][0]
try:
    refusal = str(parquet.read_table(path))
except pyarrow.ArrowNotImplementedError as error:
    refusal = f"{type(error).__name__}: {error}"
print("polars:", frame.dtypes[0], own)
print("DuckDB:", kind, value)
print("fastparquet:", third)
print("pyarrow:", refusal)
right = own == 12345678901234567890 and kind == "BLOB" and isinstance(third, bytes) and "64 bits" in refusal
sys.exit(0 if right else 1)
PYTHON
