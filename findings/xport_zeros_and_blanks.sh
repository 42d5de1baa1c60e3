#!/usr/bin/env bash
# pandas 3.1.1 reads each 0 of a SAS transport file (version 5, the form that the FDA asks for) as
# 5.397605346934028e-79, and makes rows of the blanks that fill the last 80 bytes. pyreadstat 1.3.7 reads zeros, but
# leaves out rows at the end of a file whose texts are all blank, also of its own file. Nothing is raised. Exits with 0
# while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyreadstat==1.3.7 pandas==3.1.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import pandas
import pyreadstat

print(*(f"{name} {version(name)}" for name in ("pyreadstat", "pandas")))
path = str(Path(sys.argv[1], "visits.xpt"))
seen = []
for values in ([1.0, 0.0], ["a", "", ""], ["abcd", "efgh", "ijkl"]):
    pyreadstat.write_xport(pandas.DataFrame({"X": values}), path, file_format_version=5)
    own = pyreadstat.read_xport(path)[0]["X"].tolist()
    other = pandas.read_sas(path, encoding="utf-8")["X"].tolist()
    print(f"{values}: pyreadstat {own}, pandas {other}")
    seen.append((own, other[: len(values)], len(other) - len(values)))
right = [
    ([1.0, 0.0], [1.0, 5.397605346934028e-79], 0),
    (["a"], ["a", "", ""], 5),
    (["abcd", "efgh", "ijkl"], ["abcd", "efgh", "ijkl"], 1),
]
sys.exit(0 if seen == right else 1)
PYTHON
