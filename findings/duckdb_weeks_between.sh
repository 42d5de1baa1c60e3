#!/usr/bin/env bash
# DuckDB 1.5.5 and 2.0.1 count whole periods of seven days in date_diff('week', …), while they count the Mondays, firsts and
# midnights that lie between in date_trunc('week', …) and in date_diff of days, months and years. From a Sunday to the
# Monday after it is 1 day and 0 weeks, from 31 December to 1 January 1 month and 1 year. sqlglot 30.30.0 knows it for
# Snowflake and BigQuery, but carries DATEDIFF(week, …) of SQL Server, which counts Sundays, over unchanged. Exits with 0
# while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/count.py" <<'PYTHON'
import duckdb
import sqlglot

print("DuckDB", duckdb.__version__, "sqlglot", sqlglot.__version__)
for unit, first, last in (
    ("week", "2026-01-04", "2026-01-05"),
    ("week", "2026-01-05", "2026-01-18"),
    ("month", "2025-12-31", "2026-01-01"),
):
    query = f"SELECT date_diff('{unit}', DATE '{first}', DATE '{last}')"
    starts = f"SELECT date_trunc('{unit}', DATE '{first}')::DATE, date_trunc('{unit}', DATE '{last}')::DATE"
    ((count,), (begin, end)) = (duckdb.execute(q).fetchone() for q in (query, starts))
    print(f"{unit}s from {first} to {last}: {count}; they begin on {begin} and {end}")
for dialect in ("tsql", "snowflake"):
    print(f"{dialect}:", sqlglot.transpile("SELECT DATEDIFF(week, a, b)", read=dialect, write="duckdb")[0])
PYTHON
for version in 1.5.5 2.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check duckdb=="$version" sqlglot==30.30.0
    "$folder/$version/bin/python" "$folder/count.py" | tee "$folder/seen"
    diff "$folder/seen" - <<SEEN || exit 1
DuckDB $version sqlglot 30.30.0
weeks from 2026-01-04 to 2026-01-05: 0; they begin on 2025-12-29 and 2026-01-05
weeks from 2026-01-05 to 2026-01-18: 1; they begin on 2026-01-05 and 2026-01-12
months from 2025-12-31 to 2026-01-01: 1; they begin on 2025-12-01 and 2026-01-01
tsql: SELECT DATE_DIFF('WEEK', CAST(a AS TIMESTAMP), CAST(b AS TIMESTAMP))
snowflake: SELECT DATE_DIFF('WEEK', DATE_TRUNC('WEEK', a), DATE_TRUNC('WEEK', b))
SEEN
done
