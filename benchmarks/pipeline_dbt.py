"""TPC-H as a dbt project for dbt-duckdb: the same statements, and the same checks as data tests.

dbt reads the deliveries where they lie (`external_location`) and keeps the twelve tables in one
DuckDB file. `dbt build` tests each model before it computes the models that read it, and each
source beside them. Its time is that of the whole command in a new project, as Headrace's is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers import environment
from benchmarks.watching import DeclaredPromises, watch

TESTS = """{% test at_least_one_row(model) %}
select 1 from (select count(*) as n from {{ model }}) where n < 1
{% endtest %}
{% test unique_together(model, columns) %}
select {{ columns | join(', ') }} from {{ model }} group by all having count(*) > 1
{% endtest %}
"""
"""Data tests that dbt doesn't have itself."""
NOTE = (
    "dbt build with dbt-duckdb: deliveries are read where they lie, tables are in one DuckDB file,"
    " rows are visible before they are tested"
)


def build(folder: Path) -> DeclaredPromises:
    """`dbt build` of a project; raise Unavailable if dbt can't be installed."""
    place = ["--project-dir", str(folder), "--profiles-dir", str(folder)]
    return watch([str(environment("dbt_tests") / "dbt"), "--quiet", "build", *place])


def write(
    folder: Path,
    data: Path,
    sources: Mapping[str, Sequence[str]],
    models: Mapping[str, Sequence[str]],
    statements: Mapping[str, str],
    *,
    unique: bool,
    threads: int,
) -> None:
    """Write the project.

    `sources` and `models` give the keys of each table, `statements` the SELECT of each model. The
    deliveries are `data/NAME.parquet`. `unique` tests every key's uniqueness as well.
    """
    output = {
        "type": "duckdb",
        "path": str(folder / "tpch.duckdb"),
        "threads": threads,
        "settings": {"threads": threads},
    }
    source = {
        "name": "tpch",
        "meta": {"external_location": f"read_parquet('{data}/{{name}}.parquet')"},
        "tables": [_tested(name, keys, unique=unique) for name, keys in sources.items()],
    }
    documents = {
        "dbt_project.yml": {
            "name": "tpch",
            "version": "1.0",
            "profile": "tpch",
            "flags": {"send_anonymous_usage_stats": False},
            "models": {"tpch": {"+materialized": "table"}},
        },
        "profiles.yml": {"tpch": {"target": "here", "outputs": {"here": output}}},
        "models/schema.yml": {
            "version": 2,
            "sources": [source],
            "models": [_tested(name, keys, unique=unique) for name, keys in models.items()],
        },
    }
    (folder / "models").mkdir(parents=True)
    (folder / "macros").mkdir()
    (folder / "macros/tests.sql").write_text(TESTS, encoding="utf-8")
    for name, document in documents.items():  # JSON is YAML
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
    for name, sql in statements.items():
        (folder / f"models/{name}.sql").write_text(_referring(sql, sources), encoding="utf-8")


def _tested(name: str, keys: Sequence[str], *, unique: bool) -> dict[str, object]:
    table: list[object] = ["at_least_one_row"]
    column: list[object] = ["not_null"]
    if unique and len(keys) > 1:
        table.append({"unique_together": {"arguments": {"columns": list(keys)}}})
    elif unique:
        column.append("unique")
    columns = [{"name": key, "data_tests": column} for key in keys]
    return {"name": name, "data_tests": table, "columns": columns}


def _referring(sql: str, sources: Mapping[str, Sequence[str]]) -> str:
    """The statement with dbt's references in place of the tables' names."""

    def reference(match: re.Match[str]) -> str:
        name = match["table"]
        read = f"source('tpch', '{name}')" if name in sources else f"ref('{name}')"
        return f"{match['word']} {{{{ {read} }}}}"

    return re.sub(r"\b(?P<word>from|join)\s+(?P<table>\w+)", reference, sql)
