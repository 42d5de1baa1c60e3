#!/usr/bin/env bash
# DuckDB 1.5.5 and 2.0.1 read abbreviations of zones in texts as zones of the ICU library. On a July day EST and MST
# have the winter's offset, CST and PST that of summer time, so that noon CST is noon EST. BST is Bangladesh (not
# British Summer Time), AST Alaska (not the Atlantic), SST the Solomons (not Samoa). Nothing is raised. Exits with 0
# while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/zones.py" <<'PYTHON'
import duckdb

print("DuckDB", duckdb.__version__)
duckdb.execute("SET timezone = 'UTC'")
for zone in ("EST", "CST", "MST", "PST", "BST", "AST", "SST"):
    text = f"2026-07-01 12:00:00 {zone}"
    (moment, parsed) = duckdb.execute(
        "SELECT CAST(CAST(? AS TIMESTAMPTZ) AS VARCHAR), CAST(strptime(?, '%Y-%m-%d %H:%M:%S %Z') AS VARCHAR)", [text, text]
    ).fetchone()
    print(f"{text}: {moment}, by strptime {parsed}")
PYTHON
for version in 1.5.5 2.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check duckdb=="$version"
    "$folder/$version/bin/python" "$folder/zones.py" | tee "$folder/seen"
    diff "$folder/seen" - <<SEEN || exit 1
DuckDB $version
2026-07-01 12:00:00 EST: 2026-07-01 17:00:00+00, by strptime 2026-07-01 17:00:00+00
2026-07-01 12:00:00 CST: 2026-07-01 17:00:00+00, by strptime 2026-07-01 17:00:00+00
2026-07-01 12:00:00 MST: 2026-07-01 19:00:00+00, by strptime 2026-07-01 19:00:00+00
2026-07-01 12:00:00 PST: 2026-07-01 19:00:00+00, by strptime 2026-07-01 19:00:00+00
2026-07-01 12:00:00 BST: 2026-07-01 06:00:00+00, by strptime 2026-07-01 06:00:00+00
2026-07-01 12:00:00 AST: 2026-07-01 20:00:00+00, by strptime 2026-07-01 20:00:00+00
2026-07-01 12:00:00 SST: 2026-07-01 01:00:00+00, by strptime 2026-07-01 01:00:00+00
SEEN
done
