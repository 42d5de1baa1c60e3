#!/usr/bin/env bash
# pyreadstat 1.3.7 and pandas 3.1.1 read the headers of the second data set of a SAS transport file as rows of the first:
# a library of two data sets with 10 rows each has 70 rows. PROC COPY writes such files (SAS, TS-140: the
# records of a member repeat). Nothing is raised. pyreadstat also reads .A to .Z of transport files as plain missing values,
# while read_sas7bdat has user_missing for them. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyreadstat==1.3.7 pandas==3.1.1
cat > "$folder/read.py" <<'PYTHON'
import sys

import pandas
import pyreadstat

path = sys.argv[1]
print("pyreadstat", pyreadstat.__version__, "pandas", pandas.__version__)
frame = pandas.DataFrame({"A": [1.0] * 9 + [None], "S": ["abcdefgh"] * 10})
pyreadstat.write_xport(frame, path, file_format_version=5)
content = open(path, "rb").read()
library = content[:240]  # its three records; those of a data set begin with MEMBER
for name, data in (("one", content), ("two", content + content.removeprefix(library))):
    open(path, "wb").write(data)
    read = pyreadstat.read_xport(path)[0]
    same = pandas.read_sas(path, format="xport", encoding="latin-1")
    print(f"{name}: pyreadstat {len(read)} rows, pandas {len(same)};", *read["S"][9:11])
open(path, "wb").write(content.replace(b"." + bytes(7), b"A" + bytes(7)))
print("missing as .A:", pyreadstat.read_xport(path)[0]["A"][9])
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$folder/a.xpt" 2>&1 | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
pyreadstat 1.3.7 pandas 3.1.1
one: pyreadstat 10 rows, pandas 10; abcdefgh
two: pyreadstat 70 rows, pandas 70; abcdefgh ECORD***
missing as .A: nan
SEEN
