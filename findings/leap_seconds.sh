#!/usr/bin/env bash
# A leap second, 2016-12-31 23:59:60 (valid in ISO 8601 and RFC 3339), in a CSV file: read_csv of Polars 2.1.0 with
# try_parse_dates makes the next day of it, 2017-01-01 00:00:00. Any 60th second is moved so: 12:30:60 is 12:31. DuckDB
# 2.0.0 and pyarrow 26.0.1 make the whole column text of one such value, and Python and pandas 3.1.1 refuse it. So the same
# file has another day, another type, or none. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 \
    duckdb==2.0.0
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from datetime import datetime, time
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv

print(*(f"{each.__name__} {each.__version__}" for each in (polars, pandas, pyarrow, duckdb)))
path = Path(sys.argv[1], "events.csv")
path.write_text("at,of_day\n2016-12-31 23:59:59,12:30:59\n2016-12-31 23:59:60,12:30:60\n")
found = polars.read_csv(path, try_parse_dates=True).row(1)
types = [str(kind) for kind in duckdb.sql(f"FROM read_csv('{path}')").types]
arrow = [str(kind) for kind in pyarrow.csv.read_csv(path).schema.types]
try:
    refused = pandas.to_datetime("2016-12-31 23:59:60") is None
except ValueError as error:
    refused = True
    print("pandas:", error)
print("polars:", *found)
print("duckdb:", *types, "- pyarrow:", *arrow)
is_text = types[0] == "VARCHAR" and arrow[0] == "string"
sys.exit(0 if found == (datetime(2017, 1, 1), time(12, 31)) and is_text and refused else 1)
PYTHON
