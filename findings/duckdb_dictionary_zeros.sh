#!/usr/bin/env bash
# DuckDB 1.5.5 writes 0.0 and -0.0 of a column to one entry of a Parquet dictionary: whichever came first in the row
# group is read back for both, by every reader, and 1 / x changes its sign. Written plainly (a few rows,
# DICTIONARY_SIZE_LIMIT 0) both are kept, and so does pyarrow with a dictionary. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import duckdb
import pyarrow
from pyarrow import parquet

print(*(f"{name} {version(name)}" for name in ("duckdb", "pyarrow")))
path = str(Path(sys.argv[1], "zeros.parquet"))
results = []


def read(writer):
    values = sorted({str(value) for value in parquet.read_table(path)["x"].to_pylist()})
    encodings = parquet.ParquetFile(path).metadata.row_group(0).column(0).encodings
    print(f"{writer}, {', '.join(encodings)}: {', '.join(values)}")
    results.append(values)


for zeros in ("'0.0', '-0.0'", "'-0.0', '0.0'"):
    for option in ("", ", DICTIONARY_SIZE_LIMIT 0"):
        rows = f"SELECT unnest([{zeros}])::DOUBLE AS x FROM range(1000)"
        duckdb.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet{option})")
        read(f"DuckDB{option}, {zeros} first")
parquet.write_table(pyarrow.table({"x": [0.0, -0.0] * 1000}), path)
read("pyarrow")
both = ["-0.0", "0.0"]
sys.exit(0 if results == [["0.0"], both, ["-0.0"], both, both] else 1)
PYTHON
