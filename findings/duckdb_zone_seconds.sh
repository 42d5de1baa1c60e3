#!/usr/bin/env bash
# DuckDB 1.5.5 leaves the seconds of a zone's offset away when it casts a TIMESTAMPTZ to text, so that the text is another
# moment: noon UTC of 1 June 1970 in Liberia is written as 11:15:30-00:44, which is 11:59:30 UTC. `strftime` with %z
# writes -00:44:30. Each zone had such offsets once (local mean time); Liberia's lasted until 1972. Exits with 0 while this
# is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5 pytz
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import duckdb

print("DuckDB", duckdb.__version__)
lost = []
for zone, moment in (
    ("Africa/Monrovia", "1970-06-01 12:00:00+00"),
    ("Europe/Dublin", "1910-01-01 00:00:00+00"),
    ("America/New_York", "2026-06-01 12:00:00+00"),
):
    duckdb.execute(f"SET timezone = '{zone}'")
    text, formatted, apart = duckdb.execute(
        "SELECT CAST(seen AS VARCHAR), strftime(seen, '%Y-%m-%d %H:%M:%S%z'),"
        " epoch(seen) - epoch(CAST(CAST(seen AS VARCHAR) AS TIMESTAMPTZ))"
        f" FROM (SELECT TIMESTAMPTZ '{moment}' AS seen)"
    ).fetchone()
    print(f"{moment} in {zone}: cast to {text}, {apart:g} s away; strftime {formatted}")
    lost.append(apart)
sys.exit(0 if lost == [30, 21, 0] else 1)
PYTHON
