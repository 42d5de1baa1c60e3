#!/usr/bin/env bash
# pydifact 0.2.3 doesn't split at the repetition separator of EDIFACT's syntax 4: a RFF with two references, ON:1 and ON:2,
# has the components "ON", "1*ON" and "2". An order's number is read as "1*ON". Nothing is raised. Exits with 0 while
# this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydifact==0.2.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from pydifact.segmentcollection import Interchange

FILE = "UNA:+.?*'UNB+UNOC:4+S+R+20240102:1200+1'UNH+1+ORDERS:D:96A:UN'BGM+220+1'RFF+ON:1*ON:2'UNT+4+1'UNZ+1+1'"
(message,) = Interchange.from_str(FILE).get_messages()
(reference,) = [segment.elements for segment in message.segments if segment.tag == "RFF"]
print("pydifact", version("pydifact"), reference)
sys.exit(0 if reference == [["ON", "1*ON", "2"]] else 1)
PYTHON
