"""DuckLake in a process of its own, fed by lines on standard input: its SQLite must never meet Python's on one file.

Each line is `{"attach": [catalog, data folder]}`, or `{"sql": text}`; each answer `{"rows": […]}` or `{"error": text}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb

from headrace.lake.maintenance import attach


def main() -> None:
    connection: duckdb.DuckDBPyConnection | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any]
        try:
            if "attach" in asked:
                if connection is not None:
                    connection.close()
                connection = attach(*(Path(path) for path in asked["attach"]))
                connection.execute("USE lake")
                answer = {"rows": []}
            else:
                assert connection is not None
                answer = {"rows": connection.execute(asked["sql"]).fetchall()}
        except duckdb.Error as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
