#!/usr/bin/env bash
# DuckDB makes a RuntimeError of Ctrl+C (SIGINT) while it runs a query, so that `except Exception` takes the wish to stop for
# an error of the query, and a script that catches errors goes on. In 1.5.5 the KeyboardInterrupt is its cause; in 2.0.1 it
# has none, and only the words tell. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/interrupt.py" <<'PYTHON'
import os
import signal
import threading

import duckdb

print("DuckDB", duckdb.__version__)
QUERY = "SELECT sum(a.range * b.range % 7) AS n FROM range(1_000_000) a, range(400) b"
for name, run in {
    "execute": lambda: duckdb.execute(QUERY),
    "fetchall": lambda: duckdb.sql(QUERY).fetchall(),
}.items():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        run()
    except Exception as error:
        print(f"{name}: {error!r}, cause {error.__cause__!r}")
PYTHON
for version in 1.5.5 2.0.1; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check duckdb=="$version"
    "$folder/$version/bin/python" "$folder/interrupt.py" | tee "$folder/seen"
    [ "$version" = 1.5.5 ] && cause='KeyboardInterrupt()' || cause=None
    diff "$folder/seen" - <<SEEN || exit 1
DuckDB $version
execute: RuntimeError('Query interrupted'), cause $cause
fetchall: RuntimeError('Query interrupted'), cause $cause
SEEN
done
