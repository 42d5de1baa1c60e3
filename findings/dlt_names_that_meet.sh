#!/usr/bin/env bash
# dlt 1.31.0 turns names into snake_case and says nothing when two names of a record become one: of {"userId": 1, "user_id":
# 2} the table has one column user_id with 2, and 1 is lost; likewise "a b" and "a_b", "Total" and "total", "share%" and
# "share+". The same columns as an Arrow table are refused. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "dlt[duckdb]==1.31.0" duckdb==1.5.5 pyarrow==26.0.1
RUNTIME__DLTHUB_TELEMETRY=false RUNTIME__LOG_LEVEL=CRITICAL "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import dlt
import duckdb
import pyarrow
from dlt.pipeline.exceptions import PipelineStepFailed

print("dlt", dlt.__version__)
PAIRS = [("userId", "user_id"), ("a b", "a_b"), ("Total", "total"), ("share%", "share+")]
seen = []
for number, names in enumerate(PAIRS):
    for kind in ("records", "arrow"):
        record = dict(zip(names, (1, 2), strict=True))
        rows = [record] if kind == "records" else pyarrow.Table.from_pylist([record])
        path = Path(sys.argv[1], f"{kind}{number}.duckdb")
        pipeline = dlt.pipeline(
            f"{kind}{number}", pipelines_dir=sys.argv[1], destination=dlt.destinations.duckdb(str(path)), dataset_name="shop"
        )
        try:
            pipeline.run(rows, table_name="sales")
            with duckdb.connect(str(path)) as database:
                cursor = database.execute("SELECT COLUMNS('^[^_]') FROM shop.sales")
                result = [column[0] for column in cursor.description], cursor.fetchall()
        except PipelineStepFailed as error:
            result = type(error.__cause__).__name__, []
        print(f"{kind} with {names}: {result}")
        seen.append(result[1])
sys.exit(0 if seen == [[(2,)], []] * len(PAIRS) else 1)
PYTHON
