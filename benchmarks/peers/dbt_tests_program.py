"""Twenty tests of one table in DuckDB's own format, in dbt: `FILE CHECKS_JSON RUNS BUDGET_S
MEMORY_GIB FOLDER THREADS`.

Loading the table isn't counted. There are no more runs once the budget is spent.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
from dbt.cli.main import dbtRunner

RANGE = """{% test between(model, column_name, least=none, most=none) %}
select 1 from {{ model }} where {% if least is not none %}{{ column_name }} < {{ least }}{% else %}false{% endif %}
 or {% if most is not none %}{{ column_name }} > {{ most }}{% else %}false{% endif %}
{% endtest %}
{% test matches(model, column_name, pattern) %}
select 1 from {{ model }} where not regexp_full_match({{ column_name }}, '{{ pattern }}')
{% endtest %}
{% test rows_at_least(model, least) %}
select 1 from (select count(*) as n from {{ model }}) where n < {{ least }}
{% endtest %}
"""


def test(check: dict[str, Any]) -> tuple[str | None, Any]:
    """The column, and the test as dbt's YAML has it."""
    match check["kind"]:
        case "unique" | "not_null":
            return check["columns"][0], check["kind"]
        case "range":
            return check["column"], {
                "between": {"arguments": {"least": check.get("min"), "most": check.get("max")}}
            }
        case "accepted_values":
            quoted = not isinstance(check["values"][0], bool)
            return check["column"], {
                "accepted_values": {"arguments": {"values": check["values"], "quote": quoted}}
            }
        case "regex":
            return check["column"], {"matches": {"arguments": {"pattern": check["pattern"]}}}
        case _:
            return None, {"rows_at_least": {"arguments": {"least": check["min"]}}}


def write(folder: Path, file: str, checks: list[dict[str, Any]], settings: dict[str, Any]) -> None:
    """A project with the one source, and the table that it names."""
    columns: dict[str, list[Any]] = {}
    table: list[Any] = []
    for check in checks:
        column, written = test(check)
        (table if column is None else columns.setdefault(column, [])).append(written)
    listed = [{"name": name, "quote": True, "data_tests": tests} for name, tests in columns.items()]
    source = {
        "name": "s",
        "schema": "main",
        "tables": [{"name": "t", "columns": listed, "data_tests": table}],
    }
    limits = {"threads": settings["threads"], "settings": settings}
    profile = {
        "p": {
            "target": "d",
            "outputs": {"d": {"type": "duckdb", "path": str(folder / "t.duckdb"), **limits}},
        }
    }
    (folder / "models").mkdir(parents=True)
    (folder / "macros").mkdir()
    (folder / "macros/tests.sql").write_text(RANGE)
    (folder / "models/sources.yml").write_text(json.dumps({"version": 2, "sources": [source]}))
    (folder / "profiles.yml").write_text(json.dumps(profile))
    (folder / "dbt_project.yml").write_text(
        json.dumps(
            {
                "name": "b",
                "version": "1.0",
                "profile": "p",
                "flags": {"send_anonymous_usage_stats": False},
            }
        )
    )
    with duckdb.connect(str(folder / "t.duckdb"), config=settings) as connection:
        connection.execute("CREATE TABLE t AS SELECT * FROM read_parquet(?)", [file])


def main() -> None:
    """Test, and print seconds."""
    folder = Path(sys.argv[6])
    write(
        folder,
        sys.argv[1],
        json.loads(sys.argv[2]),
        {"threads": int(sys.argv[7]), "memory_limit": f"{sys.argv[5]}GiB"},
    )
    place = ["--project-dir", str(folder), "--profiles-dir", str(folder), "--quiet"]
    dbtRunner().invoke(["parse", *place])
    runs: list[float] = []
    while len(runs) < int(sys.argv[3]) and sum(runs) + max(runs, default=0.0) <= float(sys.argv[4]):
        started = time.perf_counter()
        done = dbtRunner().invoke(["test", *place])
        runs.append(time.perf_counter() - started)
        assert done.success, done.exception or [
            item.message for item in done.result if item.status != "pass"
        ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"figures": {"audit": {"dbt": runs}}, "peak_kib": peak}))


if __name__ == "__main__":  # dbt imports whatever it finds that is called `dbt_…`, this program too
    main()
