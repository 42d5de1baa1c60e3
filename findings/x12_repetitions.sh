#!/usr/bin/env bash
# pyx12 4.0.0 splits a repeated element only at the component separator, although it has read the repetition separator
# from ISA11. A member of two races (DMG05 of an 834: RET:2106-3 and RET:2028-9) has the race code "2106-3^", and the
# second one becomes components 4 and 5. No error is reported. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyx12==4.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from importlib.metadata import version

from pyx12.x12file import X12Reader

FILE = (
    "ISA*00*          *00*          *ZZ*S              *ZZ*R              *240102*1253*^*00501*000000905*0*P*:~"
    "GS*BE*S*R*20240102*1253*1*X*005010X220A1~ST*834*0001*005010X220A1~"
    "DMG*D8*19450915*F**:RET:2106-3^:RET:2028-9~SE*3*0001~GE*1*1~IEA*1*000000905~"
)
reader = X12Reader(io.StringIO(FILE))
(person,) = [segment for segment in reader if segment.get_seg_id() == "DMG"]
components = [person.get_value(f"DMG05-{number}") for number in range(1, 6)]
print("pyx12", version("pyx12"), components, "errors:", reader.pop_errors())
sys.exit(0 if components == ["", "RET", "2106-3^", "RET", "2028-9"] else 1)
PYTHON
