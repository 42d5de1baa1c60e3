#!/usr/bin/env bash
# fastavro 1.13.1 writes 2147483648 into an Avro field of type int (32 bits) without an error and reads it back; polars 2.1.0
# reads the same file as -2147483648, also without an error. Its validating writer (validator=True) refuses the value.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fastavro==1.13.1 polars==2.1.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import fastavro
import polars

print(*(f"{name} {version(name)}" for name in ("fastavro", "polars")))
path = Path(sys.argv[1], "counts.avro")
schema = {"type": "record", "name": "count", "fields": [{"name": "n", "type": "int"}]}
with path.open("wb") as file:
    fastavro.writer(file, schema, [{"n": 2**31}, {"n": 2**31 - 1}])
with path.open("rb") as file:
    own = [record["n"] for record in fastavro.reader(file)]
other = polars.read_avro(path)["n"].to_list()
try:
    with path.open("wb") as file:
        fastavro.writer(file, schema, [{"n": 2**31}], validator=True)
    refusal = "accepted"
except fastavro.validation.ValidationError as error:
    refusal = type(error).__name__
print(f"fastavro {own}, polars {other}; with validator=True: {refusal}")
right = own == [2**31, 2**31 - 1] and other == [-(2**31), 2**31 - 1] and refusal == "ValidationError"
sys.exit(0 if right else 1)
PYTHON
