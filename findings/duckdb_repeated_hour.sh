#!/usr/bin/env bash
# DuckDB 1.5.5 and 2.0.1 truncate a TIMESTAMPTZ to the hour by the clock of the session's zone. In the hour that a
# change of clocks repeats, date_trunc('hour', …) of its first pass is the beginning of the second one, which is later
# than the moment itself; totals by hour have one hour with two hours' rows, and one too few. time_bucket is right;
# date_diff of hours between the passes is 0. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/hours.py" <<'PYTHON'
import duckdb

print("DuckDB", duckdb.__version__)
duckdb.execute("SET timezone = 'Europe/Berlin'")
rows = (
    "generate_series(TIMESTAMPTZ '2026-10-24 23:00:00+00', TIMESTAMPTZ '2026-10-25 02:50:00+00',"
    " INTERVAL 10 MINUTE) t(seen)"
)
for hour in ("date_trunc('hour', seen)", "time_bucket(INTERVAL 1 HOUR, seen)"):
    totals = duckdb.execute(
        f"SELECT CAST({hour} AS VARCHAR), count(*), count_if({hour} > seen) FROM {rows} GROUP BY {hour} ORDER BY {hour}"
    ).fetchall()
    for begin, count, later in totals:
        print(f"{hour}: {begin} has {count} rows, {later} of them before it")
between = "date_diff('hour', TIMESTAMPTZ '2026-10-25 00:30:00+00', TIMESTAMPTZ '2026-10-25 01:30:00+00')"
print(f"{between}: {duckdb.execute('SELECT ' + between).fetchone()[0]}")
PYTHON
for version in 1.5.5 2.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check duckdb=="$version" pytz
    "$folder/$version/bin/python" "$folder/hours.py" | tee "$folder/seen"
    diff "$folder/seen" - <<SEEN || exit 1
DuckDB $version
date_trunc('hour', seen): 2026-10-25 01:00:00+02 has 6 rows, 0 of them before it
date_trunc('hour', seen): 2026-10-25 02:00:00+01 has 12 rows, 6 of them before it
date_trunc('hour', seen): 2026-10-25 03:00:00+01 has 6 rows, 0 of them before it
time_bucket(INTERVAL 1 HOUR, seen): 2026-10-25 01:00:00+02 has 6 rows, 0 of them before it
time_bucket(INTERVAL 1 HOUR, seen): 2026-10-25 02:00:00+02 has 6 rows, 0 of them before it
time_bucket(INTERVAL 1 HOUR, seen): 2026-10-25 02:00:00+01 has 6 rows, 0 of them before it
time_bucket(INTERVAL 1 HOUR, seen): 2026-10-25 03:00:00+01 has 6 rows, 0 of them before it
date_diff('hour', TIMESTAMPTZ '2026-10-25 00:30:00+00', TIMESTAMPTZ '2026-10-25 01:30:00+00'): 0
SEEN
done
