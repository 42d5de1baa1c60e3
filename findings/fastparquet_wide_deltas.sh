#!/usr/bin/env bash
# fastparquet 2026.9.0 reads only the low 32 bits of a difference in DELTA_BINARY_PACKED, the encoding in which DuckDB's and
# pyarrow's Parquet of version 2 may keep integers and times. Values whose differences vary by 2^32 or more come out wrong
# without an error: in a column of microseconds that is a gap of 72 minutes more than the shortest one. Even gaps are right.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastparquet==2026.9.0 pyarrow==26.0.1 pandas==3.1.1 duckdb==1.5.5
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import duckdb
import fastparquet
import pyarrow
from pyarrow import parquet

print(*(f"{name} {version(name)}" for name in ("fastparquet", "pyarrow", "duckdb")))
path = str(Path(sys.argv[1], "times.parquet"))
results = []


def compare(writer):
    read = fastparquet.ParquetFile(path).to_pandas()["at"].astype(str).tolist()
    right = [str(row["at"]) for row in parquet.read_table(path).to_pylist()]
    (encoding,) = {*parquet.ParquetFile(path).metadata.row_group(0).column(0).encodings} - {"RLE", "PLAIN"}
    print(f"{writer}, {encoding}: fastparquet {read[-1]}, pyarrow {right[-1]}")
    results.append(read[-1][:10] == right[-1][:10])


for days in ((1, 2, 3), (1, 2, 31)):
    times = pyarrow.array([datetime(2026, 1, day) for day in days], pyarrow.timestamp("us"))
    parquet.write_table(
        pyarrow.table({"at": times}),
        path,
        use_dictionary=False,
        column_encoding={"at": "DELTA_BINARY_PACKED"},
    )
    compare(f"pyarrow, days {days}")
duckdb.execute(
    "COPY (SELECT TIMESTAMP '2026-01-01' + to_days(cast(i * i AS INTEGER)) AS at FROM range(100) t(i))"
    f" TO '{path}' (PARQUET_VERSION v2)"
)
compare("DuckDB, growing gaps")
sys.exit(0 if results == [True, False, False] else 1)
PYTHON
