#!/usr/bin/env bash
# deltalake 1.6.6 writes the least and the greatest decimal of a file through a DOUBLE into the log: for
# 553368669423741.43 both are 553368669423741.44, so that the value lies outside of its own bounds. Readers that skip
# files by them don't find the row: polars 2.1.0 and pyarrow 26.0.1 return none for the filter that equals it. Without
# the filter the row is there. 5533686694237.43, with two digits less, is found. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check deltalake==1.6.6 polars==2.1.0 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import polars
import pyarrow
from deltalake import DeltaTable, write_deltalake

print(*(f"{name} {version(name)}" for name in ("deltalake", "polars", "pyarrow")))
seen = []
for text in ("553368669423741.43", "5533686694237.43"):
    amount, path = Decimal(text), Path(sys.argv[1], text.replace(".", "_"))
    write_deltalake(path, pyarrow.table({"amount": pyarrow.array([amount], pyarrow.decimal128(18, 2))}))
    log = "".join(file.read_text() for file in path.glob("_delta_log/*.json"))
    (stats,) = (json.loads(line)["add"]["stats"] for line in log.splitlines() if '"add"' in line)
    bounds = json.loads(stats, parse_float=Decimal)
    (least,), (greatest,) = (bounds[name].values() for name in ("minValues", "maxValues"))
    frame = polars.scan_delta(str(path)).filter(polars.col("amount") == amount).collect()
    table = DeltaTable(path).to_pyarrow_table(filters=[("amount", "=", amount)])
    every = DeltaTable(path).to_pyarrow_table()
    print(f"{text}: bounds {least} and {greatest}; rows {every.num_rows}, by filter {frame.height} (polars), {table.num_rows} (pyarrow)")
    seen.append((least - amount, greatest - amount, every.num_rows, frame.height, table.num_rows))
sys.exit(0 if seen == [(Decimal("0.01"),) * 2 + (1, 0, 0), (0, 0, 1, 1, 1)] else 1)
PYTHON
