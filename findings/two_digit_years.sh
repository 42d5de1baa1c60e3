#!/usr/bin/env bash
# Polars 2.1.0 reads the year 69 of a day YYMMDD (`%y%m%d`) as 2069. Python, pandas 3.1.1, pyarrow 26.0.1 and DuckDB
# 2.0.0 read it as 1969, as POSIX says; from 70 on, and up to 68, all agree. So a birthday of 1969 is a century off in one of
# five. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 \
    duckdb==2.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import datetime

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.compute

print(*(f"{each.__name__} {each.__version__}" for each in (polars, pandas, pyarrow, duckdb)))
seen = {}
for text in ("680102", "690102", "700102"):
    years = {
        "Python": datetime.strptime(text, "%y%m%d").year,
        "pandas": pandas.to_datetime(text, format="%y%m%d").year,
        "pyarrow": pyarrow.compute.strptime(pyarrow.array([text]), format="%y%m%d", unit="s")[0].as_py().year,
        "duckdb": duckdb.execute("SELECT strptime(?, '%y%m%d')", [text]).fetchall()[0][0].year,
        "polars": polars.Series([text]).str.to_date("%y%m%d")[0].year,
    }
    print(text, years)
    others = {year for name, year in years.items() if name != "polars"}
    seen[text] = (*others, years["polars"])
sys.exit(0 if seen == {"680102": (2068, 2068), "690102": (1969, 2069), "700102": (1970, 1970)} else 1)
PYTHON
