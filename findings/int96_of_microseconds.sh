#!/usr/bin/env bash
# fastparquet 2026.9.0 with times="int96" (the form that older Spark and Impala read) takes the number of a pandas column
# for nanoseconds whatever its unit is. pandas 3 parses texts to microseconds, so the times of such a column are written as
# times in January 1970, which fastparquet itself and pyarrow read back so. Nothing is raised; times="int64" is right.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fastparquet==2026.9.0 pandas==3.1.1 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import fastparquet
import pandas as pd
from pyarrow import parquet

print(*(f"{name} {version(name)}" for name in ("fastparquet", "pandas", "pyarrow")))
parsed = pd.to_datetime(pd.Series(["1996-12-07 15:54:21.090278"]))
path = str(Path(sys.argv[1], "times.parquet"))
results = []
for unit, form in (("us", "int96"), ("ns", "int96"), ("us", "int64")):
    fastparquet.write(path, pd.DataFrame({"at": parsed.astype(f"datetime64[{unit}]")}), times=form)
    own = str(fastparquet.ParquetFile(path).to_pandas()["at"][0])
    other = str(pd.Timestamp(parquet.read_table(path).to_pylist()[0]["at"]))
    print(f"datetime64[{unit}], times={form!r}: {own} by fastparquet, {other} by pyarrow")
    results += [own, other]
print("pandas parses a text to", parsed.dtype)
wrong, right = "1970-01-10 20:06:14.061090278", "1996-12-07 15:54:21.090278"
same = results == [wrong] * 2 + [right] * 4 and str(parsed.dtype) == "datetime64[us]"
sys.exit(0 if same else 1)
PYTHON
