#!/usr/bin/env bash
# polars-readstat 0.25.0 leaves out the fraction of a second of times in SPSS files: 03:04:05.678 becomes 03:04:05, in a
# column that has milliseconds. pyreadstat 1.3.7, and so read_spss of pandas, cuts it: 03:04:05.677999.
# readstat-arrow 2026.10.20.0 reads .678. The file has the double that is nearest to it. Nothing is raised. Exits with 0
# while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyreadstat==1.3.7 pandas==3.1.1 \
    polars-readstat==0.25.0 polars==2.1.0 readstat-arrow==2026.10.20.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pandas
import polars_readstat
import pyreadstat
import readstat_arrow

print(*(f"{name} {version(name)}" for name in ("pyreadstat", "polars-readstat", "readstat-arrow")))
path = str(Path(sys.argv[1], "visits.sav"))
at = datetime(2024, 1, 2, 3, 4, 5, 678_000)
pyreadstat.write_sav(pandas.DataFrame({"t": [at]}), path)
stored = pyreadstat.read_sav(path, disable_datetime_conversion=True)[0]["t"][0]
seen = [
    pyreadstat.read_sav(path)[0]["t"][0].to_pydatetime(),
    polars_readstat.scan_readstat(path).collect()["t"][0],
    readstat_arrow.read_sav(path)[0].to_pylist()[0]["t"],
]
print(f"stored {stored!r}: pyreadstat {seen[0]}, polars-readstat {seen[1]}, readstat-arrow {seen[2]}")
right = [at.replace(microsecond=677_999), at.replace(microsecond=0), at]
sys.exit(0 if seen == right and stored == 13_923_543_845.678 else 1)
PYTHON
