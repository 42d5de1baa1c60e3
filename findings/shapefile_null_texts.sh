#!/usr/bin/env bash
# pyshp 3.1.6 writes None in a text field of a shapefile as the word "None", which all readers then take for a value
# (None in numbers and dates is null). And it writes UTF-8 without saying so: without a .cpg file, pyogrio 0.13.0 reads
# Zoë as ZoÃ« with read_dataframe, and right with read_arrow. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyshp==3.1.6 dbfread==2.0.7 pyogrio==0.13.0 \
    geopandas==1.2.0 pandas==3.1.1 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import dbfread
import pyogrio
import shapefile

path = Path(sys.argv[1], "places")
with shapefile.Writer(path, shapeType=shapefile.POINT) as writer:
    writer.field("name", "C", 10)
    writer.field("people", "N", 10)
    for name, people in (("Zoë", 5), (None, None)):
        writer.point(1, 2)
        writer.record(name, people)
print("pyshp", version("pyshp"), "pyogrio", pyogrio.__version__, "GDAL", pyogrio.__gdal_version__)
others = [row["name"] for row in dbfread.DBF(f"{path}.dbf", encoding="utf-8")]
frame = [*pyogrio.read_dataframe(f"{path}.shp")["name"]]
arrow = pyogrio.read_arrow(f"{path}.shp")[1]["name"].to_pylist()
print(f"Zoë and None: dbfread {others}, read_dataframe {frame}, read_arrow {arrow}")
print("files:", *sorted(each.name for each in path.parent.glob("places.*")))
sys.exit(0 if others == arrow == ["Zoë", "None"] and frame == ["ZoÃ«", "None"] else 1)
PYTHON
