#!/usr/bin/env bash
# hl7apy 1.3.5 drops segments of the sender's own, such as ZPI, from messages whose structure it knows: they aren't in
# the text that it writes. With find_groups=False they stay. Escapes that it doesn't know, \.br\ (a line break) and
# \X0D\ (a byte), are escaped once more, so that a line break becomes the letters ".br". Nothing is raised. Exits with 0
# while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check hl7apy==1.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from hl7apy.parser import parse_message

print("hl7apy", version("hl7apy"))
seen = []
message = [
    "MSH|^~\\&|A|B|C|D|20260101||ADT^A01^ADT_A01|1|P|2.5",
    "EVN||20260101",
    "PID|1||7",
    "ZPI|1|insured",
    "PV1||I",
    "OBX|1|TX|x||first\\.br\\second\\T\\third\\X0D\\",
]
for finds_groups in (True, False):
    written = parse_message("\r".join(message), find_groups=finds_groups).to_er7().split("\r")
    names = [segment[:3] for segment in written]
    print(f"find_groups={finds_groups}: {names}; {written[-1]}")
    seen.append(("ZPI" in names, written[-1].endswith("first\\E\\.br\\E\\second\\T\\third\\E\\X0D\\E\\")))
sys.exit(0 if seen == [(False, True), (True, True)] else 1)
PYTHON
