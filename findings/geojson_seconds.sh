#!/usr/bin/env bash
# pyogrio 0.13.0 (GDAL 3.12.4) reads the time 03:04:05.999999Z of a GeoJSON file as 03:04:06.000 with read_dataframe, and
# as 03:04:05.000 with read_arrow: the two functions of one library are a second apart. It rounds to milliseconds, and
# Arrow's reader loses the carry. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyogrio==0.13.0 geopandas==1.2.0 pandas==3.1.1 \
    pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from datetime import datetime
from pathlib import Path

import pyogrio

path = Path(sys.argv[1], "visits.geojson")
feature = {"type": "Feature", "properties": {"t": "2024-01-02T03:04:05.999999Z"}, "geometry": None}
path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
frame = pyogrio.read_dataframe(path)["t"][0].to_pydatetime().replace(tzinfo=None)
arrow = pyogrio.read_arrow(path)[1]["t"][0].as_py().replace(tzinfo=None)
print("pyogrio", pyogrio.__version__, "GDAL", pyogrio.__gdal_version__)
print(f"03:04:05.999999: read_dataframe {frame:%H:%M:%S.%f}, read_arrow {arrow:%H:%M:%S.%f}")
sys.exit(0 if (frame, arrow) == (datetime(2024, 1, 2, 3, 4, 6), datetime(2024, 1, 2, 3, 4, 5)) else 1)
PYTHON
