#!/usr/bin/env bash
# datacontract-cli 1.2.8 tests a CSV file after DuckDB has cast it to the contract's types: 1.6 in a column of integers
# passes, and so do 1.239 as decimal(10,2), a time of the day in a column of dates, and an offset in a timestamp. The
# other checks see the cast values, too, so that the keys 1.6 and 2 are reported as one key twice. Exits with 0 while
# this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "datacontract-cli[duckdb]==1.2.8" duckdb==1.5.6
"$folder/venv/bin/python" -W ignore - "$folder" 2>"$folder/log" <<'PYTHON'
import logging
import sys
from importlib.metadata import version
from pathlib import Path

from datacontract.data_contract import DataContract

logging.disable(logging.CRITICAL)
print(*(f"{name} {version(name)}" for name in ("datacontract-cli", "duckdb")))
CONTRACT = """
apiVersion: v3.0.2
kind: DataContract
id: orders
version: 1.0.0
status: active
servers: [{{server: here, type: local, path: {path}, format: csv}}]
schema:
  - name: orders
    properties:
      - {{name: id, logicalType: integer, required: true, unique: true}}
      - {{name: value, {kind}}}
"""
seen = []
for number, (kind, rows) in enumerate(
    (
        ("logicalType: integer", "1,1.6"),
        ("logicalType: number, physicalType: 'decimal(10,2)'", "1,1.239"),
        ("logicalType: date", "1,2026-01-01 23:59:59"),
        ("logicalType: timestamp", "1,2026-01-01 23:30:00+05:00"),
        ("logicalType: integer", "1.6,1\n2,2"),
    )
):
    path = Path(sys.argv[1], f"orders{number}.csv")
    path.write_text(f"id,value\n{rows}\n")
    run = DataContract(data_contract_str=CONTRACT.format(path=path, kind=kind), server="here").test()
    failed = [check.reason for check in run.checks if check.result.value != "passed"]
    print(f"{kind}, {rows!r}: {run.result.value} {failed}")
    seen.append(failed)
sys.exit(0 if seen == [[]] * 4 + [["Actual duplicate_count(id) was 1, expected = 0"]] else 1)
PYTHON
