#!/usr/bin/env bash
# fastparquet 2026.9.0 reads wrong values from DELTA_BINARY_PACKED, without an error, where differences between
# neighbours vary by 2^32 or more: in a column of microseconds that is a gap of 72 minutes more than the shortest one.
# Differences that vary by less are read right. DuckDB writes times in this encoding to Parquet of version 2, pyarrow
# where it is chosen. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    fastparquet==2026.9.0 pyarrow==26.0.1 pandas==3.1.1 duckdb==1.5.5
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path

import duckdb
import fastparquet
import pyarrow
from pyarrow import parquet

print(*(f"{name} {version(name)}" for name in ("fastparquet", "pyarrow", "duckdb")))
path = str(Path(sys.argv[1], "times.parquet"))
results = []


def compare(writer):
    read = fastparquet.ParquetFile(path).to_pandas()["at"].dt.to_pydatetime().tolist()
    right = [row["at"] for row in parquet.read_table(path).to_pylist()]
    (encoding,) = {*parquet.ParquetFile(path).metadata.row_group(0).column(0).encodings} - {"RLE", "PLAIN"}
    print(f"{writer}, {encoding}: fastparquet {read[-1]}, pyarrow {right[-1]}")
    results.append(read == right)


for gaps in ([1, 1], [1, 2**32], [1, 2**32 + 1]):
    begin = datetime(2026, 1, 1)
    moments = [begin, *(begin + timedelta(microseconds=us) for us in accumulate(gaps))]
    times = pyarrow.array(moments, pyarrow.timestamp("us"))
    parquet.write_table(
        pyarrow.table({"at": times}),
        path,
        use_dictionary=False,
        column_encoding={"at": "DELTA_BINARY_PACKED"},
    )
    compare(f"pyarrow, gaps {gaps}")
duckdb.execute(
    "COPY (SELECT TIMESTAMP '2026-01-01' + to_days(cast(i * i AS INTEGER)) AS at FROM range(100) t(i))"
    f" TO '{path}' (PARQUET_VERSION v2)"
)
compare("DuckDB, growing gaps")
sys.exit(0 if results == [True, True, False, False] else 1)
PYTHON
