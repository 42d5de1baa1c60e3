#!/usr/bin/env bash
# cobutils 0.2.8 reads packed numbers (COMP-3) with the sign C, which mainframes write for plus, as negative: 0x0012345C
# is -123.45 for S9(5)V99, as 0x0012345D is. Only F, the sign of unsigned numbers, is plus. Nothing is raised. Exits with
# 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cobutils==0.2.8
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from cobutils.parser import load_definition_from_text

COPYBOOK = "       01 REC.\n          05 A PIC S9(5)V99 COMP-3.\n"
record = load_definition_from_text(COPYBOOK)
read = {data: str(record.extract(bytes.fromhex(data))["a"]) for data in ("0012345c", "0012345d", "0012345f")}
print("cobutils", version("cobutils"))
for data, value in read.items():
    print(f"0x{data.upper()}  {value}")
sys.exit(0 if list(read.values()) == ["-123.45", "-123.45", "123.45"] else 1)
PYTHON
