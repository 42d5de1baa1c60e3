#!/usr/bin/env bash
# pyshp 3.1.6 writes a number that is wider than its DBF field by its first characters, without an error: 12345 in a
# field of three digits is stored as 123, 1e12 in N(10,2) as 1000000000. The dbf package 0.99.11 refuses such numbers,
# but writes whole numbers of 18 digits through a float: 123456789012345678 becomes …680. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyshp==3.1.6 dbf==0.99.11 dbfread==2.0.7
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import dbf
import dbfread
import shapefile

print(*(f"{name} {version(name)}" for name in ("pyshp", "dbf", "dbfread")))
seen = []
for kind, width, decimals, value in (("N", 3, 0, 12345), ("N", 10, 2, 1e12), ("N", 18, 0, 123456789012345678)):
    path = str(Path(sys.argv[1], f"places{width}"))
    with shapefile.Writer(path, shapeType=shapefile.POINT) as writer:
        writer.field("people", kind, width, decimals)
        writer.point(1, 2)
        writer.record(value)
    own, other = shapefile.Reader(path).record(0)[0], next(iter(dbfread.DBF(path + ".dbf")))["people"]
    print(f"{value} in {kind}({width},{decimals}) by pyshp: {own}, read by dbfread {other}")
    seen += [own, other]
    table = dbf.Table(str(Path(sys.argv[1], f"own{width}.dbf")), f"people {kind}({width},{decimals})")
    with table.open(dbf.READ_WRITE):
        try:
            table.append((value,))
        except dbf.DataOverflowError as error:
            print("   by dbf:", type(error).__name__)
            continue
    other = next(iter(dbfread.DBF(table.filename)))["PEOPLE"]
    print(f"   by dbf: read by dbfread {other}")
    seen.append(other)
right = [123, 123, 1e9, 1e9, 123456789012345678, 123456789012345678, 123456789012345680]
sys.exit(0 if seen == right else 1)
PYTHON
