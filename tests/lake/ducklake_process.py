"""DuckLake in a process of its own, fed by lines on standard input: its SQLite must never meet Python's on one file.

Each line is `{"attach": [catalog, data folder]}`, or `{"sql": text}`; each answer `{"rows": […]}` or `{"error": text}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from headrace.lake.address import PostgresqlCatalog
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
                where, folder = asked["attach"]
                catalog = Path(where) if isinstance(where, str) else msgspec.convert(where, PostgresqlCatalog)
                connection = attach(catalog, Path(folder))
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
