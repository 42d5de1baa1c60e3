#!/usr/bin/env bash
# pyogrio 0.13.0 (GDAL 3.12.4) on GeoJSON where one time has an offset (03:04:05+02:00) and another has none:
# read_arrow drops the offset (03:04:05, a local time without a zone), and read_dataframe gives the other one the zone
# UTC, which nobody stated. So the same row differs by two hours between two functions of one library. With offsets in
# all rows, both are right. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyogrio==0.13.0 geopandas==1.2.0 pandas==3.1.1 \
    pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from pathlib import Path

import pyogrio


def read(*times: str) -> tuple[list[str], list[str]]:
    features = [{"type": "Feature", "properties": {"t": each}, "geometry": None} for each in times]
    path = Path(sys.argv[1], "visits.geojson")
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    frame = [value.isoformat() for value in pyogrio.read_dataframe(path)["t"]]
    return frame, [value.as_py().isoformat() for value in pyogrio.read_arrow(path)[1]["t"]]


print("pyogrio", pyogrio.__version__, "GDAL", pyogrio.__gdal_version__)
frame, arrow = read("2024-01-02T03:04:05+02:00", "2024-01-02T03:04:05")
print(f"03:04:05+02:00 and 03:04:05:\n   read_dataframe {frame}\n   read_arrow     {arrow}")
both = read("2024-01-02T03:04:05+02:00", "2024-01-02T03:04:05+01:00")
print(f"offsets in both: {both[0]}")
right = frame == ["2024-01-02T01:04:05+00:00", "2024-01-02T03:04:05+00:00"]
sys.exit(0 if right and arrow == ["2024-01-02T03:04:05"] * 2 and both[0] == both[1] else 1)
PYTHON
